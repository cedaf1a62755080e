"""One thread, so that sums are added in one order; and the toy worlds of the simulator's tests."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "envs"))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
