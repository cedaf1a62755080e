"""The memory of labelled states loses nothing that matters of them, whether the run is killed or not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from synergai.training.memory import Labelled, Memory


def states(first: int, count: int) -> Labelled:
    """States that are told apart by their rule's pick."""
    number = torch.arange(first, first + count)
    rows = (number[:, None, None] / 256.0).expand(-1, 2, 3).contiguous()
    costs = torch.where(torch.arange(4) == 3, torch.inf, number[:, None].float()).float()
    return Labelled(
        {"rows": rows, "count": number[:, None].int()}, number[:, None] >= 0, costs, number, number / 8
    )


def filled(folder: Path, parts: int = 3) -> Memory:
    """Parts of five states out of six that were seen."""
    memory = Memory(folder)
    for k in range(parts):
        memory.add(states(5 * k, 5), seen=6)
    return memory


def test_what_is_kept_together_belongs_together(tmp_path: Path) -> None:
    for part in filled(tmp_path).minibatches(4, np.random.default_rng(0)):
        assert part.lists["count"][:, 0].tolist() == part.rule.tolist()
        assert part.costs[:, 0].tolist() == part.rule.float().tolist()
        assert (part.lists["rows"][:, 0, 0] * 256).tolist() == part.rule.float().tolist()
        assert torch.isinf(part.costs[:, 3]).all()
        assert (part.price * 8).tolist() == part.rule.float().tolist()


def test_minibatches_hold_every_state_once(tmp_path: Path) -> None:
    parts = filled(tmp_path).minibatches(4, np.random.default_rng(0))
    assert sorted(torch.cat([part.rule for part in parts]).tolist()) == list(range(15))


def test_a_killed_run_has_its_states_again(tmp_path: Path) -> None:
    filled(tmp_path)
    again = Memory(tmp_path)
    again.restore(12)  # the last part was added after the snapshot
    (part,) = again.minibatches(100, np.random.default_rng(0))
    assert sorted(part.rule.tolist()) == list(range(10))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "states.00000006.pt").unlink()
    with pytest.raises(ValueError, match=r"states\.00000006\.pt is missing"):
        Memory(tmp_path).restore(18)


def test_states_that_are_forgotten_leave_no_files(tmp_path: Path) -> None:
    filled(tmp_path).forget()
    assert list(tmp_path.iterdir()) == []
