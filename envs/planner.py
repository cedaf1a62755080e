"""`rollout`: try moves on copies of the cluster in shared sampled futures, and leave the base rule only for a gain.

A copy takes what changes in a rollout and shares the rest. A rollout charges at each START the chance to be late, one
for a deadline that passed since the decision, and lateness; what still waits at its end is charged by its best chance.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np

from synergai.envs import ageing, agenda, epochs, futures, rules
from synergai.envs.agenda import SEEN, Agenda, agenda_for
from synergai.envs.candidates import DONE, N_RULES
from synergai.envs.compile import kernel
from synergai.envs.features import p_ontime
from synergai.envs.futures import MAX_ARRIVALS, Futures, futures_for
from synergai.envs.reward import EXCESS_WEIGHT
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import (
    NEVER_US,
    NONE,
    QUEUED,
    RUNNING,
    ClusterState,
    append_queued,
    hold,
    release,
    start,
)
from synergai.envs.survey import (
    Survey,
    forget,
    has_held,
    has_started,
    survey_for,
    take_rules_survey,
    take_survey,
)

MAX_MOVES = 16


class World(NamedTuple):
    """A copy of a cluster, and when its runs end."""

    state: ClusterState
    agenda: Agenda


class Plan(NamedTuple):
    """Working memory of `choose`, for clusters of one size."""

    world: World
    survey: Survey
    now: Survey  # of the moment itself
    futures: Futures
    moves: np.ndarray  # (MAX_MOVES,) int64: actions that are tried, the base's first
    pairs: np.ndarray  # (MAX_MOVES,) int64: the same as pairs of `now`
    alive: np.ndarray  # (MAX_MOVES,) bool: not yet given up
    costs: np.ndarray  # (MAX_MOVES, futures)


def plan_for(state: ClusterState, count: int) -> Plan:
    """Room to plan with so many futures."""
    jobs, slots = len(state.queue) + MAX_ARRIVALS, len(state.running) + MAX_ARRIVALS
    copy = state.copy()._replace(queue=np.zeros(jobs, QUEUED), running=np.zeros(slots, RUNNING))
    return Plan(
        World(copy, agenda_for(len(copy.running))),
        survey_for(copy),
        survey_for(state),
        futures_for(state, count),
        np.zeros(MAX_MOVES, np.int64),
        np.zeros(MAX_MOVES, np.int64),
        np.zeros(MAX_MOVES, np.bool_),
        np.zeros((MAX_MOVES, count)),
    )


# one rollout ---------------------------------------------------------------------------------------------------------
@kernel
def copy_rows(source, target, count):
    for i in range(count):
        target[i] = source[i]


@kernel
def branch(state, world, drawn, s, release_us):
    """Copy the cluster into `world`, its running jobs to end as in future s."""
    c, clock = world.state, state.clock[0]
    copy_rows(state.clock, c.clock, 1)
    copy_rows(state.classes, c.classes, clock.n_classes)
    copy_rows(state.groups, c.groups, clock.n_groups)
    copy_rows(state.nodes, c.nodes, clock.n_nodes)
    copy_rows(state.devices, c.devices, clock.n_devices)
    copy_rows(state.queue, c.queue, clock.n_queued)
    copy_rows(state.running, c.running, clock.running_top)
    mine = ClusterState(
        c.clock, state.models, c.classes, c.groups, state.options, c.nodes, c.devices, c.queue, c.running,
        state.history, state.admitted, state.links, state.warmth,
    )  # fmt: skip
    copy = World(mine, world.agenda)
    agenda.clear(copy.agenda)
    for r in range(clock.running_top):
        if state.running[r].used == 1 and drawn.ends_us[s, r] < NEVER_US:
            expect(copy, r, drawn.ends_us[s, r], release_us)
    return copy


@kernel
def expect(world, slot, at_us, release_us):
    """The room of this slot comes back then, so long after the run's end."""
    record, entry = world.state.running[slot], world.agenda.entries[slot]
    entry.lag_us = np.int64(release_us)
    entry.compute_us = record.start_us + np.int64(record.overhead_us)
    entry.slow = record.slow
    agenda.put(world.agenda, slot, at_us, SEEN)


