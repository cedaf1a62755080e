"""One moment of a cluster as arrays, and the few ways in which it changes.

`ClusterState` is a tuple of record arrays, so a copy is a dozen memory copies, a recording is an `.npz`, and compiled
code and Python read the same names. Arrays may be longer than what is in use: the counts stand in `clock`. The
simulator and the bridge change a state only through the functions below.
"""

from itertools import count
from typing import NamedTuple

import numpy as np

from synergai.envs.compile import kernel, small_kernel

NONE = -1
NEVER_US = np.iinfo(np.int64).max // 4
BEST_EFFORT_FACTOR = 100.0
"""A job without a deadline gets creation + 100 x reference time, and is not counted (docs/simulator.md)."""

CLOCK = np.dtype(
    [
        ("now_us", "i8"),
        ("round", "i8"),
        ("wake_us", "i8"),  # asked for with DONE, -1 for none
        ("last_round_us", "i8"),
        ("last_arrival_us", "i8"),
        ("seq", "i8"),  # arrivals so far, breaks ties
        ("draws", "i8"),  # random numbers used by the random rule
        ("seed", "i8"),
        ("n_models", "i4"),
        ("n_classes", "i4"),
        ("n_groups", "i4"),
        ("n_options", "i4"),
        ("n_nodes", "i4"),
        ("n_devices", "i4"),
        ("n_queued", "i4"),
        ("n_running", "i4"),
        ("running_top", "i4"),  # no slot at or above this was ever used
        ("running_free", "i4"),  # head of the list of free slots below the top
        ("cursor", "i4"),  # round_robin: the device after which to look next
        ("tau_us", "f8"),  # work-weighted mean best run time of the mix
        ("capacity_sps", "f8"),  # lambda*: jobs per second that the cluster can sustain
        ("solved_us", "i8"),  # when these two and the prices were worked out, NONE: they are due
        ("energy_weight", "f8"),
        ("work_short", "f8"),  # arriving work, seconds of best run time per second, time constant 5 tau
        ("work_long", "f8"),  # the same over 50 tau
        ("gap_mean_s", "f8"),  # between arrivals, over the last 50 or so
        ("gap_square_s2", "f8"),
        ("slowdown", "f8"),  # what a run takes longer on a node that others fill: 0 for nothing, 0.3 for 30 %
        ("start_gap_us", "i8"),  # pods of one node start at least so far apart
        ("identity", "i8"),  # of the cluster: scratch that served another one forgets what it knows
        ("window_us", "i8"),  # MAEL: when the window closes in which arrivals gather, NONE if none is open
        ("planned_us", "i8"),  # MAEL: when the backlogs of the groups were brought up to date
    ],
    align=True,
)
MODEL = np.dtype(
    [
        ("first_option", "i4"),
        ("n_options", "i4"),
        ("first_best", "i4"),  # its first option of the dictionary, NONE if it has none
        ("work_short", "f8"),
        ("work_long", "f8"),
        ("seen", "f8"),  # arrivals that are remembered, each one fading over 50 tau
        ("log_samples", "f8"),  # the sum over them of log samples
        ("budgets", "f8"),  # those of them that have a deadline
        ("log_budget", "f8"),  # the sum over these of log((deadline - arrival) / best run time)
        ("log_budget_square", "f8"),  # and of its square
        ("input_kib", "f8"),  # of one sample, to be brought from the job's site
    ],
    align=True,
)
OF_CATALOG = frozenset({"first_option", "n_options", "first_best"})
"""Fields of MODEL that a catalog gives; the rest is remembered when the catalog changes."""
CLASS = np.dtype(
    [
        ("credit_us", "f8"),  # ageing share, device-microseconds
        ("capacity", "f8"),  # devices' worth of this class in the cluster
    ],
    align=True,
)
GROUP = np.dtype(
    [
        ("klass", "i4"),
        ("site", "i4"),
        ("first_device", "i4"),
        ("n_devices", "i4"),
        ("version", "i8"),  # counts the changes of its nodes
        ("servers", "f8"),  # the units of its devices; a CPU counts one
        ("backlog_us", "f8"),  # MAEL: predicted work assigned to it, less the time that has passed
        ("picks", "i8"),  # MAEL: how many of the jobs assigned to it were started so far
    ],
    align=True,
)
OPTION = np.dtype(
    [
        ("model", "i4"),
        ("group", "i4"),
        ("klass", "i4"),
        ("profile", "i4"),  # row of the profile table
        ("cpu_milli", "i8"),
        ("memory_mib", "i8"),
        ("units", "i4"),
        ("dictionary", "i4"),  # 1: the best throughput of its (model, hardware)
        ("per_sample_us", "f8"),
        ("per_batch_us", "f8"),
        ("batch", "i8"),
        ("startup_us", "f8"),  # with image and engine cache at hand
        ("uncached_us", "f8"),  # more with the image alone
        ("absent_us", "f8"),  # more with neither
        ("next_best", "i4"),  # of one of the dictionary: the model's next one, NONE behind the last
        ("image", "i4"),  # options of one image number share it
        ("first_spot", "i4"),  # in `warmth`, for the first device of the group
        ("active_w", "f8"),  # above idle
        ("sigma", "f8"),  # log-sd of the run time
        ("load", "f8"),  # share of one device it takes
        ("price", "f8"),  # log of its opportunity cost over the model's cheapest, from the capacity LP
        ("advantage", "f8"),  # mean over models of log(e / best e) on this class: subtract to compare
    ],
    align=True,
)
NODE = np.dtype(
    [
        ("cpu_milli", "i8"),
        ("memory_mib", "i8"),
        ("pods", "i8"),
        ("cpu_free", "i8"),
        ("memory_free", "i8"),
        ("pods_free", "i8"),
        ("ready", "i4"),
        ("first_running", "i4"),
        ("first_device", "i4"),
        ("site", "i4"),
        ("busy_ppm", "i8"),  # sum of what runs here, see RUNNING
        ("next_start_us", "i8"),  # the next pod can begin to start then
    ],
    align=True,
)
DEVICE = np.dtype(
    [
        ("node", "i4"),
        ("klass", "i4"),
        ("group", "i4"),
        ("units", "i4"),
        ("units_free", "i4"),
        ("next", "i4"),  # on the same node
        ("version", "i8"),  # counts the changes of its node
        ("block_version", "i8"),  # and those of its block, in the block's first device alone
    ],
    align=True,
)
BLOCK = 16
"""Devices of a group whose room is looked at together, and again when one of their nodes has changed."""
QUEUED = np.dtype(
    [
        ("job", "i8"),
        ("seq", "i8"),
        ("samples", "i8"),
        ("arrival_us", "i8"),
        ("deadline_us", "i8"),
        ("classes", "i8"),  # bit h: hardware class h is allowed
        ("cpu_floor", "i8"),
        ("memory_floor", "i8"),
        ("best_us", "i8"),  # e*: shortest predicted run time over admitted options
        ("best_energy_j", "f8"),
        ("hold_until_us", "i8"),
        ("hold_finish_us", "i8"),
        ("hold_round", "i8"),  # the round of its last HOLD
        ("model", "i4"),
        ("priority", "i4"),
        ("namespace", "i4"),
        ("site", "i4"),
        ("signature", "i4"),  # row of `admitted`
        ("attempt", "i4"),
        ("counted", "i4"),  # 0: best effort
        ("hold_option", "i4"),  # NONE: it is free to be started
        ("best_klass", "i4"),  # of the option with the shortest run time, NONE if there is none
        ("assigned", "i4"),  # MAEL: the group that it is to run on, NONE until a window decides
        ("picks", "i8"),  # MAEL: those of its group when it was assigned
    ],
    align=True,
)
RUNNING = np.dtype(
    [
        ("job", "i8"),
        ("start_us", "i8"),
        ("finish_us", "i8"),  # predicted
        ("run_us", "i8"),  # predicted
        ("overhead_us", "f8"),  # of it before the compute begins
        ("slow", "f8"),  # how many times longer the compute takes beside these tenants
        ("share_ppm", "i8"),  # larger share of the node's cpu and of the device's units, in millionths
        ("deadline_us", "i8"),
        ("cpu_milli", "i8"),
        ("memory_mib", "i8"),
        ("option", "i4"),  # NONE: something without a profile
        ("device", "i4"),  # NONE: takes cpu and memory only
        ("node", "i4"),
        ("units", "i4"),
        ("next", "i4"),  # on the same node, or the next free slot
        ("previous", "i4"),
        ("used", "i4"),
    ],
    align=True,
)
LINK = np.dtype([("fixed_us", "f8"), ("per_kib_us", "f8")], align=True)
ABSENT, IMAGE, CACHED = 0, 1, 2
"""Start-up states of an option on a device: neither image nor engine cache, the image alone, both."""
HISTORY = np.dtype([("log_ratio", "f8"), ("count", "f8")], align=True)
HISTORY_STEP = 0.2
"""Weight of the newest log(observed / predicted) once five or more have been seen."""


