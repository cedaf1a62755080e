"""The one list that every scheduler chooses from: at most 128 (job, option) pairs, with features and a mask.

First every stateless rule's pick over the full queue and what the ageing share asks for; then, if everything does not
fit, per class the best few by slack, run time, relative speed and chance to be on time, and the newest and oldest late
job. Action i < 128 is candidate i: START if its option has room, else HOLD. Action 128 is DONE.
"""

from typing import NamedTuple

import numpy as np

from synergai.envs import features, rules
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.epochs import done_is_legal
from synergai.envs.features import DUE, FIRST_PICK, N_CANDIDATE, N_GLOBAL, N_ROW, SIGMA
from synergai.envs.outlook import OUTLOOK, look_ahead
from synergai.envs.state import NONE, ClusterState
from synergai.envs.survey import Survey, survey_for, take_survey

MAX_CANDIDATES = 128
DONE = MAX_CANDIDATES
N_ACTIONS = MAX_CANDIDATES + 1
N_RULES = len(rules.RULES)
N_KEYS = 4
KEEP = 8


class Candidates(NamedTuple):
    """What `Scheduler.decide` reads. Rows beyond `n[0]` are zero and masked."""

    rows: np.ndarray  # (128, N_ROW) float32: candidate features, then those of its job
    job: np.ndarray  # (128,) int32: index into the queue
    option: np.ndarray  # (128,) int32: index into the options
    klass: np.ndarray  # (128,) int32: hardware class
    pair: np.ndarray  # (128,) int32: index into the survey
    shared: np.ndarray  # (N_GLOBAL,) float32
    mask: np.ndarray  # (129,) bool: legal actions
    picks: np.ndarray  # (N_RULES + 1,) int32: each rule's action, and that of the extra rule
    n: np.ndarray  # (1,) int32: how many


class Scratch(NamedTuple):
    """Working memory of `list_candidates`, reused between calls."""

    survey: Survey
    taken: np.ndarray  # (pairs,) int64: stamp of the list it was last put into
    pressure: np.ndarray  # (classes,) float64
    slacks: np.ndarray  # (jobs,) float64
    outlooks: np.ndarray  # (jobs,) OUTLOOK: of jobs in the list
    listed: np.ndarray  # (jobs,) int64: the stamp of the last list that had the job, and its first row there
    stamp: np.ndarray  # (1,) int64
    top: np.ndarray  # (classes, N_KEYS, KEEP) int64: best pairs by key
    top_key: np.ndarray  # (classes, N_KEYS, KEEP) float64


def empty_candidates(batch: tuple[int, ...] = ()) -> Candidates:
    """Arrays of one list, or of a batch of them with leading axes."""
    return Candidates(
        np.zeros((*batch, MAX_CANDIDATES, N_ROW), np.float32),
        np.zeros((*batch, MAX_CANDIDATES), np.int32),
        np.zeros((*batch, MAX_CANDIDATES), np.int32),
        np.zeros((*batch, MAX_CANDIDATES), np.int32),
        np.zeros((*batch, MAX_CANDIDATES), np.int32),
        np.zeros((*batch, N_GLOBAL), np.float32),
        np.zeros((*batch, N_ACTIONS), np.bool_),
        np.zeros((*batch, N_RULES + 1), np.int32),
        np.zeros((*batch, 1), np.int32),
    )


def scratch_for(state: ClusterState) -> Scratch:
    return scratch_of(survey_for(state))


def scratch_of(survey: Survey) -> Scratch:
    return Scratch(
        survey,
        np.zeros(len(survey.pairs), np.int64),
        np.zeros(len(survey.due)),
        np.zeros(len(survey.jobs)),
        np.zeros(len(survey.jobs), OUTLOOK),
        np.zeros(len(survey.jobs), np.int64),
        np.zeros(1, np.int64),
        np.zeros((len(survey.due), N_KEYS, KEEP), np.int64),
        np.zeros((len(survey.due), N_KEYS, KEEP)),
    )


@small_kernel
def is_legal(survey, p):
    return survey.pairs[p].start == 1 or survey.pairs[p].hold == 1


