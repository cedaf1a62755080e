"""Which published row is *the* measurement: closed, one accelerator, no remark against it, newest round."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from statistics import median_high
from typing import NamedTuple, TypeVar

# Remarks in the source's note column that keep a row out (sources/README.md says what they mean).
REMARKS = (
    "outlier",
    "preview",
    "open division",
    "folder says gpu",
    "system json names",
    "log stored under",
    "accelerator count unstated",
)
PREVIEWS = {("jetson-agx-orin", "v2.0")}
"""Filed as preview systems: (device, round)."""
ASSUMED_BATCH = 32
LICENCES = {"Tencent/ncnn": "BSD-3-Clause", "ultralytics/ultralytics": "AGPL-3.0"}

Source = dict[str, str]
Item = TypeVar("Item")
Key = TypeVar("Key", bound=Hashable)


class Latency(NamedTuple):
    """Mean and quantiles of one query, in ms."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    p999: float

    def times(self, factor: float) -> "Latency":
        return Latency(*(value * factor for value in self))


@dataclass(frozen=True, slots=True)
class Figure:
    """One configuration as measured or derived, before power, start-up and resources are added."""

    model: str
    hardware: str
    engine: str
    precision: str
    unit: str
    batch: int
    threads: int
    """0 for what runs on an accelerator; for a CPU, 0 until `threads.py` has said how many."""
    throughput_sps: float
    throughput_basis: str
    latency: Latency
    latency_basis: str
    scenario: str
    source: str
    licence: str
    is_narrowed: bool = False
    """Derived for fewer threads than were measured."""

    def key(self) -> tuple[str, str, str, int, int]:
        return self.model, self.hardware, self.unit, self.batch, self.threads


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Items by key, in the order they came."""
    groups: defaultdict[Key, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def is_admitted(row: Source) -> bool:
    """Closed division, with a figure, and nothing said against it."""
    has_figure = bool(row["samples_per_second"] or row["p90_ms"])
    remarked = any(remark in row["note"] for remark in REMARKS)
    is_preview = (row["device"], row["mlperf_version"]) in PREVIEWS
    return row["division"] == "closed" and has_figure and not remarked and not is_preview


def mlperf_figures(rows: Sequence[Source], hardware: str) -> list[Figure]:
    """The figures of one hardware class: of each model, compute unit and scenario the fastest engine."""
    groups = grouped(rows, lambda row: (row["model_family"], row["compute_unit"], row["scenario"]))
    figures = [_fastest(_one_accelerator(group), rows, hardware) for group in groups.values()]
    single = {(one.model, _before_plus(one.unit)): one for one in figures if one.scenario == "SingleStream"}
    return [_in_flight(one, single.get((one.model, _before_plus(one.unit)))) for one in figures]


def engine_figures(rows: Sequence[Source], hardware: str) -> list[Figure]:
    """What engines publish of themselves, batch 1; on a CPU with the number of threads it states."""
    return [_engine_figure(row, hardware) for row in rows]


def fastest(figures: Iterable[Figure]) -> list[Figure]:
    """Of configurations that take the same unit, batch and threads the one of highest throughput; of those
    derived for fewer threads only what no other beats with as few."""
    groups = grouped(figures, Figure.key)
    best = [max(group, key=lambda figure: figure.throughput_sps) for group in groups.values()]
    return [one for one in best if not (one.is_narrowed and any(_beats(other, one) for other in best))]


def _beats(other: Figure, one: Figure) -> bool:
    return (
        other is not one
        and (other.model, other.unit) == (one.model, one.unit)
        and other.threads <= one.threads
        and other.throughput_sps >= one.throughput_sps
        and other.latency.mean <= one.latency.mean
    )


def round_of(row: Source) -> tuple[int, ...]:
    """`v3.1` as (3, 1)."""
    return tuple(int(part) for part in row["mlperf_version"].removeprefix("v").split("."))


def place_of(row: Source) -> str:
    """Repository and path of a published run."""
    return f"{row['source_repo']}/{row['source_path']}"


def accelerators(row: Source) -> int:
    """How many accelerators the run used, at least 1."""
    return max(1, int(row["accelerator_count"] or 1))


def _one_accelerator(rows: list[Source]) -> list[Source]:
    return [row for row in rows if accelerators(row) == 1] or rows


def _fastest(rows: list[Source], siblings: Sequence[Source], hardware: str) -> Figure:
    engines = grouped(rows, lambda row: row["engine"])
    newest = [_median(_newest(_with_mean(group))) for group in engines.values()]
    return _figure(max(newest, key=_throughput), siblings, hardware)


def _with_mean(rows: list[Source]) -> list[Source]:
    """Consolidated rounds give only p90 for SingleStream: an older run that states its mean says more."""
    return [row for row in rows if row["samples_per_second"]] or rows


def _newest(rows: list[Source]) -> list[Source]:
    newest = max(round_of(row) for row in rows)
    return [row for row in rows if round_of(row) == newest]


def _median(rows: list[Source]) -> Source:
    middle = median_high(_throughput(row) for row in rows)
    return next(row for row in rows if _throughput(row) == middle)


def _throughput(row: Source) -> float:
    if not row["samples_per_second"]:
        return 1000.0 / float(row["p90_ms"])
    return float(row["samples_per_second_per_accelerator"] or row["samples_per_second"])


def _figure(row: Source, siblings: Sequence[Source], hardware: str) -> Figure:
    figure = Figure(
        model=row["model_family"],
        hardware=hardware,
        engine=row["engine"],
        precision=_precision(row, siblings),
        unit=row["compute_unit"],
        batch=1,
        threads=0,
        throughput_sps=_throughput(row),
        throughput_basis="derived: 1000 / mean latency of SingleStream",
        latency=_latency(row),
        latency_basis="measured",
        scenario=row["scenario"],
        source=place_of(row),
        licence="Apache-2.0",
    )
    if row["scenario"] == "Offline":
        return _offline(figure, row, siblings)
    if not row["mean_ms"]:
        return replace(
            figure,
            throughput_basis="derived: 1000 / p90 latency of SingleStream",
            latency_basis="derived: only the p90 estimate is published; it stands for mean and quantiles",
        )
    return figure


def _offline(figure: Figure, row: Source, siblings: Sequence[Source]) -> Figure:
    batch, batch_basis = _batch(row, siblings)
    shared = accelerators(row) > 1
    return replace(
        figure,
        batch=batch,
        throughput_basis=f"derived: one share of {accelerators(row)} accelerators" if shared else "measured",
        latency=_flat(batch / figure.throughput_sps * 1000.0),
        latency_basis=f"derived: batch / throughput for mean and quantiles; {batch_basis}",
    )


def _in_flight(figure: Figure, single: Figure | None) -> Figure:
    """A batch is not done sooner than one query: where batch / throughput says so, several were in flight."""
    if figure.scenario != "Offline" or single is None or figure.latency.mean >= single.latency.mean:
        return figure
    batch = ceil(figure.throughput_sps * single.latency.mean / 1000.0)
    basis = f"derived: batch / throughput for mean and quantiles; batch {batch} in flight by Little's law"
    latency = _flat(batch / figure.throughput_sps * 1000.0)
    return replace(figure, batch=batch, latency=latency, latency_basis=basis)


def _flat(latency_ms: float) -> Latency:
    return Latency(*[latency_ms] * 6)


def _latency(row: Source) -> Latency:
    if not row["mean_ms"]:
        return _flat(float(row["p90_ms"] or 0.0))
    return Latency(*(float(row[f"{name}_ms"]) for name in Latency._fields))


def _batch(row: Source, siblings: Sequence[Source]) -> tuple[int, str]:
    own = stated_batch(row)
    if own:
        return own, "batch as submitted"
    alike = [
        other
        for other in siblings
        if all(other[name] == row[name] for name in ("model_family", "scenario"))
        and all(_before_plus(other[name]) == _before_plus(row[name]) for name in ("compute_unit", "engine"))
        and stated_batch(other)
    ]
    if not alike:
        return ASSUMED_BATCH, f"batch {ASSUMED_BATCH} assumed"
    newest = max(
        alike, key=lambda other: (round_of(other), other["engine"] == row["engine"], stated_batch(other))
    )
    return stated_batch(newest), f"batch of the {newest['mlperf_version']} submission"


def _before_plus(text: str) -> str:
    """`gpu+dla` runs the GPU's batch too, `TensorRT+Triton` the same engine."""
    return text.split("+")[0]