IDENTITIES = count(1)


class ClusterState(NamedTuple):
    """One moment. Shapes are capacities; see `clock` for how much of each is in use."""

    clock: np.ndarray  # (1,) CLOCK
    models: np.ndarray  # (models,) MODEL
    classes: np.ndarray  # (classes,) CLASS
    groups: np.ndarray  # (groups,) GROUP
    options: np.ndarray  # (options,) OPTION, by model, then group
    nodes: np.ndarray  # (nodes,) NODE, by name
    devices: np.ndarray  # (devices,) DEVICE, by group, then node
    queue: np.ndarray  # (jobs,) QUEUED, in no order
    running: np.ndarray  # (jobs,) RUNNING, slots
    history: np.ndarray  # (options,) HISTORY
    admitted: np.ndarray  # (signatures, devices) bool; row 0 admits all
    links: np.ndarray  # (sites, sites) LINK: what it takes to bring input from one site to another
    warmth: np.ndarray  # (spots,) int8: start-up state of each option on each device of its group

    def copy(self) -> "ClusterState":
        """An independent copy."""
        return ClusterState(*(array.copy() for array in self))


def empty_state(
    models: int,
    classes: int,
    groups: int,
    options: int,
    nodes: int,
    devices: int,
    jobs: int,
    signatures: int = 1,
    sites: int = 1,
    spots: int = 1,
    others: int = 0,
) -> ClusterState:
    """A state with room for so many of each and nothing in it; `others` may run beside as many jobs as can wait."""
    state = ClusterState(
        np.zeros(1, CLOCK),
        np.zeros(models, MODEL),
        np.zeros(classes, CLASS),
        np.zeros(groups, GROUP),
        np.zeros(options, OPTION),
        np.zeros(nodes, NODE),
        np.zeros(devices, DEVICE),
        np.zeros(jobs, QUEUED),
        np.zeros(jobs + others, RUNNING),
        np.zeros(options, HISTORY),
        np.ones((signatures, devices), np.bool_),
        np.zeros((sites, sites), LINK),
        np.full(spots, CACHED, np.int8),
    )
    state.clock[0]["identity"] = next(IDENTITIES)
    state.clock[0]["wake_us"] = NONE
    state.clock[0]["window_us"] = NONE
    state.clock[0]["solved_us"] = NONE
    state.clock[0]["running_free"] = NONE
    state.clock[0]["last_arrival_us"] = NONE
    state.nodes["first_running"] = NONE
    state.nodes["first_device"] = NONE
    state.devices["next"] = NONE
    return state


