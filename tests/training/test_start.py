"""A run may begin as a checkpoint instead of random weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_runs import exported, small

from synergai.agents.learned import read
from synergai.envs import scenario
from synergai.envs.tape import setting_of
from synergai.training.train import train
from synergai.training.vec_env import BatchVecEnv

NOTHING = {"clone_decisions": 0, "match_decisions": 0, "improve_decisions": 0}


def checkpoint(folder: Path, width: int = 8) -> Path:
    env = BatchVecEnv([setting_of(scenario.load("demo"))], 2, 40, 0, seed=0, scale=1.0)
    exported(folder, env, width)
    return folder


@pytest.mark.slow
def test_a_run_that_learns_nothing_ends_as_what_it_started_as(tmp_path: Path) -> None:
    start = checkpoint(tmp_path / "start")
    out = train(small(start=str(start), **NOTHING), tmp_path / "run", quiet=True)
    for name, value in read(start).weights._asdict().items():
        np.testing.assert_array_equal(value, getattr(read(out).weights, name))


@pytest.mark.slow
def test_a_run_keeps_its_start_where_nothing_better_is_found(tmp_path: Path) -> None:
    """The start is evaluated too, and what is selected is not worse."""
    start = checkpoint(tmp_path / "start")
    train(small(start=str(start), **NOTHING | {"clone_decisions": 64}), tmp_path / "run", quiet=True)
    stages = json.loads((tmp_path / "run" / "stages.json").read_text())
    assert stages["selected"]["violation_rate"] <= stages["clone"]["violation_rate"]


def test_a_start_of_another_width_is_refused_by_name(tmp_path: Path) -> None:
    start = checkpoint(tmp_path / "wide", width=16)
    with pytest.raises(ValueError, match=r"start: .*wide: its width is 16, not 8"):
        train(small(start=str(start)), tmp_path / "run", quiet=True)


def test_a_start_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"start: nope: no checkpoint folder 'nope'"):
        train(small(start="nope"), tmp_path / "run", quiet=True)
