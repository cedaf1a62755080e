"""ONNX files that take no time: y = x W, of any batch, and variants that do not load."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def write(path: Path, batch: int | str | None = "batch", width: int | str | None = 4) -> Path:
    """`x` of (batch, width) to `y` of (batch, 3)."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def store(folder: Path, *names: str) -> Path:
    """A folder of models with these, all alike."""
    for name in names or ("tiny",):
        write(folder / name / "1" / "model.onnx")
    return folder
