"""A whole run: what this machine is, every point of the grid, and the files."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from synergai.offline_profiles.engines.engine import EngineError, adapter
from synergai.offline_profiles.engines.store import ModelStore
from synergai.offline_profiles.host.host import Host
from synergai.offline_profiles.host.probe import describe
from synergai.offline_profiles.measuring import loadgen, meters
from synergai.offline_profiles.measuring.assumed import Assumptions, Given
from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.grid import Grid, Point, points
from synergai.offline_profiles.measuring.journal import Journal, conditions
from synergai.offline_profiles.measuring.measure import Result, measure_point
from synergai.offline_profiles.measuring.progress import Told
from synergai.offline_profiles.measuring.written import Machine, hardware_class, texts
from synergai.offline_profiles.rows import LABEL, RESOURCE
from synergai.offline_profiles.table import ProfileTable
from synergai.offline_profiles.whole import write_whole

GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    store: ModelStore
    models: tuple[str, ...] = ()
    """NAME or NAME:VERSION; empty: all of the store."""
    engines: tuple[str, ...] = ("onnxruntime",)
    grid: Grid = field(default_factory=Grid)
    effort: Effort = field(default_factory=Effort)
    hardware: str = ""
    """Empty: as the host calls itself."""
    resource: str = ""
    given: Given = field(default_factory=Given)


@dataclass(frozen=True, slots=True)
class Files:
    """What a run gives."""

    profiles: str
    hardware: str
    host: str


@dataclass(frozen=True, slots=True)
class Places:
    """Where these go, beside each other: `mine.csv`, `mine-hardware.csv`, `mine-host.json`, `mine.partial.jsonl`."""

    profiles: Path

    @property
    def hardware(self) -> Path:
        return self.profiles.with_name(f"{self.profiles.stem}-hardware.csv")

    @property
    def host(self) -> Path:
        return self.profiles.with_name(f"{self.profiles.stem}-host.json")

    @property
    def journal(self) -> Path:
        return self.profiles.with_name(f"{self.profiles.stem}.partial.jsonl")

    def write(self, files: Files) -> None:
        """The profiles last: where they are, the others are."""
        for path, text in (
            (self.host, files.host), (self.hardware, files.hardware), (self.profiles, files.profiles),
        ):  # fmt: skip
            write_whole(path, text)


def run(request: Request, told: Told, places: Places | None, anew: bool = False) -> Files:
    """Measure what is not in the journal, which `places` say. EngineError where nothing at all could be measured."""
    host = describe()
    engines = [adapter(name) for name in dict.fromkeys(request.engines)]
    versions = {engine.name: engine.version for engine in engines} | {"loadgen": loadgen.version()}
    wanted = points(request.store.chosen(request.models), engines, request.grid, host)
    name, kind, resource = identity(request, host)
    with ExitStack() as stack:
        journal = None
        if places:
            asked = conditions(wanted, host, name, request.effort, versions)
            journal = stack.enter_context(Journal.open(places.journal, asked, anew))
        results = dict(journal.results) if journal else {}
        told.begin(len(wanted), len(results))
        machine = _machine(request, host, name, kind, resource)
        _measure(wanted, request.effort, told, results, journal)
        if not results:
            raise EngineError("no point could be measured")
        files = Files(*texts(machine, results, wanted, request.effort))
        if places and journal:
            places.write(files)
            journal.done()
    return files


def identity(request: Request, host: Host) -> tuple[str, str, str]:
    """Name, kind and extended resource of the hardware class. EngineError where the host does not say its name."""
    kinds = ("gpu", "jetson") if request.grid.unit == "gpu" else ("cpu", "arm", "jetson")
    own = [device for device in host.devices if device.kind in kinds]
    name = request.hardware or (own[0].name if own else "")
    if not name:
        raise EngineError(f"this host does not say what {request.grid.unit} it has; name it with --hardware")
    if not LABEL.fullmatch(name):
        raise EngineError(f"--hardware: {name!r} is not a label value (letters, digits, '-', '_', '.')")
    if not RESOURCE.fullmatch(request.resource):
        raise EngineError(f"--resource: {request.resource!r} is not a resource such as {GPU}")
    shipped = ProfileTable.default().hardware.get(name)
    if shipped:
        return name, shipped.kind, request.resource or shipped.resource
    fallback = "gpu" if request.grid.unit == "gpu" else "arm" if host.arch == "aarch64" else "cpu"
    kind = own[0].kind if own else fallback
    resource = request.resource or (GPU if kind in ("gpu", "jetson") else "")
    if kind == "cpu" and resource:
        raise EngineError(f"--resource: {name} is a CPU, which has no units")
    return name, kind, resource


def _machine(request: Request, host: Host, name: str, kind: str, resource: str) -> Machine:
    """Idle power is taken now, before anything runs."""
    assumptions = Assumptions.of(name, kind, host.cpu.threads, request.given)
    idle_w, meter = None, meters.find(request.grid.unit)
    if meter:
        end = meter.begin()
        time.sleep(request.effort.run_s * 2)
        idle_w = end()
    return Machine(host, hardware_class(name, kind, resource, host, assumptions, idle_w), assumptions, idle_w)


def _measure(
    wanted: Sequence[Point], effort: Effort, told: Told, results: dict[str, Result], journal: Journal | None
) -> Mapping[str, Result]:
    for point in wanted:
        if point.key in results:
            continue
        told.now(point)
        try:
            result = measure_point(point, effort)
        except EngineError as error:
            told.failed(point, str(error))
            continue
        results[point.key] = result
        if journal:
            journal.add(point, result)
        told.finished(point, result)
    return results
