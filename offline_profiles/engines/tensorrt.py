"""TensorRT on an NVIDIA GPU, written against its documented Python API of releases 10 and 11."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any  # neither package has types

import numpy as np

from synergai.offline_profiles.engines.engine import EngineError, Input, Setting
from synergai.offline_profiles.engines.quantized import NOT_QUANTIZED, is_quantized
from synergai.offline_profiles.engines.shapes import Dims, settle

HOW = "pip install tensorrt cuda-python; on a Jetson both come with JetPack's image"


class Adapter:
    """Precisions: `fp32`, which is the file as it is, and `fp16` up to release 10; later ones take the file's alone.
    `int8` is a file that was quantized before, up to release 10 with the rest of it in fp16."""

    name = "tensorrt"

    def __init__(self) -> None:
        try:
            tensorrt, runtime = import_module("tensorrt"), import_module("cuda.bindings.runtime")
        except ImportError as error:
            raise EngineError(f"tensorrt is not installed ({error}): {HOW}") from None
        self._engine: Any = tensorrt
        self._cuda: Any = runtime
        self.version: str = tensorrt.__version__

    def precisions(self, unit: str) -> Sequence[str]:
        status, devices = self._cuda.cudaGetDeviceCount()
        if unit != "gpu" or int(status) or not devices:
            return ()
        return ("fp32", "fp16", "int8") if hasattr(self._engine.BuilderFlag, "FP16") else ("fp32", "int8")

    def load(
        self, model: Path, shapes: Mapping[str, Sequence[int]], setting: Setting, cache: Path | None = None
    ) -> "TensorRtSession":
        offered = self.precisions(setting.unit)
        if setting.precision not in offered:
            has = f"offers {', '.join(offered)}, not {setting.precision}" if offered else "finds no gpu here"
            raise EngineError(f"tensorrt {has}")
        if setting.precision == "int8" and not is_quantized(model):
            raise EngineError(f"{model}: {NOT_QUANTIZED.format(self.name)}")
        logger = self._engine.Logger(self._engine.Logger.ERROR)
        plan = self._plan(model, shapes, setting, cache, logger)
        engine = self._engine.Runtime(logger).deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(f"{model}: tensorrt {setting.configuration}: its engine cannot be loaded")
        return TensorRtSession(self._engine, self._cuda, engine)

    def _plan(
        self,
        model: Path,
        shapes: Mapping[str, Sequence[int]],
        setting: Setting,
        cache: Path | None,
        logger: Any,
    ) -> bytes:
        """The compiled engine: from the cache, or built, which takes minutes."""
        if cache is None:
            return self._built(model, shapes, setting, logger)
        name = f"{self.version} {setting.configuration} {sorted(shapes.items())} {self._device()}"
        mark = hashlib.sha256(model.read_bytes() + name.encode()).hexdigest()[:16]
        made = cache / f"tensorrt-{mark}.plan"
        if not made.exists():
            cache.mkdir(parents=True, exist_ok=True)
            half = made.with_suffix(f".{os.getpid()}")
            half.write_bytes(self._built(model, shapes, setting, logger))
            os.replace(half, made)
        return made.read_bytes()

    def _device(self) -> str:
        """An engine serves the kind of GPU that it was built on alone."""
        return _checked(self._cuda.cudaGetDeviceProperties(0), "the GPU's name").name.decode()

    def _built(
        self, model: Path, shapes: Mapping[str, Sequence[int]], setting: Setting, logger: Any
    ) -> bytes:
        builder = self._engine.Builder(logger)
        network = builder.create_network(0)
        parser = self._engine.OnnxParser(network, logger)
        if not parser.parse_from_file(str(model)):
            raise EngineError(f"{model}: tensorrt cannot read it: {parser.get_error(0).desc()}")
        inputs = [network.get_input(at) for at in range(network.num_inputs)]
        stated: dict[str, Dims] = {one.name: [None if d < 0 else d for d in one.shape] for one in inputs}
        profile, config = builder.create_optimization_profile(), builder.create_builder_config()
        for name, shape in settle(model, stated, shapes, setting.batch).items():
            profile.set_shape(name, shape, shape, shape)
        config.add_optimization_profile(profile)
        for name in {"fp16": ("FP16",), "int8": ("FP16", "INT8")}.get(setting.precision, ()):
            if hasattr(self._engine.BuilderFlag, name):
                config.set_flag(getattr(self._engine.BuilderFlag, name))
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise EngineError(f"{model}: tensorrt {setting.configuration}: the engine could not be built")
        return bytes(plan)


class TensorRtSession:
    """A loaded model. Its buffers on the GPU live as long as the process."""

    def __init__(self, engine: Any, cuda: Any, plan: Any) -> None:
        self._cuda, self._plan, self._context = cuda, plan, plan.create_execution_context()
        self._stream = _checked(cuda.cudaStreamCreate(), "a stream")
        names = [plan.get_tensor_name(at) for at in range(plan.num_io_tensors)]
        given = [name for name in names if plan.get_tensor_mode(name) == engine.TensorIOMode.INPUT]
        dtypes = {name: np.dtype(engine.nptype(plan.get_tensor_dtype(name))) for name in names}
        for name in given:
            self._context.set_input_shape(name, plan.get_tensor_profile_shape(name, 0)[1])
        shapes = {name: tuple(self._context.get_tensor_shape(name)) for name in names}
        self.inputs = [Input(name, shapes[name], dtypes[name]) for name in given]
        self._outputs = [Input(name, shapes[name], dtypes[name]) for name in names if name not in given]
        self._at = {one.name: self._buffer(one) for one in [*self.inputs, *self._outputs]}

    def run(self, feeds: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        kinds = self._cuda.cudaMemcpyKind
        for one in self.inputs:
            fed = np.ascontiguousarray(feeds[one.name], one.dtype)
            self._copy(self._at[one.name], fed.ctypes.data, fed.nbytes, kinds.cudaMemcpyHostToDevice)
        if not self._context.execute_async_v3(int(self._stream)):
            raise EngineError("tensorrt: the query failed")
        _checked(self._cuda.cudaStreamSynchronize(self._stream), "the query")
        given = [np.empty(one.shape, one.dtype) for one in self._outputs]
        for one, array in zip(self._outputs, given):
            self._copy(array.ctypes.data, self._at[one.name], array.nbytes, kinds.cudaMemcpyDeviceToHost)
        return given

    def _buffer(self, one: Input) -> int:
        size = max(1, int(np.prod(one.shape)) * one.dtype.itemsize)
        at = _checked(self._cuda.cudaMalloc(size), f"{size} bytes for {one.name!r}")
        self._context.set_tensor_address(one.name, int(at))
        return int(at)

    def _copy(self, to: int, source: int, size: int, kind: Any) -> None:
        _checked(self._cuda.cudaMemcpy(to, source, size, kind), "a copy")


def _checked(reply: Sequence[Any], what: str) -> Any:
    """What a call gives; EngineError where it failed."""
    status, *value = reply
    if int(status):
        raise EngineError(f"tensorrt: CUDA refused {what}: error {int(status)}")
    return value[0] if value else None
