"""Fixtures of measuring."""

from pathlib import Path

import pytest

from synergai.offline_profiles.engines.store import ModelStore
from tests.offline_profiles.measuring.asked import BRIEF


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """One small model."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, number = onnx.helper, onnx.TensorProto.FLOAT
    weights = make.make_tensor("w", number, [64, 64], [0.01] * 4096)
    graph = make.make_graph(
        [make.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [make.make_tensor_value_info("x", number, ["n", 64])],
        [make.make_tensor_value_info("y", number, ["n", 64])], [weights],
    )  # fmt: skip
    folder = tmp_path / "models/small/1"
    folder.mkdir(parents=True)
    made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, folder / "model.onnx")
    return ModelStore(tmp_path / "models")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """--quick is not quick enough for so many tests."""
    monkeypatch.setattr("synergai.offline_profiles.measuring.effort.QUICK", BRIEF)
