"""ONNX Runtime: on a CPU, and on an NVIDIA GPU where its CUDA provider is installed."""

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any  # the package has no types of its own

import numpy as np

from synergai.offline_profiles.engines.engine import ADAPTERS, EngineError, Input, Setting
from synergai.offline_profiles.engines.quantized import is_quantized
from synergai.offline_profiles.engines.shapes import settle

CUDA = "CUDAExecutionProvider"
DTYPES = {
    "tensor(bool)": np.bool_, "tensor(double)": np.float64, "tensor(float)": np.float32,
    "tensor(float16)": np.float16, "tensor(int16)": np.int16, "tensor(int32)": np.int32,
    "tensor(int64)": np.int64, "tensor(int8)": np.int8, "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32, "tensor(uint64)": np.uint64, "tensor(uint8)": np.uint8,
}  # fmt: skip


class Adapter:
    """Precisions: `fp32`, which is the file as it is, and `int8` on a CPU: a file that was quantized before as it is,
    of another the weights are quantized."""

    name = "onnxruntime"

    def __init__(self) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise EngineError(
                f"onnxruntime is not installed ({error}): pip install 'synergai[engines]', or onnxruntime-gpu"
            ) from None
        self._engine: ModuleType = onnxruntime
        self.version: str = onnxruntime.__version__

    def precisions(self, unit: str) -> Sequence[str]:
        here = unit == "cpu" or CUDA in self._engine.get_available_providers()
        return ADAPTERS[self.name].precisions[unit] if here else ()

    def load(
        self, model: Path, shapes: Mapping[str, Sequence[int]], setting: Setting, cache: Path | None = None
    ) -> "OnnxRuntimeSession":
        if setting.precision not in self.precisions(setting.unit):
            raise EngineError(_not_offered(setting, self.precisions(setting.unit)))
        try:
            file = model
            if setting.precision == "int8" and not is_quantized(model):
                file = _quantized(model, cache or Path(tempfile.gettempdir()), self.version)
            session = self._session(file, setting)
            inputs = session.get_inputs()
            settled = settle(model, {one.name: one.shape for one in inputs}, shapes, setting.batch)
            return OnnxRuntimeSession(session, [_input(model, one, settled[one.name]) for one in inputs])
        except EngineError:
            raise
        except Exception as error:  # the engine raises its own kinds, without a common base
            raise EngineError(f"{model}: onnxruntime {setting.configuration}: {one_line(error)}") from error

    def _session(self, model: Path, setting: Setting) -> Any:
        options = self._engine.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._engine.ExecutionMode.ORT_SEQUENTIAL
        # Waiting threads would spin, and so use up a pod's CPU quota without doing any work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = 4
        if setting.unit == "cpu":
            return self._engine.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        if hasattr(self._engine, "preload_dlls"):
            self._engine.preload_dlls()
        # fp32 is to mean fp32, not the 19 bits of TF32
        providers = [(CUDA, {"use_tf32": "0"}), "CPUExecutionProvider"]
        session = self._engine.InferenceSession(str(model), options, providers=providers)
        if CUDA not in session.get_providers():
            raise EngineError("onnxruntime fell back to the CPU: its CUDA provider does not start")
        return session


class OnnxRuntimeSession:
    """A loaded model."""

    def __init__(self, session: Any, inputs: Sequence[Input]) -> None:
        self._session = session
        self.inputs = inputs

    def run(self, feeds: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        try:
            return self._session.run(None, dict(feeds))
        except Exception as error:  # as in load
            raise EngineError(f"onnxruntime: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """What an engine says, which may be many lines."""
    return " ".join(str(error).split()) or type(error).__name__


def _not_offered(setting: Setting, offered: Sequence[str]) -> str:
    if not offered:
        return f"onnxruntime has no {setting.unit} here; for an NVIDIA GPU, pip install onnxruntime-gpu"
    return f"onnxruntime offers {', '.join(offered)} on a {setting.unit}, not {setting.precision}"


def _input(model: Path, given: Any, shape: tuple[int, ...]) -> Input:
    if given.type not in DTYPES:
        raise EngineError(f"{model}: input {given.name!r} is of type {given.type}, which is not supported")
    return Input(given.name, shape, np.dtype(DTYPES[given.type]))


def _quantized(model: Path, cache: Path, version: str) -> Path:
    """The file with weights of 8 bits; made once per model and version, whoever else makes it at the same time."""
    if not find_spec("onnx"):
        raise EngineError(f"{model}: is not quantized; to do that, onnxruntime needs the package onnx")
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    mark = hashlib.sha256(model.read_bytes() + version.encode()).hexdigest()[:16]
    made = cache / f"onnxruntime-int8-{mark}.onnx"
    if not made.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            ready, half = Path(folder) / "ready.onnx", Path(folder) / "model.onnx"
            # weights that the file keeps as constants become initializers, the only ones that are quantized
            quant_pre_process(model, ready, skip_symbolic_shape=True)
            # unsigned, as the CPU's ConvInteger takes no signed weights
            quantize_dynamic(ready, half, weight_type=QuantType.QUInt8)
            os.replace(half, made)
    return made
