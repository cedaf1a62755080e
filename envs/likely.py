"""`edf_likely`: first deadline first, of jobs that will likely be in time, where that takes least away from others.

Likely by what was seen of each option's runs (`envs.calibration`), not by profiles alone: on measured profiles a third
of what rules miss is room given to jobs that miss their deadlines all the same. What a place takes away from others is
its dual price in the capacity LP; a cluster that is mostly idle has nothing to take away, and the fastest place wins.
The constants were chosen on training tapes of thirteen cells; none matters much (docs/baselines.md).
"""

from math import log

from synergai.envs.calibration import expected_us, known_ratio, run_sd
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.order import HOPELESS, before
from synergai.envs.state import NONE

LIKELY = 0.9
"""Standard deviations of the run time that a job must have to spare."""
SURE = 2.5
"""Standard deviations beyond which more of them are worth nothing."""
DOUBT = 0.35
"""What each one less costs, in logs of price."""
DEAR = 0.55
"""Log of price over the model's cheapest beyond which a job waits for a cheaper place,"""
HURRY = 4.0
"""unless so many of its shortest run times are all that it has left."""
IDLE_LOAD = 0.3
"""Arriving work over capacity below which prices mean nothing."""
UNLIKELY = 1e6
"""Added to what a place costs where the job will likely be late."""


@small_kernel
def prices_count(clock):
    """Whether the cluster is loaded enough for prices to mean anything."""
    return clock.work_long >= IDLE_LOAD * max(clock.capacity_sps * clock.tau_us * 1e-6, 1e-3)


@small_kernel
def seen_price(option, seen):
    """Log of an option's price over that of its model's cheapest, corrected by what was seen of its runs."""
    return option.price + known_ratio(seen)


@small_kernel
def place_cost(state, queued, o, e_us, priced):
    """What it costs others that this job runs so long on option o, in logs; UNLIKELY and more where the job will likely
    be late there, or should wait for a cheaper place."""
    option, seen = state.options[o], state.history[o]
    left_us = queued.deadline_us - state.clock[0].now_us
    run_us = expected_us(seen, float(max(e_us, 1)))
    z = (left_us - run_us) / max(run_sd(option.sigma, seen.count) * run_us, 1.0)
    price = seen_price(option, seen) if priced else log(run_us)
    cost = price + DOUBT * max(SURE - z, 0.0)
    waits = priced and price > DEAR and left_us >= HURRY * queued.best_us
    return cost + UNLIKELY if z < LIKELY or waits else cost


@small_kernel
def likely_pair(state, survey, j, priced):
    """Of the dictionary's pairs of job j with room the one that costs others least; NONE where it would likely be late
    on each, or should wait."""
    job, best, best_cost = survey.jobs[j], NONE, UNLIKELY
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        if pair.start == 0 or state.options[pair.option].dictionary == 0:
            continue
        cost = place_cost(state, state.queue[j], pair.option, pair.e_us, priced)
        if cost < best_cost:
            best, best_cost = p, cost
    return best


@kernel
def edf_likely(state, survey):
    """The first deadline of those that are likely to be met; jobs too late for any option last, on the fastest."""
    best_key, best_j, best = 0.0, NONE, NONE
    now_us, priced = state.clock[0].now_us, prices_count(state.clock[0])
    for j in range(state.clock[0].n_queued):
        queued = state.queue[j]
        hopeless = now_us + queued.best_us > queued.deadline_us
        key = queued.deadline_us + (HOPELESS if hopeless else 0.0)
        if survey.jobs[j].fast == NONE or not before(state, key, j, best_key, best_j):
            continue
        p = survey.jobs[j].fast if hopeless else likely_pair(state, survey, j, priced)
        if p != NONE:
            best_key, best_j, best = key, j, p
    return best