@small_kernel
def copy_rows(source, target, count):
    """The first so many rows of an array."""
    for i in range(count):
        target[i] = source[i]


@small_kernel
def compute_us(option, samples):
    """Predicted compute alone on its node: the longer of all at hand and batch by batch."""
    batches = np.ceil(samples / option.batch)  # exact, and several times as fast as a division of integers
    return max(samples * option.per_sample_us, batches * option.per_batch_us)


@small_kernel
def transfer_us(state, queued, option):
    """Bringing the job's input from its site to the option's."""
    link = state.links[queued.site, state.groups[option.group].site]
    return link.fixed_us + link.per_kib_us * queued.samples * state.models[option.model].input_kib


@small_kernel
def alone_us(state, queued, option):
    """Predicted run time in microseconds, rounded up, on a node that has the image and nothing else to do: start-up,
    transfer, compute. No node does it faster."""
    overhead = option.startup_us + transfer_us(state, queued, option)
    return np.int64(np.ceil(overhead + compute_us(option, queued.samples)))


@small_kernel
def start_cost_us(state, option, d, at_us):
    """Start-up on this device for a START at `at_us`: what is missing there, and the pods that start before it."""
    warm = state.warmth[option.first_spot + d - state.groups[option.group].first_device]
    cost = option.startup_us
    if warm < CACHED:
        cost += option.uncached_us if warm == IMAGE else option.absent_us
    return cost + max(state.nodes[state.devices[d].node].next_start_us - at_us, 0)


