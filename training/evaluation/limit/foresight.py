"""A schedule by somebody who knows all jobs and how long they will really run: by deadline, wherever the run is
shortest. The constraint solver starts from it."""

from bisect import insort
from heapq import heappop, heappush
from typing import NamedTuple

from synergai.training.evaluation.limit.relaxed import Mode, Relaxed, Work


class Place(NamedTuple):
    """A job in time."""

    mode: int
    start_us: int


class _Free:
    """What is free now, and what will be."""

    def __init__(self, capacities: tuple[int, ...]) -> None:
        self.amounts = list(capacities)
        self.ends: list[tuple[int, int, tuple[tuple[int, int], ...]]] = []

    def next_us(self) -> float:
        return self.ends[0][0] if self.ends else float("inf")

    def until(self, now_us: int) -> None:
        while self.ends and self.ends[0][0] <= now_us:
            for r, amount in heappop(self.ends)[2]:
                self.amounts[r] += amount

    def take(self, mode: Mode, job: int, free_us: int) -> bool:
        """False if there is no room."""
        if any(self.amounts[r] < amount for r, amount in mode.needs):
            return False
        for r, amount in mode.needs:
            self.amounts[r] -= amount
        heappush(self.ends, (free_us, job, mode.needs))
        return True


def by_deadline(relaxed: Relaxed) -> dict[int, Place]:
    """Whenever a job comes or room is free: each that can still be in time, if there is room for it. By job."""
    free, placed = _Free(relaxed.capacities), {}
    coming = sorted((work for work in relaxed.works if work.modes), key=lambda work: work.arrival_us)
    waiting: list[tuple[int, int, Work]] = []
    i = 0
    while i < len(coming) or free.ends:
        now_us = int(min(coming[i].arrival_us if i < len(coming) else float("inf"), free.next_us()))
        free.until(now_us)
        while i < len(coming) and coming[i].arrival_us <= now_us:
            insort(waiting, (coming[i].deadline_us, coming[i].job, coming[i]))
            i += 1
        still = []
        for item in waiting:
            work = item[2]
            possible = [k for k, mode in enumerate(work.modes) if now_us + mode.run_us <= work.deadline_us]
            for k in possible:  # the quickest first
                mode = work.modes[k]
                if free.take(mode, work.job, now_us + mode.run_us + relaxed.release_us):
                    placed[work.job] = Place(k, now_us)
                    break
            else:
                if possible:
                    still.append(item)
        waiting = still
    return placed
