"""Power, where the machine shows it: RAPL of its processors, nvidia-smi, the INA3221 sensors of a Jetson."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Protocol

STEP_S = 0.1
"""Between two readings of what shows momentary power."""
JOULES = 1e-6
"""Of RAPL's unit."""
INPUT_RAILS = frozenset({"VDD_IN", "POM_5V_IN"})
"""Rails that hold all others of a board."""

Watts = Callable[[], float | None]
"""Ends an interval, and gives its mean power; None where nothing could be read meanwhile."""


class Meter(Protocol):
    """Shows the power of something over an interval."""

    covers: str
    """What it is the power of, as a `*_basis` says it."""

    def begin(self) -> Watts:
        """Start an interval."""
        ...


class Rapl:
    """Energy counters of the processors' packages; most systems let only root read them."""

    covers = "processor packages by RAPL, without the rest of the machine"

    def __init__(self, root: Path = Path("/")) -> None:
        zones = sorted((root / "sys/class/powercap").glob("*-rapl:*"))
        named = [(zone, _text(zone / "name")) for zone in zones]
        # psys, where there is one, is a zone of its own beside the packages, which it holds
        self._zones = [zone for zone, name in named if name.startswith("package")]
        if any(_number(zone / "energy_uj") is None for zone in self._zones):
            self._zones = []

    def __bool__(self) -> bool:
        return bool(self._zones)

    def begin(self) -> Watts:
        start_s, before = time.monotonic(), [_number(zone / "energy_uj") for zone in self._zones]

        def end() -> float | None:
            spent_s, joules = time.monotonic() - start_s, 0.0
            for zone, first in zip(self._zones, before):
                last = _number(zone / "energy_uj")
                if first is None or last is None or spent_s <= 0:
                    return None
                if last < first:  # it starts again at 0 when it is full
                    last += _number(zone / "max_energy_range_uj") or 0
                joules += (last - first) * JOULES
            return joules / spent_s

        return end


class Ina:
    """Sensors of a Jetson's rails: the input rail where there is one, else the sum of all."""

    def __init__(self, root: Path = Path("/")) -> None:
        rails = list(_rails(root / "sys/bus/i2c/devices"))
        whole = [rail for rail in rails if rail[0] in INPUT_RAILS]
        self._rails = [rail[1:] for rail in (whole[:1] or rails)]
        self.covers = (
            f"board's input rail {whole[0][0]} by INA3221"
            if whole
            else "sum of the module's rails by INA3221"
        )

    def __bool__(self) -> bool:
        return bool(self._rails) and self._watts() is not None

    def begin(self) -> Watts:
        return sampled(self._watts)

    def _watts(self) -> float | None:
        """mV x mA are microwatts."""
        found = [(_number(volts), _number(amperes)) for volts, amperes in self._rails]
        if any(volts is None or amperes is None for volts, amperes in found):
            return None
        return sum((volts or 0) * (amperes or 0) for volts, amperes in found) * 1e-6


class NvidiaSmi:
    """Power of the first GPU, as its driver says it."""

    covers = "card by nvidia-smi, without its host"

    def __init__(self, root: Path = Path("/")) -> None:
        folders = [
            str(root / folder) for folder in ("usr/local/bin", "usr/bin", "bin", "usr/local/nvidia/bin")
        ]
        given = os.environ.get("PATH", "") if root == Path("/") else ""
        self._tool = shutil.which("nvidia-smi", path=os.pathsep.join([*folders, given]))

    def __bool__(self) -> bool:
        return self._tool is not None and self._watts() is not None

    def begin(self) -> Watts:
        return sampled(self._watts, step_s=1.0)  # each reading is a process of its own

    def _watts(self) -> float | None:
        command = [self._tool or "", "--query-gpu=power.draw", "--format=csv,noheader,nounits", "--id=0"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
            return float(done.stdout.strip())
        except (OSError, ValueError, subprocess.TimeoutExpired):  # [N/A] where the card does not say
            return None


def find(unit: str, root: Path = Path("/")) -> Meter | None:
    """What shows the power of a `cpu` or a `gpu` here; None where nothing does."""
    kinds = (NvidiaSmi, Ina) if unit == "gpu" else (Ina, Rapl)
    return next((meter for kind in kinds if (meter := kind(root))), None)


def sampled(watts: Callable[[], float | None], step_s: float = STEP_S) -> Watts:
    """The mean of what is read at once and every `step_s` seconds from now until the end."""
    stop, found = threading.Event(), [watts()]

    def read() -> None:
        while not stop.wait(step_s):
            found.append(watts())

    thread = threading.Thread(target=read, daemon=True)
    thread.start()

    def end() -> float | None:
        stop.set()
        thread.join()
        good = [one for one in found if one is not None]
        return fmean(good) if good else None

    return end


def _rails(devices: Path) -> Iterator[tuple[str, Path, Path]]:
    """Label, and files of millivolts and milliamperes, of each rail that is connected."""
    for folder in sorted(devices.glob("*/hwmon/hwmon*")):
        if _text(folder.parents[1] / "name") != "ina3221":
            continue
        for number in (1, 2, 3):  # in4 and above are voltages of the shunts
            label = _text(folder / f"in{number}_label")
            if label and label != "NC":
                yield label, folder / f"in{number}_input", folder / f"curr{number}_input"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isascii() and text.lstrip("-").isdigit() else None
