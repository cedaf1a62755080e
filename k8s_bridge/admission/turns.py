"""Pods that depend on each other in the same way take turns: a few of them are in the queue at once.

Each of them that is placed changes where all the others may go, and a job in the queue is told of that at some
milliseconds. One that is held keeps its turn, so there are several.
"""

import heapq
from itertools import count

from synergai.k8s_bridge.admission.relations import Relations
from synergai.k8s_bridge.entries import Entry, Stage

AT_ONCE = 4
Kin = tuple[object, ...]
Urgency = tuple[int, float, int, str]
Turn = tuple[Urgency, int, Entry]
"""The number sets apart what else is equal."""


def kin_of(relations: Relations) -> Kin:
    """What pods have in common that take turns; their own labels are not it."""
    return relations.namespace, relations.ports, relations.together, relations.apart, relations.spread


class Turns:
    """Who is in the queue, and who waits for that, most urgent first."""

    def __init__(self) -> None:
        self._queued: dict[Kin, dict[str, Entry]] = {}
        self._waiting: dict[Kin, list[Turn]] = {}
        self._number = count()

    def takes(self, entry: Entry) -> bool:
        """Whether the pod may go into the queue now; else it waits here."""
        if not entry.pod.relations.any:
            return True
        kin = kin_of(entry.pod.relations)
        if self._room(kin):
            self._queued.setdefault(kin, {})[entry.pod.key] = entry
            return True
        heapq.heappush(self._waiting.setdefault(kin, []), (_urgency(entry), next(self._number), entry))
        return False

    def _room(self, kin: Kin) -> bool:
        queued = {k: e for k, e in self._queued.pop(kin, {}).items() if e.stage is Stage.QUEUED}
        if queued:
            self._queued[kin] = queued
        return len(queued) < AT_ONCE

    @property
    def any_wait(self) -> bool:
        return bool(self._waiting)

    def next(self) -> Entry | None:
        """One whose turn has come."""
        for kin in list(self._waiting):
            waiting = self._waiting[kin]
            while waiting and not _is_its(waiting[0]):
                heapq.heappop(waiting)
            if not waiting:
                del self._waiting[kin]
            elif self._room(kin):
                return heapq.heappop(waiting)[-1]
        return None


def _urgency(entry: Entry) -> Urgency:
    job = entry.ask.job if entry.ask else None
    deadline_us = job.deadline_us if job and job.deadline_us is not None else float("inf")
    return -entry.pod.priority, deadline_us, entry.pod.created_us, entry.pod.uid


def _is_its(turn: Turn) -> bool:
    """Whether the pod still waits for it, as it did."""
    urgency, _, entry = turn
    return entry.stage is Stage.IN_LINE and urgency == _urgency(entry)
