"""Schedulers on common tapes."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from synergai.agents.heuristics import Rule
from synergai.agents.planner import Planner, is_planner
from synergai.agents.policies import make_policy
from synergai.agents.registry import names
from synergai.envs.candidates import DONE, Candidates, Scratch, empty_candidates, list_candidates, scratch_for
from synergai.envs.metrics import Measures, counted_jobs, measure
from synergai.envs.simulator import advance, apply_action, run_rule
from synergai.envs.state import NONE, ClusterState
from synergai.envs.switches import is_rule
from synergai.envs.tape import Setting, make_tape
from synergai.envs.types import Action, Decision
from synergai.envs.world import Sim, new_sim

TIMED = (0, 1)
"""Tapes whose beginning each scheduler plays again, decision by decision, to time them."""
TIMED_ARRIVALS = 600
ALL_ARRIVALS = np.iinfo(np.int64).max


class PlayError(RuntimeError):
    """A tape could not be played to its end; the message names scenario, load, scheduler and tape."""


class Runner(Protocol):
    """A scheduler that can also play a whole tape in compiled code."""

    name: str

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision: ...

    def run(self, sim: Sim, scratch: Scratch) -> None: ...


class RuleRunner(Rule):
    """A rule in compiled code."""

    def __init__(self, name: str) -> None:
        if not is_rule(name):
            raise ValueError(
                f"no scheduler {name!r}; there are {', '.join(names())}, all, or --checkpoint DIR"
            )
        super().__init__(name)

    def run(self, sim: Sim, scratch: Scratch) -> None:
        run_rule(sim, scratch, self.number, ALL_ARRIVALS)


def runners(schedulers: Sequence[str], policies: Sequence[str] = ()) -> list[Runner]:
    """Rules and planners by name (`all` for every rule), and checkpoints as `agents.policies` names them."""
    wanted = names() if "all" in schedulers else tuple(dict.fromkeys(schedulers))
    clashes = sorted({*names()} & {*policies}) or sorted(c for c in policies if policies.count(c) > 1)
    if clashes:
        raise ValueError(f"checkpoint {clashes[0]!r} stands twice or is called like a rule")
    ruled = [Planner(name) if is_planner(name) else RuleRunner(name) for name in wanted]
    return [*ruled, *(make_policy(name) for name in policies)]


class Cell(NamedTuple):
    """A scenario at a load."""

    scenario: str
    load: float

    def __str__(self) -> str:
        return f"{self.scenario}, load {self.load:g}"


@dataclass(frozen=True)
class Row:
    """One scheduler on one tape."""

    cell: Cell
    scheduler: str
    seed: int
    measures: Measures
    born_hopeless: float
    """Share of the counted jobs that no option could have served in time, had the cluster been empty."""
    decision_us: tuple[float, float] | None = None
    """p50 and p99 of candidates, features and choice, where they were timed."""


def play(
    setting: Setting, players: Sequence[Runner], seed: int, arrivals: int | None = None
) -> Iterator[Row]:
    """One tape under each scheduler in turn."""
    cell = Cell(setting.scenario.name, setting.scenario.load)
    try:
        tape = make_tape(setting, seed, arrivals)
    except Exception as error:
        raise PlayError(f"{cell}, tape {seed} cannot be made: {type(error).__name__}: {error}") from error
    for player in players:
        try:
            sim = new_sim(setting, tape)
            player.run(sim, scratch_for(sim.state))
            timed = time_decisions(setting, player, seed) if seed in TIMED else np.zeros(0)
            took = (float(np.quantile(timed, 0.5)), float(np.quantile(timed, 0.99))) if len(timed) else None
            row = Row(cell, player.name, seed, measure(setting, sim), born_hopeless(sim), took)
        except Exception as error:
            raise PlayError(f"{cell}, {player.name}, tape {seed}: {type(error).__name__}: {error}") from error
        yield row


def time_decisions(setting: Setting, player: Runner, seed: int) -> np.ndarray:
    """Microseconds of this thread for each decision of a short tape but the first, which loads the code: listing
    candidates with their features, and the choice. Time in which the machine did something else is not in it.
    (decisions - 1,)"""
    sim = new_sim(setting, make_tape(setting, seed, TIMED_ARRIVALS))
    scratch, out, took_us = scratch_for(sim.state), empty_candidates(), []
    extra_rule = getattr(player, "extra_rule", NONE)
    while advance(sim, scratch, out, extra_rule):
        began = time.thread_time()
        list_candidates(sim.state, scratch, out, extra_rule)
        decision = player.decide(sim.state, out)
        took_us.append(1e6 * (time.thread_time() - began))
        apply_action(sim, scratch, out, DONE if decision.action == Action.DONE else decision.candidate)
    return np.array(took_us[1:])


def born_hopeless(sim: Sim) -> float:
    """Of the counted jobs, by predicted run times with start-up; whatever the scheduler did."""
    jobs, outcomes = counted_jobs(sim)
    return float((jobs["arrival_us"] + outcomes["best_us"] > jobs["deadline_us"]).mean())


def evaluate(
    setting: Setting,
    schedulers: Sequence[Runner],
    seeds: Sequence[int],
    arrivals: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Every scheduler on every tape."""
    rows = []
    for seed in seeds:
        for row in play(setting, schedulers, seed, arrivals):
            rows.append(row)
            progress()
    return rows


def column(rows: Sequence[Row], scheduler: str, field: str) -> np.ndarray:
    """One measure of one scheduler by tape. (tapes,)"""
    return np.array([getattr(row.measures, field) for row in rows if row.scheduler == scheduler], float)
