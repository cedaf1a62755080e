"""What an inference engine is to those who measure and run it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np


class Known(NamedTuple):
    """What can be said of an engine where it is not installed."""

    module: str
    """Beside this one, with its adapter, a class `Adapter`."""
    precisions: Mapping[str, Sequence[str]]
    """By unit, those that its adapter runs on some machine, the model's own first."""


ADAPTERS = {
    "onnxruntime": Known("onnx_runtime", {"cpu": ("fp32", "int8"), "gpu": ("fp32",)}),
    "openvino": Known("openvino", dict.fromkeys(("cpu", "gpu"), ("fp32", "fp16", "bf16", "int8"))),
    "tensorrt": Known("tensorrt", {"cpu": (), "gpu": ("fp32", "fp16", "int8")}),
}
"""By engine."""


class EngineError(Exception):
    """One line that names the engine, the file or the setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How an engine runs a model."""

    engine: str
    precision: str
    """`fp32`, `fp16`, `bf16` or `int8`."""
    unit: str
    """`cpu` or `gpu`."""
    threads: int
    """0 where the engine decides."""
    batch: int
    """Samples a query."""

    @property
    def configuration(self) -> str:
        """Its name in the profiles: `onnxruntime-fp32-cpu-t2-b8`."""
        threads = f"-t{self.threads}" if self.threads else ""
        return f"{self.engine}-{self.precision}-{self.unit}{threads}-b{self.batch}"


def runs(setting: Setting) -> bool:
    """Whether an adapter runs it on some machine."""
    known = ADAPTERS.get(setting.engine)
    return known is not None and setting.precision in known.precisions[setting.unit]


class Input(NamedTuple):
    """What a loaded model is fed, the batch included."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


class Session(Protocol):
    """A model that is loaded and takes batches of one size."""

    @property
    def inputs(self) -> Sequence[Input]: ...

    def run(self, feeds: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        """One query; what it gives, with the batch in front. EngineError in the engine's words."""
        ...


class Adapter(Protocol):
    """One engine. Made without arguments; EngineError where it is not installed, with the way to get it."""

    name: str
    version: str

    def precisions(self, unit: str) -> Sequence[str]:
        """What it offers on this machine for `cpu` or `gpu`, the model's own first; empty without such a unit."""
        ...

    def load(
        self, model: Path, shapes: Mapping[str, Sequence[int]], setting: Setting, cache: Path | None = None
    ) -> Session:
        """Ready to run. `shapes` are of one sample, without the batch, by input, for those that the file leaves open.
        `cache` is a folder for what the engine compiles. EngineError names the file and the setting."""
        ...


def adapter(name: str) -> Adapter:
    """The adapter of an engine by its name."""
    if name not in ADAPTERS:
        raise EngineError(f"engine {name!r} is unknown; known are {', '.join(ADAPTERS)}")
    return import_module(f"synergai.offline_profiles.engines.{ADAPTERS[name].module}").Adapter()
