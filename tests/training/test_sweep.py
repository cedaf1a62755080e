"""Several runs of one configuration: which they are, what they come to, and what happens to one that fails."""

import json
from pathlib import Path

import pytest
from small_runs import SMALL, small
from typer.testing import CliRunner

from synergai.cli import app
from synergai.training.config import ConfigError, TrainConfig
from synergai.training.sweep import REPORT_FILE, SweepError, Variant, summary, sweep, variants


def test_each_seed_is_a_run_from_that_of_the_settings_on() -> None:
    runs = variants(small(seed=7), 3)
    assert [run.name for run in runs] == ["seed-7", "seed-8", "seed-9"]
    assert [run.config.seed for run in runs] == [7, 8, 9]
    assert all(run.config.model_copy(update={"seed": 0}) == small() for run in runs)


def test_values_of_settings_are_combined() -> None:
    runs = variants(small(), 1, ["width=8,16", "loads=[0.5, 0.6]"])
    assert [run.name for run in runs] == ["width-8,loads-0.5-0.6,seed-0", "width-16,loads-0.5-0.6,seed-0"]
    assert [(run.config.width, run.config.loads) for run in runs] == [(8, [0.5, 0.6]), (16, [0.5, 0.6])]


def test_a_value_with_slashes_stays_one_folder() -> None:
    (run,) = variants(small(), 1, ["start=runs/mine/checkpoint"])
    assert run.name == "start-runs-mine-checkpoint,seed-0"
    assert run.config.start == "runs/mine/checkpoint"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("widht=8", "widht: unknown key"),
        ("width=wide", "width: .*'wide'"),
        ("width", "not of the form KEY=VALUE"),
        ("width=", "not of the form KEY=VALUE"),
        ("loads=[0.5", "not of the form KEY=VALUE"),
        ("width=8,8", "the same folder: width-8,seed-0"),
        ("seed=1,2", "--seeds"),
    ],
)
def test_what_cannot_be_varied_is_named(value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        variants(small(), 1, [value])


def test_the_summary_tells_median_and_worst_and_the_run_to_ship() -> None:
    runs = [Variant(f"seed-{k}", "", small(seed=k)) for k in range(3)]
    told = summary(runs, {"seed-0": 0.3, "seed-1": 0.1, "seed-2": 0.2})
    assert told["groups"] == {"all": {"runs": 3, "best": 0.1, "median": 0.2, "worst": 0.3}}
    assert told["best"] == "seed-1"


def test_of_runs_that_all_failed_none_is_the_best() -> None:
    assert summary(variants(small(), 2), {}) == {"violation_rate": {}, "groups": {}, "best": None}


def short() -> TrainConfig:
    return small(improve_decisions=0)


@pytest.mark.slow
def test_runs_end_side_by_side_and_are_left_alone_when_asked_for_again(tmp_path: Path) -> None:
    runs = variants(short(), 2)
    told = sweep(runs, tmp_path)
    assert json.loads((tmp_path / REPORT_FILE).read_text()) == told
    assert set(told["violation_rate"]) == {"seed-0", "seed-1"}
    weights = [tmp_path / run.name / "checkpoint" / "weights.safetensors" for run in runs]
    first, second = (file.read_bytes() for file in weights)
    assert first != second
    written = [file.stat().st_mtime_ns for file in weights]
    again: list[str] = []
    assert sweep(runs, tmp_path, tell=again.append) == told
    assert [file.stat().st_mtime_ns for file in weights] == written
    assert len(again) == 2


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_end(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "snapshot.pt").write_bytes(b"nothing that could be read")
    with pytest.raises(SweepError, match="seed-0"):
        sweep(variants(short(), 2), tmp_path)
    assert list(json.loads((tmp_path / REPORT_FILE).read_text())["violation_rate"]) == ["seed-1"]


def test_a_sweep_needs_settings(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--seeds", "2", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert "--config" in result.output


def test_an_address_without_a_sweep_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(json.dumps(SMALL))
    asked = ["train", "--config", str(file), "--ray-address", "auto", "--out", str(tmp_path / "x")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 2
    assert "--seeds" in result.output


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1", "nobody answers at 127.0.0.1:1"),
        ("somewhere", "HOST:PORT"),
        ("a.b:99999", "nobody answers"),
    ],
)
def test_a_cluster_that_is_not_there_is_named(tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(SweepError, match=said):
        sweep(variants(small(), 1), tmp_path, address)
    assert list(tmp_path.iterdir()) == []
