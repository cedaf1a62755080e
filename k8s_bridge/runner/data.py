"""What goes into a model and what comes out: .npz files where the job names some, else made up by a seed."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import numpy as np

from synergai.k8s_bridge.runner.refusal import Refusal, Status
from synergai.offline_profiles.engines.engine import Input
from synergai.offline_profiles.engines.samples import feeds

SEED = 0
OUTPUTS = "outputs.npz"
"""In a folder that is the output."""


class Source(Protocol):
    """Where samples come from."""

    def batch(self, first: int, count: int) -> Mapping[str, np.ndarray]:
        """`count` samples from number `first` on, filled up to the batch of the model."""
        ...


class MadeUp:
    """The same batch again and again: what it costs does not depend on what is in it."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._feeds = feeds(inputs, SEED)

    def batch(self, first: int, count: int) -> Mapping[str, np.ndarray]:
        return self._feeds


class Given:
    """An array per input, all samples in memory."""

    def __init__(self, arrays: Mapping[str, np.ndarray], inputs: Sequence[Input]) -> None:
        """`arrays`: (n_samples, ...) by input."""
        self._arrays = arrays
        self._inputs = inputs

    def batch(self, first: int, count: int) -> Mapping[str, np.ndarray]:
        return {one.name: self._of(one, first, count) for one in self._inputs}

    def _of(self, one: Input, first: int, count: int) -> np.ndarray:
        array = self._arrays[one.name]
        return _filled(array[first : first + count], one) if one.shape else np.asarray(array, one.dtype)


def _filled(given: np.ndarray, one: Input) -> np.ndarray:
    """The last sample is repeated, so that a batch is full and all of its values are possible ones."""
    missing = one.shape[0] - len(given)
    full = np.concatenate([given, np.repeat(given[-1:], missing, axis=0)]) if missing else given
    return np.ascontiguousarray(full, one.dtype)


def source(uri: str, inputs: Sequence[Input], samples: int) -> Source:
    """Of `samples` samples; Refusal names the file and the input."""
    if not uri:
        return MadeUp(inputs)
    path = local(uri, "SYNERGAI_INPUT_URI")
    files = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not files:
        raise Refusal(Status.DATA, f"{path}: there is no .npz file in it")
    return Given({one.name: _array(path, files, one, samples) for one in inputs}, inputs)


def _array(path: Path, files: Sequence[Path], one: Input, samples: int) -> np.ndarray:
    parts: list[np.ndarray] = []
    found = 0
    if not one.shape:
        return _read(files[0], one)  # the same for all samples
    for file in files:
        if found < samples:
            parts.append(_read(file, one))
            found += len(parts[-1])
    if found < samples:
        raise Refusal(
            Status.DATA, f"{path}: {found} samples of input {one.name!r}, and {samples} are to be run"
        )
    return np.concatenate(parts)[:samples] if len(parts) > 1 else parts[0][:samples]


def _read(file: Path, one: Input) -> np.ndarray:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            if one.name not in arrays:
                there = ", ".join(sorted(arrays)) or "none"
                raise Refusal(Status.DATA, f"{file}: no array {one.name!r} in it; there are: {there}")
            array = arrays[one.name]
    except Refusal:
        raise
    except Exception as error:  # zip, zlib, struct and numpy have their own kinds for a file that is damaged
        raise Refusal(Status.DATA, f"{file}: cannot be read as .npz: {error}") from error
    if array.ndim != len(one.shape) or array.shape[1:] != one.shape[1:]:
        shape = ", ".join(["samples", *map(str, one.shape[1:])] if one.shape else [])
        raise Refusal(Status.DATA, f"{file}: {one.name!r} is of shape {array.shape}; expected ({shape})")
    if not np.can_cast(array.dtype, one.dtype, "same_kind"):
        raise Refusal(Status.DATA, f"{file}: {one.name!r} is of {array.dtype}; expected {one.dtype}")
    return array


def local(uri: str, variable: str) -> Path:
    """The path of a file:// URI; Refusal for any other."""
    try:
        parts = urlsplit(uri)
        path = unquote(parts.path)
    except ValueError as error:
        raise Refusal(Status.DATA, f"{variable} is {uri[:80]!r}: {error}") from error
    if (
        parts.scheme != "file"
        or parts.netloc not in ("", "localhost")
        or not path.startswith("/")
        or "\0" in path
    ):
        raise Refusal(
            Status.DATA, f"{variable} is {uri[:80]!r}; this runner reads and writes file:///PATH alone"
        )
    return Path(path)


class Sink:
    """Keeps what comes out, where somebody wants it."""

    def __init__(self, uri: str) -> None:
        self._path = local(uri, "SYNERGAI_OUTPUT_URI") if uri else None
        self._kept: list[Sequence[np.ndarray]] = []

    def take(self, outputs: Sequence[np.ndarray], count: int) -> None:
        """The first `count` samples of a batch."""
        if self._path is not None:
            self._kept.append([np.atleast_1d(one)[:count].copy() for one in outputs])

    def write(self) -> None:
        """`output_0`, `output_1`, ... of (n_samples, ...); whole or not at all, and the same if done twice."""
        if self._path is None:
            return
        path = self._path / OUTPUTS if self._path.is_dir() else self._path
        try:
            arrays = {f"output_{k}": np.concatenate(parts) for k, parts in enumerate(zip(*self._kept))}
            descriptor, half = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:64]}-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type] - names are ours, none is `allow_pickle`
                os.chmod(half, 0o644)
                os.replace(half, path)
            except BaseException:
                os.unlink(half)
                raise
        except (OSError, ValueError) as error:
            raise Refusal(Status.DATA, f"{path}: the output cannot be written: {error}") from error
