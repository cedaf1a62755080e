"""A scenario: nodes, job mix, arrivals, deadlines and the world's parameters, read strictly from YAML.

docs/scenarios.md documents every key.
"""

import typing
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from synergai.envs import strict_yaml
from synergai.envs.mix import ModelLoad
from synergai.envs.strict_yaml import Document, YamlError
from synergai.envs.types import Device, Node
from synergai.offline_profiles.table import ProfileTable

NON_NEGATIVE = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
POSITIVE = Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)]
SHARE = Annotated[float, Field(ge=0, le=1)]
SITE = Annotated[str, Field(pattern=r"^([a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?)?$")]
PRIORITY = Annotated[int, Field(ge=-(10**9), le=10**9)]

UNITS = {
    "cpu_milli": "milli-CPU as a whole number (2 cores are 2000)",
    "memory_mib": "MiB as a whole number (2 GiB are 2048)",
    "pod_start_s": "seconds as a number",
    "release_s": "seconds as a number",
    "bind_s": "seconds as a number",
    "start_gap_s": "seconds as a number",
    "rtt_s": "seconds as a number",
    "repair_s": "seconds as a number",
    "unnoticed_s": "seconds as a number",
    "at_s": "seconds as a number",
    "lasts_s": "seconds as a number",
    "mbit_s": "megabits per second as a number",
    "input_kib": "KiB a sample as a number",
    "decision_s": "seconds as a number",
    "tightness": "a multiple of the reference time as a number",
    "samples": "samples as a number",
    "burst_s": "seconds as a number",
    "period_s": "seconds as a number",
    "think_s": "seconds as a number",
}
"""What a number counts, for errors."""


LOG_SUFFIX = ".jsonl"
"""Of decision logs, which can be read as a scenario."""


class ScenarioError(ValueError):
    """A scenario cannot be read; each line of the message names file, line and key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class NodeGroup(_Strict):
    """`count` like nodes, called `name-0`, `name-1`, ..."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$")]
    count: Annotated[int, Field(ge=1, le=5000)] = 1
    hardware: Annotated[dict[str, Annotated[int, Field(ge=1, le=64)]], Field(min_length=1)]
    """Device class to number of such devices; a CPU class counts 1."""
    cpu_milli: Annotated[int, Field(gt=0, le=10**9)] | None = None
    memory_mib: Annotated[int, Field(gt=0, le=10**9)] | None = None
    pods: Annotated[int, Field(ge=1, le=10**6)] = 110
    site: SITE = ""


class Urgency(_Strict):
    priority: PRIORITY
    share: POSITIVE


class MixEntry(_Strict):
    share: POSITIVE
    samples: POSITIVE
    """Median of a log-normal."""
    samples_log_sd: Annotated[float, Field(ge=0, le=5)] = 0.7
    hardware: Annotated[list[str], Field(min_length=1)] | None = None
    """Classes that its jobs may run on; default any."""
    sites: Annotated[list[SITE], Field(min_length=1)] | None = None
    """Sites that they may run at; default any."""
    origins: dict[SITE, POSITIVE] = {}
    """Weights of the sites that they come from; default the first site by name."""
    input_kib: NON_NEGATIVE = 0.0
    """Of one sample, brought from the job's site to where it runs."""
    priorities: Annotated[list[Urgency], Field(min_length=1)] = [Urgency(priority=0, share=1)]
    namespaces: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")], POSITIVE],
        Field(min_length=1),
    ] = {"default": 1.0}
    best_effort: SHARE = 0.0
    """Share of its jobs without a deadline."""


class Arrivals(_Strict):
    kind: Literal["poisson", "bursty", "diurnal", "trace", "closed"] = "poisson"
    burst: Annotated[float, Field(ge=1, le=1000)] = 4.0
    """Rate in bursts over the rate between them."""
    burst_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Of the time."""
    burst_s: POSITIVE = 60.0
    """Mean length; lengths are exponential."""
    period_s: POSITIVE = 3600.0
    swing: Annotated[float, Field(ge=0, lt=1)] = 0.6
    """The rate goes between 1 - swing and 1 + swing times its mean."""
    trace: str = ""
    """Name of a shipped trace or path of a CSV."""
    clients: Annotated[int, Field(ge=1, le=10**6)] | None = None
    """Of a closed loop: each sends its next job after the last one's end; default as many as make the load."""
    think_s: POSITIVE | None = None
    """Mean time from the end to the next job, exponential; default what makes the load."""

    @model_validator(mode="after")
    def _keys_go_with_their_kind(self) -> "Arrivals":
        for key, field in sorted(type(self).model_fields.items()):
            if key != "kind" and ARRIVAL_KEYS[key] != self.kind and getattr(self, key) != field.default:
                raise ValueError(f"`{key}` goes with `kind: {ARRIVAL_KEYS[key]}`, and only with it")
        if self.kind == "trace" and not self.trace:
            raise ValueError("`trace` goes with `kind: trace`, and only with it")
        if self.kind == "closed" and (self.clients is None) == (self.think_s is None):
            raise ValueError("`kind: closed` takes `clients` or `think_s`: the load says what the other is")
        return self


