"""The discrete-event world: arrivals, finishes, deadlines and rounds on an exact integer clock, in compiled code.

`advance` runs one cluster until somebody has to choose between at least two legal actions; forced moves happen inside.
`run_rule` runs a whole tape under one rule. Both change the state only through `envs.state`.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs import ageing, epochs, noise, rules
from synergai.envs import capacity as capacity_module
from synergai.envs.candidates import DONE, list_candidates, list_surveyed, only_action
from synergai.envs.catalog import new_state
from synergai.envs.compile import kernel
from synergai.envs.program import Program
from synergai.envs.reward import DISCOUNT_TAUS, ENERGY_WEIGHT, EXCESS_WEIGHT
from synergai.envs.state import (
    NEVER_US,
    NONE,
    ClusterState,
    append_queued,
    count_arrival,
    hold,
    observe,
    release,
    set_best,
    start,
)
from synergai.envs.survey import outlives, set_aside, take_rules_survey, take_survey
from synergai.envs.tape import Setting, Tape, add_pod_start

PATIENCE_TAUS = 50.0
"""How long after the window a run goes on for the jobs that are left."""

WAITING, QUEUED_STATUS, RUNNING_STATUS, ENDED = 0, 1, 2, 3

OUTCOME = np.dtype(
    [
        ("held_us", "i8"),  # when it first went on hold, NONE if never
        ("start_us", "i8"),  # NONE until started
        ("finish_us", "i8"),  # NONE until finished
        ("predicted_us", "i8"),  # run time, at START
        ("best_us", "i8"),  # e*
        ("energy_j", "f8"),  # above idle, true
        ("option", "i4"),
        ("node", "i4"),
        ("status", "i4"),
        ("violated", "i4"),
    ],
    align=True,
)
PROGRESS = np.dtype(
    [
        ("next_arrival", "i8"),
        ("next_deadline", "i8"),
        ("n_heap", "i8"),
        ("left", "i8"),  # counted jobs of the window that are not finished
        ("end_us", "i8"),  # give up then
        ("in_round", "i4"),
        ("surveyed", "i4"),  # 1: the scratch of this cluster holds a survey of the state as it is
        ("decisions", "i8"),  # not forced
        ("actions", "i8"),
        ("from_us", "i8"),  # since when the reward below accumulates
        ("late_rate", "f8"),  # sum of 1 / e* over late unfinished counted jobs
        ("deadline_reward", "f8"),
        ("excess_reward", "f8"),
        ("energy_reward", "f8"),
        ("tau_us", "f8"),  # of the declared mix: the reward's unit of time does not move
        ("level", "f8"),
        ("release_us", "f8"),
        ("n_drift", "i8"),  # steps of drift on the tape
        ("stop_arrival", "i8"),  # a training episode is cut off when so many jobs have come
    ],
    align=True,
)
EVENT = np.dtype([("at_us", "i8"), ("slot", "i4"), ("seen", "i4")], align=True)


class Sim(NamedTuple):
    """One cluster on one tape."""

    state: ClusterState
    tape: Tape
    progress: np.ndarray  # (1,) PROGRESS
    outcomes: np.ndarray  # (jobs,) OUTCOME
    heap: np.ndarray  # (2 x running,) EVENT: ends of runs (seen 0) and when their room is seen to be free (1)
    program: Program


def new_sim(setting: Setting, tape: Tape, jobs: int | None = None) -> Sim:
    """The empty cluster at time 0 of this tape. `jobs` bounds how many can wait; default: all of the tape."""
    scenario = setting.scenario
    state = new_state(setting.catalog, jobs or len(tape.jobs))
    add_pod_start(state, scenario)
    capacity_module.apply(state, setting.capacity)
    state.clock[0]["seed"] = tape.seed[0]
    state.clock[0]["energy_weight"] = scenario.energy_weight
    progress = np.zeros(1, PROGRESS)
    counted = tape.jobs["counted"][tape.window[0] : tape.window[1]]
    progress[0]["left"] = counted.sum()
    last_us = tape.jobs["arrival_us"][tape.window[1] - 1]
    progress[0]["end_us"] = last_us + int(PATIENCE_TAUS * setting.capacity.tau_s * 1e6)
    progress[0]["tau_us"] = setting.capacity.tau_us
    progress[0]["level"] = scenario.noise.level
    progress[0]["release_us"] = scenario.delays.release_s * 1e6
    progress[0]["n_drift"] = tape.drift.shape[1]
    progress[0]["stop_arrival"] = len(tape.jobs) + 1
    outcomes = np.zeros(len(tape.jobs), OUTCOME)
    for field in ("held_us", "start_us", "finish_us", "option", "node"):
        outcomes[field] = NONE
    heap = np.zeros(2 * len(state.running), EVENT)
    return Sim(state, tape, progress, outcomes, heap, setting.program)


@kernel
def sooner(a, b):
    if a.at_us != b.at_us:
        return a.at_us < b.at_us
    if a.seen != b.seen:
        return a.seen < b.seen
    return a.slot < b.slot


@kernel
def swap(heap, i, k):
    at_us, slot, seen = heap[i].at_us, heap[i].slot, heap[i].seen
    heap[i] = heap[k]
    heap[k].at_us, heap[k].slot, heap[k].seen = at_us, slot, seen


@kernel
def push(sim, at_us, slot, seen):
    heap, progress = sim.heap, sim.progress[0]
    i = progress.n_heap
    progress.n_heap += 1
    heap[i].at_us, heap[i].slot, heap[i].seen = at_us, slot, seen
    while i > 0 and sooner(heap[i], heap[(i - 1) // 2]):
        swap(heap, i, (i - 1) // 2)
        i = (i - 1) // 2


@kernel
def pop(sim):
    """Remove the first event; read it before."""
    heap, progress = sim.heap, sim.progress[0]
    progress.n_heap -= 1
    n = progress.n_heap
    heap[0] = heap[n]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= n:
            return
        if child + 1 < n and sooner(heap[child + 1], heap[child]):
            child += 1
        if not sooner(heap[child], heap[i]):
            return
        swap(heap, i, child)
        i = child


@kernel
def discount(sim, at_us):
    """exp(-beta (at - since)) for this scenario's tau."""
    progress = sim.progress[0]
    beta = 1.0 / (DISCOUNT_TAUS * max(progress.tau_us, 1.0))
    return np.exp(-beta * (at_us - progress.from_us))


