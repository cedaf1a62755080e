"""PPO of stable-baselines3 as it comes, to compare with: its own rollouts, one environment after another in Python."""

import torch
from gymnasium.wrappers import FlattenObservation
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from synergai.envs.env import SynergaiEnv
from synergai.training.config import TrainConfig


class StockPPO:
    """MlpPolicy over flattened observations of the first scenario at the first load. It knows no masks: the environment
    replaces what is not legal."""

    def __init__(self, settings: TrainConfig) -> None:
        torch.set_num_threads(settings.torch_threads)
        self._model = PPO(
            "MlpPolicy",
            DummyVecEnv([lambda: self._environment(settings)] * settings.environments),
            n_steps=settings.steps,
            batch_size=settings.minibatch,
            n_epochs=settings.epochs,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            device="cpu",
        )

    @staticmethod
    def _environment(settings: TrainConfig) -> FlattenObservation:
        return FlattenObservation(SynergaiEnv(settings.scenarios[0], settings.arrivals, settings.loads[0]))

    def turn(self) -> int:
        """One rollout and all epochs on it; returns its steps."""
        before = self._model.num_timesteps
        self._model.learn(1, reset_num_timesteps=False)
        return self._model.num_timesteps - before
