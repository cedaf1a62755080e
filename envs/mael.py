"""MAEL and SLO-MAEL (Seo et al., TACO 18(4) 2021; casys-kaist/Edge-scheduler, Scheduler/main.cpp), a device being a
node group: the window forms, and SLO-MAEL job by job. docs/baselines.md states them.

In a window arrivals gather; at its end each is assigned to a group, by trying every combination. Assigned jobs wait in
the queue of their group, and need no HOLD for it: the rule starts them nowhere else.
"""

import numpy as np

from synergai.envs.compile import kernel
from synergai.envs.epochs import done_is_legal
from synergai.envs.order import before
from synergai.envs.state import NEVER_US, NONE, alone_us
from synergai.envs.survey import MAX_BATCH

MAEL, SLO_MAEL, PUBLISHED = 0, 1, 2
"""Forms: smallest sum of latencies; largest sum of scores; the score of the last job alone, as the authors' code has
it (it zeroes the sum inside the loop over requests)."""
MAX_PRODUCT = 4096
"""Combinations that are tried in one window."""


@kernel
def slo_score(latency_us, budget_us):
    """Of one request: 1 with half of its latency to spare, else minus the latency in percent of its time, times 1.5."""
    if budget_us >= 1.5 * latency_us:
        return 1.0
    return -150.0 * latency_us / max(budget_us, 1)


# job by job ----------------------------------------------------------------------------------------------------------
@kernel
def count_held(state, survey):
    """What waits on hold for each group, spread over its servers."""
    clock = state.clock[0]
    for g in range(clock.n_groups):
        survey.held_us[g] = 0.0
    for j in range(clock.n_queued):
        queued = state.queue[j]
        if queued.hold_option != NONE:
            option = state.options[queued.hold_option]
            survey.held_us[option.group] += alone_us(state, queued, option)
    for g in range(clock.n_groups):
        survey.held_us[g] /= state.groups[g].servers


@kernel
def slo_mael_greedy(state, survey):
    """FIFO; the option with the best SLO score, busy or not, ties by latency."""
    best_j = NONE
    for j in range(state.clock[0].n_queued):
        if survey.jobs[j].able == 1 and before(state, 0.0, j, 0.0, best_j):
            best_j = j
    if best_j == NONE:
        return NONE
    count_held(state, survey)
    queued, job = state.queue[best_j], survey.jobs[best_j]
    budget_us = queued.deadline_us - queued.arrival_us
    best, best_score, best_behind_us = NONE, -np.inf, np.int64(NEVER_US)
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        option = state.options[pair.option]
        if option.dictionary == 0 or (pair.start == 0 and pair.hold == 0):
            continue
        behind_us = pair.wait_us + pair.e_us + np.int64(survey.held_us[option.group])
        score = slo_score(behind_us, budget_us)
        if score > best_score or (score == best_score and behind_us < best_behind_us):
            best, best_score, best_behind_us = p, score, behind_us
    return best


# windows -------------------------------------------------------------------------------------------------------------
@kernel
def window_length_us(state, window):
    """0.1 tau; 10 ms, as published; tau."""
    if window == 1:
        return np.int64(10_000)
    return np.int64(state.clock[0].tau_us * (0.1 if window == 0 else 1.0))


@kernel
def pair_on(state, survey, j, g):
    """Job j's dictionary pair on group g; NONE where the group cannot take it."""
    job = survey.jobs[j]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        option = state.options[survey.pairs[p].option]
        if option.group == g and option.dictionary == 1:
            return p
    return NONE


@kernel
def gathers(state, survey, j):
    """Whether job j waits for a window to assign it. One whose group can no longer take it is to be assigned anew."""
    queued = state.queue[j]
    if queued.hold_option != NONE:
        return False
    if queued.assigned != NONE and pair_on(state, survey, j, queued.assigned) != NONE:
        return False
    queued.assigned = NONE
    job = survey.jobs[j]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        if state.options[survey.pairs[p].option].dictionary == 1:
            return True
    return False


@kernel
def count_gathered(state, survey):
    count = 0
    for j in range(state.clock[0].n_queued):
        count += gathers(state, survey, j)
    return count


@kernel
def list_choices(state, survey, k, j):
    """Write job j as number k of the batch; returns how many groups it may be assigned to."""
    record, job = survey.batch[k], survey.jobs[j]
    record.j = j
    record.digit = 0
    record.best = 0
    record.n_choices = 0
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        if state.options[survey.pairs[p].option].dictionary == 1:
            survey.choices[k, record.n_choices] = p
            record.n_choices += 1
    return record.n_choices


