"""The rules, each a function of the state and its survey: `pick(state, survey, rule) -> pair or NONE (DONE)`.

docs/baselines.md states every one of them; the MAEL family is in `envs.mael`, SynergAI's rule in `envs.synergai`, this
project's own in `envs.likely`. All
take the highest priority first, use the best-throughput configuration of a hardware class, skip what they cannot start,
and break ties by arrival. A picked pair that may START is started; one that is busy is held.
"""

import numpy as np

from synergai.envs import likely, mael, synergai
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.order import HOPELESS, before, possible_pick
from synergai.envs.state import NONE

RULES = (
    "least_allocated",
    "fcfs",
    "edf",
    "llf",
    "sjf_feasible",
    "affinity",
    "slo_mael_greedy",
    "synergai",
    "edf_feasible",
    "edf_likely",
)
"""In the order of `pick_all`; each one's pick is always in the candidate list."""
OTHERS = ("random", "round_robin", "mael", "slo_mael", "slo_mael_published")
"""Rules that remember something (in the state) and so have no bit in the features."""
OWN = ("edf_likely",)
"""Not published by anybody: this project's, which trained policies start from. What a policy gains is told against the
best of the other rules."""
RULE_NUMBER = {name: number for number, name in enumerate(RULES + OTHERS)}
SYNERGAI_CODES, MAEL_CODES = 64, 192
"""First numbers of the rules with switches, see `envs.switches`."""
FALLBACK = "edf_likely"
"""Answers wherever a better answer is missing."""
EDF_FEASIBLE = synergai.EDF + 9
"""The switches of `edf_feasible`, which is `synergai:order=edf:hold=off`."""


@small_kernel
def first_by(state, survey, rule):
    """fcfs, edf, llf: the first job of the order that can start, on its smallest e."""
    best_key, best_j = 0.0, NONE
    for j in range(state.clock[0].n_queued):
        if survey.jobs[j].fast == NONE:
            continue
        key = 0.0
        if rule == 1:
            key = float(state.queue[j].arrival_us)
        elif rule == 2:
            key = float(state.queue[j].deadline_us)
        elif rule == 3:
            key = float(survey.jobs[j].slack_us)
        if before(state, key, j, best_key, best_j):
            best_key, best_j = key, j
    return survey.jobs[best_j].fast if best_j != NONE else NONE


@kernel
def fcfs(state, survey):
    return first_by(state, survey, 1)


@kernel
def edf(state, survey):
    return first_by(state, survey, 2)


@kernel
def llf(state, survey):
    return first_by(state, survey, 3)


@kernel
def free_share(state, pair):
    """Mean free share of cpu and memory of the pair's node after the placement, as kube-scheduler's
    NodeResourcesFit with LeastAllocated scores it."""
    option, queued = state.options[pair.option], state.queue[pair.j]
    node = state.nodes[state.devices[pair.device].node]
    cpu = (node.cpu_free - max(option.cpu_milli, queued.cpu_floor)) / max(node.cpu_milli, 1)
    memory = (node.memory_free - max(option.memory_mib, queued.memory_floor)) / max(node.memory_mib, 1)
    return 0.5 * (cpu + memory)


@kernel
def least_allocated(state, survey):
    """FIFO; the node with the largest free share, on a node with several devices the accelerator before the cpu."""
    best_j = NONE
    for j in range(state.clock[0].n_queued):
        if survey.jobs[j].fast != NONE and before(state, 0.0, j, 0.0, best_j):
            best_j = j
    if best_j == NONE:
        return NONE
    job = survey.jobs[best_j]
    best, best_share = NONE, -np.inf
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        if pair.start == 0 or state.options[pair.option].dictionary == 0 or has_accelerator(state, survey, p):
            continue
        share = free_share(state, pair)
        if share > best_share:
            best, best_share = p, share
    return best


@kernel
def has_accelerator(state, survey, p):
    """Whether the job of pair p could start on more units of another device of the same node."""
    pair = survey.pairs[p]
    node = state.devices[pair.device].node
    units = state.options[pair.option].units
    job = survey.jobs[pair.j]
    for q in range(job.first_pair, job.first_pair + job.n_pairs):
        other = survey.pairs[q]
        option = state.options[other.option]
        same = state.devices[other.device].node == node
        if same and other.start == 1 and option.dictionary == 1 and option.units > units:
            return True
    return False


@kernel
def sjf_feasible(state, survey):
    """Shortest e among those that meet their deadline; hold if only a busy option does; hopeless jobs last, by e."""
    best_key, best_j, best = 0.0, NONE, NONE
    for j in range(state.clock[0].n_queued):
        job = survey.jobs[j]
        pick = possible_pick(state, survey, j)
        key = 0.0
        if pick != NONE:
            key = float(survey.pairs[pick].e_us)
        elif job.possible == 0 and job.fast != NONE:
            pick = job.fast
            key = HOPELESS + survey.pairs[pick].e_us
        if pick != NONE and before(state, key, j, best_key, best_j):
            best_key, best_j, best = key, j, pick
    return best


