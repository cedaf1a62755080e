"""A CPU quota for one process, as a pod's limit is one: a control group of its own, version 1 or 2."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from synergai.offline_profiles.engines.engine import EngineError

PERIOD_US = 100_000
"""The kubelet's: https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/"""


@contextmanager
def limited(pid: int, milli: int, root: Path = Path("/")) -> Iterator[None]:
    """Hold a process and its threads to so many milli-CPU; it must have ended when this does.

    EngineError where this user may make no control group, or none with a quota.
    """
    mount = root / "sys/fs/cgroup"
    second = (mount / "cgroup.controllers").exists()
    folder = (mount if second else mount / "cpu") / f"synergai-{os.getpid()}-{pid}"
    try:
        folder.mkdir()
        _set(folder, pid, milli, second)
    except OSError as error:
        _remove(folder)
        why = f"{error.filename or folder}: {error.strerror or error}"
        raise EngineError(
            f"--quotas: no CPU quota can be set ({why}); it needs root and a control group of the CPU"
        ) from error
    try:
        yield
    finally:
        _remove(folder)


def _set(folder: Path, pid: int, milli: int, second: bool) -> None:
    quota_us = milli * PERIOD_US // 1000
    if second:
        _write(folder / "cpu.max", f"{quota_us} {PERIOD_US}")
    else:
        _write(folder / "cpu.cfs_period_us", str(PERIOD_US))
        _write(folder / "cpu.cfs_quota_us", str(quota_us))
    _write(folder / "cgroup.procs", str(pid))


def _write(file: Path, text: str) -> None:
    """The kernel's own files; one that is not there is not made."""
    with file.open("r+", encoding="ascii") as opened:
        opened.write(text)


def _remove(folder: Path) -> None:
    """It goes when its last process has; one that stays is empty and does nothing."""
    with suppress(OSError):
        folder.rmdir()
