"""How much time a point of the grid is worth."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effort:
    """Runs are repeated until the 95 % confidence intervals are as narrow as `precision`, or the time is up."""

    run_s: float = 2.0
    """Of one run of each scenario."""
    precision: float = 0.02
    """Half width of the intervals, as a share of the mean."""
    least_runs: int = 5
    most_s: float = 60.0
    """Of measuring; loading and warming up come on top."""
    starts: int = 3
    """With an empty engine cache and with a full one, each; the median counts."""


QUICK = Effort(run_s=0.3, precision=0.1, least_runs=3, most_s=3.0, starts=1)
"""Seconds a point: for demos and tests."""
