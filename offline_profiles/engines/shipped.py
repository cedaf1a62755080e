"""Models to try everything with: real ones from installed packages, and two heavier ones of random weights."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import yaml

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.engines.exported import resnet50, transformer
from synergai.offline_profiles.engines.store import MODEL, SHAPES

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Packaged:
    """A model file within an installed package, which is not imported: it would want opencv and others."""

    package: str
    """As PyPI calls it."""
    ends: str
    """How the file's path ends."""

    def write(self, to: Path) -> None:
        try:
            files = distribution(self.package).files or ()
        except PackageNotFoundError:
            raise EngineError(
                f"{self.package} is not installed, in which {self.ends} lies: pip install 'synergai[models]'"
            ) from None
        found = sorted(str(file.locate()) for file in files if str(file).endswith(self.ends))
        if not found:
            raise EngineError(f"{self.package} {distribution(self.package).version} has no {self.ends}")
        shutil.copyfile(found[-1], to)


@dataclass(frozen=True, slots=True)
class Shipped:
    """One model and how to get it."""

    write: Callable[[Path], None]
    shapes: Shapes


SHIPPED = {
    "magika": Shipped(Packaged("magika", "/model.onnx").write, {}),
    "ppocr-cls": Shipped(Packaged("rapidocr-onnxruntime", "_cls_infer.onnx").write, {"x": (3, 48, 192)}),
    "ppocr-det": Shipped(Packaged("rapidocr-onnxruntime", "_det_infer.onnx").write, {"x": (3, 640, 640)}),
    "ppocr-rec": Shipped(Packaged("rapidocr-onnxruntime", "_rec_infer.onnx").write, {"x": (3, 48, 320)}),
    "resnet50-random": Shipped(resnet50, {}),
    "transformer-random": Shipped(transformer, {}),
}
"""By name. Shapes are those that the packages' own code feeds; of ppocr-det one size of many."""


def write_models(folder: Path, names: Sequence[str] = ()) -> list[Path]:
    """Write these models, or all, into a store, and return their files; one that is there is left as it is."""
    for name in names:
        if name not in SHIPPED:
            raise EngineError(f"model {name!r} is not shipped; shipped are {', '.join(SHIPPED)}")
    return [_write(folder / name, SHIPPED[name]) for name in names or SHIPPED]


def _write(folder: Path, model: Shipped) -> Path:
    made = folder / "1" / MODEL
    if made.exists():
        return made
    made.parent.mkdir(parents=True, exist_ok=True)
    if model.shapes:
        shapes = {name: list(dims) for name, dims in model.shapes.items()}
        (folder / SHAPES).write_text(yaml.safe_dump(shapes), encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as half:
        model.write(Path(half) / MODEL)
        os.replace(Path(half) / MODEL, made)
    return made