@kernel
def lateness(state, queued, finish_us, from_us, late_chance):
    """What this job costs that will end then: nothing for a deadline that had passed before the decision."""
    if queued.counted == 0:
        return 0.0
    excess = EXCESS_WEIGHT * max(finish_us - queued.deadline_us, 0.0) / max(queued.best_us, 1)
    if queued.deadline_us <= from_us:
        return excess
    if queued.deadline_us <= state.clock[0].now_us:
        return 1.0 + excess
    return late_chance + excess


@kernel
def act(world, drawn, s, survey, p, from_us, release_us):
    """START or HOLD of pair p in this copy; returns what it costs."""
    state, pair = world.state, survey.pairs[p]
    queued, option = state.queue[pair.j], state.options[pair.option]
    if pair.start == 0:
        hold(state, pair.j, pair.option, pair.wait_us, pair.e_us)
        return 0.0
    now_us = state.clock[0].now_us
    e_us = pair.e_us * np.exp(drawn.mean[pair.option])
    late = 1.0 - p_ontime(queued.deadline_us - now_us - e_us, drawn.sd[pair.option], e_us)
    cost = lateness(state, queued, now_us + e_us, from_us, late)
    took = futures.took_us(drawn, s, option, pair.option, pair.overhead_us, pair.e_us, queued.job)
    ageing.account(state, survey, pair)
    slot = start(state, pair.j, pair.option, pair.device)
    expect(world, slot, now_us + took + np.int64(release_us), release_us)
    if state.clock[0].slowdown > 0.0:
        agenda.follow(world.agenda, state, state.running[slot].node)
    return cost


@kernel
def play_round(world, drawn, s, survey, rule, from_us, release_us):
    """The rest of a round under a rule; returns what it costs."""
    state, cost, kept = world.state, 0.0, False
    while state.clock[0].n_queued > 0:
        if not kept and state.clock[0].n_running > 0 and not rules.sees_all(rule):
            take_rules_survey(state, survey)
        elif not kept:
            take_survey(state, survey)
        p = rules.legal_pick(state, survey, rule, epochs.done_is_legal(state, survey))
        if p == NONE:
            break
        pair = survey.pairs[p]
        j, starts, node = pair.j, pair.start == 1, state.devices[pair.device].node
        cost += act(world, drawn, s, survey, p, from_us, release_us)
        kept = has_started(state, survey, j, node) if starts else has_held(state, survey, j)
    return cost


@kernel
def next_expiry_us(state):
    """When the first hold ends by itself, or the rule wanted to be asked again. Other timers are left out: a rule that
    was done finds nothing new then."""
    at_us = np.int64(NEVER_US)
    clock = state.clock[0]
    if clock.wake_us != NONE and clock.wake_us > clock.last_round_us:
        at_us = np.int64(clock.wake_us)
    for j in range(clock.n_queued):
        if state.queue[j].hold_option != NONE:
            at_us = min(at_us, max(state.queue[j].hold_until_us, clock.last_round_us + 1))
    return at_us


@kernel
def step(world, drawn, s, survey, next_arrival, until_us):
    """Go to the next instant at which something happens and begin its round; the arrivals so far, NONE at the end."""
    state = world.state
    clock = state.clock[0]
    at_us = min(next_expiry_us(state), agenda.next_us(world.agenda))
    if next_arrival < drawn.n[s]:
        at_us = min(at_us, drawn.arrivals[s, next_arrival].arrival_us)
    if at_us > until_us:
        clock.now_us = until_us
        return NONE
    clock.now_us = max(at_us, clock.now_us)
    while agenda.next_us(world.agenda) <= clock.now_us:
        slot = world.agenda.slots[0]
        agenda.drop(world.agenda, slot)
        release(state, slot)
        if clock.slowdown > 0.0:
            agenda.follow(world.agenda, state, state.running[slot].node)
    while next_arrival < drawn.n[s] and drawn.arrivals[s, next_arrival].arrival_us <= clock.now_us:
        j = append_queued(state)
        seq = state.queue[j].seq
        state.queue[j] = drawn.arrivals[s, next_arrival]
        state.queue[j].seq = seq
        next_arrival += 1
    epochs.begin_round(state, survey)
    return next_arrival


