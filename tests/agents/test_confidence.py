"""Bets on a mean: rarely won where there is nothing to win, soon where there is; and the switch that goes by them."""

from collections.abc import Callable

import numpy as np
import pytest

from synergai.agents.confidence import ALPHA, Bets, Switch

RUNS, LENGTH = 1000, Switch.SPAN
Draw = Callable[[np.random.Generator], np.ndarray]
NULLS: dict[str, Draw] = {
    "a coin": lambda rng: rng.choice([-1.0, 1.0], LENGTH),
    "small numbers around 0": lambda rng: np.clip(rng.normal(0.0, 0.1, LENGTH), -1.0, 1.0),
    "seldom, but then high": lambda rng: np.where(rng.random(LENGTH) < 0.9, -0.1, 0.9),
    "seldom, but then low": lambda rng: np.where(rng.random(LENGTH) < 0.9, 0.1, -0.9),
    "spread that grows with what came": lambda rng: grows(rng),
}


def grows(rng: np.random.Generator) -> np.ndarray:
    """Numbers of mean 0, given those before, that lie the further out the more of those were above 0."""
    x = np.zeros(LENGTH)
    for t in range(LENGTH):
        x[t] = rng.choice([-1.0, 1.0]) * (0.2 + 0.8 * (x[:t] > 0).mean() if t else 0.2)
    return x


def ever_proven(xs: np.ndarray, above: float = 0.0) -> bool:
    bets = Bets(above)
    for x in xs:
        bets.take(float(x))
        if bets.proven:
            return True
    return False


@pytest.mark.parametrize("name", NULLS)
def test_a_mean_that_is_not_above_is_seldom_ever_said_to_be(name: str) -> None:
    rng = np.random.default_rng(0)
    share = np.mean([ever_proven(NULLS[name](rng)) for _ in range(RUNS)])
    assert share <= ALPHA


@pytest.mark.parametrize("above", [-0.5, -0.1, 0.0, 0.3])
def test_the_same_holds_at_any_value(above: float) -> None:
    rng = np.random.default_rng(1)
    up = (1.0 + above) / 2.0  # the share of ones that makes this mean
    coins = np.where(rng.random((RUNS, LENGTH)) < up, 1.0, -1.0)
    assert np.mean([ever_proven(xs, above) for xs in coins]) <= ALPHA


@pytest.mark.parametrize(("mean", "share"), [(0.2, 0.95), (0.5, 0.99)])
def test_a_mean_that_is_above_is_found(mean: float, share: float) -> None:
    rng = np.random.default_rng(2)
    xs = np.clip(rng.normal(mean, 0.3, (300, LENGTH)), -1.0, 1.0)
    assert np.mean([ever_proven(x) for x in xs]) >= share


@pytest.mark.parametrize("x", [1.01, -1.01, float("nan")])
def test_a_number_beyond_the_range_is_refused(x: float) -> None:
    with pytest.raises(ValueError, match=r"not in \[-1, 1\]"):
        Bets(0.0).take(x)


@pytest.mark.parametrize(("above", "alpha", "named"), [(1.0, 0.05, "above is 1"), (0.0, 0.0, "alpha is 0")])
def test_bets_that_mean_nothing_are_refused(above: float, alpha: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Bets(above, alpha)


# the switch ----------------------------------------------------------------------------------------------------------
WORSE, SAME, BETTER = 0.2, 0.0, -0.2


def windows(switch: Switch, difference: float, most: int = 1000) -> int:
    """How many such windows it takes to switch; one more than `most` if that does not do it."""
    return next((n for n in range(1, most + 1) if switch.take(difference)), most + 1)


def test_a_policy_that_misses_more_goes_after_a_few_windows_not_after_one() -> None:
    switch = Switch()
    assert 3 < windows(switch, WORSE) < 15
    assert not switch.policy_plays


@pytest.mark.parametrize("difference", [SAME, BETTER])
def test_a_policy_that_is_no_worse_stays(difference: float) -> None:
    assert windows(Switch(), difference) > 1000


def gone() -> Switch:
    switch = Switch()
    windows(switch, WORSE)
    return switch


def test_one_good_window_does_not_bring_it_back() -> None:
    assert not gone().take(-1.0)


def test_it_comes_back_when_it_has_been_no_worse_for_long() -> None:
    switch = gone()
    assert 10 < windows(switch, SAME) < 100
    assert switch.policy_plays


def test_a_policy_that_stays_worse_than_is_tolerated_does_not_come_back() -> None:
    assert windows(gone(), 2 * Switch.TOLERANCE) > 1000


def test_after_a_good_year_a_bad_policy_still_goes_within_hours() -> None:
    switch = Switch()
    windows(switch, BETTER, 50_000)
    assert windows(switch, WORSE) < 20


def test_each_switch_begins_with_no_evidence() -> None:
    switch = Switch()
    while not switch.take(WORSE):
        assert 0.0 < switch.evidence < 1.0
    assert switch.evidence == pytest.approx(ALPHA)
