"""How fast a CPU is with fewer threads than it was measured with: derived from published thread sweeps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from synergai.offline_profiles.choose import ASSUMED_BATCH, Figure, Source

SHARES = (2, 4)
"""Besides all cores: half and a quarter of them."""
SINGLE_QUERY_THREADS = (8, 16)
"""One instance with batch 1 on a server CPU; the sweeps end at 16 threads."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Throughput of one engine instance by number of threads at one batch size."""

    points: tuple[tuple[int, float], ...]

    def at(self, threads: int) -> float:
        """Linear between the measured points, flat beyond them."""
        for (low, slow), (high, fast) in pairwise(self.points):
            if threads <= high:
                return slow + (fast - slow) * (max(threads, low) - low) / (high - low)
        return self.points[-1][1]


class Sweeps:
    """The curves of the packrat sweep (x86, batch 1 and 32) and of ncnn's on AGX Orin (Arm, batch 1)."""

    def __init__(self, rows: Sequence[Source]) -> None:
        self._rows = rows

    def x86(self, model: str, batch: int) -> Curve:
        rows = [row for row in self._rows if row["source"] == "msr-fiddle/packrat"]
        rows = [row for row in rows if row["model"] == model and int(row["batch"]) == batch]
        return Curve(tuple(sorted((int(row["threads"]), float(row["throughput"])) for row in rows)))

    def arm(self) -> Curve:
        rows = [
            row for row in self._rows if row["device"] == "jetson-agx-orin" and row["compute_unit"] == "cpu"
        ]
        rows = [row for row in rows if row["model"] == "resnet50"]
        return Curve(
            tuple(sorted((int(row["threads"]), 1000 / float(row["latency_mean_ms"])) for row in rows))
        )


def with_fewer_threads(
    figures: Iterable[Figure], cores: int, sweeps: Sweeps, model_curve: str, x86: bool
) -> list[Figure]:
    """CPU figures of one model and hardware class: as measured on all cores, and what follows for fewer."""
    figures = list(figures)
    swept = [figure for figure in figures if figure.threads]
    whole = [replace(figure, threads=cores) for figure in figures if not figure.threads]
    found = swept + whole
    for figure in whole:
        spans = figure.scenario == "SingleStream"
        curve = sweeps.x86(model_curve, 1) if x86 else sweeps.arm()
        found += [_narrowed(figure, cores // n, curve if spans else None) for n in SHARES if cores >= n]
    if x86 and whole and all(figure.scenario == "Offline" for figure in whole):
        found += [_single_query(whole[0], threads, sweeps, model_curve) for threads in SINGLE_QUERY_THREADS]
    return found


def _narrowed(figure: Figure, threads: int, curve: Curve | None) -> Figure:
    """SingleStream is one instance on all cores: its curve holds. Offline is many instances side by side:
    fewer cores run fewer of them, so the parts never add up to more than the whole that was measured."""
    if curve is None:
        factor, how = threads / figure.threads, "in proportion to its cores"
    else:
        factor, how = curve.at(threads) / curve.at(figure.threads), "by a measured thread sweep"
    why = f"derived: {threads} of {figure.threads} cores, {how}"
    return replace(
        figure,
        threads=threads,
        throughput_sps=figure.throughput_sps * factor,
        throughput_basis=why,
        latency=figure.latency.times(1 / factor),
        latency_basis=why,
        is_narrowed=True,
    )


def _single_query(figure: Figure, threads: int, sweeps: Sweeps, model_curve: str) -> Figure:
    """Batch 1 on a few cores, from the speed of one core in the measured Offline run."""
    per_core_sps = figure.throughput_sps / figure.threads
    core_equivalents = sweeps.x86(model_curve, 1).at(threads) / sweeps.x86(model_curve, ASSUMED_BATCH).at(1)
    throughput_sps = per_core_sps * core_equivalents
    why = f"derived: one instance of {threads} threads and batch 1 from Offline by a measured thread sweep"
    latency = figure.latency.times(1000.0 / throughput_sps / figure.latency.mean)
    return replace(
        figure,
        batch=1,
        threads=threads,
        throughput_sps=throughput_sps,
        throughput_basis=why,
        latency=latency,
        latency_basis=why,
        is_narrowed=True,
    )
