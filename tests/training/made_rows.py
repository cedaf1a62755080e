"""Rows with chosen figures, and somebody who plays tapes by looking them up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from synergai.envs import scenario
from synergai.envs.metrics import Measures
from synergai.training.evaluation.evaluate import Cell, Row
from synergai.training.evaluation.plan import Plan, at_loads
from synergai.training.evaluation.workers import Task

ONE = Measures(
    1000, 100, 0, 0.5, 2.0, 0.1, 0.3, 1.0, 2.0, 40.0, 0.4, *(0.1, 0.08, 0.05, 0.02, 0.01, 0.0, 0.0), 60.0, 120
)
CELL = Cell("demo", 0.7)
Play = Callable[[Cell, str, int], Measures]


def row(
    cell: Cell, scheduler: str, seed: int, measures: Measures = ONE, took: tuple[float, float] | None = None
) -> Row:
    return Row(cell, scheduler, seed, measures, 0.01, took)


def late(violations: int, excess_mean_s: float = 0.5, excess_p99_s: float = 2.0) -> Measures:
    """Of 1000 jobs."""
    return replace(ONE, violations=violations, excess_mean_s=excess_mean_s, excess_p99_s=excess_p99_s)


@dataclass
class Looked:
    """A team that plays by a function, and remembers what it was given."""

    measures: Play
    given: list[Task] = field(default_factory=list)

    def play(self, tasks: Sequence[Task]) -> Iterator[Row]:
        self.given += tasks
        for task in reversed(tasks):
            for name in task.schedulers:
                yield row(task.cell, name, task.seed, self.measures(task.cell, name, task.seed))

    def tapes(self, cell: Cell, scheduler: str) -> int:
        return sum(task.cell == cell and scheduler in task.schedulers for task in self.given)


def plan(
    rules: tuple[str, ...] = ("edf", "synergai"),
    policies: tuple[str, ...] = ("demo",),
    loads: tuple[float, ...] = (0.7,),
    tapes: int = 16,
    max_tapes: int = 64,
) -> Plan:
    return Plan(at_loads([scenario.load("demo")], loads), rules, policies, tapes, max_tapes)
