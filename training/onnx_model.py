"""The scorer as an ONNX model, for whoever serves policies by other means; the bridge does not read it.

Inputs are a batch of candidate lists as `envs.candidates` fills them: 128 places a list, of which the first `count` are
real, and the mask of the 129 actions. Outputs are what `agents.scorer` gives: logits, -inf where masked, and the first
action of the largest one.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from synergai import __version__
from synergai.agents.scorer import Weights
from synergai.envs.candidates import MAX_CANDIDATES, N_ACTIONS
from synergai.envs.features import FIRST_PICK, N_CANDIDATE, N_GLOBAL, N_ROW, schema_hash

ONNX_FILE = "policy.onnx"
OPSET, IR_VERSION = 23, 11
"""Of 2025: newer than what the model needs, older than most runtimes in use."""
FLOAT, INT32, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL
INPUTS: dict[str, tuple[int, list[int | str]]] = {
    "rows": (FLOAT, ["batch", MAX_CANDIDATES, N_ROW]),
    "job": (INT32, ["batch", MAX_CANDIDATES]),
    "klass": (INT32, ["batch", MAX_CANDIDATES]),
    "shared": (FLOAT, ["batch", N_GLOBAL]),
    "count": (INT32, ["batch", 1]),
    "mask": (BOOL, ["batch", N_ACTIONS]),
}
OUTPUTS: dict[str, tuple[int, list[int | str]]] = {
    "logits": (FLOAT, ["batch", N_ACTIONS]),
    "action": (INT64, ["batch"]),
}


def write_onnx(weights: Weights, path: Path) -> str:
    """Write the model; returns its sha256."""
    content = model(weights).SerializeToString(deterministic=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def model(weights: Weights) -> onnx.ModelProto:
    """The checked model of these weights."""
    graph = _Graph()
    _scorer(graph, weights)
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "candidate-scorer",
            [helper.make_tensor_value_info(name, *kind) for name, kind in INPUTS.items()],
            [helper.make_tensor_value_info(name, *kind) for name, kind in OUTPUTS.items()],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="synergai",
        producer_version=__version__,
    )
    helper.set_model_props(made, {"features": schema_hash()})
    onnx.checker.check_model(made, full_check=True)
    return made


class _Graph:
    """Nodes and constants under numbered names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def number(self, value: str) -> str:
        return self.op("Cast", value, to=FLOAT)

    def product(self, value: str, matrix: np.ndarray) -> str:
        return self.op("MatMul", value, self.constant(matrix))

    def total(self, *values: str) -> str:
        first, *rest = values
        for value in rest:
            first = self.op("Add", first, value)
        return first


def _scorer(graph: _Graph, weights: Weights) -> None:
    """The network of `agents.scorer` over padded lists.

    Embeddings of places that are not real are set to zero and none is negative, so sums and maxima run over all places.
    """
    op, product, constant = graph.op, graph.product, graph.constant
    middle, last, one = constant([1], np.int64), constant([-1], np.int64), constant(1.0)
    real = graph.number(op("Less", constant(np.arange(MAX_CANDIDATES), np.int32), "count"))

    shared = op("Unsqueeze", product("shared", weights.shared), middle)
    summed = graph.total(product("rows", weights.row), shared, constant(weights.bias))
    embedded = op("Mul", op("Relu", summed), op("Unsqueeze", real, last))

    def group_mean(keys: str) -> str:
        """For every place the mean over the real ones with its key. (batch, 128, H)"""
        same = op("Equal", op("Unsqueeze", keys, last), op("Unsqueeze", keys, middle))
        member = op("Mul", graph.number(same), op("Unsqueeze", real, middle))
        size = op("Max", op("ReduceSum", member, last), one)
        return op("Div", op("MatMul", member, embedded), size)

    count = op("Max", graph.number("count"), one)
    mean = op("Div", op("ReduceSum", embedded, middle, keepdims=0), count)
    whole = op("Concat", mean, op("ReduceMax", embedded, middle, keepdims=0), axis=1)

    done = graph.total(
        product(whole, weights.done), product("shared", weights.done_shared), constant(weights.done_bias)
    )
    picked = op("Slice", "rows", *(constant([k], np.int64) for k in (FIRST_PICK, N_CANDIDATE, 2)))
    picked = op("Mul", picked, op("Unsqueeze", real, last))
    unpicked = op("Sub", one, op("ReduceMax", picked, middle, keepdims=0))
    done = graph.total(
        product(op("Relu", done), weights.done_out[:, None]),
        constant(weights.offsets[1:]),
        product(unpicked, weights.prior[:, None]),
    )

    base = graph.total(product(whole, weights.pool_all), constant(weights.bias2))
    hidden = graph.total(
        product(embedded, weights.own),
        op("Unsqueeze", base, middle),
        product(group_mean("job"), weights.pool_job),
        product(group_mean("klass"), weights.pool_class),
    )
    scores = graph.total(
        product(op("Relu", hidden), weights.out[:, None]), product(picked, weights.prior[:, None])
    )
    scores = graph.total(op("Squeeze", scores, last), constant(weights.offsets[0]))

    logits = op("Concat", scores, done, axis=1)
    op("Where", "mask", logits, constant(-np.inf), output="logits")
    op("ArgMax", "logits", output="action", axis=1, keepdims=0)
