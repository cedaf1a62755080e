"""Which points a grid has."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.engines.store import ModelFile
from synergai.offline_profiles.measuring.grid import Grid, default_threads, points
from tests.offline_profiles.measuring.results import HOST


class Engine:
    """Offers what it is told to, and loads nothing."""

    version = "1"

    def __init__(self, name: str, *offered: str) -> None:
        self.name, self._offered = name, offered

    def precisions(self, unit: str) -> Sequence[str]:
        return self._offered if unit == "cpu" or self.name == "gpu-engine" else ()

    def load(self, *_: Any) -> Any:
        raise AssertionError("nothing is loaded here")


MODELS = [ModelFile(name, "1", Path(name), {}) for name in ("a", "b")]


def keys(grid: Grid, *engines: Engine) -> list[str]:
    return [point.key for point in points(MODELS[:1], engines, grid, HOST)]


def test_every_combination_is_there_once_models_outermost() -> None:
    grid = Grid(precisions=("fp32",), threads=(2, 1, 2), batches=(1, 8))
    found = [point.key for point in points(MODELS, [Engine("e", "fp32"), Engine("f", "fp32")], grid, HOST)]
    assert len(found) == len(set(found)) == 16
    assert found[:4] == [
        "a:1 e-fp32-cpu-t2-b1",
        "a:1 e-fp32-cpu-t2-b8",
        "a:1 e-fp32-cpu-t1-b1",
        "a:1 e-fp32-cpu-t1-b8",
    ]
    assert [key[0] for key in found] == ["a"] * 8 + ["b"] * 8


def test_without_a_wish_it_is_the_models_own_precision_and_shares_of_the_cores() -> None:
    assert keys(Grid(batches=(1,)), Engine("e", "fp32", "int8")) == [
        f"a:1 e-fp32-cpu-t{threads}-b1" for threads in (1, 2, 4, 8)
    ]


def test_a_precision_is_measured_with_its_own_file(tmp_path: Path) -> None:
    (tmp_path / "model.int8.onnx").touch()
    model = ModelFile("a", "1", tmp_path / "model.onnx", {})
    grid = Grid(precisions=("fp32", "int8"), threads=(1,), batches=(1,))
    found = points([model], [Engine("e", "fp32", "int8")], grid, HOST)
    assert [point.model.path.name for point in found] == ["model.onnx", "model.int8.onnx"]


@pytest.mark.parametrize(
    ("quota_milli", "threads"),
    [(0, (1, 2, 4, 8)), (300, (1,)), (1900, (1,)), (2000, (1, 2)), (99000, (1, 2, 4, 8))],
)
def test_threads_beyond_the_quota_are_not_in_the_grid_by_themselves(
    quota_milli: int, threads: tuple[int, ...]
) -> None:
    assert default_threads(replace(HOST, cpu_quota_milli=quota_milli)) == threads


def test_an_engine_on_a_gpu_has_no_threads() -> None:
    assert keys(Grid(unit="gpu", batches=(4,)), Engine("gpu-engine", "fp32")) == [
        "a:1 gpu-engine-fp32-gpu-b4"
    ]
    with pytest.raises(EngineError, match="--threads"):
        keys(Grid(unit="gpu", threads=(1,)), Engine("gpu-engine", "fp32"))


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (Grid(precisions=("int4",)), "e offers fp32 on a cpu, not int4"),
        (Grid(unit="gpu"), "e finds no gpu here"),
        (Grid(threads=(0,)), "--threads: 0"),
        (Grid(batches=(10_000_000,)), "--batches: 10000000"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(grid: Grid, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        keys(grid, Engine("e", "fp32"))
