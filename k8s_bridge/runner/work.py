"""A job's samples through an engine, exactly as it was decided, with a clock beside it."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.runner import machine
from synergai.k8s_bridge.runner.latencies import Latencies
from synergai.k8s_bridge.runner.order import Order
from synergai.k8s_bridge.runner.power import Energy, Watch
from synergai.k8s_bridge.runner.refusal import Refusal, Status
from synergai.offline_profiles.host.cgroup import throttled_s
from synergai.offline_profiles.host.process import peak_memory_mib

if TYPE_CHECKING:
    from synergai.k8s_bridge.runner.data import Sink, Source
    from synergai.offline_profiles.engines.engine import Session

SHARES = (0.5, 0.9, 0.99)
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are on this machine."""

    models: Path
    cache: Path | None = None
    """For what engines compile; None: nothing is kept."""


@dataclass(slots=True)
class Progress:
    """How far it is, for whoever stops it."""

    samples: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class Begun:
    """Readings from before anything was imported."""

    process: machine.Start
    here: machine.Start
    throttled_s: float | None


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: "Session"
    version: str
    """Of the engine."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Computed:
    seconds: float
    latencies: Latencies
    energy: Energy | None


def begin() -> Begun:
    here = machine.now()
    return Begun(machine.process_start(here), here, throttled_s())


def run(order: Order, places: Places, begun: Begun, progress: Progress) -> Json:
    """What to report. Refusal says why it does not run, or what failed."""
    began_s = time.perf_counter()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy starts a thread for each core of the node
    from synergai.k8s_bridge.runner.data import Sink, source
    from synergai.offline_profiles.engines.engine import EngineError

    progress.samples = order.samples
    sink = Sink(order.output_uri)
    loaded = _loaded(order, places, began_s)
    try:
        given = source(order.input_uri, loaded.session.inputs, order.samples)
        computed = _computed(order, loaded.session, given, sink, progress)
    except EngineError as error:
        raise Refusal(Status.FAILED, str(error)) from error
    sink.write()
    return _report(order, loaded, computed, begun)


def _loaded(order: Order, places: Places, began_s: float) -> _Loaded:
    from synergai.offline_profiles.engines.engine import EngineError, adapter
    from synergai.offline_profiles.engines.store import ModelStore

    try:
        model = ModelStore(places.models).find(order.name, order.version).of(order.setting.precision)
    except (EngineError, OSError) as error:
        raise Refusal(Status.MODEL, str(error)) from error
    try:
        if order.sha256 and (found := model.sha256()) != order.sha256:
            why = f"{model.path}: its sha256 is {found}, and {order.sha256} is to be run"
            raise Refusal(Status.OTHER_MODEL, why)
    except OSError as error:
        raise Refusal(Status.MODEL, f"{model.path}: cannot be read: {error}") from error
    try:
        engine = adapter(order.setting.engine)
        session = engine.load(model.path, model.shapes, order.setting, places.cache)
    except EngineError as error:
        raise Refusal(Status.ENGINE, str(error)) from error
    return _Loaded(session, engine.version, time.perf_counter() - began_s)


def _computed(
    order: Order, session: "Session", given: "Source", sink: "Sink", progress: Progress
) -> _Computed:
    batch, latencies = order.setting.batch, Latencies()
    watch, began_s = Watch(order.setting.unit), time.perf_counter()
    for query in range(ceil(order.samples / batch)):
        first = query * batch
        count = min(batch, order.samples - first)
        feeds = given.batch(first, count)
        asked_s = time.perf_counter()
        outputs = session.run(feeds)
        latencies.add(time.perf_counter() - asked_s)
        sink.take(outputs, count)
        progress.done = first + count
    return _Computed(time.perf_counter() - began_s, latencies, watch.end())


def _report(order: Order, loaded: _Loaded, computed: _Computed, begun: Begun) -> Json:
    """In the order that a person reads; what is not known is null."""
    end = machine.now()
    run_s = max(end.elapsed_s - begun.process.elapsed_s, 1e-6)
    p50, p90, p99 = computed.latencies.quantiles_ms(SHARES)
    deadline_us, energy = order.deadline_us, computed.energy
    return {
        "schema": keys.SCHEMA,
        "model": order.model,
        "samples": order.samples,
        "hardware": order.hardware,
        "configuration": order.configuration,
        "runSeconds": round(run_s, 6),
        "processStartedAt": format_time_us(begun.process.wall_us),
        "startedAt": format_time_us(begun.here.wall_us),
        "finishedAt": format_time_us(end.wall_us),
        "deadlineMet": None if deadline_us is None else end.wall_us <= deadline_us,
        "loadSeconds": round(loaded.seconds, 6),
        "computeSeconds": round(computed.seconds, 6),
        "throughput": _significant(order.samples / computed.seconds),
        "latencyMilliseconds": {"p50": round(p50, 6), "p90": round(p90, 6), "p99": round(p99, 6)},
        "energyJoules": round(energy.joules, 3) if energy else None,
        "energyOf": energy.of[:64] if energy else None,
        "threads": order.setting.threads,
        "batch": order.setting.batch,
        "engine": order.setting.engine,
        "engineVersion": loaded.version[:64],
        "cpuSeconds": round(machine.cpu_seconds(), 6),
        "cpuLimitMilli": machine.cpu_limit_milli(),
        "throttledSeconds": _since(begun.throttled_s, throttled_s()),
        "peakMemoryMib": _rounded(peak_memory_mib()),
    }


def _significant(value: float) -> float:
    return float(f"{value:.6g}")


def _since(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else round(max(after - before, 0.0), 6)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def odd(order: Order, tell: Callable[[str], None]) -> None:
    """What should not be so, and stops nothing."""
    for warning in order.warnings:
        tell(warning)
    limit = machine.cpu_limit_milli()
    if limit is not None and order.setting.threads * 1000 > limit:
        wanted = f"{order.setting.threads} threads are to run, and the container's CPU limit is {limit} m"
        tell(f"{wanted}: they will wait for each other")
