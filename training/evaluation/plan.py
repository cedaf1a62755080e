"""What an evaluation is asked to do; the same plan gives the same results, whoever plays which tape when."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from synergai import __version__
from synergai.agents.learned import WEIGHTS_FILE, read
from synergai.agents.planner import base_checkpoint, is_planner
from synergai.agents.policies import NET, parts_of
from synergai.envs.arrivals import read_trace
from synergai.envs.scenario import Scenario, ScenarioError
from synergai.offline_profiles.table import ProfileTable
from synergai.training.evaluation.evaluate import Cell
from synergai.training.evaluation.verdicts import looks


@dataclass(frozen=True)
class Plan:
    """Cells x schedulers, and the looks at their tapes."""

    scenarios: tuple[Scenario, ...]
    """One for each cell, at the cell's load."""
    rules: tuple[str, ...]
    policies: tuple[str, ...] = ()
    """What is compared with every rule: checkpoints, as `agents.policies` names them."""
    tapes: int = 32
    max_tapes: int = 512
    arrivals: int | None = None
    seed: int = 0
    """Of the bootstrap."""
    table: ProfileTable = field(default_factory=ProfileTable.default)
    planned: frozenset[tuple[str, float]] | None = None
    """The cells that planners play; None: all."""
    matrix_sha256: str = ""
    """Of the file that the cells come from, if they come from one."""

    def __post_init__(self) -> None:
        if not self.rules + self.policies:
            raise ValueError("nothing to evaluate: name --schedulers or a --checkpoint")
        facts: dict[str, dict[str, str]] = {}
        for scenario in self.scenarios:
            if facts.setdefault(scenario.name, scenario_facts(scenario)) != scenario_facts(scenario):
                raise ScenarioError(f"two scenarios are called {scenario.name!r}")
        if len(self.worlds) < len(self.scenarios):
            raise ScenarioError(f"two scenarios are called {self._twin()!r}")
        _ = self.looks

    def _twin(self) -> str:
        cells = [Cell(scenario.name, scenario.load) for scenario in self.scenarios]
        return next(cell.scenario for cell in cells if cells.count(cell) > 1)

    @property
    def schedulers(self) -> tuple[str, ...]:
        return self.rules + self.policies

    def plays(self, name: str, cell: Cell) -> bool:
        """Whether a scheduler has tapes of this cell to play."""
        return self.planned is None or tuple(cell) in self.planned or not plans(name)

    def schedulers_of(self, cell: Cell) -> tuple[str, ...]:
        return tuple(name for name in self.schedulers if self.plays(name, cell))

    def rules_of(self, cell: Cell) -> tuple[str, ...]:
        return tuple(name for name in self.rules if self.plays(name, cell))

    def policies_of(self, cell: Cell) -> tuple[str, ...]:
        return tuple(name for name in self.policies if self.plays(name, cell))

    @property
    def looks(self) -> tuple[int, ...]:
        """Tapes at each look; there is one where nothing is compared."""
        schedule = looks(self.tapes, self.max_tapes)
        return schedule if self.rules and self.policies else schedule[:1]

    @cached_property
    def worlds(self) -> dict[Cell, Scenario]:
        return {Cell(scenario.name, scenario.load): scenario for scenario in self.scenarios}

    def identity(self) -> dict[str, Any]:
        """Everything that results depend on, as JSON values; files by their hashes."""
        return {
            "synergai": __version__,
            "code_sha256": code_sha256(),
            "profiles_sha256": self.table.sha256,
            "reference_sha256": self.table.reference_sha256,
            "matrix_sha256": self.matrix_sha256,
            "scenarios": {scenario.name: scenario_facts(scenario) for scenario in self.scenarios},
            "cells": [list(cell) for cell in self.worlds],
            "planned": None if self.planned is None else sorted(list(cell) for cell in self.planned),
            "rules": list(self.rules),
            "checkpoints": {name: checkpoint_facts(parts_of(name)[0]) for name in self.policies},
            "bases": {name: checkpoint_facts(base) for name in self.rules if (base := base_checkpoint(name))},
            "tapes": self.tapes,
            "max_tapes": self.max_tapes,
            "arrivals": self.arrivals,
            "seed": self.seed,
        }


def at_loads(scenarios: Sequence[Scenario], loads: Sequence[float]) -> tuple[Scenario, ...]:
    """Every scenario at every load."""
    return tuple(scenario.model_copy(update={"load": load}) for scenario in scenarios for load in loads)


def plans(name: str) -> bool:
    """Whether a scheduler of this name looks ahead, and so takes long."""
    return is_planner(name) or parts_of(name)[1] != NET


def scenario_facts(scenario: Scenario) -> dict[str, str]:
    """What a scenario is, whatever its load: hashes of it as JSON and of the trace that it replays."""
    values = scenario.model_dump(mode="json", exclude={"load"})
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    facts = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    if scenario.arrivals.kind == "trace":
        at_s, size = read_trace(scenario.arrivals.trace)
        facts["trace_sha256"] = hashlib.sha256(at_s.tobytes() + size.tobytes()).hexdigest()
    return facts


def checkpoint_facts(name: str) -> dict[str, Any]:
    """The hash of a checkpoint's weights, and what its card says of where it comes from."""
    folder: Any = Path(name) if Path(name).is_dir() else files("synergai.checkpoints") / name
    card = read(name).card
    sha256 = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    return {"sha256": sha256, **{key: card.get(key) for key in ("name", "commit", "features")}}


def code_sha256() -> str:
    """Of the simulator and what plays in it."""
    digest = hashlib.sha256()
    for package in ("envs", "agents", "offline_profiles"):
        for file in sorted(files(f"synergai.{package}").iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
