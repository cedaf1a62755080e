"""`rollout`: try moves on copies of the cluster in shared sampled futures, and leave the base rule only for a gain."""

import time
from math import sqrt
from typing import NamedTuple

import numpy as np
from numba import types

from synergai.envs import futures
from synergai.envs.candidates import DONE, N_RULES
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.features import BACKLOG, soft
from synergai.envs.futures import Futures, futures_for
from synergai.envs.rollout import World, look_everywhere, rollout, world_for
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE, ClusterState

MAX_MOVES = 16
NO_ACTIONS = np.zeros(0, np.int64)
LEAST = 4
"""Futures below which a mean gain and its error say nothing."""
MONOTONIC = time.CLOCK_MONOTONIC
clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.intp))


class Search(NamedTuple):
    """How far and how long a choice looks."""

    horizon_taus: float
    z: float
    """Standard errors that a gain over the base must exceed."""
    release_us: float
    """Of the cluster: until the end of a run is seen."""
    backlog_taus: float
    """Beyond so much waiting work, in time that the whole cluster takes for it, what counts lies beyond the horizon,
    and the base's action stands."""
    budget_us: float = 0.0
    """Time after which what was found must do; 0: as long as it takes, and the same choice on every machine."""


class Plan(NamedTuple):
    """Working memory of `choose`, for clusters of one size."""

    world: World
    futures: Futures
    moves: np.ndarray  # (MAX_MOVES,) int64: actions that are tried, the base's first
    pairs: np.ndarray  # (MAX_MOVES,) int64: the same as pairs of the survey, NONE for DONE
    alive: np.ndarray  # (MAX_MOVES,) bool: not yet given up
    costs: np.ndarray  # (MAX_MOVES, futures)
    tried: np.ndarray  # (1,) int64: futures that the last choice looked into
    clock: np.ndarray  # (2,) int64: seconds and nanoseconds, where the system writes the time


def plan_for(state: ClusterState, count: int) -> Plan:
    """Room to plan with so many futures."""
    return Plan(
        world_for(state),
        futures_for(state, count),
        np.zeros(MAX_MOVES, np.int64),
        np.zeros(MAX_MOVES, np.int64),
        np.zeros(MAX_MOVES, np.bool_),
        np.zeros((MAX_MOVES, count)),
        np.zeros(1, np.int64),
        np.zeros(2, np.int64),
    )


@kernel
def find_pair(survey, j, o):
    job = survey.jobs[j]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        if survey.pairs[p].option == o:
            return p
    return NONE


@kernel
def add_move(plan, survey, out, n, action):
    """Put an action among the moves unless it is there, illegal or too many; returns how many there are."""
    if n == MAX_MOVES or action == NONE or not out.mask[action]:
        return n
    for k in range(n):
        if plan.moves[k] == action:
            return n
    p = NONE if action == DONE else find_pair(survey, out.job[action], out.option[action])
    if p == NONE and action != DONE:
        return n
    plan.moves[n] = action
    plan.pairs[n] = p
    return n + 1


@kernel
def list_moves(plan, survey, out, base, extra):
    """The base's action, every rule's, DONE, what else the base's job could do, and the extra ones."""
    n = add_move(plan, survey, out, 0, base)
    for k in range(N_RULES):
        n = add_move(plan, survey, out, n, out.picks[k])
    n = add_move(plan, survey, out, n, DONE)
    for k in range(len(extra)):
        n = add_move(plan, survey, out, n, extra[k])
    if base != DONE:
        for i in range(out.n[0]):
            if out.job[i] == out.job[base]:
                n = add_move(plan, survey, out, n, i)
    return n


@kernel
def mean_gain(plan, k, count):
    """Of move k over the base in the first futures: mean and standard error."""
    total, squares = 0.0, 0.0
    for s in range(count):
        gain = plan.costs[0, s] - plan.costs[k, s]
        total += gain
        squares += gain * gain
    mean = total / count
    return mean, sqrt(max(squares / count - mean * mean, 0.0) / max(count - 1, 1))


@kernel
def give_up(plan, n, count):
    """Give up the moves that gain nothing so far, and the worse half of all; returns how many are left beside the
    base, which always stays."""
    left, most = 0, 0
    for k in range(1, n):
        most += plan.alive[k]
        plan.alive[k] = plan.alive[k] and mean_gain(plan, k, count)[0] > 0.0
        left += plan.alive[k]
    while left > (most + 1) // 2:
        worst, least = NONE, np.inf
        for k in range(1, n):
            gain = mean_gain(plan, k, count)[0]
            if plan.alive[k] and gain < least:
                worst, least = k, gain
        plan.alive[worst] = False
        left -= 1
    return left


@kernel
def now_ns(clock):
    """The monotonic clock; compiled code cannot call Python's."""
    clock_gettime(MONOTONIC, clock.ctypes.data)
    return clock[0] * 1_000_000_000 + clock[1]


