"""A real Kubernetes API server for tests: where it comes from, and how it is started and ended."""
