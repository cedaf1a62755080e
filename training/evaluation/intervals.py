"""What tapes say about a mean: studentised bootstrap intervals over tapes, never over jobs.

The bootstrap-t (Hall, The Bootstrap and Edgeworth Expansion, 1992, section 1.3) holds its level for the few skewed
values of a cell better than percentile or BCa intervals do; docs/evaluation.md has the simulation.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
LEAST_SPREAD = 0.1
"""A resample's standard deviation counts as at least this share of the sample's. Without it a sample of few distinct
values has resamples of almost equal ones, whose t, and with it the bound, has no limit."""


@dataclass(frozen=True)
class Interval:
    """A mean over tapes and its bounds."""

    mean: float
    low: float
    high: float


def interval(values: np.ndarray, level: float = LEVEL, seed: int = 0) -> Interval:
    """Two-sided. values: (tapes,). Values that are all the same give bounds equal to them."""
    return bounds(values, (1.0 - level) / 2.0, seed)


def bounds(values: np.ndarray, tail: float, seed: int = 0) -> Interval:
    """One-sided bounds of 1 - `tail` on either side. values: (tapes,)."""
    count, mean = len(values), float(values.mean())
    away = values - mean
    spread = float(np.sqrt((away**2).mean()))
    if np.ptp(values) == 0.0:
        return Interval(float(values[0]), float(values[0]), float(values[0]))
    weights = _weights(count, seed)
    shifts = weights @ away / count  # (RESAMPLES,)
    spreads = np.sqrt(np.maximum(weights @ away**2 / count - shifts**2, 0.0))
    low, high = np.quantile(shifts / np.maximum(spreads, LEAST_SPREAD * spread), [tail, 1.0 - tail])
    return Interval(mean, mean - spread * float(high), mean - spread * float(low))


@lru_cache(maxsize=8)
def _weights(count: int, seed: int) -> np.ndarray:
    """How often each resample holds each tape: the same for all that is compared. (RESAMPLES, count)"""
    rng = np.random.default_rng([seed, count])
    return rng.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES).astype(float)
