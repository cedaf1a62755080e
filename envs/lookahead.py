"""What an action is worth: branch off a copy of the cluster, take the action, let it go on alone for a while.

The copy meets the tape's own arrivals and noise, so all actions of one state are compared under the same luck. It is a
teacher's instrument for training: it sees the true future, which a scheduler never does.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs import agenda
from synergai.envs.batch import Batch, copy_of, scratch_at, shown_at, sim_at
from synergai.envs.candidates import DONE, MAX_CANDIDATES, N_RULES
from synergai.envs.compile import kernel
from synergai.envs.continuation import have_seen, start_all, step_alone
from synergai.envs.epochs import TICK_US
from synergai.envs.features import BACKLOG, soft
from synergai.envs.place import expected_end_us
from synergai.envs.reward import EXCESS_WEIGHT, potential
from synergai.envs.simulator import apply_pair
from synergai.envs.state import NEVER_US, NONE, ClusterState, copy_rows
from synergai.envs.survey import Survey, forget, take_survey
from synergai.envs.tape import Tape
from synergai.envs.world import ENDED, Sim, discount, take_reward

LATENESS = 0.1
"""Of what the reward takes for lateness: in overload late jobs never run out, and at its full weight a branch would
rather serve those of them that are short than be in time for others, of whom it hopes that they will be in time."""
LATE_COST = 0.03
"""What a late job that still waits at the end of a branch costs, in violations: its lateness goes on, and nothing else
would make it worth serving."""
DRAIN_SHARE = 2.0
"""For so many horizons more, at most, what waits is worked off while nothing comes: jobs that wait are in each other's
way, and each of them alone would still hope to be in time."""
OTHER_STARTS = 8
"""STARTs that no rule picks, tried beside the rules' picks: at light load the better move is often one of them."""


class Look(NamedTuple):
    """How far moves are looked at, and where."""

    horizon_taus: float
    crowded_taus: float = 0.0
    """Where more waits than the whole cluster does in this time, branches take long, and every move is alike."""
    crowded_every: int = 1
    """Of so many states there, one gets branches."""


class Spare(NamedTuple):
    """Room for one copy of any cluster of a batch, and working memory for it."""

    sim: Sim
    survey: Survey
    seen: np.ndarray  # (groups,) int64: their versions when the copy last looked for starts


def spare(batch: Batch) -> Spare:
    """A spare cluster for this batch."""
    room = copy_of(batch.sims, 0)
    room.agenda.n[:] = 0
    room.agenda.entries["place"] = NONE
    return Spare(room, copy_of(batch.scratches, 0).survey, np.zeros(len(room.state.groups), np.int64))


@kernel
def copy_agenda(source, target, slots):
    agenda.clear(target)  # of slots that only an earlier branch used
    copy_rows(source.n, target.n, 1)
    copy_rows(source.slots, target.slots, source.n[0])
    copy_rows(source.entries, target.entries, slots)
    for i in range(source.n[0]):
        slot = source.slots[i]
        if slot >= slots:  # of a closed loop's job
            target.entries[slot] = source.entries[slot]


@kernel
def branch(sim, spare):
    """Copy a cluster into the spare one; returns views that share what does not change."""
    s, c = sim.state, spare.state
    clock = s.clock[0]
    copy_rows(s.clock, c.clock, 1)
    copy_rows(s.models, c.models, clock.n_models)
    copy_rows(s.classes, c.classes, clock.n_classes)
    copy_rows(s.groups, c.groups, clock.n_groups)
    copy_rows(s.nodes, c.nodes, clock.n_nodes)
    copy_rows(s.devices, c.devices, clock.n_devices)
    copy_rows(s.queue, c.queue, clock.n_queued)
    copy_rows(s.running, c.running, clock.running_top)
    copy_rows(s.history, c.history, clock.n_options)
    copy_rows(sim.progress, spare.progress, 1)
    copy_rows(sim.outcomes, spare.outcomes, len(sim.outcomes))
    copy_agenda(sim.agenda, spare.agenda, clock.running_top)
    copy_rows(sim.machines, spare.machines, clock.n_nodes)
    if sim.progress[0].cold == 1:
        copy_rows(s.warmth, c.warmth, len(s.warmth))
    state = ClusterState(
        c.clock,
        c.models,
        c.classes,
        c.groups,
        s.options,
        c.nodes,
        c.devices,
        c.queue,
        c.running,
        c.history,
        s.admitted,
        s.links,
        c.warmth if sim.progress[0].cold == 1 else s.warmth,
    )
    t, closed = sim.tape, sim.progress[0].clients > 0
    if closed:
        copy_rows(t.jobs, spare.tape.jobs, len(t.jobs))
    jobs = spare.tape.jobs if closed else t.jobs
    tape = Tape(jobs, t.by_deadline, t.truth, t.drift, t.window, t.seed, t.changes, t.pods)
    c.clock[0].solved_us = NEVER_US  # prices are shared with the original: none are worked out in a branch
    return Sim(state, tape, spare.progress, spare.outcomes, spare.agenda, spare.machines, sim.program)