ARRIVAL_KEYS = {
    "burst": "bursty", "burst_share": "bursty", "burst_s": "bursty",
    "period_s": "diurnal", "swing": "diurnal", "trace": "trace", "clients": "closed", "think_s": "closed",
}  # fmt: skip
"""Which kind of arrivals a key belongs to."""


class Deadlines(_Strict):
    tightness: list[Annotated[tuple[POSITIVE, POSITIVE], Strict(False)]] = [
        (1.2, 2.0),
        (2.0, 4.0),
        (4.0, 10.0),
    ]
    """Equally likely bands; the deadline is arrival + tightness x reference time, log-uniform within a band."""

    @field_validator("tightness")
    @classmethod
    def _bands_rise(cls, bands: list[tuple[float, float]]) -> list[tuple[float, float]]:
        if not bands or any(low > high for low, high in bands):
            raise ValueError("each band is [low, high] with low <= high, and there is at least one")
        return bands


class NoiseLevels(_Strict):
    profile_error: NON_NEGATIVE = 0.23
    """Log-sd of how wrong the profiles are, the same for a whole tape."""
    level: Annotated[float, Field(ge=0, le=5)] = 1.0
    """Scales everything else (node, drift, run to run, within a run); 0 also switches stragglers off."""
    stragglers: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the attempts that take 2 to 5 times as long."""


class Delays(_Strict):
    pod_start_s: NON_NEGATIVE = 0.0
    """From START until the engine starts; added to the run."""
    release_s: NON_NEGATIVE = 0.0
    """From the end of the run until its room is seen to be free."""
    start_gap_s: NON_NEGATIVE = 0.0
    """Pods of one node start one after the other, so far apart."""
    bind_s: NON_NEGATIVE = 0.0
    """From the decision until the node is told; added to the run."""
    bind_failures: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the attempts to bind that fail and are made again; the scheduler is not told."""
    decision_s: NON_NEGATIVE = 0.0
    """How long a round takes: what comes meanwhile waits for the next, and its STARTs begin after it."""


class Link(_Strict):
    """Between two sites, both ways."""

    between: Annotated[tuple[SITE, SITE], Strict(False)]
    rtt_s: NON_NEGATIVE = 0.0
    mbit_s: POSITIVE | None = None
    """Default: as fast as it likes."""


class Failures(_Strict):
    """Nodes die, with all that runs there, and come back."""

    per_node_hour: NON_NEGATIVE
    repair_s: POSITIVE = 300.0
    """Mean; exponential."""
    unnoticed_s: NON_NEGATIVE = 40.0
    """Until the scheduler learns of it: what it starts there meanwhile is lost too."""


class NodeChange(_Strict):
    """A node stops taking jobs, or takes them again; what runs goes on."""

    at_s: NON_NEGATIVE
    node: str
    becomes: Literal["closed", "open"]


class Background(_Strict):
    """Pods of other schedulers, which take cpu and memory where they fit when they come."""

    per_node: POSITIVE
    """How many there are on a node, on average, if all fit."""
    cpu_milli: Annotated[int, Field(gt=0, le=10**9)]
    memory_mib: Annotated[int, Field(gt=0, le=10**9)] = 256
    lasts_s: POSITIVE = 300.0
    """Mean; exponential."""


