"""The whole of training on the `fast` settings, and what it leaves behind."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from lists import recorded

from synergai.agents.learned import load
from synergai.agents.ranges import ranges_of
from synergai.envs.state import empty_state
from synergai.training.config import TrainConfig, read
from synergai.training.train import train

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "fast.yaml"
SERVE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "stable_baselines3", "sb3_contrib", "kubernetes"):
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Refuse())
from synergai.agents.learned import load
from synergai.envs import scenario
from synergai.envs.candidates import scratch_for
from synergai.envs.world import new_sim
from synergai.envs.tape import make_tape, setting_of

setting = setting_of(scenario.load("demo"))
sim = new_sim(setting, make_tape(setting, 0, 30))
load(sys.argv[1]).run(sim, scratch_for(sim.state))
print(int((sim.outcomes["finish_us"] >= 0).sum()))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on one thread."""
    folder = tmp_path_factory.mktemp("fast")
    config = read(CONFIG).model_copy(update={"threads": 1})
    assert train(config, folder, quiet=True) == folder / "checkpoint"
    return folder


def test_the_full_settings_are_written_beside_the_run(out: Path) -> None:
    written = yaml.safe_load((out / "config.yaml").read_text())
    assert TrainConfig.model_validate(written) == read(CONFIG).model_copy(update={"threads": 1})
    assert set(written) == set(TrainConfig.model_fields)


def test_every_stage_tells_its_result(out: Path) -> None:
    stages = json.loads((out / "stages.json").read_text())
    assert list(stages) == ["clone", "match", "improve 1", "critic", "ppo", "selected"]
    assert 0.5 < stages["clone"]["agreement"] <= 1.0
    evaluated = [stages[name]["violation_rate"] for name in stages if name != "critic"]
    assert all(0.0 <= rate <= 1.0 for rate in evaluated)


def test_every_stage_takes_the_decisions_that_were_asked_for(out: Path) -> None:
    stages = json.loads((out / "stages.json").read_text())
    taken = [stages[name]["decisions"] for name in ("clone", "match", "improve 1", "critic", "ppo")]
    assert taken == [4096, 1024, 512, 512, 1024]


def test_the_best_of_the_evaluated_policies_is_selected(out: Path) -> None:
    stages = json.loads((out / "stages.json").read_text())
    evaluated = [stages[name]["violation_rate"] for name in ("clone", "match", "improve 1", "ppo")]
    assert stages["selected"]["violation_rate"] == min(evaluated)


def test_curves_are_written_for_tensorboard(out: Path) -> None:
    files = list((out / "tensorboard").glob("events.out.tfevents.*"))
    assert files
    assert sum(file.stat().st_size for file in files) > 500


def test_the_violation_rate_is_among_the_curves(out: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = EventAccumulator(str(out / "tensorboard")).Reload().Tags()["scalars"]
    assert {"violation_rate/mean", "fewer_than_synergai/demo-rho0.8", "excess_mean_s/demo-rho0.8"} <= set(
        curves
    )


def test_one_episode_is_drawn_and_the_settings_are_in_the_table(out: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert len(events.Images("episode")) == len(events.Scalars("violation_rate/mean"))
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_the_card_tells_where_the_policy_comes_from(out: Path) -> None:
    card = json.loads((out / "checkpoint" / "card.json").read_text())
    assert card["scenarios"] == ["demo"]
    assert card["loads"] == [0.8]
    assert card["stages"] == json.loads((out / "stages.json").read_text())
    assert len(card["profiles_sha256"]) == len(card["reference_sha256"]) == 64
    assert card["training_s"] > 0


def test_the_card_holds_the_range_of_every_feature(out: Path) -> None:
    ranges = ranges_of(load(out / "checkpoint").checkpoint.card)
    assert ranges is not None
    assert (ranges.low <= ranges.high).all()
    assert (ranges.low < ranges.high).sum() > 40


def test_the_checkpoint_can_be_served(out: Path) -> None:
    learned, state = load(out / "checkpoint"), empty_state(1, 1, 1, 1, 1, 1, 1)
    for listed in recorded(0.8):
        decision = learned.decide(state, listed)
        assert decision.candidate in np.flatnonzero(listed.mask) or decision.candidate == -1


def test_serving_it_needs_no_torch(out: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(out / "checkpoint")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 24  # all that are counted have finished
