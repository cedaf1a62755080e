"""A journal: what is finished stays, what no longer fits is refused, and no damage goes unnoticed."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.measuring.effort import QUICK, Effort
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.journal import Journal, conditions
from tests.offline_profiles.measuring.results import HOST, RESULT, point


@pytest.fixture
def grid(tmp_path: Path) -> tuple[Point, ...]:
    return tuple(point(tmp_path / "models", batch=batch) for batch in (1, 2, 3))


def wanted(grid: tuple[Point, ...], **changed: Any) -> Mapping[str, Any]:
    given: dict[str, Any] = {
        "host": HOST, "hardware": "x", "effort": Effort(), "versions": {"onnxruntime": "1"}, **changed,
    }  # fmt: skip
    return conditions(grid, **given)


def begun(path: Path, grid: tuple[Point, ...], finished: int = 2) -> bytes:
    with Journal.open(path, wanted(grid), anew=True) as journal:
        for one in grid[:finished]:
            journal.add(one, RESULT)
    return path.read_bytes()


def test_what_is_finished_is_there_the_next_time(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    begun(path, grid)
    with Journal.open(path, wanted(grid), anew=False) as journal:
        assert journal.results == {one.key: RESULT for one in grid[:2]}
        journal.add(grid[2], RESULT)
    with Journal.open(path, wanted(grid), anew=False) as journal:
        assert len(journal.results) == 3
        journal.done()
    assert not path.exists()


def test_a_line_that_was_cut_short_is_measured_again(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    whole = begun(path, grid)
    first, second = whole.index(b"\n") + 1, whole.rindex(b"\n", 0, -1) + 1
    for length in (second + 1, len(whole) - 1, second, first + 5):
        path.write_bytes(whole[:length])
        with Journal.open(path, wanted(grid), anew=False) as journal:
            assert list(journal.results) == [grid[0].key][: length >= second]
            journal.add(grid[1], RESULT)
        with Journal.open(path, wanted(grid), anew=False) as journal:
            assert grid[1].key in journal.results


def test_a_first_line_that_was_cut_short_starts_again(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    path.write_bytes(begun(path, grid)[:20])
    with Journal.open(path, wanted(grid), anew=False) as journal:
        assert not journal.results
    assert path.read_bytes() == begun(tmp_path / "k", grid, finished=0)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"hardware": "y"}, "hardware class ('x', now 'y')"),
        ({"effort": QUICK}, "effort (least_runs, most_s, precision, run_s, starts)"),
        ({"versions": {"onnxruntime": "2"}}, "versions (onnxruntime)"),
        ({"host": replace(HOST, memory_mib=1)}, "host (memory_mib)"),
        ({"host": replace(HOST, cpu_quota_milli=500, kernel="7")}, "host (cpu_quota_milli, kernel)"),
    ],
)
def test_other_conditions_are_told_and_refused(
    tmp_path: Path, grid: tuple[Point, ...], changed: dict[str, Any], said: str
) -> None:
    path = tmp_path / "j"
    before = begun(path, grid)
    with pytest.raises(EngineError) as raised:
        Journal.open(path, wanted(grid, **changed), anew=False)
    assert f"was begun under other conditions: {said}; --anew starts again" in str(raised.value)
    assert path.read_bytes() == before
    with Journal.open(path, wanted(grid, **changed), anew=True) as journal:
        assert not journal.results


def test_another_grid_is_told_and_refused(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    begun(path, grid)
    with pytest.raises(EngineError, match=r"grid \(1 points gone\)"):
        Journal.open(path, wanted(grid[:2]), anew=False)
    with pytest.raises(EngineError, match=r"grid \(another order\)"):
        Journal.open(path, wanted(grid[::-1]), anew=False)


def test_another_model_file_is_told_and_refused(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    begun(path, grid)
    grid[0].model.path.write_bytes(b"trained again")
    with pytest.raises(EngineError, match=r"model files \(tiny:1\)"):
        Journal.open(path, wanted(grid), anew=False)


def test_another_file_of_a_precision_is_told_and_refused(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path, own = tmp_path / "j", grid[0].model.path.with_name("model.int8.onnx")
    own.write_bytes(b"of 8 bits")
    both = (*grid, Point(grid[0].model.of("int8"), replace(grid[0].setting, precision="int8")))
    begun(path, both)
    own.write_bytes(b"quantized again")
    with pytest.raises(EngineError, match=r"model files \(tiny:1 model\.int8\.onnx\)"):
        Journal.open(path, wanted(both), anew=False)


def test_a_damaged_key_is_told_on_one_line(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    path.write_bytes(begun(path, grid).replace(b'"kernel"', b'"ke\\nel"', 1))
    with pytest.raises(EngineError, match="host") as raised:
        Journal.open(path, wanted(grid), anew=False)
    assert "\n" not in str(raised.value)


def test_two_runs_do_not_write_one_journal(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    path = tmp_path / "j"
    with Journal.open(path, wanted(grid), anew=False) as journal:
        journal.add(grid[0], RESULT)
        before = path.read_bytes()
        for anew in (False, True):
            with pytest.raises(EngineError, match="is being written by another run"):
                Journal.open(path, wanted(grid), anew)
        assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, grid: tuple[Point, ...]) -> None:
    with pytest.raises(EngineError, match="nowhere/j: cannot be written"):
        Journal.open(tmp_path / "nowhere" / "j", wanted(grid), anew=False)


@given(data=st.data())
def test_a_damaged_journal_is_read_or_refused_in_one_line(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    grid = tuple(point(folder, batch=batch) for batch in (1, 2))
    path = folder / "j"
    whole = bytearray(begun(path, grid))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(whole))
    said = ""
    try:
        with Journal.open(path, wanted(grid), anew=False):
            for line in path.read_text(errors="replace").splitlines():
                assert isinstance(json.loads(line), dict)
    except EngineError as error:
        said = str(error)
    assert not said or ("\n" not in said and str(path) in said and "--anew" in said)
