"""From a plan to a full book: look after look, more tapes only where a verdict is still open."""

from collections.abc import Callable

from synergai.training.evaluation.book import Book
from synergai.training.evaluation.evaluate import Cell
from synergai.training.evaluation.plan import Plan
from synergai.training.evaluation.tapes import TEST
from synergai.training.evaluation.verdicts import MARGINS, Judgement, judge, together
from synergai.training.evaluation.workers import Stage, Task, Team

Watch = Callable[[int, int], Callable[[], None]]
"""Called with (look, runs) when a look begins; returns what is called after each run."""


def unwatched(look: int, runs: int) -> Callable[[], None]:
    return lambda: None


def stage_of(plan: Plan) -> Stage:
    return Stage(plan.worlds, plan.rules, plan.policies, plan.arrivals, plan.table)


def carry_out(plan: Plan, book: Book, team: Team, watch: Watch = unwatched) -> None:
    """Play what the book does not hold yet."""
    wanted = {cell: set(plan.schedulers_of(cell)) for cell in plan.worlds}
    for look, tapes in enumerate(plan.looks, start=1):
        tasks = missing(plan, book, wanted, tapes)
        tick = watch(look, sum(len(task.schedulers) for task in tasks))
        for row in team.play(tasks):
            book.add(row)
            tick()
        wanted = {cell: undecided(plan, book, cell) for cell in plan.worlds}


def missing(plan: Plan, book: Book, wanted: dict[Cell, set[str]], tapes: int) -> list[Task]:
    """Who has yet to play which of the first so many tapes."""
    tasks = []
    for seed in TEST[:tapes]:
        for cell, names in wanted.items():
            left = tuple(name for name in plan.schedulers if name in names and not book.has(cell, name, seed))
            if left:
                tasks.append(Task(cell, seed, left))
    return tasks


def judgements(plan: Plan, book: Book, cell: Cell, ours: str, field: str) -> dict[str, Judgement]:
    """By rule."""
    return {
        rule: judge(*book.pairs(cell, ours, rule, field), MARGINS[field], plan.looks, plan.seed)
        for rule in plan.rules_of(cell)
    }


def undecided(plan: Plan, book: Book, cell: Cell) -> set[str]:
    """The schedulers of a cell that need more tapes: those of an open verdict on violations, and those of an open
    verdict on lateness as long as no rule has decided that of the cell."""
    names: set[str] = set()
    for ours in plan.policies_of(cell):
        for field in MARGINS:
            found = judgements(plan, book, cell, ours, field)
            decided = field != "violation_rate" and together(j.verdict for j in found.values()) == "failed"
            still = {rule for rule, judged in found.items() if judged.verdict == "undecided"}
            if still and not decided:
                names |= still | {ours}
    return names
