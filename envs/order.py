"""What several rules share: who comes first, and what meets a job's deadline."""

from synergai.envs.compile import small_kernel
from synergai.envs.state import NONE

HOPELESS = 1e15
"""Microseconds added to a key to order a job behind all others: 31 years, and still exact to 0.125 us."""


@small_kernel
def before(state, key, j, best_key, best_j):
    """Whether job j with this key comes before the best so far: priority, key, arrival."""
    if best_j == NONE:
        return True
    a, b = state.queue[j], state.queue[best_j]
    if a.priority != b.priority:
        return a.priority > b.priority
    if key != best_key:
        return key < best_key
    if a.arrival_us != b.arrival_us:
        return a.arrival_us < b.arrival_us
    return a.seq < b.seq


@small_kernel
def possible_pick(state, survey, j):
    """The pair that meets job j's deadline: the fastest with room, else the fastest busy one, else NONE."""
    job = survey.jobs[j]
    if job.fast != NONE:
        e_us = survey.pairs[job.fast].e_us
        if state.clock[0].now_us + e_us <= state.queue[j].deadline_us:
            return job.fast
    return job.busy
