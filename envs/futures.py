"""What may happen next, drawn from what a cluster state remembers: arrivals, ends of runs, how wrong profiles are.

Nothing of a tape is looked at. Every number is a hash of (moment, future, what it belongs to), so all moves of one
moment meet the same luck.
"""

from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

from synergai.envs import noise
from synergai.envs.calibration import RUN_SD, known_ratio, run_sd, unknown
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.place import STRAGGLER_Z, ever_fits, normal_cdf, normal_quantile
from synergai.envs.state import NEVER_US, NONE, QUEUED, ClusterState, alone_us

MAX_ARRIVALS = 256
"""In one future; a longer one has none after these."""
LOG_SD = 0.7
"""Of sizes around the remembered median, as in `envs.mix`: the state does not remember their spread."""
FIRST_JOB = 1 << 40
"""Number of a future's first arrival, beyond any real one."""

STREAM_GAP, STREAM_MODEL, STREAM_SIZE, STREAM_BUDGET = 21, 22, 23, 24
STREAM_END, STREAM_PROFILE, STREAM_RUN = 25, 26, 27


class Futures(NamedTuple):
    """Several of one moment."""

    arrivals: np.ndarray  # (futures, MAX_ARRIVALS) QUEUED
    n: np.ndarray  # (futures,) int64: how many arrivals
    seeds: np.ndarray  # (futures,) int64
    ends_us: np.ndarray  # (futures, jobs) int64: of the running jobs, by slot
    factor: np.ndarray  # (futures, options): true over predicted run time, less what differs from run to run
    luck: np.ndarray  # (futures, MAX_ARRIVALS): of each arrival, see `luck_of`
    mean: np.ndarray  # (options,): log of the factor as far as it has been observed
    typical: np.ndarray  # (options,): its exponential
    sd: np.ndarray  # (options,): log-sd of a run time around that
    runs: np.ndarray  # (options,) bool: some node could take it if it were empty
    moment: np.ndarray  # (2,) int64: now_us and seq of what was drawn last
    drawn: np.ndarray  # (futures,) bool: arrivals and factors of this moment are there


def futures_for(state: ClusterState, count: int) -> Futures:
    """Room for so many futures of clusters of this size."""
    options = len(state.options)
    return Futures(
        np.zeros((count, MAX_ARRIVALS), QUEUED),
        np.zeros(count, np.int64),
        np.zeros(count, np.int64),
        np.zeros((count, len(state.running)), np.int64),
        np.ones((count, options)),
        np.zeros((count, MAX_ARRIVALS)),
        np.zeros(options),
        np.ones(options),
        np.zeros(options),
        np.zeros(options, np.bool_),
        np.full(2, NONE, np.int64),
        np.zeros(count, np.bool_),
    )


@kernel
def draw_model(state, u):
    """A model in proportion to the arrivals that are remembered; NONE before the first."""
    total = 0.0
    for m in range(state.clock[0].n_models):
        total += state.models[m].seen
    found = NONE
    for m in range(state.clock[0].n_models):
        if state.models[m].seen > 0.0 and (found == NONE or u > 0.0):
            found = m
        u -= state.models[m].seen / max(total, 1e-300)
    return found


@kernel
def draw_job(state, futures, queued, seed, i, m, at_us):
    """Arrival i: its size from the model's mean log, its time to the deadline uniform in the log with the mean and the
    spread of those that came."""
    model = state.models[m]
    log_size = model.log_samples / model.seen + LOG_SD * normal_quantile(
        noise.uniform(seed, STREAM_SIZE, i, 0)
    )
    queued.job = FIRST_JOB + i
    queued.samples = max(np.int64(exp(log_size) + 0.5), 1)
    queued.arrival_us = at_us
    queued.classes = -1
    queued.cpu_floor = 0
    queued.memory_floor = 0
    queued.model = m
    queued.priority = 0
    queued.namespace = 0
    queued.site = 0
    queued.signature = 0
    queued.attempt = 0
    queued.counted = 1 if model.budgets > 0.0 else 0
    queued.hold_option = NONE
    queued.assigned = NONE
    queued.hold_round = NONE
    queued.hold_until_us = 0
    queued.hold_finish_us = 0
    queued.best_us = NEVER_US
    for o in range(model.first_option, model.first_option + model.n_options):
        if futures.runs[o]:
            queued.best_us = min(queued.best_us, alone_us(state, queued, state.options[o]))
    if queued.best_us >= NEVER_US:
        return False
    budget = 100.0
    if model.budgets > 0.0:
        mean = model.log_budget / model.budgets
        variance = max(model.log_budget_square / model.budgets - mean * mean, 0.0)
        half_width = sqrt(3.0 * variance)
        budget = exp(mean + half_width * (2.0 * noise.uniform(seed, STREAM_BUDGET, i, 0) - 1.0))
    queued.deadline_us = at_us + np.int64(budget * queued.best_us)
    return True