@kernel
def fill_batch(state, survey):
    """The first to come of those that gather, as many as leave the combinations few enough; returns how many."""
    last, product, count = NONE, 1, 0
    while count < MAX_BATCH:
        following = NONE
        for j in range(state.clock[0].n_queued):
            later = last == NONE or (j != last and before(state, 0.0, last, 0.0, j))
            if later and gathers(state, survey, j) and before(state, 0.0, j, 0.0, following):
                following = j
        if following == NONE:
            break
        product *= list_choices(state, survey, count, following)
        if count > 0 and product > MAX_PRODUCT:
            break
        count += 1
        last = following
    return count


@kernel
def walk(state, survey, n, form):
    """The score and the sum of latencies of the combination that the digits stand for. A job's latency is the time it
    has waited, the backlog of its group and its run time; the backlog grows by its share of the group's servers."""
    now_us = state.clock[0].now_us
    for k in range(n):
        g = state.options[survey.pairs[survey.choices[k, survey.batch[k].digit]].option].group
        survey.held_us[g] = state.groups[g].backlog_us
    score, total_us = 0.0, 0.0
    for k in range(n):
        pair = survey.pairs[survey.choices[k, survey.batch[k].digit]]
        queued, g = state.queue[pair.j], state.options[pair.option].group
        latency_us = survey.held_us[g] + pair.e_us + (now_us - queued.arrival_us)
        survey.held_us[g] += pair.e_us / state.groups[g].servers
        total_us += latency_us
        if form == PUBLISHED:
            score = 0.0
        if form != MAEL:
            score += slo_score(latency_us, queued.deadline_us - queued.arrival_us)
    return score, total_us


@kernel
def next_combination(survey, n):
    """Count on, the last job's digit first; False once all have been."""
    for back in range(n):
        record = survey.batch[n - 1 - back]
        record.digit += 1
        if record.digit < record.n_choices:
            return True
        record.digit = 0
    return False


@kernel
def choose_groups(state, survey, n, form):
    """Each job's best choice: the largest score, ties by the smallest sum of latencies, then the first."""
    best_score, best_us = -np.inf, np.inf
    more = n > 0
    while more:
        score, total_us = walk(state, survey, n, form)
        if score > best_score or (score == best_score and total_us < best_us):
            best_score, best_us = score, total_us
            for k in range(n):
                survey.batch[k].best = survey.batch[k].digit
        more = next_combination(survey, n)


@kernel
def assign_batch(state, survey, form):
    """Assign the first to come to groups; returns how many."""
    clock = state.clock[0]
    for g in range(clock.n_groups):
        group = state.groups[g]
        group.backlog_us = max(group.backlog_us - (clock.now_us - clock.planned_us), 0.0)
    clock.planned_us = clock.now_us
    n = fill_batch(state, survey)
    choose_groups(state, survey, n, form)
    for k in range(n):
        pair = survey.pairs[survey.choices[k, survey.batch[k].best]]
        queued, g = state.queue[pair.j], state.options[pair.option].group
        queued.assigned = g
        queued.picks = state.groups[g].picks
        state.groups[g].backlog_us += pair.e_us / state.groups[g].servers
    return n


@kernel
def gather(state, survey, form, window):
    """Open the window, or close it when its time has come; at once where DONE is illegal. What is too much for one
    batch makes the next: its window is over, too."""
    clock = state.clock[0]
    left = count_gathered(state, survey)
    if left > 0 and clock.window_us == NONE:
        clock.window_us = clock.now_us + window_length_us(state, window)
    if left > 0 and (clock.now_us >= clock.window_us or not done_is_legal(state, survey)):
        while left > 0:
            left -= assign_batch(state, survey, form)
    if left == 0:
        clock.window_us = NONE


@kernel
def queue_key(state, pair, form):
    """The order of a group's queue. MAEL: shortest first, a run time counting a tenth for each job that was taken from
    the queue while it waited. SLO-MAEL: least slack."""
    queued = state.queue[pair.j]
    if form != MAEL:
        return float(queued.deadline_us - pair.e_us)
    passed = state.groups[queued.assigned].picks - queued.picks
    return pair.e_us * 0.1 ** float(passed)


@kernel
def from_queues(state, survey, form):
    """The first assigned job that can start on its group."""
    best, best_j, best_key = NONE, NONE, 0.0
    for j in range(state.clock[0].n_queued):
        if state.queue[j].assigned == NONE:
            continue
        p = pair_on(state, survey, j, state.queue[j].assigned)
        if p == NONE or survey.pairs[p].start == 0:
            continue
        key = queue_key(state, survey.pairs[p], form)
        if before(state, key, j, best_key, best_j):
            best, best_j, best_key = p, j, key
    return best


@kernel
def window_pick(state, survey, form, window):
    """MAEL's pick. DONE asks to be woken when the open window closes."""
    gather(state, survey, form, window)
    p = from_queues(state, survey, form)
    clock = state.clock[0]
    if p == NONE and clock.window_us != NONE:
        clock.wake_us = clock.window_us
    return p
