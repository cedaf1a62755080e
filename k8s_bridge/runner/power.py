"""Energy while a model computes, where the machine shows power; what does not is not waited for."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from synergai.offline_profiles.measuring.meters import Meter, Watts

_SHOWN = ("sys/class/powercap", "sys/bus/i2c/devices")
"""Where processors and boards show it, if they do: nothing is imported in vain."""


class Energy(NamedTuple):
    """Of an interval."""

    joules: float
    of: str
    """What it was measured of: never of one pod alone."""


class Watch:
    """An interval that begins now. Beside the work: asking a GPU's driver takes a process of its own."""

    def __init__(self, unit: str, root: Path = Path("/")) -> None:
        self._began_s = time.monotonic()
        self._found: tuple[Meter, Watts] | None = None
        self._unit, self._root = unit, root
        self._thread: threading.Thread | None = None
        if unit == "gpu" or any(next((root / shown).glob("*"), None) for shown in _SHOWN):
            self._thread = threading.Thread(target=self._begin, daemon=True)
            self._thread.start()

    def end(self) -> Energy | None:
        """None where nothing shows power, or it was over before anything did."""
        spent_s = time.monotonic() - self._began_s
        if self._thread is None or self._thread.is_alive() or self._found is None:
            return None
        meter, watts = self._found
        mean_w = watts()
        return None if mean_w is None else Energy(mean_w * spent_s, meter.covers)

    def _begin(self) -> None:
        from synergai.offline_profiles.measuring.meters import find

        meter = find(self._unit, self._root)
        self._found = (meter, meter.begin()) if meter is not None else None
