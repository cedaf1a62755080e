"""What an evaluation is asked to do; the same plan gives the same results, whoever plays which tape when."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from synergai import __version__
from synergai.agents.learned import CARD_FILE, WEIGHTS_FILE, read
from synergai.agents.planner import base_checkpoint
from synergai.envs.arrivals import read_trace
from synergai.envs.scenario import Scenario, ScenarioError
from synergai.offline_profiles.table import ProfileTable
from synergai.training.evaluation.evaluate import Cell
from synergai.training.evaluation.verdicts import looks


@dataclass(frozen=True)
class Plan:
    """Scenarios x loads x schedulers, and the looks at their tapes."""

    scenarios: tuple[Scenario, ...]
    loads: tuple[float, ...]
    rules: tuple[str, ...]
    checkpoints: tuple[str, ...]
    tapes: int = 32
    max_tapes: int = 512
    arrivals: int | None = None
    seed: int = 0
    """Of the bootstrap."""
    table: ProfileTable = field(default_factory=ProfileTable.default)

    def __post_init__(self) -> None:
        if not self.schedulers:
            raise ValueError("nothing to evaluate: name --schedulers or a --checkpoint")
        names = [scenario.name for scenario in self.scenarios]
        if len(set(names)) != len(names):
            raise ScenarioError(f"two scenarios are called {next(n for n in names if names.count(n) > 1)!r}")
        _ = self.looks

    @property
    def schedulers(self) -> tuple[str, ...]:
        return self.rules + self.checkpoints

    @property
    def looks(self) -> tuple[int, ...]:
        """Tapes at each look; there is one where nothing is compared."""
        schedule = looks(self.tapes, self.max_tapes)
        return schedule if self.rules and self.checkpoints else schedule[:1]

    @cached_property
    def worlds(self) -> dict[Cell, Scenario]:
        """Every scenario at every load."""
        return {
            Cell(scenario.name, load): scenario.model_copy(update={"load": load})
            for scenario in self.scenarios
            for load in self.loads
        }

    def identity(self) -> dict[str, Any]:
        """Everything that results depend on, as JSON values; files by their hashes."""
        return {
            "synergai": __version__,
            "code_sha256": code_sha256(),
            "profiles_sha256": self.table.sha256,
            "reference_sha256": self.table.reference_sha256,
            "scenarios": {scenario.name: scenario_facts(scenario) for scenario in self.scenarios},
            "loads": list(self.loads),
            "rules": list(self.rules),
            "checkpoints": {name: checkpoint_facts(name) for name in self.checkpoints},
            "bases": {name: checkpoint_facts(base) for name in self.rules if (base := base_checkpoint(name))},
            "tapes": self.tapes,
            "max_tapes": self.max_tapes,
            "arrivals": self.arrivals,
            "seed": self.seed,
        }


def scenario_facts(scenario: Scenario) -> dict[str, str]:
    """Hashes of a scenario as it stands in its file, and of the trace that it replays."""
    text = json.dumps(scenario.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    facts = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
    if scenario.arrivals.kind == "trace":
        at_s, size = read_trace(scenario.arrivals.trace)
        facts["trace_sha256"] = hashlib.sha256(at_s.tobytes() + size.tobytes()).hexdigest()
    return facts


def checkpoint_facts(name: str) -> dict[str, Any]:
    """The hash of a checkpoint's files, and what its card says of where it comes from."""
    folder: Any = Path(name) if Path(name).is_dir() else files("synergai.checkpoints") / name
    digest = hashlib.sha256()
    for file in (WEIGHTS_FILE, CARD_FILE):
        digest.update((folder / file).read_bytes())
    card = read(name).card
    return {"sha256": digest.hexdigest(), **{key: card.get(key) for key in ("name", "commit", "features")}}


def code_sha256() -> str:
    """Of the simulator and what plays in it."""
    digest = hashlib.sha256()
    for package in ("envs", "agents", "offline_profiles"):
        for file in sorted(files(f"synergai.{package}").iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
