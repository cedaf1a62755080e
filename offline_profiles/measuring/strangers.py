"""What else runs on this machine while something is measured."""

import os
import resource
import time
from pathlib import Path

WAITING = (3, 4)
"""Columns of idle and iowait: https://man7.org/linux/man-pages/man5/proc_stat.5.html"""
GUESTS = 8
"""From here on columns are counted in others already."""


class Strangers:
    """Begins with this, and ends with `cores`. Children must have been waited for by then."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._stat = root / "proc/stat"
        self._busy_s, self._own_s, self._start_s = self._busy(), _own(), time.monotonic()

    def cores(self) -> float:
        """How many cores others than this process and its children used in the mean; 0 where nothing says so."""
        busy_s, own_s = self._busy() - self._busy_s, _own() - self._own_s
        return max(0.0, busy_s - own_s) / max(time.monotonic() - self._start_s, 1e-9)

    def _busy(self) -> float:
        """Seconds of all cores, also those that a hypervisor took."""
        try:
            first = self._stat.read_text(encoding="utf-8").splitlines()[0].split()
            ticks = [int(cell) for cell in first[1 : GUESTS + 1]]
        except (OSError, IndexError, ValueError):
            return 0.0
        spent = sum(value for place, value in enumerate(ticks) if place not in WAITING)
        return spent / os.sysconf("SC_CLK_TCK")


def _own() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
