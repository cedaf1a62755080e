"""States whose moves have been compared, kept for more than one update."""

from typing import NamedTuple

import numpy as np
import torch


class Labelled(NamedTuple):
    """States, and what is known of their moves."""

    lists: dict[str, torch.Tensor]
    """What `BatchVecEnv.observe` shows, (states, ...) each."""
    masks: torch.Tensor
    """Legal actions, (states, 129) bool."""
    costs: torch.Tensor
    """(states, 129), inf where a move was not tried."""
    teacher: torch.Tensor
    """Its pick, (states,)."""

    def at(self, index: torch.Tensor) -> "Labelled":
        lists = {name: value[index] for name, value in self.lists.items()}
        return Labelled(lists, self.masks[index], self.costs[index], self.teacher[index])


class Memory:
    """The newest `size` of them; candidates' features in half precision, 14 KiB a state in all."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self._kept: Labelled | None = None

    def add(self, fresh: Labelled) -> None:
        if self._kept is None:
            lists = {name: _room(value, self.size, name == "rows") for name, value in fresh.lists.items()}
            rest = (_room(part, self.size) for part in (fresh.masks, fresh.costs, fresh.teacher))
            self._kept = Labelled(lists, *rest)
        index = torch.arange(self.count, self.count + len(fresh.masks)) % self.size
        for kept, new in zip(_tensors(self._kept), _tensors(fresh)):
            kept[index] = new.to(kept.dtype)
        self.count += len(fresh.masks)

    def draw(self, count: int, rng: np.random.Generator) -> Labelled:
        """So many of them, each as likely as any other."""
        assert self._kept is not None
        return self._kept.at(torch.as_tensor(rng.integers(min(self.count, self.size), size=count)))


def _tensors(states: Labelled) -> list[torch.Tensor]:
    return [*states.lists.values(), states.masks, states.costs, states.teacher]


def _room(part: torch.Tensor, size: int, half: bool = False) -> torch.Tensor:
    return torch.zeros((size, *part.shape[1:]), dtype=torch.float16 if half else part.dtype)
