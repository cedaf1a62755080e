"""OpenVINO: on CPUs, and on Intel's GPUs where their driver is installed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any  # the package's types are those of its compiled part

import numpy as np

from synergai.offline_profiles.engines.engine import ADAPTERS, EngineError, Input, Setting
from synergai.offline_profiles.engines.quantized import NOT_QUANTIZED, is_quantized
from synergai.offline_profiles.engines.shapes import Dims, settle

HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16", "int8": "f32"}
"""Precision of the arithmetic; of `int8`, that of the layers that the file leaves as they are."""


class Adapter:
    """Precisions: those that the device computes in, whatever the file's weights are stored in; for `int8` it must be
    a file that was quantized before."""

    name = "openvino"

    def __init__(self) -> None:
        try:
            import openvino
        except ImportError as error:
            raise EngineError(
                f"openvino is not installed ({error}): pip install 'synergai[engines]'"
            ) from None
        self._engine: ModuleType = openvino
        self.version: str = openvino.__version__.split("-")[0]

    def precisions(self, unit: str) -> Sequence[str]:
        core, device = self._engine.Core(), unit.upper()
        if not any(one.split(".")[0] == device for one in core.available_devices):
            return ()
        able = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
        return tuple(name for name in ADAPTERS[self.name].precisions[unit] if name.upper() in able)

    def load(
        self, model: Path, shapes: Mapping[str, Sequence[int]], setting: Setting, cache: Path | None = None
    ) -> "OpenVinoSession":
        offered = self.precisions(setting.unit)
        if setting.precision not in offered:
            has = f"offers {', '.join(offered)} on a {setting.unit}, not {setting.precision}"
            raise EngineError(f"openvino {has if offered else f'finds no {setting.unit} here'}")
        try:
            return self._load(model, shapes, setting, cache)
        except EngineError:
            raise
        except Exception as error:  # RuntimeError, and at times others, of its compiled part
            raise EngineError(f"{model}: openvino {setting.configuration}: {_last_line(error)}") from error

    def _load(
        self, model: Path, shapes: Mapping[str, Sequence[int]], setting: Setting, cache: Path | None
    ) -> "OpenVinoSession":
        core = self._engine.Core()
        if cache is not None:
            core.set_property({"CACHE_DIR": str(cache)})
        network = core.read_model(model)
        if setting.precision == "int8" and not is_quantized(model):
            raise EngineError(f"{model}: {NOT_QUANTIZED.format(self.name)}")
        settled = settle(
            model, {one.get_any_name(): _dims(one) for one in network.inputs}, shapes, setting.batch
        )
        inputs = [
            Input(
                one.get_any_name(), settled[one.get_any_name()], np.dtype(one.get_element_type().to_dtype())
            )
            for one in network.inputs
        ]
        network.reshape({name: list(shape) for name, shape in settled.items()})
        compiled = core.compile_model(network, setting.unit.upper(), _properties(setting))
        if setting.unit == "cpu" and setting.threads:
            given = compiled.get_property("INFERENCE_NUM_THREADS")
            if given != setting.threads:
                raise EngineError(f"{model}: openvino takes {given} threads here, not {setting.threads}")
        return OpenVinoSession(compiled.create_infer_request(), inputs)


class OpenVinoSession:
    """A loaded model."""

    def __init__(self, request: Any, inputs: Sequence[Input]) -> None:
        self._request = request
        self.inputs = inputs

    def run(self, feeds: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        try:
            return list(self._request.infer(dict(feeds), share_inputs=True).values())
        except Exception as error:  # as in load
            raise EngineError(f"openvino: {_last_line(error)}") from error


def _properties(setting: Setting) -> dict[str, object]:
    found: dict[str, object] = {"INFERENCE_PRECISION_HINT": HINTS[setting.precision], "NUM_STREAMS": 1}
    if setting.unit == "cpu":
        # Pinned, the threads of each process on a node would sit on the same first cores.
        found["ENABLE_CPU_PINNING"] = False
        if setting.threads:
            found["INFERENCE_NUM_THREADS"] = setting.threads
    return found


def _dims(given: Any) -> Dims:
    shape = given.get_partial_shape()
    if shape.rank.is_dynamic:
        raise EngineError(f"input {given.get_any_name()!r} does not say how many dimensions it has")
    return [one.get_length() if one.is_static else None for one in shape]


def _last_line(error: Exception) -> str:
    """The lines before name places in OpenVINO's own source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("Exception from ")]
    return " ".join(said) or type(error).__name__
