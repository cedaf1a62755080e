"""The decorator of every compiled function of the core.

Numba's own cache looks at one source file per function and would go on using a kernel whose callee in another file
has changed. The cache folder is therefore named after the sources of all kernels; and by them alone, wherever they lie,
so that a second clone or environment on a machine compiles nothing.
"""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.caching import CacheImpl, FunctionCache, UserProvidedCacheLocator

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


class SharedLocator(UserProvidedCacheLocator):
    """Where a kernel's cache is: in a folder named after the text of its file, in the one of all kernels."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        """None for what is not ours."""
        return super().from_function(py_func, py_file) if py_func.__module__.startswith("synergai.") else None

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        return _text_name(Path(py_file))


@cache
def _text_name(file: Path) -> str:
    return f"{file.parent.name}-{file.stem}-{hashlib.sha256(file.read_bytes()).hexdigest()[:16]}"


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(_cache_root() / _sources_hash())  # type: ignore[attr-defined] - set at run time
    # numba's own behind ours: for functions that are not ours, and where that folder cannot be written
    numba.config.CACHE_LOCATOR_CLASSES = ",".join(  # type: ignore[attr-defined] - set at run time
        [f"{__name__}.SharedLocator", *(locator.__name__ for locator in CacheImpl._locator_classes)]
    )


class SharedCache(FunctionCache):
    """Numba's, which one process at a time writes: of two that compile the same kernels one would forget what the other
    has written, or give its file to another signature."""

    def _save_overload(self, sig: Any, data: Any) -> None:
        self._impl.locator.ensure_cache_path()
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # no locks here, or a cache of links into a read-only image
                lock = stack.enter_context((Path(self.cache_path) / "lock").open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            super()._save_overload(sig, data)


def kernel(function: F) -> F:
    """Compile for one thread, without fast-math: equal seeds give equal trajectories.

    `_nrt=False`: kernels allocate nothing, so arrays need no reference counts (they took most of the time).
    """
    return _compiled(function)


def small_kernel(function: F) -> F:
    """The same, written into whoever calls it: handing over a state costs more than a short function does."""
    return _compiled(function, forceinline=True)


def _compiled(function: F, **more: bool) -> F:
    made: Any = numba.njit(nogil=True, error_model="numpy", _nrt=False, **more)(function)  # type: ignore[call-overload] - undocumented options
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined] - set at run time
        made._cache = SharedCache(made.py_func)  # what `cache=True` does with numba's own
    return made
