"""The world of one cluster on one tape: what happens by itself, on an exact integer clock, in compiled code.

Jobs come, runs end, deadlines pass, nodes die and come back, other schedulers' pods come and go. What a scheduler does
about it is in `envs.simulator`. Both change the state only through `envs.state`.

When jobs come and expire stands on the tape; in a closed loop on the agenda, from the end of the client's last job on.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs import agenda, epochs, noise
from synergai.envs import capacity as capacity_module
from synergai.envs.agenda import END, EXPIRES, SEEN, SENT, VANISH, Agenda, agenda_for
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.disturbances import BACK, CLOSES, DIES, NOTICED
from synergai.envs.program import Program
from synergai.envs.reward import DISCOUNT_TAUS, EXCESS_WEIGHT
from synergai.envs.state import (
    NEVER_US,
    NONE,
    ClusterState,
    append_queued,
    book,
    compute_us,
    count_arrival,
    observe,
    release,
    set_best,
    take_slot,
    touch,
    warm_up,
)
from synergai.envs.tape import Setting, Tape, empty_cluster

PATIENCE_TAUS = 50.0
"""How long after the window a run goes on for the jobs that are left."""
BIND_RETRY_US = 1_000_000.0
"""What a bind that failed costs beside the bind itself."""

WAITING, QUEUED_STATUS, RUNNING_STATUS, ENDED = 0, 1, 2, 3

OUTCOME = np.dtype(
    [
        ("held_us", "i8"),  # when it first went on hold, NONE if never
        ("start_us", "i8"),  # of the last attempt; NONE until started
        ("finish_us", "i8"),  # NONE until finished
        ("predicted_us", "i8"),  # run time, at START
        ("best_us", "i8"),  # e*
        ("energy_j", "f8"),  # above idle, true, of all attempts
        ("option", "i4"),
        ("node", "i4"),
        ("status", "i4"),
        ("violated", "i4"),
        ("attempt", "i4"),  # how many were lost before
    ],
    align=True,
)
PROGRESS = np.dtype(
    [
        ("next_arrival", "i8"),  # how many jobs have come
        ("next_deadline", "i8"),
        ("next_change", "i8"),
        ("next_pod", "i8"),
        ("left", "i8"),  # counted jobs of the window that are not finished
        ("end_us", "i8"),  # give up then
        ("in_round", "i4"),
        ("round_waits", "i4"),  # 1: a round is due, but the last decision is not out yet
        ("surveyed", "i4"),  # 1: the scratch of this cluster holds a survey of the state as it is
        ("cold", "i4"),  # 1: not every node had every image at first
        ("decisions", "i8"),  # not forced
        ("actions", "i8"),
        ("from_us", "i8"),  # since when the reward below accumulates
        ("late_rate", "f8"),  # sum of 1 / e* over late unfinished counted jobs
        ("deadline_reward", "f8"),
        ("excess_reward", "f8"),
        ("energy_reward", "f8"),
        ("tau_us", "f8"),  # of the declared mix: the reward's unit of time does not move
        ("level", "f8"),
        ("stragglers", "f8"),
        ("release_us", "f8"),
        ("decision_us", "i8"),
        ("bind_us", "f8"),
        ("bind_failures", "f8"),
        ("n_drift", "i8"),  # steps of drift on the tape
        ("n_changes", "i8"),  # of nodes; in a batch arrays are as long as the longest
        ("n_pods", "i8"),
        ("stop_arrival", "i8"),  # a training episode is cut off when so many jobs have come
        ("n_timed", "i8"),  # jobs of which the tape says when they come: all, or none in a closed loop
        ("n_jobs", "i8"),  # of the tape
        ("clients", "i8"),  # of a closed loop, else 0
        ("first_sent", "i8"),  # the slot of the agenda of a closed loop's job 0
        ("patience_us", "i8"),
    ],
    align=True,
)
MACHINE = np.dtype(
    [
        ("dead", "i4"),
        ("missed", "i4"),  # 1: the scheduler knows that it is dead
        ("closed", "i4"),
        ("energy_j", "f8"),  # above idle, of runs that have ended or go on
        ("died_us", "i8"),
        ("dead_us", "i8"),  # altogether, up to its last return
    ],
    align=True,
)
"""What is true of a node, whatever the scheduler knows."""


class Sim(NamedTuple):
    """One cluster on one tape."""

    state: ClusterState
    tape: Tape
    progress: np.ndarray  # (1,) PROGRESS
    outcomes: np.ndarray  # (jobs,) OUTCOME
    agenda: Agenda  # ends of runs, when they are seen, ends of others' pods; what clients send
    machines: np.ndarray  # (nodes,) MACHINE
    program: Program


def new_sim(setting: Setting, tape: Tape, jobs: int | None = None) -> Sim:
    """The empty cluster at time 0 of this tape. `jobs` bounds how many can wait; default: all of the tape."""
    scenario = setting.scenario
    state = empty_cluster(scenario, setting.catalog, jobs or len(tape.jobs), others=len(tape.pods))
    capacity_module.apply(state, setting.capacity)
    state.clock[0]["seed"] = tape.seed[0]
    progress = np.zeros(1, PROGRESS)
    window = tape.jobs[tape.window[0] : tape.window[1]]
    counted = window["counted"] == 1
    progress[0]["left"] = counted.sum()
    progress[0]["n_jobs"] = len(tape.jobs)
    progress[0]["n_timed"] = 0 if setting.clients else len(tape.jobs)
    progress[0]["patience_us"] = int(PATIENCE_TAUS * setting.capacity.tau_s * 1e6)
    last_us = window["arrival_us"][-1] + progress[0]["patience_us"]
    progress[0]["end_us"] = max(last_us, window["deadline_us"][counted].max(initial=0))
    progress[0]["tau_us"] = setting.capacity.tau_us
    progress[0]["cold"] = scenario.world.startup_states != "cached"
    progress[0]["level"] = scenario.noise.level
    progress[0]["stragglers"] = scenario.noise.stragglers
    progress[0]["release_us"] = scenario.delays.release_s * 1e6
    progress[0]["decision_us"] = scenario.delays.decision_s * 1e6
    progress[0]["bind_us"] = scenario.delays.bind_s * 1e6
    progress[0]["bind_failures"] = scenario.delays.bind_failures
    progress[0]["n_drift"] = tape.drift.shape[1]
    progress[0]["n_changes"], progress[0]["n_pods"] = len(tape.changes), len(tape.pods)
    progress[0]["stop_arrival"] = len(tape.jobs) + 1
    outcomes = np.zeros(len(tape.jobs), OUTCOME)
    for field in ("held_us", "start_us", "finish_us", "option", "node"):
        outcomes[field] = NONE
    machines = np.zeros(len(state.nodes), MACHINE)
    program = setting.program if len(tape.changes) == 0 else setting.program.copy()
    sim = Sim(state, tape, progress, outcomes, agenda_for(len(state.running)), machines, program)
    return closed(sim, setting.clients) if setting.clients else sim


def closed(sim: Sim, clients: int) -> Sim:
    """The same in a closed loop: the jobs are its own, as it writes their times; each client thinks of its first."""
    slots, jobs = len(sim.state.running), len(sim.tape.jobs)
    sim.progress[0]["clients"], sim.progress[0]["first_sent"] = clients, slots
    sim.progress[0]["end_us"] = 0
    sim = sim._replace(tape=sim.tape._replace(jobs=sim.tape.jobs.copy()), agenda=agenda_for(slots + jobs))
    for i in range(min(clients, jobs)):
        will_send(sim, i, 0)
    return sim


@small_kernel
def discount(sim, at_us):
    """exp(-beta (at - since)) for this scenario's tau."""
    progress = sim.progress[0]
    beta = 1.0 / (DISCOUNT_TAUS * max(progress.tau_us, 1.0))
    return np.exp(-beta * (at_us - progress.from_us))


