"""What every queued job could do right now: all legal (job, option) pairs and a summary per job.

Filled in once per decision; the rules, the candidate list and the features read it and nothing else. It is scratch,
not state: the same `ClusterState` always gives the same survey.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs import ageing
from synergai.envs.blocks import BOUND, find_release_in_blocks, forget_blocks, look_at_blocks
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.place import PLACED, ROOM, find_release, find_room, take_room
from synergai.envs.state import (
    BLOCK,
    NEVER_US,
    NONE,
    ClusterState,
    compute_us,
    slow_down,
    start_cost_us,
    transfer_us,
)

PAIR = np.dtype(
    [
        ("e_us", "i8"),  # predicted run time
        ("overhead_us", "f8"),  # of it before the compute begins
        ("wait_us", "i8"),  # until there is room, 0 if there is
        ("j", "i4"),  # index into the queue
        ("option", "i4"),
        ("device", "i4"),
        ("room", "i4"),  # 1: there is room now
        ("start", "i4"),  # 1: START is legal: there is, and the ageing share does not forbid it
        ("hold", "i4"),  # 1: HOLD is legal
        ("free", "i4"),
        ("left", "f8"),
        ("others_ppm", "i8"),  # tenants of its node when it starts
    ],
    align=True,
)
SUMMARY = np.dtype(
    [
        ("slack_us", "i8"),  # deadline - now - e*
        ("first_pair", "i4"),
        ("n_pairs", "i4"),
        ("fast", "i4"),  # pair: smallest e among dictionary options that may START; NONE
        ("busy", "i4"),  # pair: smallest e among busy dictionary options that still meet the deadline; NONE
        ("able", "i4"),  # 1: some dictionary pair may START or HOLD
        ("possible", "i4"),  # 1: some dictionary option meets the deadline, busy or not
        ("in_time", "i4"),  # classes with a pair that meets it
        ("reach", "i4"),  # classes with any pair
    ],
    align=True,
)
COUNTS = np.dtype(
    [
        ("stamp", "i8"),
        ("begun", "i8"),  # placements that were looked up before this stamp are of another cluster
        ("moment", "i8"),  # ends that were expected before this stamp are of another moment
        ("identity", "i8"),  # of the cluster
        ("fresh", "i4"),  # 1: a round has begun, and nothing was surveyed since
        ("n_pairs", "i4"),
        ("n_open", "i4"),  # not of a job that went on hold since
        ("whole", "i4"),  # 0: without what rules do not ask for
        ("narrow", "i4"),  # 1: of the dictionary's options only
    ],
    align=True,
)
DUE = np.dtype(
    [
        ("j", "i4"),  # the late job that alone may START on this class, as an index into the queue; NONE
        ("oldest", "i4"),  # the oldest late job with room, whether the credit covers it or not
        ("arrival_us", "i8"),
        ("cost_us", "f8"),
        ("largest_us", "f8"),  # cost of the largest late job of the class
    ],
    align=True,
)


BATCHED = np.dtype(
    [
        ("j", "i4"),  # index into the queue
        ("n_choices", "i4"),
        ("digit", "i4"),  # the choice that is tried
        ("best", "i4"),
    ],
    align=True,
)
MANY = 512
"""Jobs in the queue beyond which lists are of the dictionary's options alone: which of so many jobs is started matters
more than in which configuration, and a decision takes a third of the time."""
MAX_BATCH = 12
"""Jobs that MAEL assigns in one window: with two choices each that many make 4,096 combinations."""


class Survey(NamedTuple):
    """Scratch of one decision; one is enough for any number of clusters stepped in one thread."""

    counts: np.ndarray  # (1,) COUNTS
    placed: np.ndarray  # (signatures, options) PLACED
    pairs: np.ndarray  # (pairs,) PAIR, by job
    jobs: np.ndarray  # (jobs,) SUMMARY, as the queue
    due: np.ndarray  # (classes,) DUE, see `ageing`
    held_us: np.ndarray  # (groups,) float64: scratch of the MAEL family, what each group has ahead
    ends: np.ndarray  # (slots,) int64: expected ends of the running jobs, by slot
    own: np.ndarray  # (1,) PLACED, for a job that shares its placement with no other
    best: np.ndarray  # (1,) ROOM
    changed: np.ndarray  # (groups,) int64: stamp of the last START there
    ends_of: np.ndarray  # (slots,) int64: stamp of the moment that `ends` is of
    batch: np.ndarray  # (MAX_BATCH,) BATCHED: the same
    choices: np.ndarray  # (MAX_BATCH, groups) int32: pairs that each job of the batch may be assigned
    blocks: np.ndarray  # (signatures, options, blocks) ROOM, of large groups
    bounds: np.ndarray  # (signatures, spots) BOUND, of devices of large groups


def survey_for(state: ClusterState) -> Survey:
    """Scratch large enough for a state of these capacities."""
    jobs, options, slots = len(state.queue), len(state.options), len(state.running)
    per_model = max(int(state.models["n_options"].max(initial=1)), 1)
    largest, spots = int(state.groups["n_devices"].max(initial=0)), len(state.warmth)
    return survey_scratch(
        len(state.admitted),
        options,
        len(state.classes),
        len(state.groups),
        jobs,
        per_model,
        slots,
        largest,
        spots,
    )


def survey_scratch(
    signatures: int,
    options: int,
    classes: int,
    groups: int,
    jobs: int,
    options_per_model: int,
    slots: int,
    largest: int,
    spots: int,
) -> Survey:
    """Scratch for so many of each; the largest group has so many devices."""
    blocks = -(-largest // BLOCK) if largest > BLOCK else 0
    return Survey(
        np.zeros(1, COUNTS),
        np.zeros((signatures, options), PLACED),
        np.zeros(jobs * options_per_model, PAIR),
        np.zeros(jobs, SUMMARY),
        np.zeros(classes, DUE),
        np.zeros(groups),
        np.zeros(slots, np.int64),
        np.zeros(1, PLACED),
        np.zeros(1, ROOM),
        np.zeros(groups, np.int64),
        np.zeros(slots, np.int64),
        np.zeros(MAX_BATCH, BATCHED),
        np.zeros((MAX_BATCH, groups), np.int32),
        np.zeros((signatures, options, blocks), ROOM),
        np.zeros((signatures, spots if blocks else 0), BOUND),
    )


@small_kernel
def forget(survey):
    """Nothing that was looked up before is used again: the scratch goes to another cluster."""
    survey.counts[0].stamp += 1
    survey.counts[0].begun = survey.counts[0].stamp
    survey.counts[0].moment = survey.counts[0].stamp
    survey.counts[0].fresh = 0


@small_kernel
def begin(state, survey):
    """Another moment: where there is room is known still, when there will be is not."""
    counts = survey.counts[0]
    if counts.identity != state.clock[0].identity:
        forget(survey)
        counts.identity = state.clock[0].identity
    counts.stamp += 1
    counts.moment = counts.stamp


@small_kernel
def begin_first(state, survey):
    """A round begins: what is looked up from now on holds for the first survey of it."""
    begin(state, survey)
    survey.counts[0].fresh = 1


@small_kernel
def look_for_room(state, survey, queued, o):
    """Where option o has room for this job, looked up once for jobs of one signature that ask for no more than it
    takes, and again when a node of its group has changed."""
    option, counts = state.options[o], survey.counts[0]
    group = state.groups[option.group]
    if queued.cpu_floor > option.cpu_milli or queued.memory_floor > option.memory_mib:
        find_room(state, queued, option, survey.own[0], counts.whole, survey.best[0])
        survey.own[0].searched = 0
        return survey.own[0]
    placed = survey.placed[queued.signature, o]
    known = placed.stamp >= counts.begun
    if not known or placed.version != group.version or placed.whole < counts.whole:
        if group.n_devices <= BLOCK:
            find_room(state, queued, option, placed, counts.whole, survey.best[0])
        else:
            find_room_in_blocks(state, survey, queued, o, known)
        placed.stamp = counts.stamp
        placed.version = group.version
        placed.searched = 0
    elif placed.room == 1:
        placed.release_us = state.clock[0].now_us
        placed.startup_us = start_cost_us(state, option, placed.device, placed.release_us)
    return placed


@kernel
def find_room_in_blocks(state, survey, queued, o, known):
    """The same for a large group, block by block."""
    option, placed, best = state.options[o], survey.placed[queued.signature, o], survey.best[0]
    blocks, bounds = survey.blocks[queued.signature, o], survey.bounds[queued.signature]
    if not known or placed.blocks == 0:
        forget_blocks(state, option, blocks, bounds)
        placed.blocks = 1
    whole, cpu, memory = survey.counts[0].whole, option.cpu_milli, option.memory_mib
    look_at_blocks(state, queued, option, cpu, memory, whole, blocks, best)
    take_room(state, option, placed, cpu, memory, whole, best)


@small_kernel
def look_up(state, survey, queued, o):
    """The placement of option o for this job: with room, or where there is room first."""
    counts, option = survey.counts[0], state.options[o]
    moment = counts.moment
    known = survey.placed[queued.signature, o]
    if (
        known.searched == moment
        and known.stamp >= counts.begun
        and known.version == state.groups[option.group].version
        and known.whole >= counts.whole
        and queued.cpu_floor <= option.cpu_milli
        and queued.memory_floor <= option.memory_mib
    ):
        return known
    placed = look_for_room(state, survey, queued, o)
    if placed.room == 0 and placed.searched < moment:
        placed.device = NONE
        placed.release_us = NEVER_US
        own = queued.cpu_floor > option.cpu_milli or queued.memory_floor > option.memory_mib
        if own or state.groups[option.group].n_devices <= BLOCK:
            find_release(state, survey.ends, survey.ends_of, moment, queued, option, placed)
        else:
            blocks, bounds = survey.blocks[queued.signature, o], survey.bounds[queued.signature]
            find_release_in_blocks(
                state, survey.ends, survey.ends_of, moment, queued, option, placed, blocks, bounds
            )
    placed.searched = moment
    return placed


@small_kernel
def run_time_us(state, queued, option, placed):
    """Predicted run time where `place` puts it."""
    overhead = placed.startup_us + transfer_us(state, queued, option)
    slow = slow_down(state, placed.others_ppm)
    return np.int64(np.ceil(overhead + compute_us(option, queued.samples) * slow))


@small_kernel
def fill_pair(state, queued, placed, pair):
    """What the placement means for this pair of the job; False if the option has no room and never will."""
    if placed.device == NONE or placed.release_us >= NEVER_US:
        return False
    clock, option = state.clock[0], state.options[pair.option]
    pair.device = placed.device
    pair.overhead_us = placed.startup_us + transfer_us(state, queued, option)
    slow = slow_down(state, placed.others_ppm)
    pair.e_us = np.int64(np.ceil(pair.overhead_us + compute_us(option, queued.samples) * slow))
    pair.wait_us = max(placed.release_us - clock.now_us, 0)
    pair.free = placed.free
    pair.left = placed.left
    pair.others_ppm = placed.others_ppm
    pair.room = placed.room
    pair.start = placed.room
    may_hold = placed.room == 0 and queued.hold_round != clock.round and option.dictionary == 1
    pair.hold = 1 if may_hold else 0
    return True


@small_kernel
def add_pairs(state, survey, j):
    """All pairs of job j, whatever the ageing share will forbid."""
    clock = state.clock[0]
    queued = state.queue[j]
    counts = survey.counts[0]
    model = state.models[queued.model]
    job = survey.jobs[j]
    job.first_pair = counts.n_pairs
    job.n_pairs = 0
    job.slack_us = queued.deadline_us - clock.now_us - queued.best_us
    if queued.hold_option != NONE:
        return
    last = model.first_option + model.n_options
    o = model.first_best if counts.narrow == 1 else model.first_option
    while o != NONE and o < last:
        option = state.options[o]
        if (queued.classes >> option.klass) & 1 == 1:
            pair = survey.pairs[counts.n_pairs]
            pair.j = j
            pair.option = o
            if fill_pair(state, queued, look_up(state, survey, queued, o), pair):
                counts.n_pairs += 1
                job.n_pairs += 1
        o = option.next_best if counts.narrow == 1 else o + 1


@small_kernel
def summarise(state, survey, j):
    """What the rules need to know of job j."""
    clock = state.clock[0]
    queued = state.queue[j]
    job = survey.jobs[j]
    job.fast = NONE
    job.busy = NONE
    job.able = 0
    job.possible = 0
    in_time = np.int64(0)
    reach = np.int64(0)
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        option = state.options[pair.option]
        latency_us = pair.wait_us + pair.e_us
        possible = clock.now_us + latency_us <= queued.deadline_us
        bit = np.int64(1) << option.klass
        reach |= bit
        if possible:
            in_time |= bit
        if option.dictionary == 0:
            continue
        if possible:
            job.possible = 1
        if pair.start == 1 and (job.fast == NONE or pair.e_us < survey.pairs[job.fast].e_us):
            job.fast = p
        if pair.hold == 1 and possible and (job.busy == NONE or pair.e_us < survey.pairs[job.busy].e_us):
            job.busy = p
        if pair.start == 1 or pair.hold == 1:
            job.able = 1
    job.in_time = bits(in_time)
    job.reach = bits(reach)


@small_kernel
def bits(mask):
    """How many are set, of the lower 63: added up in pairs, nibbles and bytes."""
    mask -= (mask >> 1) & 0x5555555555555555
    mask = (mask & 0x3333333333333333) + ((mask >> 2) & 0x3333333333333333)
    mask = (mask + (mask >> 4)) & 0x0F0F0F0F0F0F0F0F
    return (mask * 0x0101010101010101) >> 56


@kernel
def take_survey(state, survey):
    """Look at the whole queue; where MANY wait, at the dictionary's options of it."""
    survey.counts[0].whole = 1
    survey.counts[0].narrow = 1 if state.clock[0].n_queued > MANY else 0
    look_around(state, survey)


