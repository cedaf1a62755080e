"""The ageing share: serving a late job gains a deadline optimiser nothing, so without it late jobs starve.

Per hardware class, every START of a job that is not late earns 5 % of its predicted device-time as credit (capped at
the cost of the largest late job in the queue). While the credit covers the oldest late job that the class admits and
has room for, only that job's START is legal on the class, and it pays its cost. Every scheduler works under it. A job
that MAEL has assigned to a group is due there alone: it would keep others off a class that it will not use.
"""

from synergai.envs.compile import small_kernel
from synergai.envs.state import NEVER_US, NONE

SHARE = 0.05


@small_kernel
def cost_us(state, pair):
    """Device-microseconds of a pair: run time x share of the device it takes."""
    return pair.e_us * state.options[pair.option].load


@small_kernel
def find_due(state, survey):
    """For each class its oldest late job with room, and the largest late job's cost."""
    clock = state.clock[0]
    for h in range(clock.n_classes):
        due = survey.due[h]
        due.j = NONE
        due.arrival_us = NEVER_US
        due.cost_us = 0.0
        due.largest_us = 0.0
    for j in range(clock.n_queued):
        queued, job = state.queue[j], survey.jobs[j]
        if queued.deadline_us > clock.now_us:
            continue
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            pair = survey.pairs[p]
            option = state.options[pair.option]
            if option.dictionary == 0 or (queued.assigned != NONE and queued.assigned != option.group):
                continue
            cost = cost_us(state, pair)
            due = survey.due[option.klass]
            due.largest_us = max(due.largest_us, cost)
            older = queued.arrival_us < due.arrival_us or (
                queued.arrival_us == due.arrival_us and cost < due.cost_us
            )
            if pair.start == 1 and older:
                due.j = j
                due.arrival_us = queued.arrival_us
                due.cost_us = cost


@small_kernel
def restrict(state, survey):
    """Trim credits, and where a late job is due make every other START on its class illegal. True if any class has
    such a job."""
    find_due(state, survey)
    due_somewhere = False
    for h in range(state.clock[0].n_classes):
        due = survey.due[h]
        due.oldest = due.j
        klass = state.classes[h]
        klass.credit_us = min(klass.credit_us, due.largest_us)
        if klass.credit_us <= 0.0 or klass.credit_us < due.cost_us:
            due.j = NONE
        due_somewhere = due_somewhere or due.j != NONE
    if not due_somewhere:
        return False
    for p in range(survey.counts[0].n_pairs):
        pair = survey.pairs[p]
        owner = survey.due[state.options[pair.option].klass].j
        if owner != NONE and owner != pair.j:
            pair.start = 0
    return True


@small_kernel
def has_a_say(state, survey, j):
    """Whether any class would be restricted otherwise if job j were not among the late ones."""
    if state.queue[j].deadline_us > state.clock[0].now_us:
        return False
    job = survey.jobs[j]
    for p in range(job.first_pair, job.first_pair + job.n_pairs):
        pair = survey.pairs[p]
        option = state.options[pair.option]
        due = survey.due[option.klass]
        if due.oldest == j or (option.dictionary == 1 and cost_us(state, pair) >= due.largest_us):
            return True
    return False


@small_kernel
def account(state, survey, pair):
    """Earn or pay for the START of this pair; call it before the queue changes."""
    klass = state.classes[state.options[pair.option].klass]
    cost = cost_us(state, pair)
    if state.queue[pair.j].deadline_us > state.clock[0].now_us:
        klass.credit_us += SHARE * cost
    elif survey.due[state.options[pair.option].klass].j == pair.j:
        klass.credit_us = max(klass.credit_us - cost, 0.0)