@small_kernel
def pass_time(sim, at_us):
    """Move the clock, and charge what late jobs cost meanwhile."""
    clock, progress = sim.state.clock[0], sim.progress[0]
    if progress.late_rate > 0.0 and at_us > clock.now_us:
        span = discount(sim, clock.now_us) - discount(sim, at_us)  # beta x integral of the discount
        scale = DISCOUNT_TAUS * progress.tau_us
        progress.excess_reward -= EXCESS_WEIGHT * progress.late_rate * scale * span
    clock.now_us = at_us


# jobs ----------------------------------------------------------------------------------------------------------------
@small_kernel
def enqueue(sim, i):
    """Job i of the tape joins the queue; returns its record."""
    state, job = sim.state, sim.tape.jobs[i]
    queued = state.queue[append_queued(state)]
    queued.job = i
    queued.samples = job.samples
    queued.arrival_us = job.arrival_us
    queued.deadline_us = job.deadline_us
    queued.classes = job.classes
    queued.cpu_floor = 0
    queued.memory_floor = 0
    queued.model = job.model
    queued.priority = job.priority
    queued.namespace = job.namespace
    queued.site = job.site
    queued.signature = job.signature
    queued.attempt = sim.outcomes[i].attempt
    queued.counted = job.counted
    set_best(state, queued)
    sim.outcomes[i].status = QUEUED_STATUS
    sim.outcomes[i].best_us = queued.best_us
    return queued


