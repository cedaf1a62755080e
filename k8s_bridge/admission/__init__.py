"""Which nodes admit a pod, as kube-scheduler decides it."""
