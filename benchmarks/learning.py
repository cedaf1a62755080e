"""Rate of training: PPO with the settings of a config, and beside that of stable-baselines3 as it comes."""

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from synergai.benchmarks.figure import Figure
from synergai.training.config import TrainConfig, read
from synergai.training.curves import no_curves
from synergai.training.policy import ScorerPolicy
from synergai.training.stages import clone_stage
from synergai.training.stock import StockPPO
from synergai.training.train import build, settings_of

CLONED = 20_000
"""Decisions that the policy is cloned on before: PPO never meets the queues of a random one."""


def train_steps_per_s(config: str = "", seconds: float = 60.0, seed: int = 0) -> Figure:
    """Decisions with two legal actions or more, rollouts and all epochs on them included; after a clone and a round of
    PPO that are not timed."""
    settings = _settings(config, seed)
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


def train_over_stock(config: str = "", seconds: float = 30.0, seed: int = 0) -> Figure:
    """Steps a second of this project's PPO over those of stock PPO (MlpPolicy, DummyVecEnv over the Gymnasium
    environment, flattened observations, actions that are not legal replaced by the environment), in one process: the
    config's first scenario at its first load, the same number of environments, steps, minibatch and epochs. Actions
    are those of untrained policies; the first rollout of each is not timed."""
    settings = _settings(config, seed)
    first = settings.model_copy(
        update={
            "scenarios": settings.scenarios[:1],
            "loads": settings.loads[:1],
            "also": [],
            "target_kl": 1e9,
        }
    )
    ours, env = build(first, settings_of(first))
    ours.set_logger(no_curves())
    env.reset()
    updates = ours.updates(1_000_000_000)
    stock = StockPPO(first)
    rates = {
        "ours_steps_per_s": _rate(lambda: next(updates).decisions, seconds),
        "stock_steps_per_s": _rate(stock.turn, seconds),
    }
    facts = {
        **{name: round(rate, 1) for name, rate in rates.items()}, "scenario": first.scenarios[0],
        "load": first.loads[0], "environments": first.environments, "steps": first.steps, "minibatch": first.minibatch,
        "epochs": first.epochs, "seconds": seconds, "seed": seed, "cores_used": first.torch_threads,
    }  # fmt: skip
    return Figure(rates["ours_steps_per_s"] / rates["stock_steps_per_s"], "times stock PPO", facts)


def _settings(config: str, seed: int) -> TrainConfig:
    path = config or str(Path(str(files("synergai.training"))) / "configs" / "default.yaml")
    return read(path).model_copy(update={"seed": seed})


def _rate(turn: Callable[[], int], seconds: float) -> float:
    """Steps a second of turns that return their steps; the first one is not timed."""
    turn()
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        steps += turn()
    return steps / (time.perf_counter() - began)
