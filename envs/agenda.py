"""When what is known to come will come: one entry per slot of the running table, behind them in a closed loop one per
job, in a heap that can be put in order again when an end moves."""

from typing import NamedTuple

import numpy as np

from synergai.envs.compile import kernel, small_kernel
from synergai.envs.state import NEVER_US, NONE

END, SEEN, VANISH, EXPIRES, SENT = 0, 1, 2, 3, 4
"""A run ends; its room is seen to be free; something without a profile is gone; a job's deadline passes; a client sends
a job. In this order at one instant."""

ENTRY = np.dtype(
    [
        ("at_us", "i8"),
        ("lag_us", "i8"),  # of it after the end of the run
        ("compute_us", "i8"),  # when the compute begins: only what comes after stretches
        ("slow", "f8"),  # as in RUNNING, when `at_us` was worked out
        ("kind", "i4"),
        ("place", "i4"),  # in the heap, NONE if there is no entry
    ],
    align=True,
)


class Agenda(NamedTuple):
    """Arrays of one; `n` counts the entries."""

    n: np.ndarray  # (1,) int64
    slots: np.ndarray  # (slots,) int32: the heap
    entries: np.ndarray  # (slots,) ENTRY by slot


def agenda_for(slots: int) -> Agenda:
    """An empty one for so many slots."""
    entries = np.zeros(slots, ENTRY)
    entries["place"] = NONE
    return Agenda(np.zeros(1, np.int64), np.zeros(slots, np.int32), entries)


@small_kernel
def sooner(agenda, a, b):
    one, other = agenda.entries[a], agenda.entries[b]
    if one.at_us != other.at_us:
        return one.at_us < other.at_us
    if one.kind != other.kind:
        return one.kind < other.kind
    return a < b


@small_kernel
def settle(agenda, i):
    """Move what stands at place i of the heap to where it belongs."""
    slots, entries = agenda.slots, agenda.entries
    slot = slots[i]
    while i > 0 and sooner(agenda, slot, slots[(i - 1) // 2]):
        slots[i] = slots[(i - 1) // 2]
        entries[slots[i]].place = i
        i = (i - 1) // 2
    n = agenda.n[0]
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and sooner(agenda, slots[child + 1], slots[child]):
            child += 1
        if not sooner(agenda, slots[child], slot):
            break
        slots[i] = slots[child]
        entries[slots[i]].place = i
        i = child
    slots[i] = slot
    entries[slot].place = i


@small_kernel
def put(agenda, slot, at_us, kind):
    """The entry of this slot is `kind` at this instant, whatever it was before."""
    entry = agenda.entries[slot]
    entry.at_us = at_us
    entry.kind = kind
    if entry.place == NONE:
        entry.place = agenda.n[0]
        agenda.slots[entry.place] = slot
        agenda.n[0] += 1
    settle(agenda, entry.place)


@small_kernel
def drop(agenda, slot):
    """The slot has no entry any more."""
    place = agenda.entries[slot].place
    if place == NONE:
        return
    agenda.entries[slot].place = NONE
    agenda.n[0] -= 1
    n = agenda.n[0]
    if place < n:
        agenda.slots[place] = agenda.slots[n]
        agenda.entries[agenda.slots[place]].place = place
        settle(agenda, place)


@kernel
def clear(agenda):
    for i in range(agenda.n[0]):
        agenda.entries[agenda.slots[i]].place = NONE
    agenda.n[0] = 0


@small_kernel
def next_us(agenda):
    """The instant of the first entry, NEVER_US if there is none."""
    return agenda.entries[agenda.slots[0]].at_us if agenda.n[0] > 0 else np.int64(NEVER_US)


@small_kernel
def is_due(agenda, at_us, first_kind, last_kind):
    """Whether the first entry is one of these kinds and has come."""
    if agenda.n[0] == 0:
        return False
    entry = agenda.entries[agenda.slots[0]]
    return entry.at_us <= at_us and first_kind <= entry.kind <= last_kind


@kernel
def follow(agenda, state, node):
    """The tenants of this node have other neighbours now: move the ends of those whose compute is not over, rounded up
    to a microsecond. Returns nothing; call it after every booking and release where tenants slow each other down."""
    now_us = state.clock[0].now_us
    r = state.nodes[node].first_running
    while r != NONE:
        entry, slow = agenda.entries[r], state.running[r].slow
        if entry.place != NONE and entry.kind != VANISH and slow != entry.slow:
            from_us = max(np.int64(now_us), entry.compute_us)
            left_us = entry.at_us - entry.lag_us - from_us
            if left_us > 0:
                left_us = np.int64(np.ceil(left_us * slow / entry.slow))
                entry.at_us = from_us + left_us + entry.lag_us
                settle(agenda, entry.place)
        entry.slow = slow
        r = state.running[r].next