@small_kernel
def slow_down(state, others_ppm):
    """How many times longer compute takes beside tenants of so much."""
    return 1.0 + state.clock[0].slowdown * min(max(others_ppm, 0), 1_000_000) * 1e-6


@small_kernel
def admits(state, queued, d):
    """Whether the job's constraints allow this device."""
    if (queued.classes >> state.devices[d].klass) & 1 == 0:
        return False
    return state.admitted[queued.signature, d]


@small_kernel
def could_run(state, queued, option):
    """Whether some admitted node of the option's group could take it if it were empty."""
    cpu = max(option.cpu_milli, queued.cpu_floor)
    memory = max(option.memory_mib, queued.memory_floor)
    group = state.groups[option.group]
    for d in range(group.first_device, group.first_device + group.n_devices):
        device = state.devices[d]
        node = state.nodes[device.node]
        fits = node.cpu_milli >= cpu and node.memory_mib >= memory and device.units >= option.units
        if fits and admits(state, queued, d):
            return True
    return False


@small_kernel
def set_best(state, queued):
    """Fill in the job's shortest run time, where that is, and the least energy over admitted options; False if there is
    none."""
    best = np.int64(NEVER_US)
    energy = np.inf
    queued.best_klass = NONE
    model = state.models[queued.model]
    for o in range(model.first_option, model.first_option + model.n_options):
        option = state.options[o]
        if could_run(state, queued, option):
            e_us = alone_us(state, queued, option)
            if e_us < best:
                best = e_us
                queued.best_klass = option.klass
            energy = min(energy, option.active_w * e_us * 1e-6)
    queued.best_us = best
    queued.best_energy_j = energy
    return best < NEVER_US


@small_kernel
def fade(state, gap_s, tau_s):
    """Let what is remembered of arrivals decay over a gap; it starts once tau is known."""
    if tau_s <= 0.0:
        return
    clock = state.clock[0]
    short = np.exp(-gap_s / (5.0 * tau_s))
    long = np.exp(-gap_s / (50.0 * tau_s))
    clock.work_short *= short
    clock.work_long *= long
    for m in range(clock.n_models):
        model = state.models[m]
        model.work_short *= short
        model.work_long *= long
        model.seen *= long
        model.log_samples *= long
        model.budgets *= long
        model.log_budget *= long
        model.log_budget_square *= long


@small_kernel
def count_arrival(state, queued):
    """Feed the history of arrivals: work rates over two time constants, counts and sizes, gaps between arrivals."""
    clock = state.clock[0]
    model = state.models[queued.model]
    work_s = queued.best_us * 1e-6
    tau_s = clock.tau_us * 1e-6
    if clock.last_arrival_us >= 0:
        gap_s = max(clock.now_us - clock.last_arrival_us, 0) * 1e-6
        step = 0.02 if clock.seq > 50 else 1.0 / max(clock.seq - 1, 1)
        clock.gap_mean_s += step * (gap_s - clock.gap_mean_s)
        clock.gap_square_s2 += step * (gap_s * gap_s - clock.gap_square_s2)
        fade(state, gap_s, tau_s)
    if tau_s > 0.0:
        clock.work_short += work_s / (5.0 * tau_s)
        clock.work_long += work_s / (50.0 * tau_s)
        model.work_short += work_s / (5.0 * tau_s)
        model.work_long += work_s / (50.0 * tau_s)
    model.seen += 1.0
    model.log_samples += np.log(max(queued.samples, 1))
    if queued.counted == 1:
        log_budget = np.log(max(queued.deadline_us - queued.arrival_us, 1) / max(queued.best_us, 1))
        model.budgets += 1.0
        model.log_budget += log_budget
        model.log_budget_square += log_budget * log_budget
    clock.last_arrival_us = clock.now_us


