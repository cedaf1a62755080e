"""Schedulers by name."""

from synergai.agents.heuristics import Rule
from synergai.agents.scheduler import Scheduler
from synergai.envs.rules import RULE_NUMBER


def names() -> tuple[str, ...]:
    """Every name that `make` takes."""
    return tuple(RULE_NUMBER)


def make(name: str) -> Scheduler:
    """The scheduler of this name; ValueError lists the names if there is none."""
    return Rule(name)
