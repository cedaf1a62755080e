"""Rate of training: PPO with the settings of a config."""

import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from synergai.benchmarks.figure import Figure
from synergai.training.config import read
from synergai.training.curves import no_curves
from synergai.training.policy import ScorerPolicy
from synergai.training.stages import clone_stage
from synergai.training.train import build, settings_of

CLONED = 20_000
"""Decisions that the policy is cloned on before: PPO never meets the queues of a random one."""


def train_steps_per_s(config: str = "", seconds: float = 60.0, seed: int = 0) -> Figure:
    """Decisions with two legal actions or more, rollouts and all epochs on them included; after a clone and a round of
    PPO that are not timed."""
    path = config or str(Path(str(files("synergai.training"))) / "configs" / "default.yaml")
    settings = read(path).model_copy(update={"seed": seed})
    model, env = build(settings, settings_of(settings))
    model.set_logger(no_curves())
    policy = model.policy
    assert isinstance(policy, ScorerPolicy)
    short = settings.model_copy(update={"clone_decisions": min(settings.clone_decisions, CLONED)})
    env.reset()
    for _ in clone_stage(short, policy, env, np.random.default_rng(seed)).updates(0):
        pass
    updates = model.updates(1_000_000_000)
    next(updates)
    decisions, rounds, epochs_before, began = 0, 0, model._n_updates, time.perf_counter()
    while time.perf_counter() - began < seconds:
        decisions += next(updates).decisions
        rounds += 1
    spent = time.perf_counter() - began
    facts = {
        "config": settings.name, "scenarios": settings.scenarios, "loads": settings.loads,
        "environments": settings.environments, "steps": settings.steps, "minibatch": settings.minibatch,
        "width": settings.width, "epochs": settings.epochs, "target_kl": settings.target_kl,
        "epochs_a_rollout": round((model._n_updates - epochs_before) / rounds, 2), "decisions": decisions,
        "measured_s": round(spent, 2), "seed": seed, "cores_used": settings.torch_threads,
    }  # fmt: skip
    return Figure(decisions / spent, "decisions/s", facts)
