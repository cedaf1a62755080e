"""Many clusters stepped by one compiled call: the core behind training, and behind the evaluation of networks.

A batch is a `Sim` and a `Scratch` whose arrays have one more leading axis. Clusters may be of different scenarios as
long as their capacities fit; the arrays are as large as the largest needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergai.envs.agenda import Agenda
from synergai.envs.candidates import DONE, N_ACTIONS, Candidates, Scratch, empty_candidates, scratch_of
from synergai.envs.compile import kernel
from synergai.envs.program import Program
from synergai.envs.reward import potential
from synergai.envs.simplex import Table
from synergai.envs.simulator import act, advance, run_rule
from synergai.envs.state import NONE, ClusterState
from synergai.envs.survey import Survey, survey_scratch
from synergai.envs.tape import Setting, Tape, make_tape
from synergai.envs.world import Sim, new_sim, take_reward

NO_LIMIT = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Batch:
    """`size` clusters side by side, with what each shows its scheduler."""

    size: int
    sims: Sim
    scratches: Scratch
    shown: Candidates
    rewards: np.ndarray  # (size, 3): deadline, excess, energy since the decision before
    dt_us: np.ndarray  # (size,) int64: time since the decision before
    potentials: np.ndarray  # (size,): see `reward.potential`
    alive: np.ndarray  # (size,) bool: there is a decision to take


def _stack(values: Any, size: int) -> Any:
    """The same (nested) tuple of arrays with a leading axis, zeros."""
    if isinstance(values, np.ndarray):
        return np.zeros((size, *values.shape), values.dtype)
    return type(values)(*(_stack(value, size) for value in values))


def _copy_into(target: Any, values: Any, b: int) -> None:
    """Write one cluster's arrays into row b; what is longer keeps zeros behind."""
    if isinstance(values, np.ndarray):
        row = target[b]
        row[...] = np.zeros((), row.dtype)
        row[tuple(slice(n) for n in values.shape)] = values
        return
    for part, value in zip(target, values):
        _copy_into(part, value, b)


def _largest(shapes: Sequence[Any]) -> Any:
    """Arrays of the largest shape in each place of (nested) tuples of arrays."""
    if isinstance(shapes[0], np.ndarray):
        return np.zeros(tuple(np.max([a.shape for a in shapes], axis=0)), shapes[0].dtype)
    return type(shapes[0])(*(_largest(parts) for parts in zip(*shapes)))


def new_batch(settings: Sequence[Setting], size: int, count: int) -> Batch:
    """Room for `size` clusters of any of these settings on tapes of `count` arrivals without a tail."""
    samples = [new_sim(setting, make_tape(setting, 0, count, tail=0.0)) for setting in settings]
    sims = _stack(_largest(samples), size)
    options_per_model = max(int(sim.state.models["n_options"].max()) for sim in samples)
    state = sims.state
    survey = survey_scratch(
        state.admitted.shape[1],
        state.options.shape[1],
        state.classes.shape[1],
        state.groups.shape[1],
        state.queue.shape[1],
        options_per_model,
        state.running.shape[1],
        max(int(sample.state.groups["n_devices"].max()) for sample in samples),
        state.warmth.shape[1],
    )
    return Batch(
        size=size,
        sims=sims,
        scratches=_stack(scratch_of(survey), size),
        shown=empty_candidates((size,)),
        rewards=np.zeros((size, 3)),
        dt_us=np.zeros(size, np.int64),
        potentials=np.zeros(size),
        alive=np.zeros(size, np.bool_),
    )


def rows_of(values: Any, part: slice) -> Any:
    """Views of some of the clusters of a (nested) tuple of batched arrays."""
    if isinstance(values, np.ndarray):
        return values[part]
    return type(values)(*(rows_of(value, part) for value in values))


def copy_of(values: Any, b: int) -> Any:
    """One cluster's arrays out of a (nested) tuple of batched arrays, of its own."""
    if isinstance(values, np.ndarray):
        return values[b].copy()
    return type(values)(*(copy_of(value, b) for value in values))