@kernel
def pass_time(sim, at_us):
    """Move the clock, and charge what late jobs cost meanwhile."""
    clock, progress = sim.state.clock[0], sim.progress[0]
    if progress.late_rate > 0.0 and at_us > clock.now_us:
        span = discount(sim, clock.now_us) - discount(sim, at_us)  # beta x integral of the discount
        scale = DISCOUNT_TAUS * progress.tau_us
        progress.excess_reward -= EXCESS_WEIGHT * progress.late_rate * scale * span
    clock.now_us = at_us


@kernel
def arrive(sim):
    """The next job of the tape joins the queue."""
    state, progress = sim.state, sim.progress[0]
    i = progress.next_arrival
    progress.next_arrival += 1
    job = sim.tape.jobs[i]
    queued = state.queue[append_queued(state)]
    queued.job = i
    queued.samples = job.samples
    queued.arrival_us = job.arrival_us
    queued.deadline_us = job.deadline_us
    queued.classes = -1
    queued.cpu_floor = 0
    queued.memory_floor = 0
    queued.model = job.model
    queued.priority = job.priority
    queued.namespace = job.namespace
    queued.site = 0
    queued.signature = 0
    queued.attempt = 0
    queued.counted = job.counted
    set_best(state, queued)
    count_arrival(state, queued)
    sim.outcomes[i].status = QUEUED_STATUS
    sim.outcomes[i].best_us = queued.best_us


@kernel
def expire(sim):
    """The next deadline of the tape passes; it counts if its job is not finished."""
    progress = sim.progress[0]
    i = sim.tape.by_deadline[progress.next_deadline]
    progress.next_deadline += 1
    outcome = sim.outcomes[i]
    if outcome.status == ENDED or sim.tape.jobs[i].counted == 0:
        return
    outcome.violated = 1
    progress.late_rate += 1.0 / max(outcome.best_us, 1)
    progress.deadline_reward -= discount(sim, sim.state.clock[0].now_us)


