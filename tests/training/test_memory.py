"""The memory of labelled states keeps the newest and loses nothing that matters of them."""

import numpy as np
import torch

from synergai.training.memory import Labelled, Memory


def states(first: int, count: int) -> Labelled:
    """States that are told apart by their teacher's pick."""
    number = torch.arange(first, first + count)
    rows = (number[:, None, None] / 256.0).expand(-1, 2, 3).contiguous()
    costs = torch.where(torch.arange(4) == 3, torch.inf, number[:, None].float()).float()
    return Labelled({"rows": rows, "count": number[:, None].int()}, number[:, None] >= 0, costs, number)


def test_what_is_drawn_belongs_together() -> None:
    memory = Memory(16)
    memory.add(states(0, 10))
    drawn = memory.draw(50, np.random.default_rng(0))
    assert drawn.lists["count"][:, 0].tolist() == drawn.teacher.tolist()
    assert drawn.costs[:, 0].tolist() == drawn.teacher.float().tolist()
    assert (drawn.lists["rows"][:, 0, 0] * 256).tolist() == drawn.teacher.float().tolist()
    assert torch.isinf(drawn.costs[:, 3]).all()


def test_nothing_is_drawn_that_was_never_added() -> None:
    memory = Memory(16)
    memory.add(states(5, 3))
    assert set(memory.draw(200, np.random.default_rng(0)).teacher.tolist()) == {5, 6, 7}


def test_a_full_memory_forgets_the_oldest() -> None:
    memory = Memory(8)
    for first in (0, 5, 10):
        memory.add(states(first, 5))
    assert set(memory.draw(500, np.random.default_rng(0)).teacher.tolist()) == set(range(7, 15))
