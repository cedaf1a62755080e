"""Observed beside predicted: rates, times, ranks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from synergai.agents.scheduler import Scheduler
from synergai.benchmarks.sim_to_real.parameters import Parameters
from synergai.benchmarks.sim_to_real.prediction import Predicted, World, observed
from synergai.benchmarks.sim_to_real.stages import Recording, Stages
from synergai.offline_profiles.table import ProfileTable

LUCKS = 16
"""Seeds of the simulator's noise that a prediction is the mean of."""


@dataclass(frozen=True)
class Agreement:
    """Of a group of jobs; predictions are means over `LUCKS` lucks."""

    what: str
    jobs: int
    late_observed: float
    """Share of them."""
    late_predicted: float
    flow_observed_s: float
    """Mean time from arrival to finish."""
    flow_predicted_s: float
    excess_observed_s: float
    excess_predicted_s: float
    job_error_s: float
    """Mean over jobs of how far the prediction of a job's finish is off, either way."""

    @property
    def late_error(self) -> float:
        """Percentage points, predicted less observed."""
        return 100.0 * (self.late_predicted - self.late_observed)

    @property
    def flow_error(self) -> float:
        """Per cent of the observed mean."""
        return 100.0 * (self.flow_predicted_s / self.flow_observed_s - 1.0)


@dataclass(frozen=True)
class Compared:
    """One scheduler's recording and two kinds of prediction of it."""

    name: str
    recording: Recording
    seen: Predicted
    replayed: tuple[Predicted, ...]
    """With the decisions that were taken: what is wrong is the world's."""
    decided: tuple[Predicted, ...]
    """With the scheduler deciding anew in the simulator."""

    def world(self) -> Agreement:
        return agreement("all", self.seen, self.replayed, None)

    def policy(self) -> Agreement:
        return agreement("all", self.seen, self.decided, None)

    def worlds_by(self, key: Callable[[Stages], str]) -> list[Agreement]:
        """The world's error by what jobs have in common, such as their node or model."""
        keys = [key(run) for run in self.recording.stages]
        return [
            agreement(name, self.seen, self.replayed, np.array([k == name for k in keys]))
            for name in sorted({*keys})
        ]


@dataclass(frozen=True)
class Comparison:
    """Several schedulers, in one order, predicted with more and more that is known of the cluster."""

    measured: Parameters
    """Of the calibration."""
    before: tuple[Compared, ...]
    """With the profiles alone."""
    after: tuple[Compared, ...]
    """With what the calibration measured."""
    itself: tuple[Compared, ...]
    """With what was measured in the very run: what remains is the simulator's, and no change of the machine since."""

    @property
    def steps(self) -> tuple[tuple[str, tuple[Compared, ...]], ...]:
        """What is known, and what is predicted then."""
        return ("profiles alone", self.before), ("calibration", self.after), ("the run itself", self.itself)


def compare(
    recording: Recording,
    scheduler: Callable[[], Scheduler],
    table: ProfileTable,
    parameters: Parameters,
    lucks: int = LUCKS,
) -> Compared:
    """Play a recording again, both ways, with a scheduler made for each play. Without noise one luck is all."""
    world = World(recording, table, parameters)
    seeds = range(lucks if parameters.level > 0.0 else 1)
    replayed = tuple(world.with_its_decisions(seed) for seed in seeds)
    decided = tuple(world.under(scheduler(), seed) for seed in seeds)
    return Compared(recording.name, recording, observed(recording), replayed, decided)


def agreement(what: str, seen: Predicted, told: Sequence[Predicted], some: np.ndarray | None) -> Agreement:
    """Over the jobs of a mask, or all."""
    mine = np.ones(len(seen.late), bool) if some is None else some

    def mean(values: Iterable[np.ndarray]) -> float:
        return float(np.mean([np.mean(one[mine]) for one in values]))

    flow = np.mean([one.flow_s for one in told], axis=0)
    return Agreement(
        what=what,
        jobs=int(mine.sum()),
        late_observed=mean([seen.late]),
        late_predicted=mean(one.late for one in told),
        flow_observed_s=mean([seen.flow_s]),
        flow_predicted_s=mean(one.flow_s for one in told),
        excess_observed_s=mean([seen.excess_s]),
        excess_predicted_s=mean(one.excess_s for one in told),
        job_error_s=float(np.mean(np.abs(flow - seen.flow_s)[mine])),
    )


@dataclass(frozen=True)
class Ranking:
    """Schedulers by share of late jobs, then by mean lateness; best first."""

    observed: tuple[str, ...]
    predicted: tuple[str, ...]
    tau: float
    """Kendall's, of the shares of late jobs: 1 where no pair is the other way round, ties left out."""

    @property
    def same(self) -> bool:
        return self.observed == self.predicted


def ranking(agreements: Sequence[tuple[str, Agreement]]) -> Ranking:
    """Of two schedulers or more."""
    real = sorted(agreements, key=lambda one: (one[1].late_observed, one[1].excess_observed_s))
    told = sorted(agreements, key=lambda one: (one[1].late_predicted, one[1].excess_predicted_s))
    signs = [
        np.sign((a.late_observed - b.late_observed) * (a.late_predicted - b.late_predicted))
        for (_, a), (_, b) in combinations(agreements, 2)
    ]
    told_apart = [sign for sign in signs if sign != 0]
    tau = float(np.mean(told_apart)) if told_apart else 1.0
    return Ranking(tuple(name for name, _ in real), tuple(name for name, _ in told), tau)