@kernel
def left_over(state, drawn, survey, from_us):
    """What is expected of the jobs that wait at the end, each by its best chance alone."""
    take_survey(state, survey)
    now_us, cost = state.clock[0].now_us, 0.0
    for j in range(state.clock[0].n_queued):
        queued, job = state.queue[j], survey.jobs[j]
        late, finish_us = 1.0, float(now_us + queued.best_us)
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            pair = survey.pairs[p]
            e_us = pair.e_us * np.exp(drawn.mean[pair.option])
            spare_us = queued.deadline_us - now_us - pair.wait_us - e_us
            late = min(late, 1.0 - p_ontime(spare_us, drawn.sd[pair.option], e_us))
        if job.n_pairs == 0 and queued.hold_option != NONE:
            o = queued.hold_option
            late = 1.0 - p_ontime(queued.deadline_us - queued.hold_finish_us, drawn.sd[o], queued.best_us)
        cost += lateness(state, queued, finish_us, from_us, late)
    return cost


@kernel
def rollout(state, plan, s, p, rule, horizon_us, release_us):
    """The cost of pair p (NONE: DONE) in future s, going on under the rule."""
    from_us = state.clock[0].now_us
    world = branch(state, plan.world, plan.futures, s, release_us)
    forget(plan.survey)
    cost = 0.0
    if p != NONE:
        cost += act(world, plan.futures, s, plan.now, p, from_us, release_us)
        cost += play_round(world, plan.futures, s, plan.survey, rule, from_us, release_us)
    arrived = 0
    while True:
        arrived = step(world, plan.futures, s, plan.survey, arrived, from_us + horizon_us)
        if arrived == NONE:
            return cost + left_over(world.state, plan.futures, plan.survey, from_us)
        cost += play_round(world, plan.futures, s, plan.survey, rule, from_us, release_us)


# the choice ----------------------------------------------------------------------------------------------------------
@kernel
def find_pair(survey, j, o):
    job = survey.jobs[j]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        if survey.pairs[p].option == o:
            return p
    return NONE


@kernel
def add_move(plan, out, n, action):
    """Put an action among the moves unless it is there, illegal or too many; returns how many there are."""
    if n == MAX_MOVES or action == NONE or not out.mask[action]:
        return n
    for k in range(n):
        if plan.moves[k] == action:
            return n
    p = NONE if action == DONE else find_pair(plan.now, out.job[action], out.option[action])
    if p == NONE and action != DONE:
        return n
    plan.moves[n] = action
    plan.pairs[n] = p
    return n + 1


@kernel
def list_moves(plan, out, base, extra):
    """The base's action, every rule's, DONE, what else the base's job could do, and the extra ones."""
    n = add_move(plan, out, 0, base)
    for k in range(N_RULES):
        n = add_move(plan, out, n, out.picks[k])
    n = add_move(plan, out, n, DONE)
    for k in range(len(extra)):
        n = add_move(plan, out, n, extra[k])
    if base != DONE:
        for i in range(out.n[0]):
            if out.job[i] == out.job[base]:
                n = add_move(plan, out, n, i)
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
def choose(state, plan, out, rule, base, extra, horizon_taus, release_us, z):
    """An action of the list: the base's, or one whose mean gain over it exceeds z standard errors."""
    take_survey(state, plan.now)
    n = list_moves(plan, out, base, extra)
    if n < 2 or plan.moves[0] != base:
        return base
    horizon_us = np.int64(horizon_taus * state.clock[0].tau_us)
    futures.draw(state, plan.futures, horizon_us, release_us)
    plan.alive[:n] = True
    count = len(plan.futures.seeds)
    first = 0
    while first < count:
        last = min(max(2 * first, (count + 3) // 4), count)
        for s in range(first, last):
            for k in range(n):
                if plan.alive[k]:
                    plan.costs[k, s] = rollout(state, plan, s, plan.pairs[k], rule, horizon_us, release_us)
        if last < count and give_up(plan, n, last) == 0:
            return base
        first = last
    best, most = base, 0.0
    for k in range(1, n):
        if plan.alive[k]:
            gain, error = mean_gain(plan, k, count)
            if gain > max(z * error, most, 1e-9):
                best, most = plan.moves[k], gain
    return best


@kernel
def run_planner(sim, scratch, plan, out, rule, extra_rule, extra, horizon_taus, z):
    """Run a whole tape under the planner. Of the tape it sees what every scheduler does: the state."""
    while advance(sim, scratch, out, extra_rule):
        base = out.picks[min(rule, N_RULES)]
        release_us = sim.progress[0].release_us
        action = choose(sim.state, plan, out, rule, base, extra, horizon_taus, release_us, z)
        apply_action(sim, scratch, out, action)
