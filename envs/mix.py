"""What arrives: each model's share of the jobs, and how many samples they bring."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from statistics import NormalDist

import numpy as np

BINS = 15
"""Equally likely parts of a size distribution, each stood for by its mean."""
DEFAULT_LOG_SD = 0.7
DEFAULT_SAMPLES = 1000.0
"""Of a model of which nothing is declared and nothing has arrived."""


def lognormal_bins(log_sd: float) -> np.ndarray:
    """Means of the bins of a log-normal with median one: partial expectations, so that their mean is exact."""
    normal = NormalDist()
    edges = [-np.inf, *(normal.inv_cdf(k / BINS) for k in range(1, BINS)), np.inf]
    below = np.array([normal.cdf(edge - log_sd) for edge in edges])
    return BINS * np.exp(0.5 * log_sd**2) * np.diff(below)


def empirical_bins(sizes: np.ndarray) -> tuple[float, ...]:
    """Means of equally likely bins of observed sizes."""
    return tuple(float(part.mean()) for part in np.array_split(np.sort(sizes), BINS))


@dataclass(frozen=True)
class ModelLoad:
    """One model's part of the mix: its share of the jobs, and the log-normal of its samples."""

    share: float
    samples: float
    """Median."""
    log_sd: float = 0.0
    shape: tuple[float, ...] = ()
    """Instead of the log-normal: bin means as multiples of `samples`, of a replayed trace."""
    log_shift: float = 0.0
    """Mean log size less the log of `samples`; 0 for a log-normal."""
    hardware: frozenset[str] | None = None
    """Hardware classes that its jobs may run on; None is any."""
    sites: frozenset[str] | None = None
    """Sites that its jobs may run at; None is any."""
    origins: Mapping[str, float] = field(default_factory=dict)
    """Weights of the sites that they come from; empty is the first site."""

    def admits(self, hardware: str, site: str) -> bool:
        """Whether its jobs may run there."""
        return (self.hardware is None or hardware in self.hardware) and (
            self.sites is None or site in self.sites
        )

    def bins(self) -> np.ndarray:
        """Mean sizes of equally likely bins, as multiples of `samples`. Shape (BINS,)."""
        return np.array(self.shape) if self.shape else lognormal_bins(self.log_sd)

    def replayed(self, sizes: np.ndarray) -> "ModelLoad":
        """The same with the sizes of a trace, multiples of `samples`."""
        return replace(self, shape=empirical_bins(sizes), log_shift=float(np.log(sizes).mean()))

    def as_lognormal(self) -> "ModelLoad":
        """The log-normal of the same mean and the same mean log."""
        log_sd = np.sqrt(2.0 * max(float(np.log(self.bins().mean())) - self.log_shift, 0.0))
        samples = self.samples * float(np.exp(self.log_shift))
        return replace(self, samples=samples, log_sd=float(log_sd), shape=(), log_shift=0.0)
