"""ONNX files whose arithmetic is of 8 bits."""

from pathlib import Path

MARK = b"DequantizeLinear"
"""The node that every tool writes which quantizes a file ahead of time, by ONNX's specification of operators."""
BLOCK = 1 << 20
NOT_QUANTIZED = "is not quantized, and {} does not do it; put one that is beside it, as model.int8.onnx"


def is_quantized(model: Path) -> bool:
    """Whether such a node is in the file; read by blocks, as the file may be larger than what a pod may use."""
    before = b""
    with model.open("rb") as file:
        while block := file.read(BLOCK):
            if MARK in before + block:
                return True
            before = block[-len(MARK) :]
    return False
