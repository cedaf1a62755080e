"""The simulator: a cluster in a world, run until somebody has to decide.

`advance` runs one cluster until somebody has to choose between at least two legal actions; forced moves happen inside.
`run_rule` runs a whole tape under one rule. What happens by itself is in `envs.world`.
"""

from synergai.envs import ageing, epochs, rules
from synergai.envs.candidates import DONE, list_candidates, list_surveyed, only_action
from synergai.envs.compile import kernel
from synergai.envs.reward import ENERGY_WEIGHT
from synergai.envs.state import NONE, hold, start
from synergai.envs.survey import outlives, set_aside, take_rules_survey, take_survey
from synergai.envs.world import begin_run, discount, step_events


@kernel
def start_pair(sim, scratch, p):
    """START: book it, and let the world decide how long it takes."""
    state, progress = sim.state, sim.progress[0]
    pair = scratch.survey.pairs[p]
    queued = state.queue[pair.j]
    samples, attempt, best_energy = queued.samples, queued.attempt, queued.best_energy_j
    option = state.options[pair.option]
    weight = state.clock[0].energy_weight
    if weight > 0.0 and best_energy > 0.0:
        ratio = option.active_w * pair.e_us * 1e-6 / best_energy
        progress.energy_reward -= ENERGY_WEIGHT * weight * ratio * discount(sim, state.clock[0].now_us)
    ageing.account(state, scratch.survey, pair)
    slot = start(state, pair.j, pair.option, pair.device)
    begin_run(sim, slot, samples, attempt)


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
        hold(sim.state, pair.j, pair.option, pair.wait_us, pair.e_us)


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
        if state.clock[0].n_running > 0 and not rules.sees_all(rule):
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
