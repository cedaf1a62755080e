"""ONNX files that take no time: y = x W, of any batch, and variants that do not load."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

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


def quantized(model: Path, sample: Mapping[str, np.ndarray]) -> Path:
    """A file of 8 bits beside it, with the nodes and the name that engines look for."""
    path = model.with_name("model.int8.onnx")
    quantize_static(
        model, path, Calibration(iter([sample])), QuantFormat.QDQ, op_types_to_quantize=["Conv", "MatMul"]
    )
    return path


class Calibration(CalibrationDataReader):
    """These samples."""

    def __init__(self, samples: Iterator[Mapping[str, np.ndarray]]) -> None:
        self._samples = samples

    def get_next(self) -> dict[str, np.ndarray] | None:  # type: ignore[override] - the package says dict alone
        found = next(self._samples, None)
        return None if found is None else dict(found)


def store(folder: Path, *names: str) -> Path:
    """A folder of models with these, all alike."""
    for name in names or ("tiny",):
        write(folder / name / "1" / "model.onnx")
    return folder