@small_kernel
def affinity(state, survey):
    """The job that is closest to its best device: smallest e with room / e*, possible first."""
    best_key, best_j = 0.0, NONE
    for j in range(state.clock[0].n_queued):
        job = survey.jobs[j]
        if job.fast == NONE:
            continue
        e_us = survey.pairs[job.fast].e_us
        key = e_us / max(state.queue[j].best_us, 1)
        if state.clock[0].now_us + e_us > state.queue[j].deadline_us:
            key += 1e6  # a ratio: HOPELESS would swallow it
        if before(state, key, j, best_key, best_j):
            best_key, best_j = key, j
    return survey.jobs[best_j].fast if best_j != NONE else NONE


@kernel
def draw(state):
    """A uniform number in [0, 1): a hash of the clock's seed and how many were drawn before."""
    clock = state.clock[0]
    clock.draws += 1
    x = np.uint64(clock.seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(clock.draws) * np.uint64(
        0xD1B54A32D192ED03
    )
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return (x >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def random(state, survey):
    """Uniform over the jobs that can start, then over their options with room."""
    n = state.clock[0].n_queued
    able = 0
    for j in range(n):
        able += survey.jobs[j].fast != NONE
    if able == 0:
        return NONE
    wanted = int(draw(state) * able)
    for j in range(n):
        if survey.jobs[j].fast == NONE:
            continue
        if wanted == 0:
            return random_option(state, survey, j)
        wanted -= 1
    return NONE


@kernel
def random_option(state, survey, j):
    job = survey.jobs[j]
    seen = 0
    pick = NONE
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        if pair.start == 1 and state.options[pair.option].dictionary == 1:
            seen += 1
            if draw(state) * seen < 1.0:
                pick = p
    return pick


@kernel
def round_robin(state, survey):
    """FIFO; the next device after the last one used that has room."""
    best_j = NONE
    for j in range(state.clock[0].n_queued):
        if survey.jobs[j].fast != NONE and before(state, 0.0, j, 0.0, best_j):
            best_j = j
    if best_j == NONE:
        return NONE
    clock = state.clock[0]
    job = survey.jobs[best_j]
    best, best_turn = NONE, clock.n_groups + 1
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        option = state.options[survey.pairs[p].option]
        if survey.pairs[p].start == 0 or option.dictionary == 0:
            continue
        turn = (option.group - clock.cursor) % clock.n_groups
        if turn < best_turn:
            best, best_turn = p, turn
    if best != NONE:
        clock.cursor = (state.options[survey.pairs[best].option].group + 1) % clock.n_groups
    return best


@kernel
def pick(state, survey, rule):
    """The pick of the rule with this number (`RULE_NUMBER`, `switches.rule_number`): a pair, or NONE for DONE."""
    if rule == 0:
        return least_allocated(state, survey)
    if rule == 1:
        return fcfs(state, survey)
    if rule == 2:
        return edf(state, survey)
    if rule == 3:
        return llf(state, survey)
    if rule == 4:
        return sjf_feasible(state, survey)
    if rule == 5:
        return affinity(state, survey)
    if rule == 6:
        return mael.slo_mael_greedy(state, survey)
    if rule == 7:
        return synergai.synergai(state, survey)
    if rule == 8:
        return synergai.switched(state, survey, EDF_FEASIBLE)
    if rule == 9:
        return likely.edf_likely(state, survey)
    if rule == 10:
        return random(state, survey)
    if rule == 11:
        return round_robin(state, survey)
    if rule < SYNERGAI_CODES:
        return mael.window_pick(state, survey, rule - 12, 0)
    if rule < MAEL_CODES:
        return synergai.switched(state, survey, rule - SYNERGAI_CODES)
    return mael.window_pick(state, survey, (rule - MAEL_CODES) // 3, (rule - MAEL_CODES) % 3)


@kernel
def sees_all(rule):
    """Whether the rule looks at configurations outside the dictionary."""
    return SYNERGAI_CODES <= rule < MAEL_CODES and synergai.sees_all(rule - SYNERGAI_CODES)


@small_kernel
def legal_pick(state, survey, rule, done):
    """The rule's pick where DONE is legal (`done`), else a START: its own, `sjf_feasible`'s, or the first there is."""
    p = pick(state, survey, rule)
    if done or (p != NONE and survey.pairs[p].start == 1):
        return p
    p = sjf_feasible(state, survey)
    if p != NONE and survey.pairs[p].start == 1:
        return p
    for j in range(state.clock[0].n_queued):
        job = survey.jobs[j]
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            if survey.pairs[p].start == 1:
                return p
    return NONE
