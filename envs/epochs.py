"""When a round starts and how it ends: the closed list that simulator and bridge share.

A round starts at: a batch of arrivals, a finish, a node change (these three come from outside), a hold's expiry, a
latest-start timer, a wake-up asked for with DONE, and a tick one second after the last round while anything is queued
(these four are `next_timer_us`). Nothing else starts one.
"""

import numpy as np

from synergai.envs.compile import kernel
from synergai.envs.state import NEVER_US, NONE, alone_us
from synergai.envs.survey import begin, look_for_room, run_time_us

TICK_US = 1_000_000


@kernel
def next_timer_us(state):
    """The next instant at which a round is due by itself; NEVER_US if none is."""
    clock = state.clock[0]
    if clock.n_queued == 0:
        return np.int64(NEVER_US)
    at_us = clock.last_round_us + TICK_US
    if clock.wake_us != NONE and clock.wake_us > clock.last_round_us:
        at_us = min(at_us, clock.wake_us)
    for j in range(clock.n_queued):
        queued = state.queue[j]
        if queued.hold_option != NONE:
            at_us = min(at_us, max(queued.hold_until_us, clock.last_round_us + 1))
        latest_us = queued.deadline_us - queued.best_us
        if latest_us > clock.last_round_us:
            at_us = min(at_us, latest_us)
    return max(at_us, clock.now_us)


@kernel
def hold_is_over(state, survey, queued):
    """A hold ends when it expires, when its option has room, or when a better option frees."""
    clock = state.clock[0]
    if queued.hold_until_us <= clock.now_us:
        return True
    model = state.models[queued.model]
    for o in range(model.first_option, model.first_option + model.n_options):
        option = state.options[o]
        if (queued.classes >> option.klass) & 1 == 0:
            continue
        held_for = o == queued.hold_option
        if not held_for and clock.now_us + alone_us(state, queued, option) >= queued.hold_finish_us:
            continue
        placed = look_for_room(state, survey, queued, o)
        if placed.room == 0:
            continue
        if held_for or clock.now_us + run_time_us(state, queued, option, placed) < queued.hold_finish_us:
            return True
    return False


@kernel
def begin_round(state, survey):
    """Start a round at `clock.now_us`: let go of the holds that are over."""
    clock = state.clock[0]
    clock.round += 1
    clock.last_round_us = clock.now_us
    clock.wake_us = NONE
    begin(survey)
    for j in range(clock.n_queued):
        queued = state.queue[j]
        if queued.hold_option != NONE and hold_is_over(state, survey, queued):
            queued.hold_option = NONE


@kernel
def done_is_legal(state, survey):
    """DONE is legal unless nothing runs, no hold is open and a START is legal."""
    clock = state.clock[0]
    if clock.n_running > 0:
        return True
    for j in range(clock.n_queued):
        if state.queue[j].hold_option != NONE:
            return True
    for p in range(survey.counts[0].n_pairs):
        if survey.pairs[p].start == 1:
            return False
    return True