def stated_batch(row: Source) -> int:
    """The batch size in the submitted configuration, 0 if it does not say."""
    settings = dict(part.split("=", 1) for part in row["config"].split(";") if "=" in part)
    return int(settings.get("gpu_bs") or settings.get("batch_size") or settings.get("batch") or 0)


def _precision(row: Source, siblings: Sequence[Source]) -> str:
    alike = [
        other["precision"]
        for other in sorted(siblings, key=round_of, reverse=True)
        if all(other[name] == row[name] for name in ("model_family", "compute_unit", "engine"))
        and other["precision"]
    ]
    return row["precision"] or (alike[0] if alike else "unstated")


def _engine_figure(row: Source, hardware: str) -> Figure:
    mean = float(row["latency_mean_ms"])
    high = float(row["latency_max_ms"] or mean)
    spread = (
        "p50 = mean, higher quantiles = slowest of few runs"
        if row["latency_max_ms"]
        else "no quantiles published"
    )
    return Figure(
        model={"mobilenet": "mobilenet-v1"}.get(row["model"], row["model"]),
        hardware=hardware,
        engine=row["engine"],
        precision={"fp16/fp32 (engine default)": "fp16"}.get(row["precision"], row["precision"]),
        unit=row["compute_unit"],
        batch=1,
        threads=int(row["threads"] or 0) if row["compute_unit"] == "cpu" else 0,
        throughput_sps=1000.0 / mean,
        throughput_basis="derived: 1000 / mean latency",
        latency=Latency(mean, mean, high, high, high, high),
        latency_basis=f"derived: mean measured; {spread}",
        scenario="SingleStream",
        source=f"{row['source']}/{row['source_path']}",
        licence=LICENCES[row["source"]],
    )
