"""Intervals over tapes hold their level; verdicts fall when they should and only then."""

from collections.abc import Callable

import numpy as np
import pytest

from synergai.training.evaluation.intervals import bounds, interval
from synergai.training.evaluation.verdicts import ERROR, MARGINS, Margin, judge, looks, together

RATES = MARGINS["violation_rate"]
SCHEDULE = (32, 64, 128, 256, 512)
Draw = Callable[[np.random.Generator, int], np.ndarray]


# intervals ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("value", [0.0, 0.25, -3.0, 0.1])
def test_the_interval_of_a_constant_is_the_constant(value: float) -> None:
    found = interval(np.full(7, value))
    assert (found.mean, found.low, found.high) == (value, value, value)


def test_the_interval_is_that_of_students_t_for_many_normals() -> None:
    # the standard error of the mean of 400 standard normals is 1/20; 1.966 of it either side
    found = interval(np.random.default_rng(1).standard_normal(400))
    assert found.high - found.low == pytest.approx(2 * 1.966 / 20, rel=0.1)


def test_the_interval_of_skewed_values_reaches_further_to_the_long_side() -> None:
    found = interval(np.random.default_rng(0).exponential(size=32))
    assert found.high - found.mean > 1.2 * (found.mean - found.low)


def test_the_interval_is_the_same_every_time() -> None:
    assert interval(np.arange(9.0)) == interval(np.arange(9.0))


def test_another_seed_draws_other_resamples() -> None:
    values = np.random.default_rng(0).random(20)
    assert interval(values, seed=1) != interval(values, seed=2)


def test_the_interval_moves_and_scales_with_the_values() -> None:
    values = np.random.default_rng(0).exponential(size=20)
    one, other = interval(values), interval(5.0 - 3.0 * values)
    assert other.mean == pytest.approx(5.0 - 3.0 * one.mean)
    assert bounds(3.0 * values + 5.0, 0.025).high == pytest.approx(3.0 * one.high + 5.0)


def test_more_confidence_is_a_wider_interval() -> None:
    values = np.random.default_rng(0).random(15)
    narrow, wide = interval(values, level=0.5), interval(values, level=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_one_odd_tape_leaves_the_bounds_finite() -> None:
    found = bounds(np.array([0.0] * 31 + [1.0]), 0.01)
    assert np.isfinite([found.low, found.high]).all()
    assert found.high > 1 / 32


def normal(rng: np.random.Generator, tapes: int) -> np.ndarray:
    return rng.standard_normal(tapes)


def exponential(rng: np.random.Generator, tapes: int) -> np.ndarray:
    return rng.exponential(size=tapes) - 1.0


@pytest.mark.parametrize("tail", [0.05, 0.025, 0.01])
@pytest.mark.parametrize("draw", [normal, exponential])
def test_32_tapes_miss_the_mean_about_as_often_as_they_may(draw: Draw, tail: float) -> None:
    rng = np.random.default_rng(2)
    found = [bounds(draw(rng, 32), tail) for _ in range(400)]
    above, below = np.mean([f.low > 0 for f in found]), np.mean([f.high < 0 for f in found])
    # three standard errors of 400 repetitions, and a point for what bootstrap-t lacks on the long side of a skew
    slack = 3 * np.sqrt(tail * (1 - tail) / 400) + 0.01
    assert max(above, below) < tail + slack


# looks --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "most", "expected"),
    [(32, 512, (32, 64, 128, 256, 512)), (32, 32, (32,)), (32, 100, (32, 64, 100)), (3, 24, (3, 6, 12, 24))],
)
def test_tapes_double_up_to_the_most(first: int, most: int, expected: tuple[int, ...]) -> None:
    assert looks(first, most) == expected


def test_fewer_tapes_at_most_than_at_first_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--max-tapes 8 is below --tapes 32"):
        looks(32, 8)


# margins ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rule", "delta"), [(0.0, 0.002), (0.03, 0.002), (0.04, 0.002), (0.2, 0.01)])
def test_the_margin_of_violations_is_two_tenths_of_a_point_or_a_twentieth(rule: float, delta: float) -> None:
    assert RATES.of(rule) == pytest.approx(delta)


