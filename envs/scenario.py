"""A scenario: nodes, job mix, arrivals, deadlines and the world's parameters, read strictly from YAML.

docs/scenarios.md documents every key. What is not built yet is in the schema with its neutral value, and any other
value is refused by name.
"""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from synergai.envs.mix import ModelLoad
from synergai.envs.types import Device, Node
from synergai.offline_profiles.table import ProfileTable

NON_NEGATIVE = Annotated[float, Field(ge=0, allow_inf_nan=False)]
POSITIVE = Annotated[float, Field(gt=0, allow_inf_nan=False)]

ZERO = Annotated[float, Field(ge=0, le=0)]
"""Of a part of the world that is not built yet."""


class ScenarioError(ValueError):
    """A scenario cannot be read; the message names file, line and key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NodeGroup(_Strict):
    """`count` like nodes, called `name-0`, `name-1`, ..."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,50}[a-z0-9])?$")]
    count: Annotated[int, Field(ge=1, le=5000)] = 1
    hardware: Annotated[dict[str, Annotated[int, Field(ge=1, le=64)]], Field(min_length=1)]
    """Device class to number of such devices; a CPU class counts 1."""
    cpu_milli: Annotated[int, Field(gt=0)] | None = None
    memory_mib: Annotated[int, Field(gt=0)] | None = None
    pods: Annotated[int, Field(ge=1)] = 110
    site: str = ""


class MixEntry(_Strict):
    share: POSITIVE
    samples: POSITIVE
    """Median of a log-normal."""
    samples_log_sd: NON_NEGATIVE = 0.7


class Arrivals(_Strict):
    kind: Literal["poisson", "trace"] = "poisson"
    trace: str = ""
    """Name of a shipped trace or path of a CSV, for `kind: trace`."""

    @model_validator(mode="after")
    def _trace_is_named(self) -> "Arrivals":
        if (self.kind == "trace") != bool(self.trace):
            raise ValueError("`trace` goes with `kind: trace`, and only with it")
        return self


class Deadlines(_Strict):
    tightness: list[tuple[POSITIVE, POSITIVE]] = [(1.2, 2.0), (2.0, 4.0), (4.0, 10.0)]
    """Equally likely bands; the deadline is arrival + tightness x reference time, log-uniform within a band."""

    @model_validator(mode="after")
    def _bands_rise(self) -> "Deadlines":
        if not self.tightness or any(low > high for low, high in self.tightness):
            raise ValueError("each band is [low, high] with low <= high, and there is at least one")
        return self


class NoiseLevels(_Strict):
    profile_error: NON_NEGATIVE = 0.23
    """Log-sd of how wrong the profiles are, the same for a whole tape."""
    level: Annotated[float, Field(ge=0, le=5)] = 1.0
    """Scales everything else (node, drift, run to run, within a run); 0 also switches stragglers off."""


class Delays(_Strict):
    pod_start_s: NON_NEGATIVE = 0.0
    """From START until the engine starts; added to the run."""
    release_s: NON_NEGATIVE = 0.0
    """From the end of the run until its room is seen to be free."""
    bind_s: ZERO = 0.0
    decision_s: ZERO = 0.0


class Unbuilt(_Strict):
    """Parameters of parts of the world that are not built yet: only their neutral values are accepted."""

    co_tenant_slowdown: ZERO = 0.0
    node_failures_per_hour: ZERO = 0.0
    network: Literal["one-site"] = "one-site"
    startup_states: Literal["cached"] = "cached"
    background_pods: Literal[0] = 0


