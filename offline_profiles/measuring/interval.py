"""Mean and 95 % confidence interval of a few repeated runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import mean, stdev

# Two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom:
# https://www.itl.nist.gov/div898/handbook/eda/section3/eda3672.htm
T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interval:
    """Of one figure."""

    mean: float
    half_width: float
    """As a share of the mean; infinite for fewer than two runs."""
    runs: int


def interval(values: Sequence[float]) -> Interval:
    """Of at least one positive value."""
    middle = mean(values)
    if len(values) < 2:
        return Interval(middle, inf, len(values))
    t = T95[min(len(values) - 1, len(T95)) - 1]
    return Interval(middle, t * stdev(values) / sqrt(len(values)) / middle, len(values))


def quantile(ordered: Sequence[float], share: float) -> float:
    """Of values in order, at least one: the smallest that no less than this share is at or below."""
    place = min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))
    return ordered[place]
