"""A folder of models: `NAME/VERSION/model.onnx`, and `NAME/shapes.yaml` where the file leaves dimensions open.

`model.int8.onnx` beside it, where there is one, is what `int8` runs, and so on.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.rows import LABEL

MODEL, SHAPES = "model.onnx", "shapes.yaml"
MOST = 2**31 - 1
"""Of a dimension."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that is there."""

    name: str
    version: str
    path: Path
    shapes: Mapping[str, tuple[int, ...]]
    """Of one sample, without the batch, by input; empty where the file says all."""

    @property
    def mib(self) -> float:
        """Size in MiB."""
        return self.path.stat().st_size / 2**20

    def of(self, precision: str) -> "ModelFile":
        """What this precision runs: a file of its own, where there is one."""
        path = self.path.with_name(f"{self.path.stem}.{precision}{self.path.suffix}")
        return replace(self, path=path) if path.is_file() else self

    def sha256(self) -> str:
        """Of the model file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True)
class ModelStore:
    """Laid out as Triton's model repository, so one folder may serve both."""

    folder: Path

    def find(self, name: str, version: str = "1") -> ModelFile:
        """EngineError names what is missing, and what is there instead."""
        here = self.models()
        for given, what in ((name, "model"), (version, "version")):
            if not LABEL.fullmatch(given):
                raise EngineError(f"{given!r} is not a name of a {what} (letters, digits, '-', '_', '.')")
        versions = [found for known, found in here if known == name]
        if not versions:
            names = ", ".join(dict.fromkeys(known for known, _ in here)) or "none"
            raise EngineError(f"{self.folder}: no model {name!r} there; there are: {names}")
        if version not in versions:
            raise EngineError(
                f"{self.folder / name}: no version {version!r} there; there are: {', '.join(versions)}"
            )
        return ModelFile(name, version, self.folder / name / version / MODEL, self._shapes(name))

    def chosen(self, names: Sequence[str]) -> list[ModelFile]:
        """Those of NAME or NAME:VERSION, each once; of none, all that there are. EngineError where that is nothing."""
        wanted = names or [f"{name}:{version}" for name, version in self.models()]
        if not wanted:
            raise EngineError(f"{self.folder}: no models there (NAME/VERSION/model.onnx)")
        parts = [name.partition(":") for name in dict.fromkeys(wanted)]
        return [self.find(name, version or "1") for name, _, version in parts]

    def models(self) -> tuple[tuple[str, str], ...]:
        """(name, version) of each, in order."""
        if not self.folder.is_dir():
            raise EngineError(f"{self.folder}: is no folder of models")
        found = [path.parent for path in self.folder.glob(f"*/*/{MODEL}") if path.is_file()]
        return tuple(sorted((path.parent.name, path.name) for path in found))

    def _shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        path = self.folder / name / SHAPES
        if not path.exists():
            return {}
        import yaml  # which a pod whose model needs none would wait for

        try:
            given = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError, ValueError) as error:
            raise EngineError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
        if given is None:
            return {}
        if not isinstance(given, dict) or not all(isinstance(one, str) for one in given):
            raise EngineError(f"{path}: is not a list of inputs, as `input: [3, 224, 224]`")
        return {one: _dims(path, one, dims) for one, dims in given.items()}


def _dims(path: Path, name: str, given: object) -> tuple[int, ...]:
    if isinstance(given, list) and all(type(one) is int and 0 < one <= MOST for one in given):
        return tuple(given)
    raise EngineError(f"{path}, {name}: {given!r} is not a list of whole numbers above 0, as [3, 224, 224]")
