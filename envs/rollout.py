"""One move, tried in one sampled future on a copy of the cluster, and what it costs.

After the move it goes on as `envs.continuation` says. A start costs the chance to be late, 1 for a deadline that passed
since the decision, lateness, and energy by its weight; what still waits at the end is charged by its best chance.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs import agenda, futures
from synergai.envs.agenda import SEEN, Agenda, agenda_for
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.continuation import have_seen, next_start
from synergai.envs.features import p_ontime
from synergai.envs.futures import MAX_ARRIVALS
from synergai.envs.reward import ENERGY_WEIGHT, EXCESS_WEIGHT
from synergai.envs.state import (
    NEVER_US,
    NONE,
    QUEUED,
    RUNNING,
    ClusterState,
    append_queued,
    copy_rows,
    hold,
    release,
    start,
    transfer_us,
)
from synergai.envs.survey import Survey, look_for_room, run_time_us, survey_for


class World(NamedTuple):
    """A copy of a cluster, and when its runs end."""

    state: ClusterState
    agenda: Agenda
    survey: Survey  # where its options have room
    waits_us: np.ndarray  # (groups,) float64: until something ends there
    seen: np.ndarray  # (groups,) int64: their versions when the copy last looked for starts
    anyone: np.ndarray  # (1,) QUEUED: a job without wishes


def world_for(state: ClusterState) -> World:
    """Room for a copy of this cluster and for the arrivals of a future."""
    groups = len(state.groups)
    jobs, slots = len(state.queue) + MAX_ARRIVALS, len(state.running) + MAX_ARRIVALS
    copy = state.copy()._replace(queue=np.zeros(jobs, QUEUED), running=np.zeros(slots, RUNNING))
    anyone = np.zeros(1, QUEUED)
    anyone["classes"] = -1
    seen = np.zeros(groups, np.int64)
    return World(copy, agenda_for(slots), survey_for(copy), np.zeros(groups), seen, anyone)


@kernel
def look_everywhere(state, world, survey):
    """Look up once, for all rollouts of this moment, where the options of jobs to come have room."""
    for o in range(state.clock[0].n_options):
        if state.options[o].dictionary == 1:
            look_for_room(state, survey, world.anyone[0], o)


@kernel
def branch(state, world, drawn, s, survey, release_us):
    """Copy the cluster into `world`, with what the survey knows of room, its running jobs to end as in future s; the
    rest is shared."""
    c, clock = world.state, state.clock[0]
    copy_rows(state.clock, c.clock, 1)
    copy_rows(state.groups, c.groups, clock.n_groups)
    copy_rows(state.nodes, c.nodes, clock.n_nodes)
    copy_rows(state.devices, c.devices, clock.n_devices)
    copy_rows(state.queue, c.queue, clock.n_queued)
    copy_rows(state.running, c.running, clock.running_top)
    mine = ClusterState(
        c.clock, state.models, state.classes, c.groups, state.options, c.nodes, c.devices, c.queue, c.running,
        state.history, state.admitted, state.links, state.warmth,
    )  # fmt: skip
    copy = World(mine, world.agenda, world.survey, world.waits_us, world.seen, world.anyone)
    have_seen(mine, copy.seen)
    agenda.clear(copy.agenda)
    know(copy.survey, survey, clock.n_options)
    for r in range(clock.running_top):
        if state.running[r].used == 1 and drawn.ends_us[s, r] < NEVER_US:
            expect(copy, r, drawn.ends_us[s, r], release_us)
    return copy


@small_kernel
def know(copy, survey, options):
    """What the survey knows of room holds in a copy until a node of the group changes there."""
    copy.counts[0].begun = survey.counts[0].begun
    copy.counts[0].stamp = survey.counts[0].stamp
    for signature in range(len(survey.placed)):
        for o in range(options):
            copy.placed[signature, o] = survey.placed[signature, o]
            copy.placed[signature, o].blocks = 0


@small_kernel
def expect(world, slot, at_us, release_us):
    """The room of this slot comes back then, so long after the run's end."""
    record, entry = world.state.running[slot], world.agenda.entries[slot]
    entry.lag_us = np.int64(release_us)
    entry.compute_us = record.start_us + np.int64(record.overhead_us)
    entry.slow = record.slow
    agenda.put(world.agenda, slot, at_us, SEEN)


# what it costs -------------------------------------------------------------------------------------------------------
@small_kernel
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


@small_kernel
def energy(state, queued, energy_j):
    """What that much costs, by the weight of energy; nothing for jobs of the future, whose least is not known."""
    weight = state.clock[0].energy_weight
    if weight <= 0.0 or queued.best_energy_j <= 0.0:
        return 0.0
    return ENERGY_WEIGHT * weight * energy_j / queued.best_energy_j


@kernel
def begin(world, drawn, s, j, o, device, overhead_us, e_us, from_us, release_us):
    """START job j with option o here and now; returns what that costs."""
    state = world.state
    queued, now_us = state.queue[j], state.clock[0].now_us
    expected_us = e_us * drawn.typical[o]
    late = 1.0 - p_ontime(queued.deadline_us - now_us - expected_us, drawn.sd[o], expected_us)
    cost = lateness(state, queued, now_us + expected_us, from_us, late)
    cost += energy(state, queued, state.options[o].active_w * expected_us * 1e-6)
    took = futures.took_us(state, drawn, s, o, overhead_us, e_us, queued.job)
    slot = start(state, j, o, device)
    expect(world, slot, now_us + took + np.int64(release_us), release_us)
    if state.clock[0].slowdown > 0.0:
        agenda.follow(world.agenda, state, state.running[slot].node)
    return cost


