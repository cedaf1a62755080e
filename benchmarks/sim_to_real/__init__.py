"""The same jobs on a cluster and in the simulator: how far the simulation told the truth."""
