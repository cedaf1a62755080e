"""How far the bridge may go at the moment: the mode that is set, stepped down where the breaker has tripped."""

import logging
import time
from collections.abc import Callable
from typing import Literal

log = logging.getLogger(__name__)

Mode = Literal["active", "heuristic", "shadow", "paused"]
MODES: tuple[Mode, ...] = ("active", "heuristic", "shadow", "paused")
"""From the boldest to the most cautious."""
_LADDER: tuple[Mode, ...] = ("active", "heuristic", "paused")
"""Each trip of the breaker is one step to the right."""


class Modes:
    """The mode in force, `now`."""

    def __init__(self, wanted: Mode, quiet_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """After `quiet_s` real seconds without a trip one step is taken back; 0 leaves that to a person."""
        self.wanted: Mode = wanted
        self.quiet_s = quiet_s
        self.steps = 0
        """How many steps the breaker has gone down."""
        self._monotonic = monotonic
        self._tripped_s = 0.0

    @property
    def now(self) -> Mode:
        if self.wanted not in _LADDER:
            return self.wanted
        return _LADDER[min(_LADDER.index(self.wanted) + self.steps, len(_LADDER) - 1)]

    @property
    def binds(self) -> bool:
        """Whether a bind may be sent."""
        return self.now in ("active", "heuristic")

    def want(self, mode: Mode) -> bool:
        """What a person sets; a change takes back every step of the breaker. Whether it is one."""
        if mode == self.wanted:
            return False
        log.warning("ModeChanged: from %s to %s", self.now, mode)
        self.wanted, self.steps = mode, 0
        return True

    def step_down(self, why: str) -> None:
        """The breaker has tripped."""
        before = self.now
        self.steps, self._tripped_s = self.steps + 1, self._monotonic()
        log.warning("BreakerTripped: %s; from %s to %s", why, before, self.now)

    def step_up(self) -> bool:
        """Take a step back where it has been quiet for long enough; whether one was taken."""
        now_s = self._monotonic()
        if not self.steps or not self.quiet_s or now_s - self._tripped_s < self.quiet_s:
            return False
        before = self.now
        self.steps, self._tripped_s = self.steps - 1, now_s
        log.warning("BreakerReset: quiet for %.0f s; from %s to %s", self.quiet_s, before, self.now)
        return True