@small_kernel
def arrive(sim):
    """The next job of the tape comes."""
    i = sim.progress[0].next_arrival
    sim.progress[0].next_arrival += 1
    count_arrival(sim.state, enqueue(sim, i))


@small_kernel
def expire_next(sim):
    """The next deadline of the tape passes."""
    i = sim.tape.by_deadline[sim.progress[0].next_deadline]
    sim.progress[0].next_deadline += 1
    expire(sim, i)


@small_kernel
def expire(sim, i):
    """The deadline of job i passes; it counts if the job is not finished."""
    progress, outcome = sim.progress[0], sim.outcomes[i]
    if outcome.status == ENDED or sim.tape.jobs[i].counted == 0:
        return
    outcome.violated = 1
    progress.late_rate += 1.0 / max(outcome.best_us, 1)
    progress.deadline_reward -= discount(sim, sim.state.clock[0].now_us)


# a closed loop -------------------------------------------------------------------------------------------------------
@kernel
def will_send(sim, i, now_us):
    """The client of job i begins to think now; the run lasts on for jobs of the window."""
    progress, job = sim.progress[0], sim.tape.jobs[i]
    job.arrival_us += now_us
    job.deadline_us += now_us
    agenda.put(sim.agenda, progress.first_sent + i, job.arrival_us, SENT)
    if i < sim.tape.window[1]:
        progress.end_us = max(progress.end_us, job.arrival_us + progress.patience_us)
        if i >= sim.tape.window[0] and job.counted == 1:
            progress.end_us = max(progress.end_us, job.deadline_us)


@kernel
def answer(sim, i):
    """Job i has ended: its client thinks about the next, if it has one."""
    progress = sim.progress[0]
    agenda.drop(sim.agenda, progress.first_sent + i)
    if i + progress.clients < progress.n_jobs:
        will_send(sim, i + progress.clients, sim.state.clock[0].now_us)


@kernel
def sent(sim, at_us):
    """What clients have sent by now comes, and deadlines of theirs pass. True if a job has come."""
    progress, came = sim.progress[0], False
    while agenda.is_due(sim.agenda, at_us, EXPIRES, SENT):
        slot = np.int64(sim.agenda.slots[0])
        i = slot - progress.first_sent
        if sim.agenda.entries[slot].kind == EXPIRES:
            agenda.drop(sim.agenda, slot)
            expire(sim, i)
        else:
            agenda.put(sim.agenda, slot, sim.tape.jobs[i].deadline_us, EXPIRES)
            progress.next_arrival += 1
            count_arrival(sim.state, enqueue(sim, i))
            came = True
    return came


