"""Reward terms and their weights, and the potential that the critic starts from.

Minus one at each passed deadline, a small price for every second late in units of the job's own best run time, and the
energy of a START over the least possible, times the energy weight. Nothing at dispatch, nothing at finish.
"""

import numpy as np

from synergai.envs.compile import kernel
from synergai.envs.features import p_ontime
from synergai.envs.place import expected_end_us

TERMS = ("deadline", "excess", "energy")
EXCESS_WEIGHT = 0.02
ENERGY_WEIGHT = 0.2
DISCOUNT_TAUS = 20.0
"""1 / beta in mean run times: how far the reward looks."""


@kernel
def potential(state, survey):
    """Minus the expected number of jobs now in the system that will still miss their deadline, if each took its best
    chance alone. Jobs that are late already have been charged. The survey must be of this state."""
    clock = state.clock[0]
    total = 0.0
    for j in range(clock.n_queued):
        queued = state.queue[j]
        if queued.counted == 0 or queued.deadline_us <= clock.now_us:
            continue
        best = 0.0
        job = survey.jobs[j]
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            pair = survey.pairs[p]
            spare = float(queued.deadline_us - clock.now_us - pair.wait_us - pair.e_us)
            best = max(best, p_ontime(spare, state.options[pair.option].sigma, float(pair.e_us)))
        if job.n_pairs == 0 and queued.hold_option >= 0:
            sigma = state.options[queued.hold_option].sigma
            best = p_ontime(float(queued.deadline_us - queued.hold_finish_us), sigma, float(queued.best_us))
        total += 1.0 - best
    for r in range(clock.running_top):
        record = state.running[r]
        if record.used == 0 or record.option < 0 or record.deadline_us <= clock.now_us:
            continue
        sigma = state.options[record.option].sigma
        end_us = expected_end_us(record, sigma, clock.now_us)
        left = np.float64(max(end_us - clock.now_us, 1))
        total += 1.0 - p_ontime(float(record.deadline_us - end_us), sigma, max(left, 0.25 * record.run_us))
    return -total