def test_the_margins_of_lateness_are_shares_alone() -> None:
    assert (MARGINS["excess_mean_s"].of(2.0), MARGINS["excess_p99_s"].of(2.0)) == pytest.approx((0.2, 0.3))


# verdicts -----------------------------------------------------------------------------------------------
def tapes(mean: float, spread: float, count: int = 512, seed: int = 0) -> np.ndarray:
    """Rates whose mean over any look is the given one: the same 32 values again and again."""
    values = np.random.default_rng(seed).standard_normal(32)
    return np.tile(mean + spread * (values - values.mean()) / values.std(), count // 32)


def test_a_clearly_better_policy_passes_at_the_first_look() -> None:
    found = judge(tapes(0.10, 0.0), tapes(0.20, 0.02), RATES, SCHEDULE)
    assert (found.verdict, found.look, found.tapes) == ("passed", 1, 32)


def test_a_clearly_worse_policy_fails_at_the_first_look() -> None:
    found = judge(tapes(0.30, 0.0), tapes(0.20, 0.02), RATES, SCHEDULE)
    assert (found.verdict, found.look) == ("failed", 1)


def test_an_equal_policy_passes_without_a_look_more() -> None:
    same = tapes(0.2, 0.05)
    assert judge(same, same, RATES, SCHEDULE).verdict == "passed"


def test_a_policy_at_its_margin_stays_undecided_however_many_tapes() -> None:
    found = judge(tapes(0.21, 0.0), tapes(0.20, 0.02), RATES, SCHEDULE)
    assert (found.verdict, found.look, found.tapes) == ("undecided", 5, 512)


def test_a_small_difference_is_decided_once_there_are_enough_tapes() -> None:
    ours, rule = tapes(0.2, 0.0), tapes(0.2, 0.04)
    assert judge(ours[:32], rule[:32], RATES, SCHEDULE).verdict == "undecided"
    found = judge(ours, rule, RATES, SCHEDULE)
    assert found.verdict == "passed"
    assert found.look > 1


def test_a_verdict_stands_whatever_later_tapes_say() -> None:
    ours = np.concatenate([tapes(0.1, 0.01, 32), tapes(0.9, 0.01, 480)])
    found = judge(ours, tapes(0.2, 0.01), RATES, SCHEDULE)
    assert (found.verdict, found.tapes) == ("passed", 32)


def test_what_is_compared_is_paired_by_tape() -> None:
    # the spread over tapes is a hundred times the margin; unpaired, nothing could be said
    rule = tapes(0.5, 0.3)
    assert judge(rule - 0.001, rule, RATES, SCHEDULE).verdict == "passed"


def test_every_look_of_the_schedule_takes_its_share_of_the_error() -> None:
    ours, rule = tapes(0.2, 0.0), tapes(0.2, 0.01)
    for schedule in ((32,), (32, 64), SCHEDULE):
        found = judge(ours[:32], rule[:32], Margin(0.0, 0.0), schedule)
        apart = bounds(ours[:32] - rule[:32], ERROR / len(schedule))
        assert (found.lower, found.upper) == (apart.low, apart.high)


def test_too_few_tapes_for_a_look_are_an_error() -> None:
    with pytest.raises(ValueError, match="5 tapes, but the first look needs 32"):
        judge(np.zeros(5), np.zeros(5), RATES, SCHEDULE)


@pytest.mark.slow
def test_a_policy_just_beyond_its_margin_rarely_passes_any_of_five_looks() -> None:
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(150):
        difference = 0.01 + 0.02 * (rng.exponential(size=256) - 1.0)
        found = judge(0.2 + difference, np.full(256, 0.2), RATES, (16, 32, 64, 128, 256))
        passed += found.verdict == "passed"
    # Bonferroni allows 5 %; three standard errors of 150 repetitions above that
    assert passed / 150 < ERROR + 3 * np.sqrt(ERROR * (1 - ERROR) / 150)


@pytest.mark.parametrize(
    ("single", "cell"),
    [
        (("passed", "passed"), "passed"),
        (("passed", "undecided"), "undecided"),
        (("passed", "undecided", "failed"), "failed"),
    ],
)
def test_a_cell_is_as_good_as_its_worst_comparison(single: tuple, cell: str) -> None:
    assert together(single) == cell
