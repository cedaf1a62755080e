"""Time that tests of the lease move by hand, and one that moves by itself when nobody has anything to do."""

import asyncio
import heapq
import itertools


class HandClock:
    """`elapsed_s` and `sleep` of any number of leases; nobody wakes up before `advance`."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._serial = itertools.count()

    def elapsed_s(self) -> float:
        return self.now_s

    async def sleep(self, duration_s: float) -> None:
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.now_s + duration_s, next(self._serial), woken))
        await woken.wait()

    def advance(self, duration_s: float) -> None:
        self.now_s += duration_s
        while self._sleepers and self._sleepers[0][0] <= self.now_s + 1e-9:
            heapq.heappop(self._sleepers)[2].set()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer when nothing else is to be done: hours pass in seconds."""

    virtual_s = 0.0

    def time(self) -> float:
        return self.virtual_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined] - asyncio names no public way to it
            self.virtual_s = max(self.virtual_s, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]