@kernel
def left_over(world, drawn, from_us):
    """What is expected of the jobs that wait at the end, each by its best chance alone."""
    state = world.state
    clock = state.clock[0]
    now_us, cost = clock.now_us, 0.0
    world.waits_us[: clock.n_groups] = NEVER_US
    for i in range(world.agenda.n[0]):
        slot = world.agenda.slots[i]
        o = state.running[slot].option
        if o != NONE:
            g = state.options[o].group
            wait_us = world.agenda.entries[slot].at_us - now_us
            world.waits_us[g] = min(world.waits_us[g], max(wait_us, 0))
    for j in range(clock.n_queued):
        queued = state.queue[j]
        model = state.models[queued.model]
        most, finish_us = -np.inf, float(now_us + queued.best_us)
        for o in range(model.first_option, model.first_option + model.n_options):
            option = state.options[o]
            if (queued.classes >> option.klass) & 1 == 0 or option.dictionary == 0:
                continue
            placed = look_for_room(state, world.survey, queued, o)
            wait_us = 0.0 if placed.room == 1 else world.waits_us[option.group]
            if wait_us >= NEVER_US:
                continue
            e_us = run_time_us(state, queued, option, placed) * drawn.typical[o]
            spare_us = queued.deadline_us - now_us - wait_us - e_us
            most = max(most, spare_us / max(drawn.sd[o] * e_us, 1.0))
        late = 1.0 - p_ontime(most, 1.0, 1.0) if most > -np.inf else 1.0
        cost += lateness(state, queued, finish_us, from_us, late) + energy(
            state, queued, queued.best_energy_j
        )
    return cost


# going on ------------------------------------------------------------------------------------------------------------
@kernel
def go_on(world, drawn, s, new_from, freed, from_us, release_us):
    """Start what can be started, as `next_start` says; returns what it costs."""
    state, cost = world.state, 0.0
    while True:
        j, o, e_us = next_start(state, world.survey, world.seen, new_from, freed)
        if j == NONE:
            have_seen(state, world.seen)
            return cost
        placed = look_for_room(state, world.survey, state.queue[j], o)
        overhead_us = placed.startup_us + transfer_us(state, state.queue[j], state.options[o])
        cost += begin(world, drawn, s, j, o, placed.device, overhead_us, e_us, from_us, release_us)


@kernel
def give_back(world, slot):
    """The run in this slot has ended: its room is there again."""
    state = world.state
    node = state.running[slot].node
    agenda.drop(world.agenda, slot)
    release(state, slot)
    if state.clock[0].slowdown > 0.0:
        agenda.follow(world.agenda, state, node)


@kernel
def next_instant(world, drawn, s, arrived, until_us):
    """Go to the next instant at which a run ends or a job comes, or to the end; True if a run ended."""
    clock = world.state.clock[0]
    at_us = agenda.next_us(world.agenda)
    if arrived < drawn.n[s]:
        at_us = min(at_us, drawn.arrivals[s, arrived].arrival_us)
    clock.now_us = max(min(at_us, until_us), clock.now_us)
    ended = False
    while at_us <= until_us and agenda.next_us(world.agenda) <= clock.now_us:
        ended = True
        give_back(world, world.agenda.slots[0])
    return ended


@kernel
def take_arrivals(world, drawn, s, arrived):
    """Let those come that are due; returns how many have come."""
    state = world.state
    while arrived < drawn.n[s] and drawn.arrivals[s, arrived].arrival_us <= state.clock[0].now_us:
        j = append_queued(state)
        seq = state.queue[j].seq
        state.queue[j] = drawn.arrivals[s, arrived]
        state.queue[j].seq = seq
        arrived += 1
    return arrived


@kernel
def rollout(state, world, drawn, s, survey, p, horizon_us, release_us):
    """The cost of pair p of the survey (NONE: DONE) in future s. Where a run ends, all jobs are looked at; where a job
    comes, only that one: what could not start before cannot start then."""
    from_us = state.clock[0].now_us
    until_us = from_us + horizon_us
    copy = branch(state, world, drawn, s, survey, release_us)
    clock, cost, arrived, untouched = copy.state.clock[0], 0.0, 0, p == NONE
    if p != NONE:
        pair = survey.pairs[p]
        if pair.start == 1:
            cost += begin(
                copy, drawn, s, pair.j, pair.option, pair.device, pair.overhead_us, pair.e_us, from_us, release_us
            )  # fmt: skip
        else:
            hold(copy.state, pair.j, pair.option, pair.wait_us, pair.e_us)
        cost += go_on(copy, drawn, s, 0, True, from_us, release_us)
    while True:
        ended = next_instant(copy, drawn, s, arrived, until_us)
        new_from = clock.seq
        arrived = take_arrivals(copy, drawn, s, arrived)
        if not ended and clock.seq == new_from:
            return cost + left_over(copy, drawn, from_us)
        cost += go_on(copy, drawn, s, 0 if untouched else new_from, ended or untouched, from_us, release_us)
        untouched = False
