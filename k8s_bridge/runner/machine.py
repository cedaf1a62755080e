"""What the kernel tells of this process and its container: since when it runs, what it may use and has used."""

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from synergai.offline_profiles.host.cgroup import quota_milli

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Start:
    """When something began: by the clock that never steps, and by the node's, microseconds since 1970."""

    elapsed_s: float
    wall_us: int


def now() -> Start:
    return Start(time.clock_gettime(time.CLOCK_BOOTTIME), time.time_ns() // 1000)


def process_start(here: Start, root: Path = ROOT) -> Start:
    """Of this process, to 10 ms; `here` where the kernel does not tell, or says something impossible."""
    try:
        return _started((root / "proc/self/stat").read_text(errors="replace"), here)
    except OSError:
        return here


def _started(stat: str, here: Start) -> Start:
    try:
        # after the name, which may hold anything and ends with the last bracket, the 20th: man 5 proc_pid_stat
        started_s = int(stat.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    except (ValueError, IndexError, OverflowError):
        return here
    before_s = here.elapsed_s - started_s
    if not 0.0 <= before_s < 3600.0:
        return here
    return Start(started_s, here.wall_us - round(before_s * 1e6))


def cpu_seconds() -> float:
    """Of all threads so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def cpu_limit_milli(root: Path = ROOT) -> int | None:
    """The tightest quota of the container's cgroup and those above it; None where there is none."""
    return quota_milli(root) or None
