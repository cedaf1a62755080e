"""Bounded exponential back-off with jitter."""

import random

_SHARED = random.Random()
"""Seeding one costs more than all that is asked of most."""


class Backoff:
    """Delays that double from `first_s` to `last_s`, each cut by up to half to keep clients out of step."""

    def __init__(self, first_s: float, last_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._last_s = last_s
        self._rng = rng or _SHARED
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait after one more failure."""
        delay = min(self._first_s * 2.0 ** min(self._failures, 32), self._last_s)
        self._failures += 1
        return delay * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        self._failures = 0
