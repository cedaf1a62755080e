"""A person's own CSV: any nonsense is named with file, line, column and reason, and nothing is loaded by halves."""

import csv
import io
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synergai.cli import app
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import columns, write_rows
from synergai.offline_profiles.table import ProfileError, ProfileTable

TABLE = ProfileTable.default()
T4 = TABLE.find("resnet50", "nvidia-t4", "tensorrt-int8-gpu-b1")
BOARD = Hardware("my-board", "jetson", "nvidia.com/gpu", 4000, 4096, 3.0, "assumed: a guess")
OWN = replace(T4, hardware="my-board", idle_w=0.0)
SCENARIO = """
name: mine
machines: [{name: board, hardware: {my-board: 1}}]
jobs: {resnet50: {share: 1, samples: 20}}
"""


def text_of(**changed: str) -> str:
    """A header, a good row, and a row with some cells changed."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns(Profile), lineterminator="\n")
    writer.writeheader()
    writer.writerow({**asdict(T4), "model": "good"})
    writer.writerow({**asdict(T4), "model": "other", **changed})
    return out.getvalue()


def problems_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(ProfileError) as error:
        ProfileTable.load(path)
    return error.value.problems


CELLS = [
    ("throughput_sps", "1e400", "'1e400' is not finite"),
    ("throughput_sps", "-inf", "'-inf' is not finite"),
    ("throughput_sps", "1e308", "is not from 1e-06 to 1e+09"),
    ("throughput_sps", "1e-300", "is not from 1e-06 to 1e+09"),
    ("throughput_sps", "٣", "is not a number"),
    ("throughput_sps", "0x10", "is not a number"),
    ("throughput_sps", "1,5", "is not a number"),
    ("latency_ms", " 3", "is not a number"),
    ("batch", "9" * 6000, "is not a whole number"),
    ("cpu_milli", "9" * 30, "is not from"),
    ("engine", "two\nlines", "line break"),
    ("source", "a\x00b", "cannot be printed"),
    ("configuration", "x" * 5000, "is not a label value"),
    ("hardware", "no-such-board", "is unknown"),
]


@pytest.mark.parametrize(("column", "cell", "reason"), CELLS)
def test_nonsense_in_a_cell_is_one_short_line(tmp_path: Path, column: str, cell: str, reason: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text_of(**{column: cell}), encoding="utf-8")
    (problem,) = problems_of(file)
    assert problem.startswith(f"{file}, line 3, column {column}: ")
    assert reason in problem
    assert "\n" not in problem
    assert len(problem) < len(str(file)) + 250


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"", "line 1, column ?: not its header"),
        (b"\n\n", "column ?: not its header"),
        (b"model;hardware;batch\nresnet50;nvidia-t4;1\n", "line 1, column ?: not its header"),
        (write_rows(Hardware, [BOARD]).encode(), "line 1, column ?: not its header, with 3 of the columns"),
        (b"\xff\xfem\x00o\x00", "line 1, column ?: not UTF-8 (byte 0xff)"),
        (text_of().encode() + b"caf\xe9", "line 4, column ?: not UTF-8 (byte 0xe9)"),
        (text_of().encode() + b'"never closed', "line 4, column ?: not CSV"),
        (text_of().encode() + b"a,b\n", "line 4, column ?: has fewer fields"),
        (text_of().encode() + b"," * 60 + b"\n", "line 4, column ?: has more fields"),
    ],
)
def test_file_that_is_no_table_is_one_line(tmp_path: Path, data: bytes, place: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(data)
    (problem,) = problems_of(file)
    assert str(file) in problem
    assert place in problem
    assert "\n" not in problem


def test_row_after_a_quoted_line_break_is_counted_from_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text_of(engine="two\nlines") + text_of(batch="0").splitlines()[2] + "\n")
    first, second = problems_of(file)
    assert "line 3, column engine" in first
    assert "line 5, column batch" in second


@pytest.mark.parametrize("spelt", ["\ufeff{}", "{}\n\n"])
def test_marks_of_spreadsheets_do_no_harm(tmp_path: Path, spelt: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(spelt.format(text_of()).replace("\n", "\r\n").encode())
    assert ProfileTable.load(file).of("good", "nvidia-t4")


def test_configuration_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(text_of(cpu_milli="0", device_units="0"))
    assert "line 3, column cpu_milli" in problems_of(file)[0]


@pytest.fixture
def own(tmp_path: Path) -> list[str]:
    """Arguments that name a profile file and a hardware file of a new board; its scenario lies beside them."""
    (tmp_path / "mine.csv").write_text(write_rows(Profile, [OWN]))
    (tmp_path / "boards.csv").write_text(write_rows(Hardware, [BOARD]))
    (tmp_path / "mine.yaml").write_text(SCENARIO)
    return ["--profiles", str(tmp_path / "mine.csv"), "--hardware", str(tmp_path / "boards.csv")]


EVALUATE = "evaluate --scenario mine.yaml --schedulers synergai --load 0.5 --tapes 2 --arrivals 20 --jobs 1"
VERBS = [
    ["scenario", "check", "mine.yaml"],
    ["scenario", "capacity", "mine.yaml"],
    ["simulate", "--scenario", "mine.yaml"],
    EVALUATE.split(),
    ["profiles", "show", "--model", "resnet50"],
]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: " ".join(verb[:2]))
def test_verb_takes_hardware_from_a_persons_own_files(
    verb: list[str], own: list[str], tmp_path: Path
) -> None:
    words = [str(tmp_path / word) if word == "mine.yaml" else word for word in verb]
    done = CliRunner().invoke(app, [*words, *own])
    assert done.exit_code == 0, done.output
    (tmp_path / "mine.csv").write_text(text_of(batch="0"))
    bad = CliRunner().invoke(app, [*words, *own])
    assert bad.exit_code == 2
    assert bad.stdout == ""
    assert f"{tmp_path / 'mine.csv'}, line 3, column batch: 0 must be above 0" in bad.stderr
