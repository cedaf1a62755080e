"""The world and the decision point. Importing this registers the Gymnasium id `synergai/Cluster-v0`."""

import gymnasium

gymnasium.register(id="synergai/Cluster-v0", entry_point="synergai.envs.env:SynergaiEnv")