def load(
    batch: Batch, b: int, setting: Setting, tape: Tape, rule: int = NONE, until_arrival: int = 0
) -> None:
    """Put a fresh cluster into row b, run it under `rule` until so many jobs have come, then to its first decision. The
    episode is cut off when as many jobs have come as the window's last."""
    sim = new_sim(setting, tape)
    drift = batch.sims.tape.drift.shape[2]
    sim = sim._replace(tape=sim.tape._replace(drift=sim.tape.drift[:, :drift]))
    _copy_into(batch.sims, sim, b)
    batch.sims.progress[b, 0]["n_drift"] = sim.tape.drift.shape[1]
    batch.sims.progress[b, 0]["stop_arrival"] = tape.window[1]
    first_decision(
        batch.sims, batch.scratches, batch.shown, batch.alive, batch.potentials, b, rule, until_arrival
    )
    batch.rewards[b] = 0.0
    batch.dt_us[b] = 0


@kernel
def sim_at(sims, b):
    """Views of one cluster."""
    s, t = sims.state, sims.tape
    state = ClusterState(
        s.clock[b],
        s.models[b],
        s.classes[b],
        s.groups[b],
        s.options[b],
        s.nodes[b],
        s.devices[b],
        s.queue[b],
        s.running[b],
        s.history[b],
        s.admitted[b],
        s.links[b],
        s.warmth[b],
    )
    tape = Tape(
        t.jobs[b], t.by_deadline[b], t.truth[b], t.drift[b], t.window[b], t.seed[b], t.changes[b], t.pods[b]
    )
    p, table = sims.program, sims.program.table
    program = Program(
        p.models[b],
        p.bins[b],
        p.columns[b],
        p.need[b],
        p.amount[b],
        p.n[b],
        p.duals[b],
        p.ready[b],
        p.supplies[b],
        Table(table.cells[b], table.rows[b], table.columns[b]),
    )
    a = sims.agenda
    agenda = Agenda(a.n[b], a.slots[b], a.entries[b])
    return Sim(state, tape, sims.progress[b], sims.outcomes[b], agenda, sims.machines[b], program)


@kernel
def scratch_at(scratches, b):
    v = scratches.survey
    survey = Survey(
        v.counts[b],
        v.placed[b],
        v.pairs[b],
        v.jobs[b],
        v.due[b],
        v.held_us[b],
        v.ends[b],
        v.own[b],
        v.best[b],
        v.changed[b],
        v.ends_of[b],
        v.batch[b],
        v.choices[b],
        v.blocks[b],
        v.bounds[b],
    )
    return Scratch(
        survey,
        scratches.taken[b],
        scratches.pressure[b],
        scratches.slacks[b],
        scratches.outlooks[b],
        scratches.listed[b],
        scratches.stamp[b],
        scratches.top[b],
        scratches.top_key[b],
    )


@kernel
def shown_at(shown, b):
    return Candidates(
        shown.rows[b],
        shown.job[b],
        shown.option[b],
        shown.klass[b],
        shown.pair[b],
        shown.shared[b],
        shown.mask[b],
        shown.picks[b],
        shown.n[b],
    )


@kernel
def first_decision(sims, scratches, shown, alive, potentials, b, rule, until_arrival):
    sim, scratch, out = sim_at(sims, b), scratch_at(scratches, b), shown_at(shown, b)
    if rule != NONE:
        run_rule(sim, scratch, rule, until_arrival)
    alive[b] = advance(sim, scratch, out, NONE)
    potentials[b] = potential(sim.state, scratch.survey)
    take_reward(sim)


@kernel
def step_all(sims, scratches, shown, actions, rewards, dt_us, potentials, alive):
    """Carry out one action in each living cluster and go on to its next decision."""
    for b in range(len(actions)):
        rewards[b] = 0.0
        dt_us[b] = 0
        if not alive[b]:
            continue
        sim, scratch, out = sim_at(sims, b), scratch_at(scratches, b), shown_at(shown, b)
        alive[b], dt_us[b], terms = act(sim, scratch, out, actions[b])
        potentials[b] = potential(sim.state, scratch.survey)
        rewards[b, 0], rewards[b, 1], rewards[b, 2] = terms


def step(batch: Batch, actions: np.ndarray) -> None:
    """`actions` (size,) int64, an action of each cluster's list; ValueError for one that its mask forbids."""
    exists = (actions >= 0) & (actions < N_ACTIONS)
    chosen = exists & batch.shown.mask[np.arange(batch.size), np.where(exists, actions, DONE)]
    if not chosen[batch.alive].all():
        b = int(np.flatnonzero(batch.alive & ~chosen)[0])
        raise ValueError(f"cluster {b}: action {actions[b]} is not legal")
    step_all(
        batch.sims,
        batch.scratches,
        batch.shown,
        actions,
        batch.rewards,
        batch.dt_us,
        batch.potentials,
        batch.alive,
    )