@kernel
def look(state, survey, plan, n, search):
    """Roll the moves out in one future after another, the worse half of them given up each time that the futures have
    doubled, until all futures are seen, nothing gains, or the time is over. Returns how many futures all living moves
    have seen: 0 where the base is best."""
    count = len(plan.futures.seeds)
    horizon_us, release_us = np.int64(search.horizon_taus * state.clock[0].tau_us), search.release_us
    until_ns = now_ns(plan.clock) + np.int64(1e3 * search.budget_us) if search.budget_us > 0.0 else 0
    first = 0
    while first < count:
        last = min(max(2 * first, count // 8, 2), count)
        for s in range(first, last):
            futures.draw(state, plan.futures, s, horizon_us, release_us)
            for k in range(n):
                if plan.alive[k]:
                    plan.costs[k, s] = rollout(
                        state, plan.world, plan.futures, s, survey, plan.pairs[k], horizon_us, release_us
                    )
            plan.tried[0] = s + 1
            if search.budget_us > 0.0 and now_ns(plan.clock) > until_ns:
                return s + 1
        if last < count and give_up(plan, n, last) == 0:
            return 0
        first = last
    return count


@kernel
def choose(state, survey, plan, out, base, extra, search):
    """An action of the list, which is of the survey's moment: the base's, or one whose mean gain over it exceeds z
    standard errors. With a budget it is what was found by then, the base's if that is of fewer than LEAST futures."""
    plan.tried[0] = 0
    if out.shared[BACKLOG] > soft(search.backlog_taus):
        return base
    n = list_moves(plan, survey, out, base, extra)
    if n < 2 or plan.moves[0] != base:
        return base
    futures.begin(state, plan.futures)
    look_everywhere(state, plan.world, survey)
    plan.alive[:n] = True
    count = look(state, survey, plan, n, search)
    if count < min(LEAST, len(plan.futures.seeds)):
        return base
    best, most = base, 0.0
    for k in range(1, n):
        if plan.alive[k]:
            gain, error = mean_gain(plan, k, count)
            if gain > max(search.z * error, most, 1e-9):
                best, most = plan.moves[k], gain
    return best


@kernel
def costs_of_moves(state, survey, plan, out, base, offset, search, costs):
    """What the moves of a planner and some other STARTs, from `offset` on, cost more than the base, in the mean over
    all futures; others are left as they are. Where too much waits only the base is tried."""
    n = list_moves(plan, survey, out, base, NO_ACTIONS)
    costs[base] = 0.0
    if out.shared[BACKLOG] > soft(search.backlog_taus) or plan.moves[0] != base:
        return
    for i in range(out.n[0]):
        a = (offset + i) % out.n[0]
        if n < MAX_MOVES and survey.pairs[out.pair[a]].start == 1:
            n = add_move(plan, survey, out, n, a)
    plan.futures.moment[:] = NONE
    futures.begin(state, plan.futures)
    look_everywhere(state, plan.world, survey)
    horizon_us, count = np.int64(search.horizon_taus * state.clock[0].tau_us), len(plan.futures.seeds)
    for s in range(count):
        futures.draw(state, plan.futures, s, horizon_us, search.release_us)
        for k in range(n):
            plan.costs[k, s] = rollout(
                state, plan.world, plan.futures, s, survey, plan.pairs[k], horizon_us, search.release_us
            )
    for k in range(1, n):
        costs[plan.moves[k]] = -mean_gain(plan, k, count)[0]


@kernel
def stands(state, survey, plan, out, base, other, search, margin):
    """Whether an action may take the base's place: 1 if its mean gain less z standard errors is above -`margin`, looked
    at each time that the futures have doubled; 0 if it is not in all of them, or in those that the budget held; NONE
    where that cannot be told: much waits, or the budget did not hold LEAST."""
    plan.tried[0] = 0
    if base == other:
        return 1
    if out.shared[BACKLOG] > soft(search.backlog_taus):
        return NONE
    n = add_move(plan, survey, out, 0, base)
    if add_move(plan, survey, out, n, other) < 2:
        return NONE
    until_ns = now_ns(plan.clock) + np.int64(1e3 * search.budget_us)
    horizon_us = np.int64(search.horizon_taus * state.clock[0].tau_us)
    futures.begin(state, plan.futures)
    look_everywhere(state, plan.world, survey)
    count, first = len(plan.futures.seeds), 0
    last = min(LEAST, count)
    while True:
        for s in range(first, last):
            futures.draw(state, plan.futures, s, horizon_us, search.release_us)
            for k in range(2):
                plan.costs[k, s] = rollout(
                    state, plan.world, plan.futures, s, survey, plan.pairs[k], horizon_us, search.release_us
                )
            plan.tried[0] = s + 1
            if search.budget_us > 0.0 and now_ns(plan.clock) > until_ns:
                return lasts(plan, s + 1, search.z, margin) if s + 1 >= LEAST else NONE
        if lasts(plan, last, search.z, margin) or last == count:
            return lasts(plan, last, search.z, margin)
        first, last = last, min(2 * last, count)


@small_kernel
def lasts(plan, count, z, margin):
    """1 if the second move's mean gain over the first less z standard errors is above -`margin`, else 0."""
    gain, error = mean_gain(plan, 1, count)
    return 1 if gain - z * error > -margin else 0


@kernel
def run_planner(sim, scratch, plan, out, rule, extra_rule, extra, search):
    """Run a whole tape under the planner. Of the tape it sees what every scheduler does: the state."""
    while advance(sim, scratch, out, extra_rule):
        base = out.picks[min(rule, N_RULES)]
        action = choose(sim.state, scratch.survey, plan, out, base, extra, search)
        apply_action(sim, scratch, out, action)
