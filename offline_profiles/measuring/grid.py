"""Which points are measured: model x engine x precision x threads x batch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from synergai.offline_profiles.engines.engine import Adapter, EngineError, Setting
from synergai.offline_profiles.engines.store import ModelFile
from synergai.offline_profiles.host.host import Host

BATCHES = (1, 8)
MOST = 1_000_000
"""Threads and samples; what is above is a slip."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What was asked for; empty means what is sensible here."""

    unit: str = "cpu"
    precisions: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = BATCHES


@dataclass(frozen=True, slots=True)
class Point:
    """One row to be."""

    model: ModelFile
    setting: Setting

    @property
    def key(self) -> str:
        """Unique in a run: `magika:1 onnxruntime-fp32-cpu-t1-b1`."""
        return f"{self.model.name}:{self.model.version} {self.setting.configuration}"


def points(
    models: Sequence[ModelFile], engines: Sequence[Adapter], grid: Grid, host: Host
) -> tuple[Point, ...]:
    """Models outermost, so that an interrupted run has whole models. EngineError where an engine lacks something."""
    for name, values in (("threads", grid.threads), ("batches", grid.batches)):
        for value in values:
            if not 1 <= value <= MOST:
                raise EngineError(f"--{name}: {value} is not a whole number from 1 to {MOST}")
    if grid.unit == "gpu" and grid.threads:
        raise EngineError("--threads: an engine on a gpu decides about its threads itself")
    settings = [setting for engine in engines for setting in _settings(engine, grid, host)]
    return tuple(
        Point(model.of(setting.precision), setting) for model in models for setting in dict.fromkeys(settings)
    )


def default_threads(host: Host) -> tuple[int, ...]:
    """One, a quarter, a half and all of the cores, as far as the CPU quota goes."""
    most = max(1, allowed_milli(host) // 1000)
    return tuple(sorted({max(1, most // 4), max(1, most // 2), most, 1}))


def allowed_milli(host: Host) -> int:
    """CPU that this process may use."""
    cores = max(1, host.cpu.threads) * 1000
    return min(cores, host.cpu_quota_milli) if host.cpu_quota_milli else cores


def _settings(engine: Adapter, grid: Grid, host: Host) -> Iterator[Setting]:
    offered = engine.precisions(grid.unit)
    if not offered:
        raise EngineError(f"{engine.name} finds no {grid.unit} here")
    for precision in grid.precisions or offered[:1]:
        if precision not in offered:
            raise EngineError(f"{engine.name} offers {', '.join(offered)} on a {grid.unit}, not {precision}")
        for threads in grid.threads or (default_threads(host) if grid.unit == "cpu" else (0,)):
            for batch in grid.batches:
                yield Setting(engine.name, precision, grid.unit, threads, batch)
