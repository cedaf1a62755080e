"""The simulator: a cluster in a world, run until somebody has to decide.

`advance` runs one cluster until somebody has to choose between at least two legal actions; forced moves happen inside.
`run_rule` runs a whole tape under one rule. What happens by itself is in `envs.world`.
"""

import numpy as np

from synergai.envs import ageing, epochs, rules
from synergai.envs.candidates import DONE, N_RULES, list_surveyed
from synergai.envs.compile import kernel, small_kernel
from synergai.envs.reward import ENERGY_WEIGHT
from synergai.envs.state import NONE, hold, start
from synergai.envs.survey import has_held, has_started, take_full_survey, take_rules_survey, take_survey
from synergai.envs.world import begin_run, discount, step_events, take_reward

CHOICE = -2
"""In place of a pair: more than one action is legal."""


@small_kernel
def start_job(sim, j, o, device, e_us):
    """Book job j with option o on this device, and let the world decide how long it really takes."""
    state, progress = sim.state, sim.progress[0]
    queued = state.queue[j]
    samples, attempt, best_energy = queued.samples, queued.attempt, queued.best_energy_j
    weight = state.clock[0].energy_weight
    if weight > 0.0 and best_energy > 0.0:
        ratio = state.options[o].active_w * e_us * 1e-6 / best_energy
        progress.energy_reward -= ENERGY_WEIGHT * weight * ratio * discount(sim, state.clock[0].now_us)
    begin_run(sim, start(state, j, o, device), samples, attempt)


@small_kernel
def start_pair(sim, scratch, p):
    """START of a pair of the survey."""
    pair = scratch.survey.pairs[p]
    ageing.account(sim.state, scratch.survey, pair)
    start_job(sim, pair.j, pair.option, pair.device, pair.e_us)


@small_kernel
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
        hold(sim.state, pair.j, pair.option, pair.wait_us, pair.e_us)


@small_kernel
def apply_and_keep(sim, scratch, p):
    """The same, but the survey goes on: the little that changes is written into it."""
    if p == NONE:
        apply_pair(sim, scratch, p)
        return
    state, survey, pair = sim.state, scratch.survey, scratch.survey.pairs[p]
    j, starts, node = pair.j, pair.start == 1, state.devices[pair.device].node
    apply_pair(sim, scratch, p)
    kept = has_started(state, survey, j, node) if starts else has_held(state, survey, j)
    sim.progress[0].surveyed = 1 if kept else 0


@kernel
def apply_action(sim, scratch, out, action):
    """An action of the candidate list."""
    apply_and_keep(sim, scratch, NONE if action == DONE else out.pair[action])


@kernel
def apply_rule(sim, scratch, rule):
    """The action of a rule."""
    state, survey = sim.state, scratch.survey
    if sim.progress[0].surveyed == 0:
        if state.clock[0].n_running > 0 and not rules.sees_all(rule):
            take_rules_survey(state, survey)
        else:
            take_full_survey(state, survey)
    done = epochs.done_is_legal(state, survey)
    apply_and_keep(sim, scratch, rules.legal_pick(state, survey, rule, done))


@small_kernel
def look(sim, scratch):
    """A survey of everything, unless there is one of this moment."""
    if sim.progress[0].surveyed == 0 or scratch.survey.counts[0].whole == 0:
        take_survey(sim.state, scratch.survey)
    sim.progress[0].surveyed = 1


@small_kernel
def forced_move(sim, scratch):
    """The pair that alone is legal, NONE for DONE; CHOICE if more is."""
    state, survey = sim.state, scratch.survey
    done = epochs.done_is_legal(state, survey)
    only = np.int64(NONE)
    for j in range(state.clock[0].n_queued):
        job = survey.jobs[j]
        for p in range(job.first_pair, job.first_pair + job.n_pairs):
            pair = survey.pairs[p]
            if pair.start == 1 or (done and pair.hold == 1):
                if done or only != NONE:
                    return np.int64(CHOICE)
                only = p
    return only


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
            look(sim, scratch)
            p = forced_move(sim, scratch)
            if p == CHOICE:
                list_surveyed(sim.state, scratch, out, extra)
                progress.decisions += 1
                return True
            if extra >= N_RULES:
                rules.legal_pick(sim.state, scratch.survey, extra, True)  # it may remember that it was asked
            apply_and_keep(sim, scratch, p)
        if not step_events(sim, scratch):
            return False


@small_kernel
def act(sim, scratch, out, action):
    """An action of the candidate list, and on to the next decision: whether there is one, the microseconds until then,
    and the reward's terms. One call, as handing over a cluster costs Python as much as half a decision."""
    before_us = sim.state.clock[0].now_us
    apply_action(sim, scratch, out, action)
    alive = advance(sim, scratch, out, NONE)
    return alive, sim.state.clock[0].now_us - before_us, take_reward(sim)


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
