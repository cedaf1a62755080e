"""Where compiled kernels are kept."""

import fcntl
import threading
from pathlib import Path
from typing import Any

import pytest
from numba.core import config

from synergai.envs.compile import SharedLocator, kernel
from synergai.envs.simplex import clear

KERNEL: Any = clear


def folder_of(file: Path) -> str:
    locator = SharedLocator.from_function(KERNEL.py_func, str(file))
    assert locator is not None
    return locator.get_cache_path()


def written(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    file = folder / "simplex.py"
    file.write_text(text)
    return file


def test_kernels_of_the_same_text_share_a_folder_wherever_they_lie_and_those_of_another_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    one, clone = written(tmp_path / "a" / "envs", "x = 1\n"), written(tmp_path / "b" / "envs", "x = 1\n")
    changed = written(tmp_path / "c" / "envs", "x = 2\n")
    assert folder_of(one) == folder_of(clone) != folder_of(changed)


def test_kernels_are_kept_there() -> None:
    assert Path(KERNEL._cache.cache_path).name.startswith("envs-simplex-")


def test_functions_of_others_are_kept_where_numba_has_them() -> None:
    def theirs() -> None: ...

    theirs.__module__ = "elsewhere"
    assert SharedLocator.from_function(theirs, __file__) is None


def test_a_cache_that_another_process_writes_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

    def twice(x: int) -> int:
        return x + x

    mine: Any = kernel(twice)
    folder = Path(mine._cache.cache_path)
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compiling = threading.Thread(target=mine, args=(3,))
        compiling.start()
        compiling.join(2.0)
        assert compiling.is_alive()
        assert not list(folder.glob("*.nb?"))
    compiling.join()
    assert len(list(folder.glob("*.nb?"))) == 2


def test_where_nothing_can_be_locked_kernels_are_kept_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path))

    def thrice(x: int) -> int:
        return 3 * x

    mine: Any = kernel(thrice)
    folder = Path(mine._cache.cache_path)
    (folder / "lock").mkdir()
    assert mine(3) == 9
    assert len(list(folder.glob("*.nb?"))) == 2
