"""What a person does with InferenceJobs: `synergai submit`, `jobs` and `cancel`. They talk to the API server alone."""
