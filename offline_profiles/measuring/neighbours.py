"""How much engines on one node slow each other down: pairs of them, alone and side by side, and the fit of the
simulator's factor (docs/simulator.md, Neighbours).

A tenant's compute takes 1 + a x min(1, sum of the others' shares) times as long. The windows of a pair go A, AB, B, AB,
A, AB, B, AB, A ...: those beside the other lie around those alone, so that a machine that grows slower evenly tells on
both alike.
"""

import csv
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite, sqrt

from synergai.offline_profiles.measuring.interval import T95, interval

LARGEST = 10.0
"""Of the factor, as in `world.co_tenant_slowdown`."""
COLUMNS = (
    "hardware", "model", "model_version", "configuration", "share", "neighbour_model", "neighbour_version",
    "neighbour_configuration", "neighbour_share", "alone_sps", "beside_sps", "slowdown", "slowdown_half_width",
    "cycles", "fitted", "residual",
)  # fmt: skip
Window = Callable[[bool, bool], tuple[float, float]]
"""Runs the first, the second or both for a while; samples/s of each, 0 for one that does not run."""


class NeighbourError(ValueError):
    """Measurements that no factor can be made of; one line."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One model in one configuration."""

    model: str
    version: str
    configuration: str
    cpu_milli: int
    device_units: int
    share: float
    """Of its node: the larger of cpu / the node's and units / the device's."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a pair is measured."""

    precision: float = 0.02
    """Half width of the 95 % intervals of both slow-downs, as a share of them."""
    least_cycles: int = 3
    most_s: float = 60.0
    """Whatever is reached then, after two cycles."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tenant beside one other."""

    tenant: Tenant
    neighbour: Tenant
    pair: int
    """Two rows of one pair were measured in the same windows."""
    alone_sps: float
    beside_sps: float
    slowdown: float
    """Mean over the cycles of alone / beside."""
    half_width: float
    """Of its 95 % confidence interval."""
    cycles: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Of all rows."""

    factor: float
    half_width: float
    """Of its 95 % confidence interval over pairs; infinite for one pair."""
    rows: int
    pairs: int
    worst: float
    """Largest residual, in times as long."""

    @property
    def scenario(self) -> str:
        """The line for a scenario; a factor below 0 is noise."""
        return f"world: {{co_tenant_slowdown: {max(self.factor, 0.0):.3f}}}"


def measure_pair(
    pair: int,
    first: Tenant,
    second: Tenant,
    window: Window,
    patience: Patience,
    now_s: Callable[[], float] = time.monotonic,
) -> tuple[Row, Row]:
    """Cycles until both slow-downs are known well enough, or the time is up. NeighbourError where nothing ran."""
    start_s = now_s()
    alone: tuple[list[float], list[float]] = ([], [])
    beside: tuple[list[float], list[float]] = ([], [])
    before = _alone(window, True)
    while True:
        one = window(True, True)
        middle = _alone(window, False)
        two = window(True, True)
        after = _alone(window, True)
        for place, speed in ((0, sqrt(before * after)), (1, middle)):
            alone[place].append(_positive(speed))
            beside[place].append(_positive(sqrt(one[place] * two[place])))
        before = after
        slowdowns = [[a / b for a, b in zip(alone[i], beside[i], strict=True)] for i in (0, 1)]
        found = [interval(values) for values in slowdowns]
        spent = now_s() - start_s >= patience.most_s and found[0].runs > 1
        narrow = max(one.half_width for one in found) <= patience.precision
        if spent or (narrow and found[0].runs >= patience.least_cycles):
            break
    rows = [
        Row(*who, pair, _mean(alone[i]), _mean(beside[i]), found[i].mean,
            found[i].half_width * found[i].mean, found[i].runs)
        for i, who in enumerate(((first, second), (second, first)))
    ]  # fmt: skip
    return rows[0], rows[1]


def _alone(window: Window, first: bool) -> float:
    return window(first, not first)[0 if first else 1]


def _positive(speed: float) -> float:
    if not (isfinite(speed) and speed > 0):
        raise NeighbourError(
            f"a window of {speed:g} samples/s: nothing was answered in it; make --window longer"
        )
    return speed


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def fit(rows: Sequence[Row]) -> Fit:
    """Least squares through no slow-down at no share; the interval holds pairs for independent, not rows.

    NeighbourError where there is nothing to fit, a figure is none, or the factor is larger than a scenario may have.
    """
    for row in rows:
        given = (row.slowdown, row.neighbour.share, row.alone_sps, row.beside_sps)
        if not all(isfinite(value) and value > 0 for value in given):
            raise NeighbourError(f"{_name(row)}: slow-down {row.slowdown:g} at share {row.neighbour.share:g}")
    weight = sum(_share(row) ** 2 for row in rows)
    if not rows or weight <= 0:
        raise NeighbourError("there are no pairs to fit")
    factor = sum(_share(row) * (row.slowdown - 1) for row in rows) / weight
    if factor > LARGEST:
        raise NeighbourError(
            f"the fitted factor is {factor:.3g}, above {LARGEST:g}: something else than neighbours slows them down, "
            "such as a CPU quota of both together"
        )
    residuals = [row.slowdown - 1 - factor * _share(row) for row in rows]
    pairs = len({row.pair for row in rows})
    return Fit(
        factor, _half_width(rows, residuals, weight), len(rows), pairs, max(map(abs, residuals), default=0.0)
    )


def _half_width(rows: Sequence[Row], residuals: Sequence[float], weight: float) -> float:
    """Of rows in clusters: https://en.wikipedia.org/wiki/Clustered_standard_errors, with G / (G - 1)."""
    sums: dict[int, float] = {}
    for row, residual in zip(rows, residuals, strict=True):
        sums[row.pair] = sums.get(row.pair, 0.0) + _share(row) * residual
    freedom = len(sums) - 1
    if freedom < 1:
        return inf
    spread = sqrt(sum(value**2 for value in sums.values()) * len(sums) / freedom) / weight
    return T95[min(freedom, len(T95)) - 1] * spread


def _share(row: Row) -> float:
    return min(1.0, row.neighbour.share)


def _name(row: Row) -> str:
    tenant, other = row.tenant, row.neighbour
    return f"{tenant.model} {tenant.configuration} beside {other.model} {other.configuration}"


def to_csv(hardware: str, rows: Sequence[Row], fitted: Fit) -> str:
    """One line for each row, with what the fit says of it and by how much it is off."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    for row in rows:
        said = 1 + fitted.factor * _share(row)
        figures = (row.alone_sps, row.beside_sps, row.slowdown, row.half_width)
        out.writerow(
            [hardware, *_cells(row.tenant), *_cells(row.neighbour), *(f"{value:.6g}" for value in figures), row.cycles,
             f"{said:.6g}", f"{row.slowdown - said:.6g}"]
        )  # fmt: skip
    return text.getvalue()


def _cells(tenant: Tenant) -> list[str]:
    return [tenant.model, tenant.version, tenant.configuration, f"{tenant.share:.6g}"]
