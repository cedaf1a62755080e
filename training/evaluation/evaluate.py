"""Schedulers on common tapes."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from synergai.agents.learned import Learned, choose, read
from synergai.agents.planner import Planner, is_planner
from synergai.agents.registry import names
from synergai.envs.candidates import Scratch, empty_candidates, list_candidates, scratch_for
from synergai.envs.metrics import Measures, counted_jobs, measure
from synergai.envs.simulator import advance, apply_action, run_rule
from synergai.envs.state import NONE
from synergai.envs.switches import is_rule, rule_number
from synergai.envs.tape import Setting, make_tape
from synergai.envs.world import Sim, new_sim

TIMED_EVERY = 8
"""Decisions of a checkpoint are timed on every so manyth tape, as timing them one by one makes a run slower."""
ALL_ARRIVALS = np.iinfo(np.int64).max


class PlayError(RuntimeError):
    """A tape could not be played to its end; the message names scenario, load, scheduler and tape."""


class Runner(Protocol):
    """Something that plays a whole tape."""

    name: str

    def run(self, sim: Sim, scratch: Scratch) -> None: ...


class RuleRunner:
    """A rule in compiled code."""

    def __init__(self, name: str) -> None:
        if not is_rule(name):
            raise ValueError(
                f"no scheduler {name!r}; there are {', '.join(names())}, all, or --checkpoint DIR"
            )
        self.name = name
        self.number = rule_number(name)

    def run(self, sim: Sim, scratch: Scratch) -> None:
        run_rule(sim, scratch, self.number, ALL_ARRIVALS)


def runners(schedulers: Sequence[str], checkpoints: Sequence[str] = ()) -> list[Runner]:
    """Rules and planners by name (`all` for every rule) and checkpoints by folder."""
    wanted = names() if "all" in schedulers else tuple(dict.fromkeys(schedulers))
    clashes = sorted({*names()} & {*checkpoints}) or sorted(
        c for c in checkpoints if checkpoints.count(c) > 1
    )
    if clashes:
        raise ValueError(f"checkpoint {clashes[0]!r} stands twice or is called like a rule")
    ruled = [Planner(name) if is_planner(name) else RuleRunner(name) for name in wanted]
    return [*ruled, *(Learned(read(path)) for path in checkpoints)]


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
    """p50 and p99 of candidates, features and network, where they were timed."""


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
            decision_us = _run(player, sim, seed)
            row = Row(cell, player.name, seed, measure(setting, sim), born_hopeless(sim), decision_us)
        except Exception as error:
            raise PlayError(f"{cell}, {player.name}, tape {seed}: {type(error).__name__}: {error}") from error
        yield row


def _run(player: Runner, sim: Sim, seed: int) -> tuple[float, float] | None:
    scratch = scratch_for(sim.state)
    if not isinstance(player, Learned) or seed % TIMED_EVERY:
        player.run(sim, scratch)
        return None
    took_us = run_timed(player, sim, scratch)
    return (float(np.quantile(took_us, 0.5)), float(np.quantile(took_us, 0.99))) if len(took_us) else None


def run_timed(player: Learned, sim: Sim, scratch: Scratch) -> np.ndarray:
    """`player.run`, decision by decision: microseconds of this thread for each but the first, which loads the code.
    Time in which the machine did something else is not in it. (decisions - 1,)"""
    out = empty_candidates()
    took_us = []
    while advance(sim, scratch, out, NONE):
        began = time.thread_time()
        list_candidates(sim.state, scratch, out, NONE)
        action = choose(player.checkpoint.weights, player.work, out)
        took_us.append(1e6 * (time.thread_time() - began))
        apply_action(sim, scratch, out, action)
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
