"""A matrix: the cells that policies are judged in, read strictly from YAML, as scenarios with a name of their own each.

docs/evaluation.md documents every key.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from synergai.envs import scenario as scenarios
from synergai.envs import strict_yaml
from synergai.envs.scenario import Arrivals, Scenario
from synergai.envs.strict_yaml import YamlError

Load = Annotated[float, Field(ge=0.01, le=5.0)]
Kind = Literal["own", "poisson", "bursty", "diurnal", "trace"]
TRACE = "azure_conversation_2023"


class MatrixError(ValueError):
    """A matrix cannot be read; each line of the message names file, line and key."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Block(_Strict):
    """Scenarios x arrivals x profile errors x loads."""

    scenarios: Annotated[list[str], Field(min_length=1)]
    loads: Annotated[list[Load], Field(min_length=1)]
    arrivals: Annotated[list[Kind], Field(min_length=1)] = ["own"]
    """`own` are the scenario's; the others have that kind's default settings, `trace` replays a shipped trace."""
    profile_error: Annotated[list[Annotated[float, Field(ge=0, le=2)]], Field(min_length=1)] | None = None
    """Log-sd of how wrong profiles are; default the scenario's."""
    times: Annotated[int, Field(ge=1, le=100)] = 1
    """So many times the nodes, and the arrivals of a tape."""
    planned: bool = False
    """Planners, which take long, play these cells too."""


class Matrix(_Strict):
    """Blocks of cells; a cell that stands in two is one."""

    tapes: Annotated[int, Field(ge=2)] = 32
    max_tapes: Annotated[int, Field(ge=2)] = 512
    blocks: Annotated[list[Block], Field(min_length=1)]


@dataclass(frozen=True)
class Cells:
    """A matrix spread out: a scenario for each cell, at its load."""

    scenarios: tuple[Scenario, ...]
    planned: frozenset[tuple[str, float]]
    """(scenario, load) of the cells that planners play."""
    tapes: int
    max_tapes: int
    sha256: str
    """Of the file."""


def read(path: Path, instead: Sequence[str] = (), traces: Sequence[str] = ()) -> Cells:
    """The cells of a file. `instead` are scenarios that take the place of those that it names, `traces` CSV files that
    take the place of the shipped trace. MatrixError or ScenarioError says what is wrong."""
    try:
        data = path.read_bytes()
        document = strict_yaml.read(data, str(path))
    except OSError as error:
        raise MatrixError(f"{path}: cannot be read: {error.strerror or error}") from None
    except YamlError as error:
        raise MatrixError(str(error)) from None
    try:
        matrix = Matrix.model_validate(document.values)
    except ValidationError as error:
        raise MatrixError(
            "\n".join(
                f"{document.place(tuple(e['loc']))}: "
                + ("unknown key" if e["type"] == "extra_forbidden" else f"{e['msg']} (value {e['input']!r})")
                for e in error.errors()
            )
        ) from None
    found: dict[tuple[str, float], Scenario] = {}
    planned = set()
    for block in matrix.blocks:
        for scenario in spread(block, instead, traces):
            found[scenario.name, scenario.load] = scenario
            if block.planned:
                planned.add((scenario.name, scenario.load))
    return Cells(
        tuple(found.values()),
        frozenset(planned),
        matrix.tapes,
        matrix.max_tapes,
        hashlib.sha256(data).hexdigest(),
    )


def spread(block: Block, instead: Sequence[str] = (), traces: Sequence[str] = ()) -> list[Scenario]:
    """The cells of one block."""
    cells = []
    for name in instead or block.scenarios:
        for kind in block.arrivals:
            for arrivals in arrivals_of(kind, traces):
                for error in block.profile_error or [None]:
                    varied = vary(scenarios.load(name), arrivals, error, block.times)
                    cells += [varied.model_copy(update={"load": load}) for load in block.loads]
    return cells


def arrivals_of(kind: Kind, traces: Sequence[str] = ()) -> list[Arrivals | None]:
    """None are the scenario's own."""
    if kind == "own":
        return [None]
    if kind == "trace":
        return [Arrivals(kind="trace", trace=trace) for trace in traces or [TRACE]]
    return [Arrivals(kind=kind)]


def vary(
    scenario: Scenario, arrivals: Arrivals | None = None, error: float | None = None, times: int = 1
) -> Scenario:
    """The scenario with other arrivals, profiles and size; its name tells them. Arrivals of the kind that it has
    already change nothing, as long as they are not of a trace of somebody's."""
    changes: dict[str, object] = {}
    name = scenario.name
    if times > 1:
        name += f"-x{times}"
        changes["machines"] = [
            kind.model_copy(update={"count": kind.count * times}) for kind in scenario.machines
        ]
        changes["arrivals_per_tape"] = scenario.arrivals_per_tape * times
    same = arrivals is None or (arrivals.kind, arrivals.trace) == (
        scenario.arrivals.kind,
        scenario.arrivals.trace,
    )
    if arrivals is not None and not same:
        kind = arrivals.kind if arrivals.trace in ("", TRACE) else word(Path(arrivals.trace).stem)
        name += f"-{kind}"
        changes["arrivals"] = arrivals
    if error is not None:
        name += f"-error{round(100 * error)}"
        changes["noise"] = scenario.noise.model_copy(update={"profile_error": error})
    return scenario.model_copy(update={**changes, "name": name})


def word(text: str) -> str:
    """What a scenario's name may hold of it."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "trace"
