"""What cannot be measured from inside, or is not shown here: pulling the image, and power."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from synergai.offline_profiles.build import Sources, read_sources
from synergai.offline_profiles.choose import Source
from synergai.offline_profiles.power import LOAD, Power, of_share

PER_CORE = frozenset({"arm", "cpu"})
"""Kinds whose power goes with the number of cores, for a class that is not shipped."""


@dataclass(frozen=True, slots=True)
class Given:
    """What the user says of the machine; None where it is to be assumed."""

    idle_w: float | None = None
    peak_w: float | None = None
    image_mib: float | None = None
    pull_mib_per_s: float | None = None


class Pull(NamedTuple):
    """Of the image, before a container can start."""

    seconds: float
    basis: str
    """Words for the middle of a start-up's basis."""


@dataclass(frozen=True)
class Assumptions:
    """For one hardware class; of a class that is not shipped, the median of its kind."""

    hardware: str
    kind: str
    cores: int
    given: Given
    sources: Sources

    @staticmethod
    def of(hardware: str, kind: str, cores: int, given: Given) -> "Assumptions":
        return Assumptions(hardware, kind, max(1, cores), given, read_sources())

    def pull(self) -> Pull:
        """As the user says, else as the shipped profiles assume."""
        mib, mib_per_s = self.given.image_mib, self.given.pull_mib_per_s
        word = "given" if mib is not None and mib_per_s is not None else "assumed"
        mib = self._of("image_mib") if mib is None else mib
        mib_per_s = self._of("pull_mib_per_s") if mib_per_s is None else mib_per_s
        return Pull(mib / mib_per_s, f"{word} image of {mib:g} MiB pulled at {mib_per_s:g} MiB/s")

    def idle_w(self) -> float:
        """Of the node."""
        return self._power("idle_w") if self.given.idle_w is None else self.given.idle_w

    def power(self, unit: str, threads: int, share: float) -> Power:
        """Of a run that takes this share of the cores, or the accelerator."""
        idle_w = self.idle_w()
        peak_w = self._power("peak_w") if self.given.peak_w is None else self.given.peak_w
        peak_w = max(peak_w, idle_w)
        span = f"the span from {idle_w:.4g} W idle to {peak_w:.4g} W, {self._whose()}"
        whole = Power(
            idle_w + LOAD["Offline"] * (peak_w - idle_w), idle_w, f"assumed: {LOAD['Offline']:g} of {span}"
        )
        return of_share(whole, min(1.0, share)) if unit == "cpu" else whole

    def _whose(self) -> str:
        if self.given.idle_w is not None and self.given.peak_w is not None:
            return "as given"
        if self._own():
            return "as of the shipped class"
        return f"as the median of shipped {self.kind} classes" + (
            " by the core" if self.kind in PER_CORE else ""
        )

    def _own(self) -> Source | None:
        return next((row for row in self.sources.classes if row["name"] == self.hardware), None)

    def _of(self, column: str, figure: Callable[[Source], float] = lambda row: 1.0) -> float:
        own = self._own()
        if own:
            return float(own[column])
        alike = [row for row in self.sources.classes if row["kind"] == self.kind]
        return median(float(row[column]) / figure(row) for row in alike)

    def _power(self, column: str) -> float:
        if self._own() or self.kind not in PER_CORE:
            return self._of(column)
        return self.cores * self._of(column, lambda row: float(row["cpu_milli"]) / 1000)
