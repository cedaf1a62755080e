"""InferenceJobs and the InferenceRuntimes that run them: what is wanted, how it is run, and what became of it."""
