"""What people see: rankings, flips, and errors in one line."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from synergai.offline_profiles.cli import app
from synergai.offline_profiles.show import entries, flips, show
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()


def test_entries_are_fastest_first_with_the_best_configuration_of_each_class() -> None:
    found = entries(TABLE, "resnet50", 32)
    assert [one.run_time_s for one in found] == sorted(one.run_time_s for one in found)
    for one in found:
        assert one.run_time_s == min(p.run_time_s(32) for p in TABLE.of("resnet50", one.hardware))


def test_fastest_hardware_changes_with_the_size_of_the_job() -> None:
    fastest = {entries(TABLE, "resnet50", samples)[0].hardware for samples in (1, 2000)}
    assert len(fastest) == 2


def test_flip_is_a_pair_whose_order_changes() -> None:
    found = flips(TABLE, "bert-99")
    assert found
    for flip in found:
        few = {one.hardware: one.run_time_s for one in entries(TABLE, "bert-99", flip.few)}
        many = {one.hardware: one.run_time_s for one in entries(TABLE, "bert-99", flip.many)}
        assert few[flip.winner_at_few] < few[flip.winner_at_many]
        assert many[flip.winner_at_many] < many[flip.winner_at_few]
        assert flip.factor > 1


def test_power_mode_and_size_change_who_is_most_frugal() -> None:
    frugal = {
        samples: min(entries(TABLE, "rnnt", samples), key=lambda one: one.joules_per_sample).hardware
        for samples in (1, 2000)
    }
    assert frugal[1] != frugal[2000]


def test_show_prints_every_class_of_the_model() -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(show(TABLE, "rnnt"))
    text = console.export_text()
    assert all(hardware in text for hardware in TABLE.hardware if TABLE.of("rnnt", hardware))
    assert "flips" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "--model", "no-such-model"],
        ["show", "--model", "resnet50", "--profiles", "no-such-file.csv"],
        ["build", "--sources", "no-such-folder"],
    ],
)
def test_user_errors_are_one_line_and_exit_code_2(arguments: list[str], tmp_path: Path) -> None:
    if arguments[0] == "build":
        arguments = [*arguments, "--out", str(tmp_path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"synergai profiles {arguments[0]}: ")
    assert "no-such" in result.stderr
    assert result.stderr.count("\n") == 1


def test_build_writes_the_shipped_files_elsewhere(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["build", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"hardware.csv", "profiles.csv", "reference.csv"}
    assert len([line for line in result.stdout.splitlines() if len(line.split()[0]) == 64]) == 3
