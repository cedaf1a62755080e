"""Means, intervals and quantiles of runs."""

from math import inf
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.offline_profiles.measuring.interval import T95, interval, quantile


def test_an_interval_is_that_of_the_textbook() -> None:
    found = interval([9.0, 10.0, 11.0, 10.0])
    assert found.mean == 10.0
    assert found.half_width == pytest.approx(3.182 * (2 / 3) ** 0.5 / 2 / 10, rel=1e-6)
    assert found.runs == 4


def test_of_one_run_nothing_is_known() -> None:
    assert interval([5.0]).half_width == inf


def test_students_quantiles_fall_towards_the_normal_ones() -> None:
    scipy = pytest.importorskip("scipy.stats")
    assert list(T95) == sorted(T95, reverse=True)
    assert T95[-1] > NormalDist().inv_cdf(0.975)
    np.testing.assert_allclose(T95, [scipy.t.ppf(0.975, n) for n in range(1, 31)], atol=6e-4)


@pytest.mark.parametrize(("mean", "spread"), [(100.0, 5.0), (0.002, 0.0002)])
def test_intervals_hold_the_mean_nineteen_times_of_twenty(mean: float, spread: float) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(2000):
        found = interval([float(x) for x in rng.normal(mean, spread, 6)])
        held += abs(found.mean - mean) <= found.half_width * found.mean
    assert 0.93 < held / 2000 < 0.97


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=200), share=st.floats(0.01, 1))
def test_a_quantile_has_its_share_at_or_below_and_no_smaller_one_does(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)
    found = quantile(ordered, share)
    assert sum(value <= found for value in ordered) >= share * len(ordered) - 1e-9
    assert sum(value < found for value in ordered) < share * len(ordered) + 1e-9
