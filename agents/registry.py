"""Schedulers by name."""

from synergai.agents.heuristics import Rule
from synergai.agents.planner import Planner, is_planner
from synergai.agents.scheduler import Scheduler
from synergai.envs.rules import RULE_NUMBER


def names() -> tuple[str, ...]:
    """Every rule that `make` takes; some have switches (`envs.switches`), planners go by `rollout[:FUTURES[:BASE]]`."""
    return tuple(RULE_NUMBER)


def make(name: str) -> Scheduler:
    """The scheduler of this name; ValueError lists the names if there is none."""
    return Planner(name) if is_planner(name) else Rule(name)
