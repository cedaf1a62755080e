"""What the table promises: strict loading, a frozen reference, the shipped rows' shape."""

import csv
import pickle
import re
from dataclasses import FrozenInstanceError, asdict, replace
from math import ceil
from pathlib import Path

import pytest

from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import columns, write_rows
from synergai.offline_profiles.table import ProfileError, ProfileTable

TABLE = ProfileTable.default()
T4 = TABLE.find("resnet50", "nvidia-t4", "tensorrt-int8-gpu-b1")
BOARD = Hardware("my-board", "jetson", "nvidia.com/gpu", 4000, 4096, 3.0, "assumed: a guess")


def write_profile(path: Path, *cells: dict[str, str], header: tuple[str, ...] = columns(Profile)) -> Path:
    """A CSV of copies of one good row with some cells changed."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        for changed in cells:
            writer.writerow({name: {**asdict(T4), **changed}.get(name, "x") for name in header})
    return path


BAD = [
    ("throughput_sps", "0", "must be above 0"),
    ("throughput_sps", "nan", "not finite"),
    ("throughput_sps", "inf", "not finite"),
    ("throughput_sps", "fast", "not a number"),
    ("throughput_sps", "1_000", "not a number"),
    ("throughput_sps", "", "not a number"),
    ("latency_ms", "-1", "negative"),
    ("latency_ms", "0", "must be above 0"),
    ("batch", "0", "must be above 0"),
    ("batch", "1.5", "not a whole number"),
    ("latency_p90_ms", "0.001", "below latency_p50_ms"),
    ("latency_p999_ms", "0.001", "below latency_p99_ms"),
    ("startup_image_present_s", "0.0001", "below startup_cached_s"),
    ("idle_w", "1e6", "above active_w"),
    ("hardware", "no-such-board", "unknown"),
    ("hardware", "bad name", "not a label value"),
    ("hardware", "raspberry-pi-4", "has no resource"),
    ("configuration", "a" * 64, "not a label value"),
    ("model", "", "is empty"),
    ("model", "resnet50:2", "the version has its own column"),
    ("throughput_basis", "guessed", "not 'measured'"),
    ("power_basis", "assumed", "not 'measured'"),
    ("power_basis", "derived:", "not 'measured'"),
    ("source", "", "is empty"),
]


@pytest.mark.parametrize(("column", "cell", "reason"), BAD)
def test_bad_cell_is_named_with_file_line_column_and_reason(
    tmp_path: Path, column: str, cell: str, reason: str
) -> None:
    file = write_profile(tmp_path / "mine.csv", {"model": "good"}, {column: cell})
    with pytest.raises(ProfileError) as error:
        ProfileTable.load(file)
    assert len(error.value.problems) >= 1
    named = [problem for problem in error.value.problems if f"{file}, line 3, column " in problem]
    wanted = "device_units" if reason == "has no resource" else column
    assert any(f"column {wanted}: " in problem and reason in problem for problem in named), error.value


def test_all_problems_come_in_one_error(tmp_path: Path) -> None:
    one = write_profile(tmp_path / "one.csv", {"batch": "0"}, {"latency_ms": "x", "idle_w": "-1"})
    two = write_profile(tmp_path / "two.csv", {"model": ""})
    with pytest.raises(ProfileError) as error:
        ProfileTable.load(one, two, tmp_path / "absent.csv")
    assert len(error.value.problems) == 5


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (columns(Profile)[1:], "column model: is missing"),
        ((*columns(Profile), "colour"), "column colour: is unknown"),
    ],
)
def test_missing_and_unknown_columns_are_named(tmp_path: Path, header: tuple[str, ...], reason: str) -> None:
    file = write_profile(tmp_path / "mine.csv", {}, header=header)
    with pytest.raises(ProfileError, match=re.escape(reason)):
        ProfileTable.load(file)


def test_row_with_too_few_fields_is_named(tmp_path: Path) -> None:
    file = write_profile(tmp_path / "mine.csv", {})
    file.write_text(file.read_text() + "resnet50,1\n")
    with pytest.raises(ProfileError, match=r"line 3, column .: has fewer fields"):
        ProfileTable.load(file)


def test_same_key_twice_in_the_users_files_is_named(tmp_path: Path) -> None:
    files = [write_profile(tmp_path / name, {}) for name in ("one.csv", "two.csv")]
    with pytest.raises(ProfileError, match=r"two.csv, line 2, column configuration: .*one.csv, line 2"):
        ProfileTable.load(*files)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"kind": "tpu"}, "column kind"),
        ({"cpu_milli": 0}, "column cpu_milli"),
        ({"kind": "cpu"}, "column resource"),
    ],
)
def test_bad_hardware_row_is_named(tmp_path: Path, changed: dict[str, str | int], reason: str) -> None:
    hardware = tmp_path / "hardware.csv"
    hardware.write_text(write_rows(Hardware, [replace(BOARD, **changed)]))  # type: ignore[arg-type]  # bad on purpose
    with pytest.raises(ProfileError, match=f"line 2, {reason}"):
        ProfileTable.load(hardware=hardware)


def test_users_row_wins_over_the_shipped_one(tmp_path: Path) -> None:
    file = write_profile(tmp_path / "mine.csv", {"throughput_sps": "9999"})
    table = ProfileTable.load(file)
    assert table.find(T4.model, T4.hardware, T4.configuration).throughput_sps == 9999
    assert len(table.profiles) == len(TABLE.profiles)
    assert table.sha256 != TABLE.sha256


def test_reference_stays_when_hardware_is_added(tmp_path: Path) -> None:
    hardware = tmp_path / "hardware.csv"
    hardware.write_text(write_rows(Hardware, [BOARD]))
    fast = {"hardware": BOARD.name, "throughput_sps": "1e9", "latency_ms": "1e-6"}
    table = ProfileTable.load(write_profile(tmp_path / "mine.csv", fast), hardware=hardware)
    assert table.of("resnet50", BOARD.name)
    assert table.reference_sha256 == TABLE.reference_sha256
    for model in TABLE.models:
        assert table.reference_s(model, 100) == TABLE.reference_s(model, 100)


def test_model_outside_the_reference_takes_the_tables_own_rows(tmp_path: Path) -> None:
    rows = [
        {"model": "mine", "hardware": "nvidia-t4", "throughput_sps": "100", "latency_ms": "10"},
        {"model": "mine", "hardware": "nvidia-a2", "throughput_sps": "50", "latency_ms": "20"},
        {"model": "mine", "hardware": "nvidia-a2", "configuration": "slow", "throughput_sps": "1"},
    ]
    table = ProfileTable.load(write_profile(tmp_path / "mine.csv", *rows))
    assert table.reference_s("mine", 100) == pytest.approx((1.0 + 2.0) / 2)


def test_other_version_has_its_own_address(tmp_path: Path) -> None:
    table = ProfileTable.load(write_profile(tmp_path / "mine.csv", {"model_version": "2"}))
    assert "resnet50:2" in table.models
    assert "resnet50" in table.models
    assert table.of("resnet50:2", "nvidia-t4")[0].model_version == "2"


def test_base_can_be_left_out(tmp_path: Path) -> None:
    hardware = tmp_path / "hardware.csv"
    hardware.write_text(write_rows(Hardware, [BOARD]))
    file = write_profile(tmp_path / "mine.csv", {"hardware": BOARD.name})
    table = ProfileTable.load(file, base=False, hardware=hardware)
    assert [profile.hardware for profile in table.profiles] == [BOARD.name]
    assert list(table.hardware) == [BOARD.name]


def test_unknown_keys_name_all_they_were_asked_for() -> None:
    with pytest.raises(KeyError, match=r"'a'.*'b'.*'c'"):
        TABLE.find("a", "b", "c")
    with pytest.raises(KeyError, match=r"'a'.*'b'"):
        TABLE.best("a", "b")
    with pytest.raises(KeyError, match="'a'"):
        TABLE.reference_s("a", 1)
    assert TABLE.of("a", "b") == ()


def test_best_is_the_highest_throughput() -> None:
    for model in TABLE.models:
        for hardware in TABLE.hardware:
            if profiles := TABLE.of(model, hardware):
                best = TABLE.best(model, hardware)
                assert best in profiles
                assert best.throughput_sps == max(profile.throughput_sps for profile in profiles)


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 2000])
def test_run_time_is_the_slower_of_throughput_and_batches(samples: int) -> None:
    for profile in TABLE.profiles:
        by_throughput = samples / profile.throughput_sps
        by_batches = ceil(samples / profile.batch) * profile.latency_ms / 1000
        assert profile.run_time_s(samples) == max(by_throughput, by_batches)


def test_table_is_sorted_immutable_and_travels() -> None:
    keys = [(profile.model, profile.hardware, profile.configuration) for profile in TABLE.profiles]
    assert keys == sorted(set(keys))
    assert list(TABLE.hardware) == sorted(TABLE.hardware)
    assert ProfileTable.default() is TABLE
    with pytest.raises(FrozenInstanceError):
        TABLE.profiles = ()  # type: ignore[misc]  # must fail
    assert pickle.loads(pickle.dumps(TABLE)).sha256 == TABLE.sha256


def test_the_least_needs_are_those_that_no_other_configuration_undercuts() -> None:
    for model in TABLE.models:
        for name in TABLE.hardware:
            needs = [(p.cpu_milli, p.memory_mib, p.device_units) for p in TABLE.of(model, name)]
            least = TABLE.least[model].get(name, ())
            assert all(any(all(a <= b for a, b in zip(n, o)) for n in least) for o in needs)
            assert set(least) <= set(needs)
            assert not any(a.beyond(b) for a in least for b in least)
            assert bool(least) == bool(needs)