class World(_Strict):
    """What goes on beside the jobs."""

    co_tenant_slowdown: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Compute takes 1 + so many times the share of the node that others use as long."""
    startup_states: Literal["cached", "image", "absent"] = "cached"
    """What nodes have of each configuration at first: image and engine cache, the image, nothing."""
    network: list[Link] = []
    failures: Failures | None = None
    changes: list[NodeChange] = []
    background: Background | None = None

    @field_validator("network")
    @classmethod
    def _links_differ(cls, links: list[Link]) -> list[Link]:
        pairs = [frozenset(link.between) for link in links]
        for i, pair in enumerate(pairs):
            if len(pair) < 2:
                raise PydanticCustomError(
                    "twins", "a site is at no distance from itself", {"at": (i, "between")}
                )
            if pair in pairs[:i]:
                raise PydanticCustomError(
                    "twins", "these two sites have a link already", {"at": (i, "between")}
                )
        return links


class Scenario(_Strict):
    """A checked scenario. `nodes()` and `mix()` turn it into what the world is built from."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str = ""
    machines: Annotated[list[NodeGroup], Field(min_length=1)]
    jobs: Annotated[dict[str, MixEntry], Field(min_length=1)]
    arrivals: Arrivals = Arrivals()
    load: POSITIVE = 0.9
    """rho: arrivals per second over lambda*, the most the cluster can sustain; in a closed loop those if no job had
    to wait."""
    deadlines: Deadlines = Deadlines()
    noise: NoiseLevels = NoiseLevels()
    delays: Delays = Delays()
    world: World = World()
    energy_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    arrivals_per_tape: Annotated[int, Field(ge=10, le=1_000_000)] = 2000
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the arrivals that is not counted."""
    reference_sha256: str = ""
    """Of the reference that deadlines are measured against; empty takes the shipped one."""

    _document: Document | None = PrivateAttr(None)

    @field_validator("machines")
    @classmethod
    def _machines_have_names_of_their_own(cls, machines: list[NodeGroup]) -> list[NodeGroup]:
        names = [group.name for group in machines]
        for i, name in enumerate(names):
            if name in names[:i]:
                at = {"at": (i, "name"), "first": names.index(name), "name": name}
                raise PydanticCustomError("twins", "machines.{first} is called {name} too", at)
        return machines

    def place(self, *path: str | int) -> str:
        """Where this key stands: `FILE:LINE: KEY` if the scenario was read from a file."""
        if self._document is not None:
            return self._document.place(path)
        return f"scenario {self.name}: {'.'.join(str(part) for part in path)}"

    def misfits(self, table: ProfileTable) -> list[str]:
        """What of it the profile table does not know, one line each."""
        problems = self._unknown_hardware(table) + [
            f"{self.place('jobs', model)}: no profile of model {model!r}{_nearest(model, table.models)}"
            for model in self.jobs
            if model not in table.models
        ]
        problems += self._unknown_names(table)
        if self.reference_sha256 and self.reference_sha256 != table.reference_sha256:
            problems.append(
                f"{self.place('reference_sha256')}: is {self.reference_sha256[:12]}..., but the profiles' reference is "
                f"{table.reference_sha256[:12]}...: its deadlines would mean something else"
            )
        return problems

    def _unknown_names(self, table: ProfileTable) -> list[str]:
        """Hardware, sites and nodes that the rest of the file names and that nothing has."""
        classes = {name for group in self.machines for name in group.hardware}
        sites = {group.site for group in self.machines}
        origins = {site for entry in self.jobs.values() for site in entry.origins}
        nodes = {f"{group.name}-{i}" for group in self.machines for i in range(group.count)}
        named = [
            (("jobs", model, "hardware", i), name, classes, "no node has this hardware")
            for model, entry in self.jobs.items()
            for i, name in enumerate(entry.hardware or [])
        ]
        named += [
            (("jobs", model, "sites", i), name, sites, "no node is at this site")
            for model, entry in self.jobs.items()
            for i, name in enumerate(entry.sites or [])
        ]
        named += [
            (("world", "network", i, "between"), name, sites | origins, "nothing is at this site")
            for i, link in enumerate(self.world.network)
            for name in link.between
        ]
        named += [
            (("world", "changes", i, "node"), change.node, nodes, "no such node")
            for i, change in enumerate(self.world.changes)
        ]
        return [
            f"{self.place(*path)}: {name!r}: {what}{_nearest(name, sorted(known))}"
            for path, name, known, what in named
            if name not in known
        ]

    def _unknown_hardware(self, table: ProfileTable) -> list[str]:
        return [
            f"{self.place('machines', i, 'hardware', name)}: no such hardware{_nearest(name, table.hardware)}"
            for i, group in enumerate(self.machines)
            for name in group.hardware
            if name not in table.hardware
        ]

    def nodes(self, table: ProfileTable) -> tuple[Node, ...]:
        """All nodes; ScenarioError for hardware that the table does not know."""
        unknown = self._unknown_hardware(table)
        if unknown:
            raise ScenarioError("\n".join(unknown))
        return tuple(
            _node(group, f"{group.name}-{i}", table) for group in self.machines for i in range(group.count)
        )

    def mix(self) -> dict[str, ModelLoad]:
        return {
            name: ModelLoad(
                share=entry.share,
                samples=entry.samples,
                log_sd=entry.samples_log_sd,
                hardware=None if entry.hardware is None else frozenset(entry.hardware),
                sites=None if entry.sites is None else frozenset(entry.sites),
                origins=entry.origins,
            )
            for name, entry in self.jobs.items()
        }


def _node(group: NodeGroup, name: str, table: ProfileTable) -> Node:
    devices = []
    cpu, memory = 0, 0
    for hardware, count in sorted(group.hardware.items()):
        known = table.hardware[hardware]
        devices.append(Device(hardware, count if known.resource else 0))
        cpu, memory = max(cpu, known.cpu_milli), max(memory, known.memory_mib)
    return Node(
        name=name,
        devices=tuple(devices),
        cpu_milli=group.cpu_milli or cpu,
        memory_mib=group.memory_mib or memory,
        pods=group.pods,
        site=group.site,
    )


def shipped() -> tuple[str, ...]:
    """Names of the scenarios in the package."""
    folder = files("synergai.envs") / "scenarios"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load(name_or_path: str | Path) -> Scenario:
    """A shipped scenario by name, or one from a file; a decision log too (`.jsonl`). ScenarioError names
    file, line and key of what is wrong."""
    path = Path(name_or_path)
    if path.suffix == LOG_SUFFIX:
        from synergai.envs.logged_scenario import scenario_of  # which makes scenarios

        return scenario_of(path)  # type: ignore[return-value] - pyright knows this file by two names
    if path.suffix in (".yaml", ".yml"):
        try:
            data, source = path.read_bytes(), str(path)
        except OSError as error:
            raise ScenarioError(f"{path}: cannot be read: {error.strerror or error}") from None
    elif str(name_or_path) in shipped():
        data = (files("synergai.envs") / "scenarios" / f"{name_or_path}.yaml").read_bytes()
        source = f"{name_or_path}.yaml"
    else:
        raise ScenarioError(
            f"no scenario {str(name_or_path)!r}{_nearest(str(name_or_path), shipped())}; shipped are "
            f"{', '.join(shipped())}, or name a .yaml file"
        )
    return parse(data, source)


def parse(data: str | bytes, source: str) -> Scenario:
    """Read YAML; `source` is how errors call it."""
    try:
        document = strict_yaml.read(data.encode() if isinstance(data, str) else data, source)
    except YamlError as error:
        raise ScenarioError(str(error)) from None
    try:
        scenario = Scenario.model_validate(document.values)
    except ValidationError as error:
        raise ScenarioError("\n".join(_explain(document, problem) for problem in error.errors())) from None
    scenario._document = document
    return scenario


def _nearest(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """`; did you mean ...?` where something known is near."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _explain(document: Document, problem: Mapping[str, Any]) -> str:
    path = tuple(part for part in problem["loc"] if part != "[key]")
    kind, value = problem["type"], problem["input"]
    if kind == "extra_forbidden":
        return f"{document.place(path)}: unknown key{_nearest(str(path[-1]), _keys_at(path[:-1]))}"
    if kind == "twins":
        return f"{document.place((*path, *problem['ctx']['at']))}: {problem['msg']}"
    if kind == "missing":
        return f"{document.place(path)}: is missing"
    due = (
        f"expected {_number_due(path, kind)}"
        if kind in NUMBER_DUE
        else problem["msg"].removeprefix("Value error, ")
    )
    return f"{document.place(path)}: {_short(value)}: {due}"


NUMBER_DUE = {"float_type": "a number", "int_type": "a whole number", "int_from_float": "a whole number"}
"""What pydantic says of a value that is no number."""


def _number_due(path: tuple[Any, ...], kind: str) -> str:
    return next((UNITS[part] for part in reversed(path) if part in UNITS), NUMBER_DUE[kind])


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _without_none(annotation: Any) -> Any:
    """`X | None` is X."""
    parts = [part for part in typing.get_args(annotation) if part is not type(None)]
    return parts[0] if type(None) in typing.get_args(annotation) and len(parts) == 1 else annotation


def _keys_at(path: tuple[Any, ...]) -> list[str]:
    """The keys that may stand at a path."""
    at: Any = Scenario
    for part in path:
        if isinstance(at, type) and issubclass(at, BaseModel):
            at = _without_none(at.model_fields[str(part)].annotation)
        else:
            at = typing.get_args(at)[-1]
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []
