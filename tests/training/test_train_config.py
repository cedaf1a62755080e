"""Settings of a run: what ships loads, what is wrong is named with its file and key."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from synergai.envs import scenario as scenarios
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import write_rows
from synergai.offline_profiles.table import ProfileTable
from synergai.training.config import ConfigError, TrainConfig, read
from synergai.training.stages import prices_of
from synergai.training.train import settings_of

CONFIGS = sorted((Path(__file__).parents[2] / "training" / "configs").glob("*.yaml"))

BAD = {
    "an unknown key": ("widht: 3", "widht", "unknown key"),
    "text for a number": ("width: wide", "width", "'wide'"),
    "a fraction for a count": ("steps: 1.5", "steps", "1.5"),
    "a negative count": ("environments: -1", "environments", "-1"),
    "nothing at all": ("environments: 0", "environments", "0"),
    "a negative rate": ("learning_rate: -0.1", "learning_rate", "-0.1"),
    "an infinite rate": ("learning_rate: .inf", "learning_rate", "inf"),
    "no number": ("discount_taus: .nan", "discount_taus", "nan"),
    "a negative seed": ("seed: -1", "seed", "-1"),
    "a load of zero": ("loads: [0.5, 0]", "loads.1", "0"),
    "no loads": ("loads: []", "loads", "[]"),
    "no scenarios": ("scenarios: []", "scenarios", "[]"),
    "one scenario that is no list": ("scenarios: demo", "scenarios", "'demo'"),
    "a name with a slash": ("name: ../up", "name", "'../up'"),
    "more to train on without loads": ("also: [{scenarios: [demo]}]", "also.0.loads", "required"),
    "a load of zero there": ("also: [{scenarios: [demo], loads: [0]}]", "also.0.loads.0", "0"),
    "a width beyond all": ("width: 100000", "width", "100000"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_setting_is_named_with_its_file_and_key(tmp_path: Path, case: str) -> None:
    text, key, said = BAD[case]
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}: {key}: ")
    assert said in line


def test_every_bad_key_has_a_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("widht: 3\nsteps: -1\n")
    with pytest.raises(ConfigError) as caught:
        read(file)
    assert [line.split(": ")[1] for line in str(caught.value).splitlines()] == ["steps", "widht"]


UNREADABLE = {
    "not YAML": "loads: [0.5",
    "a list": "- 1\n- 2\n",
    "a word": "fast",
    "empty": "",
    "two documents": "seed: 1\n---\nseed: 2\n",
    "an object tag": "!!python/object/apply:os.getcwd []",
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_is_no_mapping_of_settings_is_one_line(tmp_path: Path, case: str) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(UNREADABLE[case])
    with pytest.raises(ConfigError) as caught:
        read(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}: ")


@pytest.mark.parametrize("what", ["missing", "a folder", "not text"])
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, what: str) -> None:
    file = tmp_path / "run.yaml"
    if what == "a folder":
        file.mkdir()
    if what == "not text":
        file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as caught:
        read(file)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}: cannot be read: ")


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_a_shipped_config_loads(file: Path) -> None:
    config = read(file)
    assert config.environments % config.siblings == 0
    assert config.environments // config.siblings >= len(config.scenarios) * len(config.loads)


def test_configs_ship() -> None:
    assert {"default", "fast"} <= {file.stem for file in CONFIGS}


def test_what_a_file_does_not_say_is_the_default(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("width: 8\n")
    assert read(file) == TrainConfig(width=8)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig().seed = 1  # type: ignore[misc] - that is the point


def test_a_run_takes_hardware_from_its_own_files(tmp_path: Path) -> None:
    table = ProfileTable.default()
    shipped = table.find("resnet50", "nvidia-t4", "tensorrt-int8-gpu-b1")
    (tmp_path / "mine.csv").write_text(write_rows(Profile, [replace(shipped, hardware="my-board")]))
    board = replace(table.hardware["nvidia-t4"], name="my-board")
    (tmp_path / "boards.csv").write_text(write_rows(Hardware, [board]))
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nmachines: [{name: board, hardware: {my-board: 1}}]\njobs: {resnet50: {share: 1, samples: 20}}\n"
    )
    config = TrainConfig(
        scenarios=[str(tmp_path / "mine.yaml")],
        loads=[0.9],
        profiles=[str(tmp_path / "mine.csv")],
        hardware=str(tmp_path / "boards.csv"),
    )
    (setting,) = settings_of(config)
    assert [profile.hardware for profile in setting.catalog.profiles] == ["my-board"]


def test_a_run_also_trains_on_what_its_blocks_name() -> None:
    also = [
        {"scenarios": ["kiosk"], "loads": [0.5]},
        {"scenarios": ["demo"], "loads": [0.7], "arrivals": ["bursty"]},
    ]
    config = TrainConfig.model_validate({"scenarios": ["edge"], "loads": [0.9, 1.0], "also": also})
    assert [(s.scenario.name, s.scenario.load) for s in settings_of(config)] == [
        ("edge", 0.9), ("edge", 1.0), ("kiosk", 0.5), ("demo-bursty", 0.7),
    ]  # fmt: skip


def test_prices_between_the_loads_lie_on_straight_lines() -> None:
    also = [{"scenarios": ["kiosk"], "loads": [0.7]}]
    config = TrainConfig.model_validate(
        {"scenarios": ["kiosk"], "loads": [1.0, 0.6], "improve_prices": [0.4, 0.0], "also": also}
    )
    env = SimpleNamespace(settings=settings_of(config))
    assert prices_of(config, env) == pytest.approx([0.4, 0.0, 0.1])  # type: ignore[arg-type]


def test_energy_weighs_nothing_in_training_as_the_served_policy_is_charged_for_it(tmp_path: Path) -> None:
    file = tmp_path / "green.yaml"
    kiosk = scenarios.load("kiosk").model_copy(update={"name": "green", "energy_weight": 0.5})
    file.write_text(yaml.safe_dump(kiosk.model_dump(mode="json")), encoding="utf-8")
    (setting,) = settings_of(TrainConfig(scenarios=[str(file)], loads=[0.7]))
    assert scenarios.load(str(file)).energy_weight == 0.5
    assert setting.scenario.energy_weight == 0.0
