"""A machine's size, as a cgroup above all that its pods run in: version 1, and 2, which nobody has tried yet."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
VERSION_1 = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")
"""The hierarchies that the kubelet wants its root in."""
PERIOD_US = 100_000


def make(name: str, cpu_milli: int, memory_mib: int) -> None:
    """Room for so much and no more. What is in it gets no larger quota than it: a pod's limit must fit the machine."""
    quota_us, memory = cpu_milli * PERIOD_US // 1000, str(memory_mib << 20)
    if _unified():
        for controller in ("cpu", "cpuset", "memory", "pids", "io"):
            with suppress(OSError):  # it is not compiled in
                (ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
        (ROOT / name).mkdir()
        (ROOT / name / "cpu.max").write_text(f"{quota_us} {PERIOD_US}")
        (ROOT / name / "memory.max").write_text(memory)
        return
    for folder in (ROOT / kind for kind in VERSION_1 if (ROOT / kind).is_dir()):
        (folder / name).mkdir()
    for file in ("cpuset.cpus", "cpuset.mems"):
        (ROOT / "cpuset" / name / file).write_text((ROOT / "cpuset" / file).read_text())
    (ROOT / "cpu" / name / "cpu.cfs_period_us").write_text(str(PERIOD_US))
    (ROOT / "cpu" / name / "cpu.cfs_quota_us").write_text(str(quota_us))
    (ROOT / "memory" / name / "memory.limit_in_bytes").write_text(memory)


def cpu_used_s(name: str) -> float:
    """By all that has run in it."""
    if _unified():
        fields = dict(line.split() for line in (ROOT / name / "cpu.stat").read_text().splitlines())
        return int(fields["usage_usec"]) / 1e6
    return int((ROOT / "cpuacct" / name / "cpuacct.usage").read_text()) / 1e9


def throttled_periods(name: str) -> int:
    """In how many periods its quota was used up."""
    folder = ROOT / name if _unified() else ROOT / "cpu" / name
    fields = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
    return int(fields["nr_throttled"])


def remove(name: str) -> bool:
    """All of it that is empty; whether nothing is left. A moment may pass between a process's death and that."""
    for folder in folders(name):
        for inner in sorted(folder.rglob("*"), reverse=True):
            if inner.is_dir():
                with suppress(OSError):
                    inner.rmdir()
        with suppress(OSError):
            folder.rmdir()
    return not any(folders(name))


def left_by_the_dead(prefix: str) -> set[str]:
    """Of the cgroups named `prefix` PID-..., those whose process is no more."""
    names = {folder.name for folder in folders(f"{prefix}*")}
    return {name for name in names if not alive(name.removeprefix(prefix))}


def alive(text: str) -> bool:
    """Whether there is the process that a name's rest begins with, PID-..."""
    pid = text.split("-")[0]
    return pid.isdigit() and Path("/proc", pid).exists()


def folders(pattern: str) -> Iterator[Path]:
    """Of this name in version 2's root, each hierarchy of version 1, and the hybrid's unified one."""
    for root in [ROOT, *(path for path in ROOT.iterdir() if path.is_dir() and os.path.ismount(path))]:
        yield from (path for path in root.glob(pattern) if path.is_dir())


def _unified() -> bool:
    return (ROOT / "cgroup.controllers").exists()
