"""Small checkpoints for the tests."""

from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.utils import ConstantSchedule

from synergai.training.config import TrainConfig
from synergai.training.export import export
from synergai.training.policy import ScorerPolicy
from synergai.training.vec_env import BatchVecEnv

SMALL: dict[str, Any] = {
    "name": "small", "loads": [0.8], "environments": 4, "siblings": 1, "arrivals": 60, "warm_start": 10,
    "width": 8, "threads": 1, "clone_decisions": 256, "match_decisions": 0, "critic_decisions": 0, "decisions": 0,
    "steps": 16, "minibatch": 64, "epochs": 1, "evaluate_every": 0, "evaluation_tapes": 1, "evaluation_arrivals": 40,
}  # fmt: skip


def small(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate(SMALL | changes)


def policy_for(env: BatchVecEnv, width: int = 8, seed: int = 0) -> ScorerPolicy:
    """Random weights, that of the output made large enough to matter."""
    torch.manual_seed(seed)
    return ScorerPolicy(env.observation_space, env.action_space, ConstantSchedule(1e-3), width=width)


def exported(folder: Path, env: BatchVecEnv, width: int = 8, seed: int = 0) -> ScorerPolicy:
    """A checkpoint folder of random weights; returns the policy that it holds."""
    policy = policy_for(env, width, seed)
    export(policy, folder, small(width=width), {"stages": {}})
    return policy