@kernel
def end_run(sim, slot):
    """The job in this slot ends now."""
    state, progress = sim.state, sim.progress[0]
    record = state.running[slot]
    outcome = sim.outcomes[record.job]
    outcome.status = ENDED
    outcome.finish_us = state.clock[0].now_us
    if outcome.violated == 1:
        progress.late_rate = max(progress.late_rate - 1.0 / max(outcome.best_us, 1), 0.0)
    if sim.tape.window[0] <= record.job < sim.tape.window[1] and sim.tape.jobs[record.job].counted == 1:
        progress.left -= 1


@kernel
def see_end(sim, slot):
    """The scheduler learns that the run has ended: room and history."""
    state = sim.state
    record = state.running[slot]
    ran_us = sim.outcomes[record.job].finish_us - record.start_us
    observe(state, record.option, record.run_us, ran_us)
    release(state, slot)


@kernel
def true_run_us(sim, job, attempt, option_index, node, samples):
    """How long this attempt really takes, start-up included."""
    option = sim.state.options[option_index]
    truth = sim.tape.truth[option_index]
    clock, progress = sim.state.clock[0], sim.progress[0]
    batches = (samples + option.batch - 1) // option.batch
    compute = max(samples * option.per_sample_us, batches * option.per_batch_us)
    step = min(clock.now_us // 60_000_000, progress.n_drift - 1)
    factor = truth.factor * sim.tape.drift[node, step]
    factor *= noise.run_factor(
        sim.tape.seed[0], progress.level, job, attempt, truth.hardware_key, truth.configuration_key, samples
    )
    return np.int64(np.ceil(option.startup_us + compute * factor))


@kernel
def start_pair(sim, scratch, p):
    """START: book it, and let the world decide how long it takes."""
    state, progress = sim.state, sim.progress[0]
    pair = scratch.survey.pairs[p]
    queued = state.queue[pair.j]
    job, samples, attempt = queued.job, queued.samples, queued.attempt
    best_energy = queued.best_energy_j
    option = state.options[pair.option]
    weight = state.clock[0].energy_weight
    if weight > 0.0 and best_energy > 0.0:
        ratio = option.active_w * pair.e_us * 1e-6 / best_energy
        progress.energy_reward -= ENERGY_WEIGHT * weight * ratio * discount(sim, state.clock[0].now_us)
    ageing.account(state, scratch.survey, pair)
    node = state.devices[pair.device].node
    run = true_run_us(sim, job, attempt, pair.option, node, samples)
    outcome = sim.outcomes[job]
    outcome.status = RUNNING_STATUS
    outcome.start_us = state.clock[0].now_us
    outcome.predicted_us = pair.e_us
    outcome.option = pair.option
    outcome.node = node
    outcome.energy_j = option.active_w * run * 1e-6
    slot = start(state, pair.j, pair.option, pair.device)
    push(sim, state.clock[0].now_us + run, slot, 0)


@kernel
def apply_pair(sim, scratch, p):
    """START or HOLD of a pair of the survey, whichever it is; NONE is DONE. The survey is out of date then."""
    sim.progress[0].actions += 1
    sim.progress[0].surveyed = 0
    if p == NONE:
        sim.progress[0].in_round = 0
    elif scratch.survey.pairs[p].start == 1:
        start_pair(sim, scratch, p)
    else:
        pair = scratch.survey.pairs[p]
        outcome = sim.outcomes[sim.state.queue[pair.j].job]
        if outcome.held_us == NONE:
            outcome.held_us = sim.state.clock[0].now_us
        hold(sim.state, pair.j, pair.option, pair.wait_us)


@kernel
def apply_and_keep(sim, scratch, p):
    """The same, but the survey is kept where the little that a HOLD changes can be written into it."""
    kept = outlives(sim.state, scratch.survey, p)
    j = scratch.survey.pairs[p].j if kept else NONE
    apply_pair(sim, scratch, p)
    if kept:
        set_aside(scratch.survey, j)
        sim.progress[0].surveyed = 1


@kernel
def apply_action(sim, scratch, out, action):
    """An action of the candidate list."""
    apply_and_keep(sim, scratch, NONE if action == DONE else out.pair[action])


@kernel
def apply_rule(sim, scratch, rule):
    """The action of a rule."""
    state, survey = sim.state, scratch.survey
    if sim.progress[0].surveyed == 0:
        if state.clock[0].n_running > 0:
            take_rules_survey(state, survey)
        else:
            take_survey(state, survey)
    done = epochs.done_is_legal(state, survey)
    apply_and_keep(sim, scratch, rules.legal_pick(state, survey, rule, done))


@kernel
def show(sim, scratch, out, extra):
    """Fill in the candidate list; returns the number of legal actions."""
    surveyed = sim.progress[0].surveyed
    sim.progress[0].surveyed = 0
    if surveyed == 1 and scratch.survey.counts[0].whole == 1:
        return list_surveyed(sim.state, scratch, out, extra)
    return list_candidates(sim.state, scratch, out, extra)


@kernel
def next_event_us(sim):
    """When the next thing happens by itself."""
    state, progress = sim.state, sim.progress[0]
    at_us = epochs.next_timer_us(state)
    if progress.n_heap > 0:
        at_us = min(at_us, sim.heap[0].at_us)
    if progress.next_arrival < len(sim.tape.jobs):
        at_us = min(at_us, sim.tape.jobs[progress.next_arrival].arrival_us)
    if progress.next_deadline < len(sim.tape.jobs):
        at_us = min(at_us, sim.tape.jobs[sim.tape.by_deadline[progress.next_deadline]].deadline_us)
    return at_us


@kernel
def step_events(sim, scratch):
    """Go to the next instant and let everything due there happen: ends, deadlines, arrivals, then perhaps a round.
    False when the tape is over."""
    state, progress = sim.state, sim.progress[0]
    at_us = next_event_us(sim)
    if progress.left <= 0 or at_us >= NEVER_US or at_us > progress.end_us:
        return False
    timer_us = epochs.next_timer_us(state)
    pass_time(sim, at_us)
    capacity_module.refresh(state, sim.program)
    due = timer_us <= at_us
    while progress.n_heap > 0 and sim.heap[0].at_us == at_us:
        slot, seen = sim.heap[0].slot, sim.heap[0].seen
        pop(sim)
        if seen == 0:
            end_run(sim, slot)
        if seen == 0 and progress.release_us > 0.0:
            push(sim, at_us + np.int64(progress.release_us), slot, 1)
        else:
            see_end(sim, slot)
            due = True
    n = len(sim.tape.jobs)
    while (
        progress.next_deadline < n
        and sim.tape.jobs[sim.tape.by_deadline[progress.next_deadline]].deadline_us <= at_us
    ):
        expire(sim)
    while progress.next_arrival < n and sim.tape.jobs[progress.next_arrival].arrival_us <= at_us:
        arrive(sim)
        due = True
    if progress.next_arrival >= progress.stop_arrival:
        return False
    if due and state.clock[0].n_queued > 0:
        epochs.begin_round(state, scratch.survey)
        progress.in_round = 1
    return True


@kernel
def advance(sim, scratch, out, extra):
    """Run until there is a choice, which `out` then shows; False when the tape is over. `extra` is one more rule whose
    pick the list must hold, or NONE."""
    progress = sim.progress[0]
    while True:
        while progress.in_round == 1:
            if sim.state.clock[0].n_queued == 0:
                progress.in_round = 0
                break
            if show(sim, scratch, out, extra) > 1:
                progress.decisions += 1
                return True
            apply_action(sim, scratch, out, only_action(out))
        if not step_events(sim, scratch):
            return False


@kernel
def run_rule(sim, scratch, rule, until_arrival):
    """Run under one rule until the tape is over, or just before a later round once `until_arrival` jobs have come."""
    progress = sim.progress[0]
    while progress.next_arrival < until_arrival:
        while progress.in_round == 1:
            if sim.state.clock[0].n_queued == 0:
                progress.in_round = 0
                break
            apply_rule(sim, scratch, rule)
        if not step_events(sim, scratch):
            return False
    return True


@kernel
def take_reward(sim):
    """The three reward terms since the last call, discounted to its instant; starts anew at now."""
    progress = sim.progress[0]
    terms = (progress.deadline_reward, progress.excess_reward, progress.energy_reward)
    progress.deadline_reward = 0.0
    progress.excess_reward = 0.0
    progress.energy_reward = 0.0
    progress.from_us = sim.state.clock[0].now_us
    return terms
