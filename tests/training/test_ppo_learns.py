"""From random weights to a policy that leaves alone what is never on time."""

import numpy as np
import pytest
import torch
from small_runs import small
from worlds import toy_profile, toy_setting, toy_table

from synergai.agents.learned import Checkpoint, Learned
from synergai.agents.scorer import Weights
from synergai.envs.tape import Setting
from synergai.training.config import TrainConfig
from synergai.training.evaluation.evaluate import RuleRunner, column, evaluate
from synergai.training.policy import ScorerPolicy
from synergai.training.train import build

DECISIONS = 24_000
TAPES = range(6)
ARRIVALS = 200


@pytest.fixture(scope="module")
def trap() -> Setting:
    """One device serves in a second; four take eight, and every deadline is between 2.2 and 4.1 s after arrival."""
    table = toy_table(toy_profile("m", "gpu-fast", 1.0), toy_profile("m", "gpu-slow", 8.0))
    machines = [
        {"name": "fast", "hardware": {"gpu-fast": 1}},
        {"name": "slow", "count": 4, "hardware": {"gpu-slow": 1}},
    ]
    return toy_setting(table, machines, load=0.4, deadlines={"tightness": [[0.5, 0.9]]})


def settings_of(**changes: object) -> TrainConfig:
    return small(
        **{
            "width": 16, "environments": 16, "siblings": 2, "arrivals": 100, "steps": 64, "minibatch": 256,
            "epochs": 3, "learning_rate": 2e-3, "entropy": 0.01,
        } | changes,
    )  # fmt: skip


def rate(setting: Setting, player: RuleRunner | Learned) -> float:
    return float(column(evaluate(setting, [player], TAPES, ARRIVALS), player.name, "violation_rate").mean())


def weights_after(setting: Setting, config: TrainConfig, decisions: int) -> Weights:
    torch.manual_seed(config.seed)
    model, _ = build(config, [setting])
    if decisions:
        model.learn(decisions)
    assert isinstance(model.policy, ScorerPolicy)
    named = {name: np.ascontiguousarray(value) for name, value in model.policy.actor.weights().items()}
    return Weights(**named)


@pytest.mark.slow
def test_a_policy_from_random_weights_learns_to_leave_slow_devices_alone(trap: Setting) -> None:
    learned = Learned(Checkpoint("learned", weights_after(trap, settings_of(), DECISIONS), {}))
    at_random, ours = rate(trap, RuleRunner("random")), rate(trap, learned)
    assert at_random > 0.25
    assert ours < 0.5 * at_random


@pytest.mark.slow
def test_the_same_seed_learns_the_same_weights(trap: Setting) -> None:
    one, two = (weights_after(trap, settings_of(), 2048) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two))


@pytest.mark.slow
def test_another_seed_learns_other_weights(trap: Setting) -> None:
    one, two = (weights_after(trap, settings_of(seed=seed), 2048) for seed in (0, 1))
    assert not np.array_equal(one.own, two.own)
