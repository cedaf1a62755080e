"""Generalised advantages in continuous time: by hand, against the textbook, across truncations."""

from math import exp

import numpy as np
import pytest

from synergai.training.ppo import timed_advantages


def column(*values: float) -> np.ndarray:
    """One environment. (steps, 1)"""
    return np.array(values, float)[:, None]


def advantages(
    rewards: np.ndarray,
    values: np.ndarray,
    last: np.ndarray,
    dt: np.ndarray,
    ends: np.ndarray | None = None,
    end_values: np.ndarray | None = None,
    discount_taus: float = 20.0,
    trace_taus: float = 5.0,
) -> np.ndarray:
    ends = np.zeros(rewards.shape, bool) if ends is None else ends
    end_values = np.zeros(rewards.shape) if end_values is None else end_values
    return timed_advantages(
        rewards, values, last, ends.astype(bool), end_values, dt, discount_taus, trace_taus
    )


def textbook(rewards: list[float], values: list[float], last: float, gamma: float, lam: float) -> list[float]:
    """GAE as in equation 16 of https://arxiv.org/abs/1506.02438: a discounted sum of the deltas, forwards."""
    following = [*values[1:], last]
    deltas = [r + gamma * f - v for r, f, v in zip(rewards, following, values)]
    n = len(rewards)
    return [sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, n)) for t in range(n)]


def test_one_step_is_reward_plus_discounted_value_minus_value() -> None:
    found = advantages(column(-1.0), column(2.0), np.array([3.0]), column(4.0))
    assert found[0, 0] == pytest.approx(-1.0 + exp(-4 / 20) * 3.0 - 2.0)


def test_two_steps_of_unlike_length_by_hand() -> None:
    # time 2 then 10, in mean run times; beta = 1/20, kappa = 1/5
    found = advantages(column(1.0, -0.5), column(0.3, 0.7), np.array([-0.2]), column(2.0, 10.0))
    second = -0.5 + exp(-0.5) * -0.2 - 0.7
    first = 1.0 + exp(-0.1) * 0.7 - 0.3 + exp(-0.1) * exp(-0.4) * second
    assert found[:, 0] == pytest.approx([first, second])


def test_a_step_without_time_is_neither_discounted_nor_forgotten() -> None:
    found = advantages(column(0.0, 0.0, -1.0), column(0.0, 0.0, 0.0), np.array([0.0]), column(0.0, 0.0, 1.0))
    assert found[:, 0] == pytest.approx([-1.0, -1.0, -1.0])


def test_a_very_long_step_hides_what_comes_after_it() -> None:
    found = advantages(column(0.5, -9.0), column(0.0, 0.0), np.array([-9.0]), column(1e6, 1.0))
    assert found[0, 0] == pytest.approx(0.5)


def test_a_truncated_episode_goes_on_with_its_end_value() -> None:
    ends, end_values = column(1, 0), column(5.0, 0.0)
    found = advantages(
        column(1.0, 0.0), column(2.0, 0.0), np.array([0.0]), column(4.0, 4.0), ends, end_values
    )
    assert found[0, 0] == pytest.approx(1.0 + exp(-0.2) * 5.0 - 2.0)


def test_nothing_of_the_next_episode_reaches_back_over_a_truncation() -> None:
    ends, end_values = column(1, 0, 0), column(5.0, 0.0, 0.0)
    args = (column(2.0, 1.0, 1.0), np.array([0.0]), column(1.0, 1.0, 1.0), ends, end_values)
    calm = advantages(column(1.0, 0.0, 0.0), *args)
    wild = advantages(column(1.0, 100.0, -70.0), *args)
    assert calm[0, 0] == wild[0, 0]


def test_the_last_step_of_a_rollout_may_be_a_truncation() -> None:
    found = advantages(
        column(0.0), column(1.0), np.array([99.0]), column(0.0), column(1), column(3.0)
    )  # not the 99 of the new episode
    assert found[0, 0] == pytest.approx(2.0)


@pytest.mark.parametrize("dt", [0.0, 0.05, 1.0, 7.0])
@pytest.mark.parametrize("seed", range(5))
def test_equal_steps_are_the_textbooks_gae(dt: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rewards, values = rng.standard_normal((2, 17, 3))
    last = rng.standard_normal(3)
    found = advantages(rewards, values, last, np.full((17, 3), dt))
    for b in range(3):
        gamma, lam = exp(-dt / 20), exp(-dt / 5)
        expected = textbook(rewards[:, b].tolist(), values[:, b].tolist(), last[b], gamma, lam)
        assert found[:, b] == pytest.approx(expected)


def test_environments_do_not_mix() -> None:
    rng = np.random.default_rng(3)
    rewards, values, dt = rng.random((3, 9, 4))
    last = rng.random(4)
    together = advantages(rewards, values, last, dt)
    for b in range(4):
        alone = advantages(rewards[:, [b]], values[:, [b]], last[[b]], dt[:, [b]])
        assert np.array_equal(alone[:, 0], together[:, b])


def test_splitting_a_wait_in_two_changes_nothing_when_values_are_right() -> None:
    # with V = discounted future reward the advantage is zero however often one looks
    v = [exp(-3 / 20), exp(-2 / 20), 1.0]
    found = advantages(column(0.0, 0.0, 1.0), column(*v), np.array([0.0]), column(1.0, 2.0, 0.0))
    assert found[:, 0] == pytest.approx([0.0, 0.0, 0.0])
