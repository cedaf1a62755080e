"""How a copy of a cluster goes on when nobody decides for it: `edf_likely`, less its survey.

Of the jobs that an option with room will likely serve in time the one whose deadline is first starts, where that takes
least away from others (`envs.likely`); else a job that is too late for any. Unlike the rule it looks again only where
room came back or a job came, and knows neither the ageing share nor rounds by the clock: it is several times as fast.
"""

import numpy as np

from synergai.envs.compile import kernel, small_kernel
from synergai.envs.likely import UNLIKELY, place_cost, prices_count
from synergai.envs.order import HOPELESS, before
from synergai.envs.simulator import start_job
from synergai.envs.state import NEVER_US, NONE
from synergai.envs.survey import look_for_room, run_time_us
from synergai.envs.world import let_happen, next_outside_us, pass_time


@small_kernel
def cheapest(state, survey, seen, j, hopeless, anywhere, priced):
    """Of the options with room for job j, or of those whose group has another version than was `seen`, the one that
    costs others least while the job is likely in time (a hopeless one: the fastest), and its run time; NONE if there is
    none. A held job is for its option or one that ends sooner than was hoped for."""
    queued, now_us = state.queue[j], state.clock[0].now_us
    model = state.models[queued.model]
    held = queued.hold_option != NONE and queued.hold_until_us > now_us
    best, best_us, best_cost = NONE, np.int64(NEVER_US), float(NEVER_US) if hopeless else UNLIKELY
    for o in range(model.first_option, model.first_option + model.n_options):
        option = state.options[o]
        if option.dictionary == 0 or (queued.classes >> option.klass) & 1 == 0:
            continue
        if not anywhere and state.groups[option.group].version == seen[option.group]:
            continue
        placed = look_for_room(state, survey, queued, o)
        if placed.room == 0:
            continue
        e_us = run_time_us(state, queued, option, placed)
        cost = float(e_us) if hopeless else place_cost(state, queued, o, e_us, priced)
        if cost < best_cost and (not held or o == queued.hold_option or now_us + e_us < queued.hold_finish_us):
            best, best_us, best_cost = o, e_us, cost
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


@small_kernel
def has_changed(state, seen):
    changed = False
    for g in range(state.clock[0].n_groups):
        changed |= state.groups[g].version != seen[g]
    return changed


@kernel
def start_all(sim, survey, seen, new_from, freed):
    """Start what can be started, one after another, as `next_start` says."""
    state = sim.state
    while True:
        j, o, e_us = next_start(state, survey, seen, new_from, freed)
        if j == NONE:
            break
        start_job(sim, j, o, look_for_room(state, survey, state.queue[j], o).device, e_us)
    have_seen(state, seen)


@small_kernel
def next_hold_us(state):
    """When the first hold is over."""
    at_us = np.int64(NEVER_US)
    for j in range(state.clock[0].n_queued):
        if state.queue[j].hold_option != NONE and state.queue[j].hold_until_us > state.clock[0].now_us:
            at_us = min(at_us, state.queue[j].hold_until_us)
    return at_us


@kernel
def step_alone(sim, survey, seen, look_us, until_us):
    """Go to the next instant, let everything due there happen, start what can be. At `look_us` if that is ahead, and
    where a hold is over, every job looks at everything. False at `until_us` or the end of the tape."""
    state, progress = sim.state, sim.progress[0]
    again_us = next_hold_us(state)
    if look_us > state.clock[0].now_us:
        again_us = min(again_us, look_us)
    at_us = min(next_outside_us(sim), again_us)
    if progress.left <= 0 or at_us > progress.end_us:
        return False
    if at_us > until_us:
        pass_time(sim, until_us)
        return False
    pass_time(sim, at_us)
    new_from = state.clock[0].seq
    due = let_happen(sim, at_us)
    if progress.next_arrival >= progress.stop_arrival:
        return False
    if again_us <= at_us:
        start_all(sim, survey, seen, 0, True)
    elif due:
        start_all(sim, survey, seen, new_from, has_changed(state, seen))
    return True
