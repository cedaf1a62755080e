"""The picture of a model: who leads at which size, and a file that can be read."""

from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synergai.offline_profiles.cli import app
from synergai.offline_profiles.picture import Lead, apart, leads

PNG = b"\x89PNG\r\n\x1a\n"


def test_leads_change_where_another_class_takes_less() -> None:
    lines = {"board": {1: 1.0, 2: 1.0, 4: 1.0}, "server": {1: 3.0, 2: 2.0, 4: 0.5}}
    assert leads(lines) == [Lead("board", 1, 2), Lead("server", 4, 4)]


def test_names_keep_their_order_and_do_not_lie_on_each_other() -> None:
    places = apart([0.0, 0.0, 0.0, 0.01, 0.02, 0.5, 0.97, 0.99, 1.0])
    assert min(above - below for below, above in pairwise(places)) > 0.035
    assert places[0] >= 0.0
    assert places[-1] <= 1.0


@pytest.mark.parametrize("model", ["bert-99", "mobilenet-v1"])
def test_show_writes_a_picture_too(model: str, tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    done = CliRunner().invoke(app, ["show", "--model", model, "--plot", str(file)])
    assert done.exit_code == 0, done.output
    assert file.read_bytes().startswith(PNG)
    assert f"written: {file}" in done.stdout


@pytest.mark.parametrize("name", ["picture.txt", "picture", "no-such-folder/picture.png"])
def test_picture_that_cannot_be_written_is_one_line(name: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["show", "--model", "bert-99", "--plot", str(tmp_path / name)])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"synergai profiles show: {tmp_path / name}: ")
    assert done.stderr.count("\n") == 1
