"""A part of training: so many decisions, taken in updates that a run may be interrupted between."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch


class Update(NamedTuple):
    """One step of an optimizer, or one rollout of PPO."""

    decisions: int
    """Taken for it."""
    figures: dict[str, float]
    """For the curves."""


@dataclass(frozen=True)
class Stage:
    """What to do until `total` decisions are taken; a stage can begin in its middle."""

    name: str
    total: int
    optimizer: torch.optim.Optimizer
    updates: Callable[[int], Iterator[Update]]
    """From so many decisions on."""
    facts: Callable[[], dict[str, float]] = dict
    """Measured when it is through."""
    changes_actor: bool = True
    """Otherwise there is nothing to evaluate."""
    evaluate_every: int = 0
    """Decisions between evaluations; there is one at the end in any case."""