@kernel
def draw_arrivals(state, futures, s, horizon_us):
    """Poisson arrivals at the rate of the last 50 or so."""
    clock = state.clock[0]
    futures.n[s] = 0
    if clock.gap_mean_s <= 0.0:
        return
    seed = futures.seeds[s]
    at_us = float(clock.now_us)
    for i in range(MAX_ARRIVALS):
        at_us -= 1e6 * clock.gap_mean_s * log(noise.uniform(seed, STREAM_GAP, i, 0))
        m = draw_model(state, noise.uniform(seed, STREAM_MODEL, i, 0))
        if at_us > clock.now_us + horizon_us or m == NONE:
            return
        if draw_job(state, futures, futures.arrivals[s, futures.n[s]], seed, i, m, np.int64(at_us) + 1):
            futures.luck[s, i] = normal_quantile(noise.uniform(seed, STREAM_RUN, FIRST_JOB + i, 0))
            futures.n[s] += 1


@kernel
def calibrate(state, futures):
    """How long runs take of what is predicted, as far as the history tells; and what can run at all."""
    for o in range(state.clock[0].n_options):
        seen, sigma = state.history[o], state.options[o].sigma
        futures.mean[o] = known_ratio(seen)
        futures.sd[o] = run_sd(sigma, seen.count)
        futures.typical[o] = exp(futures.mean[o])
        futures.runs[o] = ever_fits(state, state.options[o])


@kernel
def draw_factor(state, futures, s, o):
    sd = sqrt(unknown(state.options[o].sigma, state.history[o].count))
    return exp(futures.mean[o] + sd * normal_quantile(noise.uniform(futures.seeds[s], STREAM_PROFILE, o, 0)))


@kernel
def draw_end_us(state, futures, s, r, release_us):
    """When the room of slot r comes back, given that its run has not been seen to end by now."""
    record, now_us = state.running[r], state.clock[0].now_us
    if record.option == NONE:
        return np.int64(NEVER_US)
    key = record.job if record.job != NONE else r
    u = noise.uniform(futures.seeds[s], STREAM_END, key, 0)
    elapsed_us = max(now_us - release_us - record.start_us, 1.0)
    sd = max(futures.sd[record.option], 1e-6)
    expected_us = max(record.run_us, 1) * futures.typical[record.option]
    z = log(elapsed_us / expected_us) / sd
    if z > STRAGGLER_Z:
        took_us = elapsed_us * (1.0 + u)
    else:
        passed = normal_cdf(z)
        took_us = expected_us * exp(sd * normal_quantile(passed + u * (1.0 - passed)))
    return max(record.start_us + np.int64(took_us + release_us), now_us + 1)


@kernel
def begin(state, futures):
    """Another moment, unless it is the one of the last call: nothing of it is drawn yet."""
    clock = state.clock[0]
    if futures.moment[0] == clock.now_us and futures.moment[1] == clock.seq:
        return
    futures.moment[0] = clock.now_us
    futures.moment[1] = clock.seq
    futures.drawn[:] = False
    calibrate(state, futures)


@kernel
def draw(state, futures, s, horizon_us, release_us):
    """Fill in future s. Of one moment arrivals and factors are drawn once, ends of runs afresh: more may run by now."""
    clock = state.clock[0]
    if not futures.drawn[s]:
        futures.drawn[s] = True
        futures.seeds[s] = np.int64(noise.mix(noise.mix(clock.now_us, clock.seq), s) >> np.uint64(1))
        draw_arrivals(state, futures, s, horizon_us)
        for o in range(clock.n_options):
            if state.options[o].dictionary == 1:
                futures.factor[s, o] = draw_factor(state, futures, s, o)
    for r in range(clock.running_top):
        if state.running[r].used == 1:
            futures.ends_us[s, r] = draw_end_us(state, futures, s, r, release_us)


@small_kernel
def luck_of(futures, s, job):
    """Log of what differs from run to run, in standard deviations."""
    if job >= FIRST_JOB:
        return futures.luck[s, job - FIRST_JOB]
    return normal_quantile(noise.uniform(futures.seeds[s], STREAM_RUN, job, 0))


@small_kernel
def took_us(state, futures, s, o, overhead_us, e_us, job):
    """How long a run of this job would take in future s: what comes before the compute, and the compute as it turns
    out. A job meets the same luck wherever it runs."""
    option = state.options[o]
    factor = futures.factor[s, o] if option.dictionary == 1 else draw_factor(state, futures, s, o)
    luck = exp(min(option.sigma, RUN_SD) * luck_of(futures, s, job))
    compute = max(e_us - overhead_us, 0.0) * factor * luck
    return max(np.int64(overhead_us + compute), 1)
