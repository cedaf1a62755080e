"""From the words of a command line to a checked plan."""

import math
from collections.abc import Sequence

from synergai.agents.learned import Learned
from synergai.envs import scenario as scenarios
from synergai.envs.tape import setting_of
from synergai.offline_profiles.table import ProfileTable
from synergai.training.evaluation.evaluate import runners
from synergai.training.evaluation.plan import Plan

SCENARIOS = ("demo", "edge", "datacenter")
"""What is played where nothing is named: what the released policy was trained on."""
LOADS = (0.7, 0.9, 1.1)
MAX_TAPES = 512


def plan_of(
    named: Sequence[str],
    loads: Sequence[str],
    schedulers: str,
    checkpoints: Sequence[str],
    tapes: int = 32,
    max_tapes: int | None = None,
    arrivals: int | None = None,
    seed: int = 0,
    table: ProfileTable | None = None,
) -> Plan:
    """Every scenario fits the profiles, every checkpoint can be read; ValueError and its kin say what does not."""
    players = runners([name.strip() for name in schedulers.split(",") if name.strip()], checkpoints)
    plan = Plan(
        scenarios=tuple(scenarios.load(name) for name in named or SCENARIOS),
        loads=loads_of(loads) or LOADS,
        rules=tuple(player.name for player in players if not isinstance(player, Learned)),
        checkpoints=tuple(checkpoints),
        tapes=tapes,
        max_tapes=max(tapes, MAX_TAPES) if max_tapes is None else max_tapes,
        arrivals=arrivals,
        seed=seed,
        table=table or ProfileTable.default(),
    )
    for scenario in plan.scenarios:
        setting_of(scenario, plan.table)
    return plan


def loads_of(lists: Sequence[str]) -> tuple[float, ...]:
    """Comma lists as numbers, each once, in rising order."""
    found = set()
    for word in (part.strip() for text in lists for part in text.split(",")):
        try:
            load = float(word)
        except ValueError:
            load = math.nan
        if not 0.01 <= load <= 5.0:
            raise ValueError(f"--load {word!r} is not a number from 0.01 to 5")
        found.add(load)
    return tuple(sorted(found))
