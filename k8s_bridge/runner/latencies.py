"""How long queries took, in bounded memory."""

from collections.abc import Sequence
from math import ceil

MOST = 100_000


class Latencies:
    """All of them up to MOST; beyond, every second, fourth, ... one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._step = 1
        self._seen = 0
        self._kept: list[float] = []

    def add(self, seconds: float) -> None:
        if self._seen % self._step == 0:
            self._kept.append(seconds)
            if len(self._kept) >= self._most:
                del self._kept[1::2]
                self._step *= 2
        self._seen += 1

    def quantiles_ms(self, shares: Sequence[float]) -> list[float]:
        """By nearest rank, so that each was measured; empty if nothing was."""
        ordered = sorted(self._kept)
        if not ordered:
            return []
        return [ordered[max(ceil(share * len(ordered)), 1) - 1] * 1000.0 for share in shares]
