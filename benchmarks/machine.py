"""Where and with what a figure was measured."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

from synergai import __version__
from synergai.training.commit import commit


def machine() -> dict[str, object]:
    """Processor, cores, and versions of what the speed depends on."""
    packages = {name: version(name) for name in ("numpy", "numba")}
    if "torch" in sys.modules:
        packages["torch"] = version("torch")
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 1,
        "load_average": round(os.getloadavg()[0], 2),
        "versions": {"synergai": __version__, "python": platform.python_version(), **packages},
        "commit": commit(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
