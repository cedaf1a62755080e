"""The SynergAI-style rule, as first published and with its switches (docs/baselines.md)."""

from synergai.envs.compile import kernel, small_kernel
from synergai.envs.order import HOPELESS, before, possible_pick
from synergai.envs.state import NONE

# numbers of the switches' values, in the order of `switches.SYNERGAI`
SLACK, EDF, FIFO = 0, 1, 2
FASTEST, TIGHTEST, LEAST_ENERGY = 0, 1, 2


@small_kernel
def synergai(state, survey):
    """Least slack first; fastest with room that meets the deadline, else hold for a busy one that does; hopeless
    jobs behind all others on the fastest with room (the default switches)."""
    best_key, best_j, best = 0.0, NONE, NONE
    for j in range(state.clock[0].n_queued):
        job = survey.jobs[j]
        pick = possible_pick(state, survey, j)
        key = float(job.slack_us)
        if pick == NONE and job.possible == 0 and job.fast != NONE:
            pick = job.fast
            key += HOPELESS
        if pick != NONE and before(state, key, j, best_key, best_j):
            best_key, best_j, best = key, j, pick
    return best


@kernel
def energy_j(state, pair):
    return state.options[pair.option].active_w * pair.e_us * 1e-6


@kernel
def preferred(state, survey, p, best, choice):
    """Of two pairs the one that the choice prefers, the earlier one on ties; `best` may be NONE."""
    if best == NONE:
        return p
    a, b = survey.pairs[p], survey.pairs[best]
    if choice == FASTEST:
        better = a.e_us < b.e_us
    elif choice == TIGHTEST:
        better = a.e_us > b.e_us
    else:
        better = energy_j(state, a) < energy_j(state, b)
    return p if better else best


@kernel
def acceptable(state, survey, j, choice, economical):
    """Of the pairs of job j with room that meet its deadline the one to take: first a configuration per group (that of
    least energy, or the dictionary's), then the group."""
    job, latest_us = survey.jobs[j], state.queue[j].deadline_us - state.clock[0].now_us
    if choice == FASTEST and not economical:
        return job.fast if job.fast != NONE and survey.pairs[job.fast].e_us <= latest_us else NONE
    best, here = NONE, NONE
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        option = state.options[pair.option]
        if pair.start == 0 or pair.e_us > latest_us or (option.dictionary == 0 and not economical):
            continue
        if here != NONE and option.group == state.options[survey.pairs[here].option].group:
            here = preferred(state, survey, p, here, LEAST_ENERGY)
            continue
        if here != NONE:
            best = preferred(state, survey, here, best, choice)
        here = p
    return best if here == NONE else preferred(state, survey, here, best, choice)


@kernel
def order_key(state, survey, j, order):
    if order == EDF:
        return float(state.queue[j].deadline_us)
    return 0.0 if order == FIFO else float(survey.jobs[j].slack_us)


@kernel
def sees_all(code):
    """Whether a rule of this code looks at configurations outside the dictionary."""
    return code // 36 % 2 == 1


@kernel
def switched(state, survey, code):
    """The rule with its switches (`switches.rule_number`): order, choice, hold, hopeless, configuration."""
    order, choice, hold_off, in_order = code % 3, code // 3 % 3, code // 9 % 2, code // 18 % 2
    economical = sees_all(code)
    best_key, best_j, best = 0.0, NONE, NONE
    for j in range(state.clock[0].n_queued):
        job = survey.jobs[j]
        pick = acceptable(state, survey, j, choice, economical)
        if pick == NONE and hold_off == 0:
            pick = job.busy
        key = order_key(state, survey, j, order)
        if pick == NONE and job.possible == 0 and job.fast != NONE:
            pick = job.fast
            key += 0.0 if in_order == 1 else HOPELESS
        if pick != NONE and before(state, key, j, best_key, best_j):
            best_key, best_j, best = key, j, pick
    return best