@small_kernel
def append_queued(state):
    """A cleared record at the end of the queue, to be filled in; the caller made sure that there is room."""
    clock = state.clock[0]
    j = clock.n_queued
    clock.n_queued += 1
    state.queue[j].seq = clock.seq
    clock.seq += 1
    state.queue[j].hold_option = NONE
    state.queue[j].hold_round = NONE
    state.queue[j].hold_until_us = 0
    state.queue[j].hold_finish_us = 0
    state.queue[j].assigned = NONE
    state.queue[j].picks = 0
    return j


@small_kernel
def remove_queued(state, j):
    """Take job j out of the queue; the last one takes its place."""
    clock = state.clock[0]
    clock.n_queued -= 1
    if j != clock.n_queued:
        state.queue[j] = state.queue[clock.n_queued]


@small_kernel
def touch(state, node):
    """What is free on this node is not what it was."""
    d = state.nodes[node].first_device
    while d != NONE:
        group = state.groups[state.devices[d].group]
        group.version += 1
        state.devices[d].version += 1
        state.devices[d - (d - group.first_device) % BLOCK].block_version += 1
        d = state.devices[d].next


@small_kernel
def take_slot(state):
    """A free slot of the running table; the caller made sure that there is one."""
    clock = state.clock[0]
    if clock.running_free != NONE:
        r = clock.running_free
        clock.running_free = state.running[r].next
    else:
        r = clock.running_top
        clock.running_top += 1
    clock.n_running += 1
    return r


