"""From the words of a command line to a checked plan."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synergai.agents.policies import NET, POLICIES, name_of
from synergai.envs import scenario as scenarios
from synergai.envs.scenario import Scenario
from synergai.envs.tape import setting_of
from synergai.offline_profiles.table import ProfileTable
from synergai.training.evaluation import matrix
from synergai.training.evaluation.evaluate import runners
from synergai.training.evaluation.matrix import Cells
from synergai.training.evaluation.plan import Plan, at_loads

SCENARIOS = ("demo", "edge", "datacenter")
"""What is played where nothing is named: what the released policy was trained on."""
LOADS = (0.7, 0.9, 1.1)
TAPES, MAX_TAPES = 32, 512


@dataclass(frozen=True)
class Ask:
    """The words of a command line; empty and None stand for what was not said."""

    scenarios: Sequence[str] = ()
    loads: Sequence[str] = ()
    schedulers: str = "all"
    checkpoints: Sequence[str] = ()
    policies: Sequence[str] = (NET,)
    matrix: Path | None = None
    traces: Sequence[str] = ()
    tapes: int | None = None
    max_tapes: int | None = None
    arrivals: int | None = None
    seed: int = 0


def plan_of(ask: Ask, table: ProfileTable | None = None) -> Plan:
    """Every scenario fits the profiles, every checkpoint can be read; ValueError and its kin say what does not."""
    rules = [name.strip() for name in ask.schedulers.split(",") if name.strip()]
    policies = policies_of(ask)
    players = runners(rules, policies)
    cells = cells_of(ask)
    tapes = ask.tapes or (cells.tapes if cells else TAPES)
    most = cells.max_tapes if cells else MAX_TAPES
    plan = Plan(
        scenarios=cells.scenarios if cells else scenarios_of(ask),
        rules=tuple(player.name for player in players if player.name not in policies),
        policies=policies,
        tapes=tapes,
        max_tapes=max(tapes, most) if ask.max_tapes is None else ask.max_tapes,
        arrivals=ask.arrivals,
        seed=ask.seed,
        table=table or ProfileTable.default(),
        planned=cells.planned if cells else None,
        matrix_sha256=cells.sha256 if cells else "",
    )
    for scenario in plan.scenarios:
        setting_of(scenario, plan.table)
    return plan


def policies_of(ask: Ask) -> tuple[str, ...]:
    """Each checkpoint in each of the ways that are asked for."""
    wanted = words(ask.policies)
    for policy in wanted:
        if policy not in POLICIES:
            raise ValueError(f"--policy {policy!r} is none of {', '.join(POLICIES)}")
        if policy != NET and not ask.checkpoints:
            raise ValueError(f"--policy {policy} is a way to play a checkpoint: name one by --checkpoint")
    return tuple(
        name_of(checkpoint, policy) for checkpoint in ask.checkpoints for policy in dict.fromkeys(wanted)
    )


def cells_of(ask: Ask) -> Cells | None:
    """Of a matrix."""
    if ask.matrix is None:
        return None
    if ask.loads:
        raise ValueError("--load: the matrix says the loads")
    return matrix.read(ask.matrix, words(ask.scenarios), words(ask.traces))


def scenarios_of(ask: Ask) -> tuple[Scenario, ...]:
    """Scenarios x traces x loads, without a matrix."""
    named = [scenarios.load(name) for name in words(ask.scenarios) or SCENARIOS]
    arrivals = matrix.arrivals_of("trace", words(ask.traces)) if ask.traces else [None]
    varied = [matrix.vary(scenario, each) for scenario in named for each in arrivals]
    return at_loads(varied, loads_of(ask.loads) or LOADS)


def words(lists: Sequence[str]) -> list[str]:
    """Comma lists as one."""
    return [word for text in lists for part in text.split(",") if (word := part.strip())]


def loads_of(lists: Sequence[str]) -> tuple[float, ...]:
    """Comma lists as loads, each once, in rising order."""
    return _numbers("--load", lists, 0.01, 5.0)


def weights_of(lists: Sequence[str]) -> tuple[float, ...]:
    """The same of energy's weights."""
    return _numbers("--weight", lists, 0.0, 1.0)


def _numbers(option: str, lists: Sequence[str], least: float, most: float) -> tuple[float, ...]:
    found = set()
    for word in (part.strip() for text in lists for part in text.split(",")):
        try:
            number = float(word)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise ValueError(f"{option} {word!r} is not a number from {least:g} to {most:g}")
        found.add(number)
    return tuple(sorted(found))