@small_kernel
def put(scratch, out, p):
    """Append pair p unless it is in the list, illegal, or the list is full. Returns its index or NONE."""
    survey = scratch.survey
    if p == NONE or not is_legal(survey, p):
        return NONE
    if scratch.taken[p] == scratch.stamp[0]:
        for i in range(out.n[0]):
            if out.pair[i] == p:
                return i
    i = out.n[0]
    if i >= MAX_CANDIDATES:
        return NONE
    scratch.taken[p] = scratch.stamp[0]
    out.pair[i] = p
    out.n[0] += 1
    return i


@small_kernel
def may_enter(top_key, h, key, keep, over, under):
    """Whether over / under may be among the `keep` smallest of (class, key): a product, where a quotient would take
    most of the time; `under` is above 0."""
    bar = top_key[h, key, keep - 1] * under
    return over < bar + 1e-9 * abs(bar)


@small_kernel
def remember(top, top_key, h, key, keep, p, value):
    """Keep the `keep` smallest values of (class, key) in order, the earlier pair first on ties."""
    slot = keep
    while slot > 0 and value < top_key[h, key, slot - 1]:
        slot -= 1
    if slot == keep:
        return
    for s in range(keep - 1, slot, -1):
        top[h, key, s] = top[h, key, s - 1]
        top_key[h, key, s] = top_key[h, key, s - 1]
    top[h, key, slot] = p
    top_key[h, key, slot] = value


@kernel
def put_best(state, scratch, out, keep):
    """Append, in turn over keys and classes, the `keep` best pairs of each. Keys, smaller is better: slack, run time,
    relative speed, time to spare over the run time (negated)."""
    survey, top, bars = scratch.survey, scratch.top, scratch.top_key
    n_classes = state.clock[0].n_classes
    top[:n_classes] = NONE
    bars[:n_classes] = np.inf
    for j in range(state.clock[0].n_queued):
        job, queued = survey.jobs[j], state.queue[j]
        slack, best_us = float(job.slack_us), float(max(queued.best_us, 1))
        left_us = queued.deadline_us - state.clock[0].now_us
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            pair = survey.pairs[p]
            if not is_legal(survey, p):
                continue
            h, e_us = state.options[pair.option].klass, float(max(pair.e_us, 1))
            late_us = float(pair.wait_us + pair.e_us - left_us)
            remember(top, bars, h, 0, keep, p, slack)
            remember(top, bars, h, 1, keep, p, float(pair.e_us))
            if may_enter(bars, h, 2, keep, float(pair.e_us), best_us):
                remember(top, bars, h, 2, keep, p, pair.e_us / best_us)
            if may_enter(bars, h, 3, keep, late_us, e_us):
                remember(top, bars, h, 3, keep, p, late_us / e_us)
    for s in range(keep):
        for h in range(n_classes):
            for key in range(N_KEYS):
                put(scratch, out, scratch.top[h, key, s])


@small_kernel
def put_late(state, scratch, out):
    """Append the fastest START of the oldest and of the newest late job."""
    survey = scratch.survey
    oldest, newest = NONE, NONE
    for j in range(state.clock[0].n_queued):
        if survey.jobs[j].fast == NONE or state.queue[j].deadline_us > state.clock[0].now_us:
            continue
        if oldest == NONE or state.queue[j].arrival_us < state.queue[oldest].arrival_us:
            oldest = j
        if newest == NONE or state.queue[j].arrival_us > state.queue[newest].arrival_us:
            newest = j
    if oldest != NONE:
        put(scratch, out, survey.jobs[oldest].fast)
        put(scratch, out, survey.jobs[newest].fast)


@small_kernel
def put_due(state, scratch, out):
    """Append what the ageing share asks for, per class."""
    survey = scratch.survey
    for h in range(state.clock[0].n_classes):
        j = survey.due[h].j
        if j == NONE:
            continue
        job = survey.jobs[j]
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            if state.options[survey.pairs[p].option].klass == h and survey.pairs[p].start == 1:
                i = put(scratch, out, p)
                if i != NONE:
                    out.rows[i, DUE] = 1.0


