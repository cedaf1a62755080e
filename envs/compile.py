"""The decorator of every compiled function of the core.

Numba's own cache looks at one source file per function and would go on using a kernel whose callee in another file
has changed. The cache folder is therefore named after the sources of all kernels.
"""

import hashlib
import os
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def _sources_hash() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    for package in ("envs", "agents"):
        for file in sorted((resources.files("synergai") / package).iterdir(), key=lambda entry: entry.name):
            if file.name.endswith(".py") and b"kernel\n" in (source := file.read_bytes()):
                digest.update(source)
    return digest.hexdigest()[:16]


def _cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "synergai" / "kernels"


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(_cache_root() / _sources_hash())  # type: ignore[attr-defined] - set at run time


def kernel(function: F) -> F:
    """Compile for one thread, without fast-math: equal seeds give equal trajectories.

    `_nrt=False`: kernels allocate nothing, so arrays need no reference counts (they took most of the time).
    """
    return numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)  # type: ignore[call-overload] - undocumented option


def small_kernel(function: F) -> F:
    """The same, written into whoever calls it: handing over a state costs more than a short function does."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)(function)  # type: ignore[call-overload] - undocumented options
