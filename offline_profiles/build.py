"""Builds the shipped table from the published measurements in `sources/`, the same bytes on each run."""

import csv
import gzip
import hashlib
import io
import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from synergai.offline_profiles.choose import (
    Figure,
    Source,
    engine_figures,
    fastest,
    grouped,
    is_admitted,
    mlperf_figures,
)
from synergai.offline_profiles.power import PowerTable, of_share
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import ProfileError, ReferenceRow, columns, read_rows, write_rows
from synergai.offline_profiles.table import reference_rows
from synergai.offline_profiles.threads import Sweeps, with_fewer_threads

# What one job is assumed to take beside its accelerator or its threads.
ACCELERATOR_CPU_MILLI = {"jetson": 1000, "gpu": 2000}
BASE_MEMORY_MIB = {"jetson": 1024, "gpu": 2048, "arm": 256, "cpu": 1024}
MEMORY_STEP_MIB = 64
STORE_MIB_PER_S = 100.0
"""Fetching a model or engine cache from a store in the cluster, over 1 Gbit/s."""
RESOURCES_BASIS = {
    "cpu": "assumed: all threads it runs; memory from model size",
    "accelerator": "assumed: the whole accelerator, a few cores to feed it; memory from model size",
}


@dataclass(frozen=True, slots=True)
class Sources:
    """The source tables as text cells."""

    classes: list[Source]
    models: dict[str, Source]
    mlperf: list[Source]
    sweeps: list[Source]
    boards: list[Source]


def read_sources(folder: Traversable | Path | None = None) -> Sources:
    """The tables of a folder; None is the shipped one."""
    folder = folder or files("synergai.offline_profiles") / "sources"
    return Sources(
        classes=_read(folder / "classes.csv"),
        models={row["model"]: row for row in _read(folder / "models.csv")},
        mlperf=_read(folder / "mlperf.csv.gz"),
        sweeps=_read(folder / "sweeps.csv"),
        boards=_read(folder / "boards.csv"),
    )


def build(sources: Sources) -> dict[str, str]:
    """The text of each shipped file by its name."""
    profiles = sorted(
        (profile for row in sources.classes for profile in _class_profiles(row, sources)),
        key=lambda profile: (profile.model, profile.hardware, profile.configuration),
    )
    hardware = sorted((_hardware(row, sources) for row in sources.classes), key=lambda one: one.name)
    texts = {
        "hardware.csv": write_rows(Hardware, hardware),
        "profiles.csv": write_rows(Profile, profiles),
        "reference.csv": write_rows(ReferenceRow, _reference(profiles, sources)),
    }
    _check(texts)
    return texts


def _reference(profiles: Collection[Profile], sources: Sources) -> list[ReferenceRow]:
    """A class added to the sources later says `no`, so that deadlines keep their meaning."""
    kept = {row["name"] for row in sources.classes if row["in_reference"] == "yes"}
    return reference_rows(profile for profile in profiles if profile.hardware in kept)


def _check(texts: dict[str, str]) -> None:
    """What is about to be written must load."""
    problems: list[str] = []
    read_rows(Hardware, texts["hardware.csv"], "hardware.csv", problems)
    read_rows(Profile, texts["profiles.csv"], "profiles.csv", problems)
    read_rows(ReferenceRow, texts["reference.csv"], "reference.csv", problems)
    if problems:
        raise ProfileError(problems)


def write(texts: dict[str, str], folder: Path) -> dict[str, str]:
    """Write the files and return their sha256s by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_bytes(text.encode())
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def counts(profiles: Collection[Profile]) -> dict[str, Counter[str]]:
    """How many rows are measured, derived and assumed, by kind of figure."""
    kinds = [name for name in columns(Profile) if name.endswith("_basis")]
    return {kind: Counter(getattr(one, kind).split(":")[0] for one in profiles) for kind in kinds}


def slug(text: str) -> str:
    """Lower case, letters and digits joined by single dashes; fit for a label value."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _read(file: Traversable | Path) -> list[Source]:
    raw = file.read_bytes()
    text = gzip.decompress(raw) if file.name.endswith(".gz") else raw
    return list(csv.DictReader(io.StringIO(text.decode())))


def _class_rows(row: Source, sources: Sources) -> list[Source]:
    wanted = row["device"], row["power_mode"]
    return [
        one for one in sources.mlperf if (one["device"], one["power_mode"]) == wanted and is_admitted(one)
    ]


