"""Nodes whose kubelet refused a pod that should have fitted: they are given nothing new for a while."""

from collections.abc import Callable
from dataclasses import dataclass

FIRST_S, LAST_S = 5.0, 300.0
"""Real seconds; each pause is twice the one before, until a pod that came after it runs."""


@dataclass(slots=True)
class _Pause:
    until_us: int
    times: int


class Pauses:
    """When each node's pause ends; all times are scenario time."""

    def __init__(self, span_us: Callable[[float], int]) -> None:
        """`span_us` makes scenario time of real seconds."""
        self._span_us = span_us
        self._pauses: dict[str, _Pause] = {}
        self._under_way: set[str] = set()

    def begin(self, node: str, now_us: int) -> float | None:
        """The node refused a pod; its pause in real seconds, None where one is under way: what was sent before it may
        be refused yet."""
        pause = self._pauses.setdefault(node, _Pause(0, 0))
        if node in self._under_way:
            return None
        length_s = min(FIRST_S * 2.0 ** min(pause.times, 32), LAST_S)
        pause.times += 1
        pause.until_us = now_us + self._span_us(length_s)
        self._under_way.add(node)
        return length_s

    def worked(self, node: str, decided_us: int) -> None:
        """A pod that was decided on then runs there: the next pause is a short one, if this was after the last one."""
        pause = self._pauses.get(node)
        if pause is not None and node not in self._under_way and decided_us >= pause.until_us:
            del self._pauses[node]

    def next_us(self) -> int | None:
        """When the next pause ends."""
        return min((self._pauses[node].until_us for node in self._under_way), default=None)

    def ended(self, now_us: int) -> list[str]:
        """Nodes whose pause is over; told once."""
        over = sorted(node for node in self._under_way if self._pauses[node].until_us <= now_us)
        self._under_way.difference_update(over)
        return over
