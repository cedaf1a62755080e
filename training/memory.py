"""States whose moves have been compared: gathered for a while, then learned from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch


class Labelled(NamedTuple):
    """States, and what is known of their moves."""

    lists: dict[str, torch.Tensor]
    """What `BatchVecEnv.observe` shows, (states, ...) each; `rows` in half precision."""
    masks: torch.Tensor
    """Legal actions, (states, 129) bool."""
    costs: torch.Tensor
    """(states, 129), inf where a move was not tried."""
    rule: torch.Tensor
    """What the rule does that the policy starts from, (states,)."""
    price: torch.Tensor
    """Of leaving that rule, (states,)."""

    def at(self, index: torch.Tensor) -> "Labelled":
        lists = {name: value[index] for name, value in self.lists.items()}
        return Labelled(lists, *(value[index] for value in self[1:]))


class Memory:
    """Labelled states, 17 KiB each, kept in files too, so that a run that is killed has them again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = 0
        self._parts: list[Labelled] = []

    def add(self, fresh: Labelled, seen: int) -> None:
        """States of which something is known, among so many that were seen."""
        lists = {name: value.half() if name == "rows" else value for name, value in fresh.lists.items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save((seen, lists, *fresh[1:]), self._file(self.seen))
        self._keep(seen, Labelled(lists, *fresh[1:]))

    def restore(self, seen: int) -> None:
        """What was added before the run had seen so many states. ValueError names a file that is missing."""
        self.seen = 0
        self._parts = []
        while self.seen < seen:
            file = self._file(self.seen)
            if not file.exists():
                raise ValueError(f"{file} is missing: the run cannot go on without its states")
            count, *part = torch.load(file, weights_only=True)
            self._keep(count, Labelled(*part))

    def forget(self) -> None:
        """They are not needed any more."""
        for file in self.folder.glob("states.*.pt"):
            file.unlink()
        self.seen = 0
        self._parts = []

    def minibatches(self, size: int, rng: np.random.Generator) -> list[Labelled]:
        """All states once, in random order, in minibatches of about this size."""
        kept = self._joined()
        order = rng.permutation(len(kept.masks))
        return [kept.at(torch.as_tensor(part)) for part in np.array_split(order, max(len(order) // size, 1))]

    def _joined(self) -> Labelled:
        if len(self._parts) > 1:
            lists = {
                name: torch.cat([part.lists[name] for part in self._parts]) for name in self._parts[0].lists
            }
            rest = (torch.cat(values) for values in zip(*(part[1:] for part in self._parts)))
            self._parts = [Labelled(lists, *rest)]
        return self._parts[0]

    def _keep(self, seen: int, part: Labelled) -> None:
        self._parts.append(part)
        self.seen += seen

    def _file(self, first: int) -> Path:
        return self.folder / f"states.{first:08d}.pt"