@kernel
def put_the_rest(state, scratch, out):
    """Everything if it fits, else the best few per class and key."""
    survey = scratch.survey
    n_classes = state.clock[0].n_classes
    if survey.counts[0].n_open <= MAX_CANDIDATES:
        for j in range(state.clock[0].n_queued):
            job = survey.jobs[j]
            for p in range(job.first_pair, job.first_pair + job.n_pairs):
                put(scratch, out, p)
        return
    put_late(state, scratch, out)
    put_best(state, scratch, out, min(max((MAX_CANDIDATES - 24) // (N_KEYS * max(n_classes, 1)), 1), KEEP))


@kernel
def clear(out):
    n = out.n[0]
    out.rows[:n] = 0.0
    out.job[:n] = 0
    out.option[:n] = 0
    out.klass[:n] = 0
    out.pair[:n] = 0
    out.mask[:] = False
    out.n[0] = 0


@kernel
def gather(state, scratch, out, extra, done):
    """Choose the pairs of the list: rules' picks, what ageing asks for, the rest."""
    survey = scratch.survey
    scratch.stamp[0] += 1
    for rule in range(N_RULES):
        out.picks[rule] = DONE
        i = put(scratch, out, rules.legal_pick(state, survey, rule, done))
        if i != NONE:
            out.picks[rule] = i
            out.rows[i, FIRST_PICK + rule] = 1.0
    out.picks[N_RULES] = DONE
    if extra >= N_RULES:
        i = put(scratch, out, rules.legal_pick(state, survey, extra, done))
        if i != NONE:
            out.picks[N_RULES] = i
    put_due(state, scratch, out)
    put_the_rest(state, scratch, out)


@kernel
def set_mask(state, survey, out, done):
    """Name each candidate's job, option and class; returns the number of legal actions."""
    legal = 1 if done else 0
    out.mask[DONE] = done
    for i in range(out.n[0]):
        pair = survey.pairs[out.pair[i]]
        out.job[i] = pair.j
        out.option[i] = pair.option
        out.klass[i] = state.options[pair.option].klass
        if done or pair.start == 1:
            out.mask[i] = True
            legal += 1
    return legal


@small_kernel
def fill_job_row(state, scratch, out, i):
    """The job part of row i, worked out once for each job."""
    j, own = out.job[i], out.rows[i]
    sigma = state.options[out.option[i]].sigma
    if scratch.listed[j] // MAX_CANDIDATES != scratch.stamp[0]:
        scratch.listed[j] = scratch.stamp[0] * MAX_CANDIDATES + i
        look_ahead(state, scratch.survey, j, scratch.outlooks[j])
        features.fill_job(state, scratch.survey, j, sigma, scratch.outlooks[j], own[N_CANDIDATE:])
        return
    first = out.rows[scratch.listed[j] % MAX_CANDIDATES]
    for k in range(N_CANDIDATE, N_ROW):
        own[k] = first[k]
    own[N_CANDIDATE + SIGMA] = features.clip(sigma, 0.0, 1.0)


@kernel
def fill_features(state, scratch, out):
    survey = scratch.survey
    features.class_pressure(state, survey, scratch.pressure)
    for i in range(out.n[0]):
        fill_job_row(state, scratch, out, i)
        outlook = scratch.outlooks[out.job[i]]
        features.fill_candidate(state, survey, scratch.pressure, outlook, out.pair[i], out.rows[i])
    features.fill_global(state, survey, scratch.slacks, out.shared)


@kernel
def list_candidates(state, scratch, out, extra):
    """Fill `out` for the state as it is, with the pick of one more rule (`extra`, NONE for no more). Returns the number
    of legal actions; the features are filled in only where there is a choice."""
    take_survey(state, scratch.survey)
    return list_surveyed(state, scratch, out, extra)


@kernel
def list_surveyed(state, scratch, out, extra):
    """The same where the survey in `scratch` is of the state as it is."""
    clear(out)
    done = done_is_legal(state, scratch.survey)
    gather(state, scratch, out, extra, done)
    legal = set_mask(state, scratch.survey, out, done)
    if legal > 1:
        fill_features(state, scratch, out)
    return legal


@kernel
def only_action(out):
    """The legal action where there is one."""
    for i in range(out.n[0]):
        if out.mask[i]:
            return i
    return DONE


def candidates(state: ClusterState, scratch: Scratch | None = None) -> Candidates:
    """The candidate list of a state, in arrays of its own."""
    out = empty_candidates()
    list_candidates(state, scratch or scratch_for(state), out, NONE)
    return out