@small_kernel
def share_ppm(state, node, device, cpu_milli, units):
    """What a tenant takes of its node: the larger of its shares of cpu and of the device's units, in millionths."""
    share = cpu_milli * 1_000_000 // max(state.nodes[node].cpu_milli, 1)
    if device != NONE and state.devices[device].units > 0:
        share = max(share, np.int64(units) * 1_000_000 // state.devices[device].units)
    return share


@small_kernel
def book(
    state, r, job, option, device, node, cpu_milli, memory_mib, units, start_us, run_time_us, deadline_us
):
    """Write slot r and take the room it needs; its neighbours slow down."""
    record = state.running[r]
    record.used = 1
    record.job = job
    record.option = option
    record.device = device
    record.node = node
    record.cpu_milli = cpu_milli
    record.memory_mib = memory_mib
    record.units = units
    record.start_us = start_us
    record.run_us = run_time_us
    record.finish_us = start_us + run_time_us
    record.overhead_us = 0.0
    record.slow = 1.0
    record.deadline_us = deadline_us
    machine = state.nodes[node]
    record.share_ppm = share_ppm(state, node, device, cpu_milli, units)
    machine.busy_ppm += record.share_ppm
    touch(state, node)
    record.previous = NONE
    record.next = machine.first_running
    if machine.first_running != NONE:
        state.running[machine.first_running].previous = r
    machine.first_running = r
    machine.cpu_free -= cpu_milli
    machine.memory_free -= memory_mib
    machine.pods_free -= 1
    if device != NONE:
        state.devices[device].units_free -= units
    if state.clock[0].slowdown > 0.0:
        record.slow = slow_down(state, machine.busy_ppm - record.share_ppm)
        retime(state, machine.first_running)


@kernel
def retime(state, first):
    """The tenants of a node, from this slot on, have other neighbours from now on: stretch or shrink what is left of
    their predicted compute."""
    now_us = state.clock[0].now_us
    r = first
    while r != NONE:
        record = state.running[r]
        slow = slow_down(state, state.nodes[record.node].busy_ppm - record.share_ppm)
        if record.option != NONE and slow != record.slow:
            from_us = max(np.int64(now_us), record.start_us + np.int64(np.ceil(record.overhead_us)))
            if record.finish_us > from_us:
                left_us = np.int64(np.ceil((record.finish_us - from_us) * slow / record.slow))
                record.finish_us = from_us + left_us
                record.run_us = record.finish_us - record.start_us
        record.slow = slow
        r = record.next


@small_kernel
def start(state, j, o, d):
    """START job j with option o on device d, now: leaves the queue, room is booked. Returns the slot."""
    queued = state.queue[j]
    option = state.options[o]
    r = take_slot(state)
    cpu = max(option.cpu_milli, queued.cpu_floor)
    memory = max(option.memory_mib, queued.memory_floor)
    node = state.devices[d].node
    now_us = state.clock[0].now_us
    overhead_us = start_cost_us(state, option, d, now_us) + transfer_us(state, queued, option)
    slow = slow_down(state, state.nodes[node].busy_ppm)
    e_us = np.int64(np.ceil(overhead_us + compute_us(option, queued.samples) * slow))
    book(state, r, queued.job, o, d, node, cpu, memory, option.units, now_us, e_us, queued.deadline_us)
    state.running[r].overhead_us = overhead_us
    if state.clock[0].start_gap_us > 0:
        machine = state.nodes[node]
        machine.next_start_us = max(machine.next_start_us, now_us) + state.clock[0].start_gap_us
    if queued.assigned != NONE:
        state.groups[queued.assigned].picks += 1
    remove_queued(state, j)
    return r


@small_kernel
def release(state, r):
    """The job in slot r is gone: give its room back and free the slot; its neighbours speed up."""
    clock = state.clock[0]
    record = state.running[r]
    node = state.nodes[record.node]
    node.cpu_free += record.cpu_milli
    node.memory_free += record.memory_mib
    node.pods_free += 1
    node.busy_ppm -= record.share_ppm
    touch(state, record.node)
    if record.device != NONE:
        state.devices[record.device].units_free += record.units
    if record.previous != NONE:
        state.running[record.previous].next = record.next
    else:
        node.first_running = record.next
    if record.next != NONE:
        state.running[record.next].previous = record.previous
    record.used = 0
    record.next = clock.running_free
    clock.running_free = r
    clock.n_running -= 1
    if clock.slowdown > 0.0:
        retime(state, node.first_running)


@kernel
def warm_up(state, r):
    """What ran in slot r leaves its image and its engine cache on the device, the image for its like too."""
    record = state.running[r]
    if record.option == NONE:
        return
    own = state.options[record.option]
    place = record.device - state.groups[own.group].first_device
    if state.warmth[own.first_spot + place] == CACHED:
        return
    for o in range(state.clock[0].n_options):
        option = state.options[o]
        if option.image == own.image and option.group == own.group:
            spot = option.first_spot + place
            state.warmth[spot] = max(state.warmth[spot], np.int8(IMAGE))
    state.warmth[own.first_spot + place] = CACHED


@small_kernel
def observe(state, o, predicted_us, observed_us):
    """Feed the history of an option with one finished run."""
    record = state.history[o]
    record.count += 1.0
    step = max(HISTORY_STEP, 1.0 / record.count)
    record.log_ratio += step * (np.log(max(observed_us, 1) / max(predicted_us, 1)) - record.log_ratio)


@small_kernel
def hold(state, j, o, wait_us, e_us):
    """HOLD job j for option o, which is busy for `wait_us` and then takes `e_us`: it leaves the candidates until
    `epochs.begin_round` lets it go."""
    clock = state.clock[0]
    queued = state.queue[j]
    option = state.options[o]
    queued.hold_option = o
    queued.hold_round = clock.round
    queued.hold_finish_us = clock.now_us + wait_us + e_us
    margin_us = max(100_000.0, 0.5 * option.sigma * e_us)
    until_us = np.int64(queued.deadline_us - e_us - margin_us)
    if queued.hold_finish_us > queued.deadline_us or until_us <= clock.now_us:
        until_us = clock.now_us + wait_us + 1_000_000
    queued.hold_until_us = until_us
