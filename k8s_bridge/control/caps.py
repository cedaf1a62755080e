"""How much may start at once: binds in any minute, of the bridge and on each node, and pods that start on a node.

A node at a cap is closed in the cluster, so that nothing is decided for it; what waits goes on waiting there.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.entries import Entry, Stage

MINUTE_S = 60.0
LONGEST_START_S = 300.0
"""A pod that has not begun to run by then, as its image cannot be pulled, is not counted any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """0 is no limit."""

    binds: int = 0
    """In any minute, of the bridge."""
    node_binds: int = 0
    """In any minute, on each node."""
    starting: int = 0
    """Bound and not yet running, on each node."""


def limits_of(settings: Settings) -> Limits:
    return Limits(settings.binds_per_minute, settings.node_binds_per_minute, settings.starting_per_node)


class Caps:
    """Counts what is decided; closes and opens nodes of the cluster accordingly. Times are real seconds."""

    def __init__(
        self,
        cluster: Cluster,
        limits: Limits = Limits(),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.closed: frozenset[str] = frozenset()
        """Nodes at a cap."""
        self._cluster = cluster
        self._monotonic = monotonic
        self._waits = False
        """Whether it was found full since the last turn."""
        self._binds: deque[tuple[float, str]] = deque()  # when, on which node; of the last minute
        self._starting: dict[str, tuple[float, str]] = {}  # pod's key -> since when, on which node

    def change(self, limits: Limits, entries: Mapping[str, Entry]) -> None:
        """Other limits from now on."""
        self.limits = limits
        if not limits.starting:
            self._starting.clear()
        self.adopt(entries)

    def full(self) -> bool:
        """Whether nothing may be bound at this moment."""
        self._drop_old()
        full = 0 < self.limits.binds <= len(self._binds)
        self._waits = self._waits or full
        return full

    def note(self, key: str, node: str) -> None:
        """A pod was decided to go there."""
        now_s = self._monotonic()
        self._binds.append((now_s, node))
        if self.limits.starting:
            self._starting[key] = (now_s, node)
        self._close(self._at_cap())

    def adopt(self, entries: Mapping[str, Entry]) -> None:
        """Count pods that were found bound and not yet running, where that matters."""
        now_s = self._monotonic()
        for key, entry in entries.items() if self.limits.starting else ():
            if _starts(entry):
                self._starting.setdefault(key, (now_s, entry.node))

    def turn(self, entries: Mapping[str, Entry]) -> bool:
        """Forget what runs by now or is a minute old; whether a node is open again, or the bridge may bind again."""
        oldest_s = self._monotonic() - LONGEST_START_S
        for key, (since_s, node) in list(self._starting.items()):
            entry = entries.get(key)
            if entry is None or entry.node != node or since_s <= oldest_s or not _starts(entry):
                del self._starting[key]
        self._drop_old()
        waited, self._waits = self._waits, False
        opened = waited and not self.full()
        at_cap = self._at_cap()
        opened |= bool(self.closed - at_cap)
        self._close(at_cap)
        return opened

    def next_s(self) -> float | None:
        """In how many real seconds something may open by itself; None for never."""
        waits = self.full() or (self.closed and self.limits.node_binds)
        moments = [self._binds[0][0] + MINUTE_S] if self._binds and waits else []
        moments += [since + LONGEST_START_S for since, node in self._starting.values() if node in self.closed]
        return max(min(moments) - self._monotonic(), 0.0) if moments else None

    def _drop_old(self) -> None:
        oldest_s = self._monotonic() - MINUTE_S
        while self._binds and self._binds[0][0] <= oldest_s:
            self._binds.popleft()

    def _at_cap(self) -> frozenset[str]:
        binds = _many((node for _, node in self._binds), self.limits.node_binds)
        return binds | _many((node for _, node in self._starting.values()), self.limits.starting)

    def _close(self, nodes: frozenset[str]) -> None:
        for name in self.closed ^ nodes:
            self._cluster.close_node(name, name in nodes)
        self.closed = nodes


def _many(nodes: Iterable[str], limit: int) -> frozenset[str]:
    """Those that are named at least `limit` times; none where that is 0."""
    return frozenset(name for name, n in Counter(nodes).items() if n >= limit) if limit else frozenset()


def _starts(entry: Entry) -> bool:
    return entry.stage in (Stage.BINDING, Stage.BOUND) and entry.pod.phase == "Pending"
