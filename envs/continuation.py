"""How a copy of a cluster goes on when nobody decides for it: `edf_likely`, less its survey.

Of the jobs that an option with room will likely serve in time the one whose deadline is first starts, where that takes
least away from others (`envs.likely`); else a job that is too late for any. Unlike the rule it looks again only where
room came back or a job came, and knows neither the ageing share nor rounds by the clock: it is several times as fast.
"""

import numpy as np

from synergai.envs.compile import kernel, small_kernel
from synergai.envs.likely import UNLIKELY, place_cost, prices_count
from synergai.envs.order import HOPELESS, before
from synergai.envs.state import NEVER_US, NONE
from synergai.envs.survey import look_for_room, run_time_us


@small_kernel
def cheapest(state, survey, seen, j, hopeless, anywhere, priced):
    """Of the options with room for job j, or of those whose group has another version than was `seen`, the one that
    costs others least while the job is likely in time (a hopeless one: the fastest), and its run time; NONE if there is
    none. A held job is for its option or one that ends sooner than was hoped for."""
    queued, now_us = state.queue[j], state.clock[0].now_us
    model = state.models[queued.model]
    held = queued.hold_option != NONE and queued.hold_until_us > now_us
    best, best_us, best_cost = NONE, np.int64(NEVER_US), float(NEVER_US) if hopeless else UNLIKELY
    o = model.first_best
    while o != NONE:
        option = state.options[o]
        admitted = (queued.classes >> option.klass) & 1 == 1
        if admitted and (anywhere or state.groups[option.group].version != seen[option.group]):
            placed = look_for_room(state, survey, queued, o)
            if placed.room == 1:
                e_us = run_time_us(state, queued, option, placed)
                cost = float(e_us) if hopeless else place_cost(state, queued, o, e_us, priced)
                if cost < best_cost and (
                    not held or o == queued.hold_option or now_us + e_us < queued.hold_finish_us
                ):
                    best, best_us, best_cost = o, e_us, cost
        o = option.next_best
    return best, best_us


@kernel
def next_start(state, survey, seen, new_from, freed):
    """The job to start next, its option and its run time; NONE if there is none. Jobs from this `seq` on look at all
    that has room; older ones, if anything was freed, at what has changed: they had no use for the rest, unless they are
    too late by now for anything."""
    best_key, best_j, best, best_us = 0.0, NONE, NONE, np.int64(0)
    now_us, priced = state.clock[0].now_us, prices_count(state.clock[0])
    for j in range(state.clock[0].n_queued):
        queued = state.queue[j]
        new = queued.seq >= new_from
        if not (new or freed):
            continue
        hopeless = now_us + queued.best_us > queued.deadline_us
        key = queued.deadline_us + (HOPELESS if hopeless else 0.0)
        if not before(state, key, j, best_key, best_j):
            continue
        o, e_us = cheapest(state, survey, seen, j, hopeless, new or hopeless, priced)
        if o != NONE:
            best_key, best_j, best, best_us = key, j, o, e_us
    return best_j, best, best_us


@small_kernel
def have_seen(state, seen):
    """From now on only what changes later counts as changed."""
    for g in range(state.clock[0].n_groups):
        seen[g] = state.groups[g].version
