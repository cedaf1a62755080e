"""A run killed at any moment goes on where it was, and ends as one that nobody killed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import small
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from synergai.agents.learned import read
from synergai.training import snapshot
from synergai.training.folder import RunError, RunFolder
from synergai.training.train import resume, tape_seed, train

HERE = Path(__file__).parent
TAKEN = {"clone": 256, "match": 64, "improve 1": 64, "improve 2": 64, "critic": 128, "ppo": 192}
DEATHS = (
    "clone:after",
    "match:end",
    "improve 1:during",
    "improve 2:after",
    "critic:end",
    "ppo:after",
    "ppo:drawn",
)


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that died by signal 9."""
    out = tmp_path_factory.mktemp("dead")
    command = [sys.executable, str(HERE / "killed_run.py"), str(out), *DEATHS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"{death} 9" for death in DEATHS], done.stderr
    return out


@pytest.fixture(scope="module", params=DEATHS)
def killed(request: pytest.FixtureRequest, dead: Path) -> Path:
    """A run that died, and was resumed."""
    out = dead / request.param
    resume(out, {}, quiet=True)
    return out


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished")
    train(small(improve_decisions=0, clone_decisions=64), out, quiet=True)
    return out


def curves(out: Path) -> dict[str, list[int]]:
    """Steps of every curve, as TensorBoard shows them."""
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    return {tag: [point.step for point in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.slow
def test_a_resumed_run_takes_the_decisions_that_were_asked_for_in_every_stage(killed: Path) -> None:
    stages = json.loads((killed / "stages.json").read_text())
    assert {name: facts["decisions"] for name, facts in stages.items() if name != "selected"} == TAKEN


@pytest.mark.slow
def test_a_resumed_run_leaves_a_checkpoint_that_says_so(killed: Path) -> None:
    assert read(killed / "checkpoint").card["resumes"] == 1


@pytest.mark.slow
def test_a_resumed_run_draws_no_step_twice_and_leaves_none_out(killed: Path) -> None:
    drawn = curves(killed)
    cloned, matched, improved = [64, 128, 192, 256], [320], [352, 384, 416, 448]
    learned = [512, 576, 640, 704, 768]
    assert drawn["time/decisions_per_s"] == cloned + matched + improved + learned
    assert drawn["clone/loss"] == cloned
    assert drawn["match/loss"] == matched
    assert drawn["improve/cost"] == [
        improved[1],
        improved[3],
    ]  # learned from what was gathered, at the end of each
    assert drawn["train/loss"] == learned
    assert drawn["violation_rate/mean"] == [256, 320, 384, 448, 640, 704, 768]


@pytest.mark.slow
def test_a_resumed_run_selects_the_best_of_all_its_policies(killed: Path) -> None:
    stages = json.loads((killed / "stages.json").read_text())
    rates = [facts["violation_rate"] for name, facts in stages.items() if name not in ("selected", "critic")]
    assert stages["selected"]["violation_rate"] <= min(rates)


@pytest.mark.slow
def test_a_finished_run_is_not_run_again(finished: Path) -> None:
    before = (finished / "stages.json").stat().st_mtime_ns
    assert resume(finished, {}) == finished / "checkpoint"
    assert (finished / "stages.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_finished_run_is_not_overwritten(finished: Path) -> None:
    with pytest.raises(RunError, match="holds a finished run"):
        train(small(), finished, quiet=True)


def begun(out: Path) -> RunFolder:
    """What a run of which nothing is done yet leaves behind."""
    folder = RunFolder(out)
    folder.write_config(small())
    return folder


def test_an_unfinished_run_is_not_overwritten(tmp_path: Path) -> None:
    begun(tmp_path).snapshot.touch()
    with pytest.raises(RunError, match=r"holds an unfinished run; go on with --resume"):
        train(small(), tmp_path, quiet=True)


@pytest.mark.parametrize(("key", "value"), [("seed", 5), ("decisions", 7), ("loads", [0.5])])
def test_another_setting_than_the_run_began_with_is_refused_by_name(
    tmp_path: Path, key: str, value: object
) -> None:
    begun(tmp_path)
    with pytest.raises(
        RunError, match=rf"{key} is .* in the run to resume, not {value!r}".replace("[", r"\[")
    ):
        resume(tmp_path, {key: value})


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run that could be resumed"):
        resume(tmp_path, {})


def test_a_folder_that_is_not_there_is_not_made_by_resuming(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        resume(tmp_path / "absent", {})
    assert not (tmp_path / "absent").exists()


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    with folder.held(), pytest.raises(RunError, match="another process is training in it"):
        resume(tmp_path, {})


@pytest.mark.parametrize("content", [b"", b"half of a snapshot", b"\x80\x04N."])
def test_what_is_no_snapshot_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "snapshot.pt").write_bytes(content)
    with pytest.raises(RunError, match=r"snapshot\.pt: is no snapshot"):
        snapshot.load(tmp_path / "snapshot.pt")


def test_a_snapshot_of_another_format_is_named(tmp_path: Path) -> None:
    torch.save({"format": 99}, tmp_path / "snapshot.pt")
    with pytest.raises(RunError, match=r"snapshot\.pt: is no snapshot of format 1"):
        snapshot.load(tmp_path / "snapshot.pt")


def test_every_resume_has_tapes_of_its_own() -> None:
    assert len({tape_seed(3, resumes) for resumes in range(10)}) == 10