@kernel
def take_full_survey(state, survey):
    """The same with all options, however many wait."""
    survey.counts[0].whole = 1
    survey.counts[0].narrow = 0
    look_around(state, survey)


@kernel
def take_rules_survey(state, survey):
    """The same for a rule: of the dictionary's options only. Right wherever DONE is legal without looking."""
    survey.counts[0].whole = 0
    survey.counts[0].narrow = 1
    look_around(state, survey)


@small_kernel
def look_around(state, survey):
    counts = survey.counts[0]
    if counts.fresh == 0:
        begin(state, survey)
    counts.fresh = 0
    counts.n_pairs = 0
    n = state.clock[0].n_queued
    for j in range(n):
        add_pairs(state, survey, j)
        summarise(state, survey, j)
    counts.n_open = counts.n_pairs
    if ageing.restrict(state, survey):
        for j in range(n):
            summarise(state, survey, j)


# a survey that goes on --------------------------------------------------------------------------------------------
@small_kernel
def has_held(state, survey, j):
    """Job j went on hold since: what a new survey would say. True: it always goes on."""
    counted = ageing.has_a_say(state, survey, j)
    set_aside(survey, j)
    if counted:
        think_again(state, survey)
    return True


@small_kernel
def has_started(state, survey, j, node):
    """Job j started on this node since and left the queue: what a new survey would say, as long as nothing but the
    node's own options is different. False if a new one is needed."""
    n = state.clock[0].n_queued
    if survey.counts[0].whole == 1 and survey.counts[0].narrow == 1 and n <= MANY:
        return False
    survey.counts[0].stamp += 1
    set_aside(survey, j)
    if j != n:
        job = survey.jobs[j]
        survey.jobs[j] = survey.jobs[n]
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            survey.pairs[p].j = j
    r = state.nodes[node].first_running
    while r != NONE:
        survey.ends_of[r] = 0
        r = state.running[r].next
    d = state.nodes[node].first_device
    while d != NONE:
        survey.changed[state.devices[d].group] = survey.counts[0].stamp
        d = state.devices[d].next
    for i in range(n):
        if not place_again(state, survey, i):
            return False
    think_again(state, survey)
    return True


@small_kernel
def place_again(state, survey, i):
    """Bring job i's pairs on groups that have changed up to date; False if one of them is no more."""
    queued, job = state.queue[i], survey.jobs[i]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        changed = survey.changed[state.options[pair.option].group] == survey.counts[0].stamp
        if changed and not fill_pair(state, queued, look_up(state, survey, queued, pair.option), pair):
            return False
    return True


@small_kernel
def think_again(state, survey):
    """Apply the ageing share to the pairs that are left, and sum up every job."""
    n = state.clock[0].n_queued
    for i in range(n):
        job = survey.jobs[i]
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            survey.pairs[p].start = survey.pairs[p].room
    ageing.restrict(state, survey)
    for i in range(n):
        summarise(state, survey, i)


@small_kernel
def set_aside(survey, j):
    """Job j is no candidate any more."""
    job = survey.jobs[j]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        survey.pairs[p].start = 0
        survey.pairs[p].hold = 0
    survey.counts[0].n_open -= job.n_pairs
    job.n_pairs = 0
    job.fast = NONE
    job.busy = NONE
    job.able = 0
    job.possible = 0
    job.in_time = 0
    job.reach = 0
