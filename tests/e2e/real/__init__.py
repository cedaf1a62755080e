"""Real pods on real kubelets: profile the nodes, schedule a trace there, and compare with the simulator."""
