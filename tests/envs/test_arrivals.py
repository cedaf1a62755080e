"""Arrivals of every kind have the rate that was asked for, and the shape that they are named after."""

import numpy as np
import pytest

from synergai.envs.arrivals import arrival_times_s
from synergai.envs.scenario import Arrivals

BURSTY = Arrivals(kind="bursty", burst=8.0, burst_share=0.1, burst_s=5.0)
DIURNAL = Arrivals(kind="diurnal", period_s=200.0, swing=0.8)
KINDS = {"poisson": Arrivals(), "bursty": BURSTY, "diurnal": DIURNAL}
RATE_SPS = 5.0


def times(arrivals: Arrivals, count: int = 200_000, seed: int = 0) -> np.ndarray:
    return arrival_times_s(arrivals, np.random.default_rng(seed), count, RATE_SPS)


def per_second(arrivals: Arrivals) -> np.ndarray:
    """Arrivals in each whole second."""
    at_s = times(arrivals)
    return np.bincount(at_s.astype(int))[:-1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_rate_is_the_one_asked_for(kind: str) -> None:
    at_s = times(KINDS[kind])
    assert len(at_s) / at_s[-1] == pytest.approx(RATE_SPS, rel=0.04)


@pytest.mark.parametrize("kind", KINDS)
def test_time_never_runs_back(kind: str) -> None:
    at_s = times(KINDS[kind], 20_000)
    assert at_s[0] >= 0.0
    assert (np.diff(at_s) >= 0.0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_equal_seeds_give_equal_arrivals(kind: str) -> None:
    np.testing.assert_array_equal(times(KINDS[kind], 1000), times(KINDS[kind], 1000))
    assert (times(KINDS[kind], 1000) != times(KINDS[kind], 1000, seed=1)).any()


def test_poisson_counts_vary_as_much_as_they_are() -> None:
    counts = per_second(KINDS["poisson"])
    assert counts.var() / counts.mean() == pytest.approx(1.0, rel=0.05)


def test_bursts_vary_as_their_two_rates_say() -> None:
    """Within a second the rate hardly changes: variance of counts = mean + variance of the two rates."""
    calm = RATE_SPS / (0.9 + 8.0 * 0.1)
    rates, shares = np.array([calm, 8.0 * calm]), np.array([0.9, 0.1])
    between = float(shares @ rates**2 - RATE_SPS**2)
    counts = per_second(BURSTY)
    assert counts.var() == pytest.approx(RATE_SPS + between, rel=0.2)


def test_bursts_of_one_rate_are_poisson() -> None:
    counts = per_second(Arrivals(kind="bursty", burst=1.0))
    assert counts.var() / counts.mean() == pytest.approx(1.0, rel=0.05)


def test_a_day_goes_up_and_down_once_and_by_its_swing() -> None:
    at_s = times(DIURNAL)
    wave = np.exp(2j * np.pi * at_s / 200.0).mean()  # of a rate 1 + s sin: magnitude s / 2
    assert 2.0 * abs(wave) == pytest.approx(0.8, rel=0.05)
    twice = np.exp(4j * np.pi * at_s / 200.0).mean()
    assert abs(twice) < 0.02


def test_days_begin_at_any_hour() -> None:
    starts = [len(times(DIURNAL, 400, seed)[times(DIURNAL, 400, seed) < 20.0]) for seed in range(20)]
    assert max(starts) > 2 * min(starts)