@kernel
def run_until(sim, survey, seen, look_us, until_us):
    """Go on to this instant, or to the end of the tape."""
    while step_alone(sim, survey, seen, look_us, until_us):
        pass


@kernel
def stop_arrivals(sim, until_us):
    """From now on nothing comes to this copy any more; deadlines of what would have come mean nothing."""
    progress, n = sim.progress[0], len(sim.tape.jobs)
    while progress.next_arrival < n and sim.tape.jobs[progress.next_arrival].arrival_us <= until_us:
        sim.outcomes[progress.next_arrival].status = ENDED
        progress.next_arrival += 1
    progress.next_arrival = n
    progress.stop_arrival = n + 1


@kernel
def drain(sim, survey, seen, until_us):
    """Let nothing more come, and go on until nothing waits, or to this instant. In a closed loop jobs come of
    themselves: there it does nothing."""
    if sim.progress[0].clients > 0:
        return
    stop_arrivals(sim, until_us)
    while sim.state.clock[0].n_queued > 0 and step_alone(sim, survey, seen, NONE, until_us):
        pass


@kernel
def late_waiting(state):
    """How many jobs wait whose deadline has passed."""
    count = 0
    for j in range(state.clock[0].n_queued):
        queued = state.queue[j]
        count += queued.counted == 1 and queued.deadline_us <= state.clock[0].now_us
    return count


@kernel
def late_running(sim):
    """How late the late jobs that run will have become by their expected ends, in units of their e*."""
    state, total = sim.state, 0.0
    now_us = state.clock[0].now_us
    for r in range(state.clock[0].running_top):
        record = state.running[r]
        if record.used == 1 and record.option != NONE and record.job != NONE and record.deadline_us <= now_us:
            end_us = expected_end_us(record, state.options[record.option].sigma, now_us)
            total += (end_us - now_us) / max(sim.outcomes[record.job].best_us, 1)
    return total


@kernel
def cost_of(sim, scratch, spare, out, action, horizon_us):
    """Discounted violations and lateness within the horizon and while what waits at its end is worked off, and what is
    expected of the jobs that are left then."""
    copy, survey, seen = branch(sim, spare.sim), spare.survey, spare.seen
    forget(survey)
    survey.counts[0].whole = 0
    take_reward(copy)
    until_us, look_us = copy.state.clock[0].now_us + horizon_us, np.int64(NONE)
    have_seen(copy.state, seen)
    apply_pair(copy, scratch, NONE if action == DONE else out.pair[action])
    if action == DONE:
        look_us = copy.state.clock[0].last_round_us + TICK_US
    else:
        start_all(copy, survey, seen, 0, True)
    run_until(copy, survey, seen, look_us, until_us)
    drain(copy, survey, seen, until_us + np.int64(DRAIN_SHARE * horizon_us))
    take_survey(copy.state, survey)
    left = LATE_COST * late_waiting(copy.state) - potential(copy.state, survey)
    left += LATENESS * EXCESS_WEIGHT * late_running(copy)
    left *= discount(copy, copy.state.clock[0].now_us)
    terms = take_reward(copy)
    return left - (terms[0] + LATENESS * terms[1] + terms[2])


@kernel
def starts(survey, p):
    return survey.pairs[p].start == 1


@kernel
def costs_of_moves(sim, scratch, spare, out, horizon_us, offset, costs):
    """Fill in the cost of each rule's pick, of DONE and of a few other STARTs."""
    for k in range(N_RULES):
        a = out.picks[k]
        if out.mask[a] and not np.isfinite(costs[a]):
            costs[a] = cost_of(sim, scratch, spare, out, a, horizon_us)
    if out.mask[DONE] and not np.isfinite(costs[DONE]):
        costs[DONE] = cost_of(sim, scratch, spare, out, DONE, horizon_us)
    tried = 0
    for i in range(out.n[0]):
        a = (offset + i) % out.n[0]
        fresh = starts(scratch.survey, out.pair[a]) and not np.isfinite(costs[a])
        if fresh and out.mask[a] and tried < OTHER_STARTS:
            costs[a] = cost_of(sim, scratch, spare, out, a, horizon_us)
            tried += 1


@kernel
def costs_all(sims, scratches, shown, alive, spare, terms, first, costs):
    """For every living cluster the cost of each rule's pick, of DONE and of a few other STARTs; inf elsewhere, and
    everywhere in the clusters that are left out. `first` shifts which other STARTs are tried."""
    for b in range(len(alive)):
        costs[b] = np.inf
        if not alive[b]:
            continue
        sim, scratch, out = sim_at(sims, b), scratch_at(scratches, b), shown_at(shown, b)
        if out.shared[BACKLOG] > soft(terms.crowded_taus) and (first + b) % terms.crowded_every != 0:
            continue
        horizon_us = np.int64(terms.horizon_taus * sim.progress[0].tau_us)
        offset = (first + b) % max(out.n[0], 1)
        costs_of_moves(sim, scratch, spare, out, horizon_us, offset, costs[b])


def empty_costs(size: int) -> np.ndarray:
    """(size, 129) float64."""
    return np.full((size, MAX_CANDIDATES + 1), np.inf)
