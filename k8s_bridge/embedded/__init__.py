"""A small Kubernetes API server and simulated kubelets, in one process and without a cluster."""