class Scenario(_Strict):
    """A checked scenario. `nodes()` and `mix()` turn it into what the world is built from."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    description: str = ""
    machines: Annotated[list[NodeGroup], Field(min_length=1)]
    jobs: Annotated[dict[str, MixEntry], Field(min_length=1)]
    arrivals: Arrivals = Arrivals()
    load: POSITIVE = 0.9
    """rho: arrivals per second over lambda*, the most the cluster can sustain."""
    deadlines: Deadlines = Deadlines()
    noise: NoiseLevels = NoiseLevels()
    delays: Delays = Delays()
    world: Unbuilt = Unbuilt()
    energy_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    arrivals_per_tape: Annotated[int, Field(ge=10, le=1_000_000)] = 2000
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the arrivals that is not counted."""
    reference_sha256: str = ""
    """Of the reference that deadlines are measured against; empty takes the shipped one."""

    @model_validator(mode="after")
    def _machines_have_names_of_their_own(self) -> "Scenario":
        names = [group.name for group in self.machines]
        if len(set(names)) != len(names):
            raise ValueError(f"machines: two are called {next(n for n in names if names.count(n) > 1)!r}")
        return self

    def nodes(self, table: ProfileTable) -> tuple[Node, ...]:
        """All nodes; ScenarioError for hardware that the table does not know."""
        return tuple(
            _node(group, f"{group.name}-{i}", table) for group in self.machines for i in range(group.count)
        )

    def mix(self) -> dict[str, ModelLoad]:
        return {name: ModelLoad(e.share, e.samples, e.samples_log_sd) for name, e in self.jobs.items()}


def _node(group: NodeGroup, name: str, table: ProfileTable) -> Node:
    devices = []
    cpu, memory = 0, 0
    for hardware, count in sorted(group.hardware.items()):
        known = table.hardware.get(hardware)
        if known is None:
            raise ScenarioError(f"machines {group.name}: hardware {hardware!r} is not in the profile table")
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
    """A shipped scenario by name, or one from a file. ScenarioError names file, line and key of what is wrong."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        try:
            text, source = path.read_text(encoding="utf-8"), str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise ScenarioError(f"{path}: cannot be read: {error}") from None
    elif str(name_or_path) in shipped():
        text = (files("synergai.envs") / "scenarios" / f"{name_or_path}.yaml").read_text(encoding="utf-8")
        source = f"{name_or_path}.yaml"
    else:
        raise ScenarioError(
            f"no scenario {str(name_or_path)!r}; shipped are {', '.join(shipped())}, or name a .yaml file"
        )
    return parse(text, source)


def parse(text: str, source: str) -> Scenario:
    """Read YAML; `source` is how errors call it."""
    try:
        tree = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{source}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ScenarioError(f"{source}: a scenario is a mapping of keys; see docs/scenarios.md")
    try:
        _refuse_duplicates(tree, source)
        return Scenario.model_validate(values)
    except ValidationError as error:
        lines = [_explain(source, tree, problem) for problem in error.errors()]
        raise ScenarioError("\n".join(lines)) from None


def _refuse_duplicates(node: yaml.Node | None, source: str) -> None:
    """YAML lets the last of two equal keys win; here that is an error."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise ScenarioError(f"{source}:{key.start_mark.line + 1}: {key.value}: the key stands twice")
            seen.add(key.value)
            _refuse_duplicates(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, source)


def _explain(source: str, tree: yaml.Node | None, problem: Mapping[str, Any]) -> str:
    path = [part for part in problem["loc"] if part != "[key]"]
    key = ".".join(str(part) for part in path) or "scenario"
    message = "unknown key" if problem["type"] == "extra_forbidden" else problem["msg"]
    value = "" if problem["type"] in ("missing", "extra_forbidden") else f" (value {problem['input']!r})"
    return f"{source}:{_line(tree, path)}: {key}: {message}{value}"


def _line(tree: yaml.Node | None, path: list[Any]) -> int:
    """Line of the deepest part of the path that the file has."""
    line = tree.start_mark.line + 1 if tree else 1
    node = tree
    for part in path:
        child = _child(node, part)
        if child is None:
            break
        line, node = child
    return line


def _child(node: yaml.Node | None, part: Any) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
