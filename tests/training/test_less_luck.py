"""What siblings on one tape share is taken out of their advantages."""

import numpy as np
import pytest

from synergai.training.ppo import less_luck


def test_what_all_siblings_share_cancels() -> None:
    luck = np.array([3.0, -2.0, 5.0])[:, None] * np.ones((3, 4))
    clock = np.arange(3.0)[:, None] * np.ones((3, 4))
    assert less_luck(luck, clock, 4) == pytest.approx(np.zeros((3, 4)))


def test_a_sibling_is_looked_up_at_its_first_decision_not_before() -> None:
    clock = np.array([[1.0, 0.0], [2.0, 1.5]])
    advantages = np.array([[10.0, 1.0], [20.0, 2.0]])
    # at 1.0 the other decides next at 1.5 (2); at 2.0 it does so no more (0)
    assert less_luck(advantages, clock, 2)[:, 0].tolist() == [8.0, 20.0]


def test_the_mean_of_the_others_is_what_is_taken_out() -> None:
    advantages = np.array([[6.0, 1.0, 2.0, 3.0]])
    assert less_luck(advantages, np.zeros((1, 4)), 4)[0, 0] == pytest.approx(6.0 - 2.0)


def test_families_do_not_mix() -> None:
    rng = np.random.default_rng(0)
    advantages, clock = rng.standard_normal((8, 4)), np.sort(rng.random((8, 4)), axis=0)
    found = less_luck(advantages, clock, 2)
    assert np.array_equal(found[:, :2], less_luck(advantages[:, :2].copy(), clock[:, :2].copy(), 2))


def test_the_advantages_given_stay_as_they_are() -> None:
    advantages = np.ones((2, 2))
    less_luck(advantages, np.zeros((2, 2)), 2)
    assert (advantages == 1.0).all()
