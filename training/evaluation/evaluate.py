"""Schedulers on common tapes, compared tape by tape."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from synergai.agents.learned import Learned, read
from synergai.agents.registry import names
from synergai.envs.candidates import Scratch, scratch_for
from synergai.envs.metrics import Measures, measure
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import Sim, new_sim, run_rule
from synergai.envs.tape import Setting, make_tape

BOOTSTRAPS = 10_000
LEVEL = 0.95
ALL_ARRIVALS = np.iinfo(np.int64).max


class Runner(Protocol):
    """Something that plays a whole tape."""

    name: str

    def run(self, sim: Sim, scratch: Scratch) -> None: ...


class RuleRunner:
    """A rule in compiled code."""

    def __init__(self, name: str) -> None:
        if name not in RULE_NUMBER:
            raise ValueError(
                f"no scheduler {name!r}; there are {', '.join(names())}, all, or --checkpoint DIR"
            )
        self.name = name

    def run(self, sim: Sim, scratch: Scratch) -> None:
        run_rule(sim, scratch, RULE_NUMBER[self.name], ALL_ARRIVALS)


def runners(schedulers: Sequence[str], checkpoints: Sequence[str] = ()) -> list[Runner]:
    """Rules by name (`all` for every one) and checkpoints by folder."""
    wanted = names() if "all" in schedulers else tuple(dict.fromkeys(schedulers))
    clashes = sorted({*names()} & {*checkpoints}) or sorted(
        c for c in checkpoints if checkpoints.count(c) > 1
    )
    if clashes:
        raise ValueError(f"checkpoint {clashes[0]!r} stands twice or is called like a rule")
    return [*(RuleRunner(name) for name in wanted), *(Learned(read(path)) for path in checkpoints)]


@dataclass(frozen=True)
class Row:
    """One scheduler on one tape."""

    scheduler: str
    seed: int
    measures: Measures


def play(setting: Setting, runner: Runner, seed: int, arrivals: int | None = None) -> Measures:
    """One tape under one scheduler."""
    sim = new_sim(setting, make_tape(setting, seed, arrivals))
    runner.run(sim, scratch_for(sim.state))
    return measure(setting, sim)


def evaluate(
    setting: Setting,
    schedulers: Sequence[Runner],
    seeds: Sequence[int],
    arrivals: int | None = None,
    progress: Callable[[], None] = lambda: None,
) -> list[Row]:
    """Every scheduler on every tape."""
    return list(_rows(setting, schedulers, seeds, arrivals, progress))


def _rows(
    setting: Setting,
    schedulers: Sequence[Runner],
    seeds: Sequence[int],
    arrivals: int | None,
    progress: Callable[[], None],
) -> Iterator[Row]:
    for seed in seeds:
        for scheduler in schedulers:
            yield Row(scheduler.name, seed, play(setting, scheduler, seed, arrivals))
            progress()


@dataclass(frozen=True)
class Interval:
    """A mean over tapes with a two-sided bootstrap interval."""

    mean: float
    low: float
    high: float


def bootstrap(values: np.ndarray, seed: int = 0, level: float = LEVEL) -> Interval:
    """Percentile bootstrap of the mean over tapes (never over jobs). values: (tapes,)."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(BOOTSTRAPS, len(values)))].mean(axis=1)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def column(rows: Sequence[Row], scheduler: str, field: str) -> np.ndarray:
    """One measure of one scheduler by tape. (tapes,)"""
    return np.array([getattr(row.measures, field) for row in rows if row.scheduler == scheduler], float)


def gain(
    rows: Sequence[Row], ours: str, other: str, field: str = "violation_rate", level: float = LEVEL
) -> Interval:
    """How much lower ours is than the other, paired by tape; positive is better."""
    return bootstrap(column(rows, other, field) - column(rows, ours, field), level=level)