def _class_figures(row: Source, sources: Sources) -> list[Figure]:
    figures = mlperf_figures(_class_rows(row, sources), row["name"])
    if row["power_mode"] in ("", "MAXN"):  # the engines' own benchmarks ran with all cores at full clock
        own = [one for one in [*sources.sweeps, *sources.boards] if one["device"] == row["device"]]
        figures += engine_figures(own, row["name"])
    on_cpu = [figure for figure in figures if figure.unit == "cpu"]
    found = [figure for figure in figures if figure.unit != "cpu"]
    for model, group in grouped(on_cpu, lambda figure: figure.model).items():
        cores = int(row["cpu_milli"]) // 1000
        curve = sources.models[model]["curve"]
        found += with_fewer_threads(group, cores, Sweeps(sources.sweeps), curve, row["kind"] == "cpu")
    return fastest(found)


def _class_profiles(row: Source, sources: Sources) -> list[Profile]:
    power = _power_table(row, sources)
    return [
        _profile(figure, row, sources.models[figure.model], power) for figure in _class_figures(row, sources)
    ]


def _power_table(row: Source, sources: Sources) -> PowerTable:
    table = PowerTable(_class_rows(row, sources), row["kind"], float(row["idle_w"]), float(row["peak_w"]))
    idle_w = table.class_idle_w()
    return table if idle_w is None else replace(table, idle_w=idle_w)


def _hardware(row: Source, sources: Sources) -> Hardware:
    power = _power_table(row, sources)
    measured = power.class_idle_w() is not None
    return Hardware(
        name=row["name"],
        kind=row["kind"],
        resource=row["resource"],
        cpu_milli=int(row["cpu_milli"]),
        memory_mib=int(row["memory_mib"]),
        idle_w=power.idle_w,
        basis=f"{row['basis']}; idle power {'is the median of measured runs' if measured else 'assumed'}",
    )


def _configuration(figure: Figure) -> str:
    threads = [f"t{figure.threads}"] if figure.unit == "cpu" else []
    return "-".join(
        [slug(figure.engine), slug(figure.precision), slug(figure.unit), *threads, f"b{figure.batch}"]
    )


def _profile(figure: Figure, row: Source, model: Source, table: PowerTable) -> Profile:
    on_cpu = figure.unit == "cpu"
    cores = int(row["cpu_milli"]) // 1000
    power = of_share(table.of(figure), figure.threads / cores if on_cpu else 1.0)
    cached_s, present_s, absent_s = _startup_s(row, model)
    return Profile(
        model=figure.model,
        model_version="1",
        hardware=figure.hardware,
        configuration=_configuration(figure),
        engine=figure.engine,
        precision=figure.precision,
        compute_unit=figure.unit,
        batch=figure.batch,
        threads=figure.threads,
        cpu_milli=figure.threads * 1000 if on_cpu else ACCELERATOR_CPU_MILLI[row["kind"]],
        memory_mib=_memory_mib(figure, row, model),
        device_units=0 if on_cpu else 1,
        throughput_sps=figure.throughput_sps,
        latency_ms=figure.latency.mean,
        latency_p50_ms=figure.latency.p50,
        latency_p90_ms=figure.latency.p90,
        latency_p95_ms=figure.latency.p95,
        latency_p99_ms=figure.latency.p99,
        latency_p999_ms=figure.latency.p999,
        startup_image_absent_s=absent_s,
        startup_image_present_s=present_s,
        startup_cached_s=cached_s,
        active_w=power.active_w,
        idle_w=power.idle_w,
        throughput_basis=figure.throughput_basis,
        latency_basis=figure.latency_basis,
        startup_basis="assumed: bare process start plus image and model size over bandwidth",
        power_basis=power.basis,
        resources_basis=RESOURCES_BASIS["cpu" if on_cpu else "accelerator"],
        source=figure.source,
        licence=figure.licence,
    )


def _startup_s(row: Source, model: Source) -> Sequence[float]:
    model_mib = float(model["model_mib"])
    cached_s = float(row["bare_start_s"]) + model_mib / float(row["disk_mib_per_s"])
    present_s = cached_s + model_mib / min(STORE_MIB_PER_S, float(row["pull_mib_per_s"]))
    return cached_s, present_s, present_s + float(row["image_mib"]) / float(row["pull_mib_per_s"])


def _memory_mib(figure: Figure, row: Source, model: Source) -> int:
    """Host memory: on a Jetson the accelerator's too, on a GPU the batch lies on the card."""
    in_flight = 0 if row["kind"] == "gpu" else min(figure.batch, 64)
    need_mib = (
        BASE_MEMORY_MIB[row["kind"]] + 2 * int(model["model_mib"]) + in_flight * int(model["sample_mib"])
    )
    return -(-need_mib // MEMORY_STEP_MIB) * MEMORY_STEP_MIB