# runs ----------------------------------------------------------------------------------------------------------------
@small_kernel
def bind_again_us(sim, job, attempt):
    """What the binds that fail cost this attempt."""
    progress = sim.progress[0]
    if progress.bind_failures <= 0.0:
        return 0.0
    failed = noise.failed_binds(sim.tape.seed[0], progress.bind_failures, job, attempt)
    return failed * (progress.bind_us + BIND_RETRY_US)


@small_kernel
def true_factor(sim, job, attempt, option_index, node, samples):
    """How many times longer than predicted the compute of this attempt really takes."""
    truth = sim.tape.truth[option_index]
    clock, progress = sim.state.clock[0], sim.progress[0]
    step = min(clock.now_us // 60_000_000, progress.n_drift - 1)
    factor = truth.factor * sim.tape.drift[node, step]
    share, hardware, configuration = progress.stragglers, truth.hardware_key, truth.configuration_key
    factor *= noise.run_factor(
        sim.tape.seed[0], progress.level, share, job, attempt, hardware, configuration, samples
    )
    return factor


@small_kernel
def begin_run(sim, slot, samples, attempt):
    """What was just booked in this slot begins, and will end when the world says; on a dead node it never does."""
    state, record = sim.state, sim.state.running[slot]
    outcome, machine, entry = sim.outcomes[record.job], sim.machines[record.node], sim.agenda.entries[slot]
    option, now_us = state.options[record.option], state.clock[0].now_us
    outcome.status = RUNNING_STATUS
    outcome.start_us = now_us
    outcome.predicted_us = record.run_us
    outcome.option = record.option
    outcome.node = record.node
    factor = true_factor(sim, record.job, attempt, record.option, record.node, samples)
    overhead_us = record.overhead_us + bind_again_us(sim, record.job, attempt)
    run_us = np.int64(np.ceil(overhead_us + compute_us(option, samples) * record.slow * factor))
    if machine.dead == 0:
        energy_j = option.active_w * run_us * 1e-6
        outcome.energy_j += energy_j
        machine.energy_j += energy_j
        entry.lag_us = 0
        entry.compute_us = now_us + np.int64(np.ceil(overhead_us))
        entry.slow = record.slow
        agenda.put(sim.agenda, slot, now_us + run_us, END)
    neighbours_change(sim, record.node)


@small_kernel
def neighbours_change(sim, node):
    """Somebody came or went on this node: where tenants slow each other down their ends move, and what they will have
    used."""
    state = sim.state
    if state.clock[0].slowdown <= 0.0:
        return
    charge(sim, node, -1.0)
    agenda.follow(sim.agenda, state, node)
    charge(sim, node, 1.0)


@kernel
def charge(sim, node, sign):
    """Add (1) or take back (-1) the energy of what is left of each run on this node."""
    state = sim.state
    r = state.nodes[node].first_running
    while r != NONE:
        if sim.agenda.entries[r].place != NONE and sim.agenda.entries[r].kind == END:
            charge_run(sim, r, sign)
        r = state.running[r].next


@kernel
def charge_run(sim, slot, sign):
    record = sim.state.running[slot]
    left_us = sim.agenda.entries[slot].at_us - sim.state.clock[0].now_us
    energy_j = sign * sim.state.options[record.option].active_w * left_us * 1e-6
    sim.outcomes[record.job].energy_j += energy_j
    sim.machines[record.node].energy_j += energy_j


@small_kernel
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
    if progress.clients > 0:
        answer(sim, record.job)


@small_kernel
def see_end(sim, slot):
    """The scheduler learns that the run has ended: room and history."""
    state = sim.state
    record = state.running[slot]
    ran_us = sim.outcomes[record.job].finish_us - record.start_us
    observe(state, record.option, record.run_us, ran_us)
    if sim.progress[0].cold == 1:
        warm_up(state, slot)
    leave(sim, slot)


@small_kernel
def leave(sim, slot):
    node = sim.state.running[slot].node
    release(sim.state, slot)
    neighbours_change(sim, node)


@small_kernel
def happen(sim):
    """The first entry of the agenda is due; True if the scheduler can see it."""
    slot = np.int64(sim.agenda.slots[0])
    kind = sim.agenda.entries[slot].kind
    agenda.drop(sim.agenda, slot)
    if kind == VANISH:
        leave(sim, slot)
        return True
    if kind == END:
        end_run(sim, slot)
    lag_us = np.int64(sim.progress[0].release_us)
    if kind == END and lag_us > 0:
        agenda.put(sim.agenda, slot, sim.state.clock[0].now_us + lag_us, SEEN)
        sim.agenda.entries[slot].lag_us = lag_us
        return False
    see_end(sim, slot)
    return True


# nodes ---------------------------------------------------------------------------------------------------------------
@kernel
def die(sim, node):
    """All that runs here is lost from now on, and nobody knows."""
    state, machine = sim.state, sim.machines[node]
    machine.dead = 1
    machine.died_us = state.clock[0].now_us
    r = state.nodes[node].first_running
    while r != NONE:
        if sim.agenda.entries[r].place != NONE and sim.agenda.entries[r].kind == END:
            charge_run(sim, r, -1.0)
            agenda.drop(sim.agenda, r)
        r = state.running[r].next


@kernel
def next_lost(sim, node):
    """The slot on this node of the lost job of lowest number, or of a pod of others; NONE if none is left."""
    state, found = sim.state, NONE
    r = state.nodes[node].first_running
    while r != NONE:
        record = state.running[r]
        if record.option == NONE:
            return np.int64(r)
        lost = sim.agenda.entries[r].place == NONE
        if lost and (found == NONE or record.job < state.running[found].job):
            found = r
        r = record.next
    return np.int64(found)


@kernel
def give_back(sim, node):
    """The scheduler learns that the node is dead: its jobs wait again, with the deadlines that they had."""
    while True:
        slot = next_lost(sim, node)
        if slot == NONE:
            return
        record = sim.state.running[slot]
        job, lost = record.job, record.option != NONE
        agenda.drop(sim.agenda, slot)
        leave(sim, slot)
        if lost:
            outcome = sim.outcomes[job]
            outcome.attempt += 1
            outcome.start_us = NONE
            outcome.option = NONE
            outcome.node = NONE
            enqueue(sim, job)


@kernel
def change_node(sim):
    """The next change of a node; True if the scheduler can see it."""
    state, progress = sim.state, sim.progress[0]
    change = sim.tape.changes[progress.next_change]
    progress.next_change += 1
    machine, node = sim.machines[change.node], state.nodes[change.node]
    if change.kind == DIES:
        die(sim, change.node)
    elif change.kind == NOTICED:
        machine.missed = 1
    elif change.kind == BACK:
        machine.dead_us += state.clock[0].now_us - machine.died_us
        machine.dead = 0
        machine.missed = 0
    else:
        machine.closed = 1 if change.kind == CLOSES else 0
    ready = 1 if machine.missed == 0 and machine.closed == 0 else 0
    if change.kind == NOTICED:
        give_back(sim, change.node)
    if ready == node.ready:
        return change.kind == NOTICED
    node.ready = ready
    touch(state, change.node)
    state.clock[0].solved_us = NONE
    for j in range(state.clock[0].n_queued):
        state.queue[j].hold_option = NONE
    return True


@kernel
def bring_pod(sim):
    """A pod of another scheduler takes its room, if there is room on its node."""
    state, progress = sim.state, sim.progress[0]
    pod = sim.tape.pods[progress.next_pod]
    progress.next_pod += 1
    node = state.nodes[pod.node]
    fits = node.cpu_free >= pod.cpu_milli and node.memory_free >= pod.memory_mib and node.pods_free > 0
    if not fits or node.ready == 0 or sim.machines[pod.node].dead == 1:
        return
    slot = take_slot(state)
    now_us = state.clock[0].now_us
    book(state, slot, NONE, NONE, NONE, pod.node, pod.cpu_milli, pod.memory_mib, 0, now_us, 0, NEVER_US)
    agenda.put(sim.agenda, slot, pod.end_us, VANISH)
    neighbours_change(sim, pod.node)


# time ----------------------------------------------------------------------------------------------------------------
@small_kernel
def next_timer_us(sim):
    """The next round that is due by itself, or that waits for the last decision to be out."""
    state, progress = sim.state, sim.progress[0]
    free_us = state.clock[0].last_round_us + progress.decision_us
    if progress.round_waits == 1:
        return max(free_us, np.int64(state.clock[0].now_us))
    return max(epochs.next_timer_us(state), free_us)


@small_kernel
def next_outside_us(sim):
    """When the next thing happens that the scheduler has no part in."""
    progress, tape = sim.progress[0], sim.tape
    at_us = agenda.next_us(sim.agenda)
    if progress.next_arrival < progress.n_timed:
        at_us = min(at_us, tape.jobs[progress.next_arrival].arrival_us)
    if progress.next_deadline < progress.n_timed:
        at_us = min(at_us, tape.jobs[tape.by_deadline[progress.next_deadline]].deadline_us)
    if progress.next_change < progress.n_changes:
        at_us = min(at_us, tape.changes[progress.next_change].at_us)
    if progress.next_pod < progress.n_pods:
        at_us = min(at_us, tape.pods[progress.next_pod].at_us)
    return at_us


@small_kernel
def next_event_us(sim):
    """When the next thing happens by itself."""
    return min(next_timer_us(sim), next_outside_us(sim))


@small_kernel
def let_happen(sim, at_us):
    """Everything that is due: ends, changes of nodes, others' pods, deadlines, arrivals. True if a round is due."""
    progress, tape = sim.progress[0], sim.tape
    due, n = False, progress.n_timed
    while agenda.is_due(sim.agenda, at_us, END, VANISH):
        due |= happen(sim)
    while progress.next_change < progress.n_changes and tape.changes[progress.next_change].at_us <= at_us:
        due |= change_node(sim)
    if sim.state.clock[0].solved_us == NONE:
        capacity_module.refresh(sim.state, sim.program)
    while progress.next_pod < progress.n_pods and tape.pods[progress.next_pod].at_us <= at_us:
        bring_pod(sim)
    while (
        progress.next_deadline < n
        and tape.jobs[tape.by_deadline[progress.next_deadline]].deadline_us <= at_us
    ):
        expire_next(sim)
    while progress.next_arrival < n and tape.jobs[progress.next_arrival].arrival_us <= at_us:
        arrive(sim)
        due = True
    if progress.clients > 0:
        due |= sent(sim, at_us)
    return due


@kernel
def step_events(sim, scratch):
    """Go to the next instant, let everything due there happen, then perhaps begin a round. False when the tape is
    over."""
    state, progress = sim.state, sim.progress[0]
    at_us = next_event_us(sim)
    if progress.left <= 0 or at_us >= NEVER_US or at_us > progress.end_us:
        return False
    due = next_timer_us(sim) <= at_us
    pass_time(sim, at_us)
    capacity_module.refresh(state, sim.program)
    due |= let_happen(sim, at_us)
    if progress.next_arrival >= progress.stop_arrival:
        return False
    if due and at_us < state.clock[0].last_round_us + progress.decision_us:
        progress.round_waits = 1
    elif due:
        progress.round_waits = 0
        if state.clock[0].n_queued > 0:
            epochs.begin_round(state, scratch.survey)
            progress.in_round = 1
            progress.surveyed = 0
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
