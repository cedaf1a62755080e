"""What a job may hope for by what was seen of its options, as features tell it to a network."""

import numpy as np

from synergai.envs.calibration import expected_us, run_sd
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.place import normal_cdf
from synergai.envs.state import NONE

OUTLOOK = np.dtype(
    [
        ("least_us", "f8"),  # the shortest corrected run time
        ("chance", "f8"),  # the best chance to be on time
        ("other", "f8"),  # the best on another class than that one's
        ("klass", "i8"),  # where the best chance is
    ],
    align=True,
)


@small_kernel
def chance_seen(state, queued, pair):
    """Chance to be on time by what was seen of the pair's option; and in z."""
    seen = state.history[pair.option]
    e_us = expected_us(seen, float(max(pair.e_us, 1)))
    spread = max(run_sd(state.options[pair.option].sigma, seen.count) * e_us, 1.0)
    z = (queued.deadline_us - state.clock[0].now_us - pair.wait_us - e_us) / spread
    return normal_cdf(z), z


@kernel
def look_ahead(state, survey, j, outlook):
    """What the options of job j promise together."""
    job, queued = survey.jobs[j], state.queue[j]
    outlook.klass, outlook.chance, outlook.other, outlook.least_us = NONE, 0.0, 0.0, np.inf
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        klass = state.options[pair.option].klass
        chance = chance_seen(state, queued, pair)[0]
        e_us = expected_us(state.history[pair.option], float(max(pair.e_us, 1)))
        outlook.least_us = min(outlook.least_us, e_us)
        if klass == outlook.klass:
            outlook.chance = max(outlook.chance, chance)
        elif outlook.klass == NONE or chance > outlook.chance:
            outlook.other = max(outlook.other, outlook.chance)
            outlook.klass, outlook.chance = klass, chance
        else:
            outlook.other = max(outlook.other, chance)
