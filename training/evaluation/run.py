"""`synergai evaluate`: play what is missing, then say and write what came out."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from synergai.training.commit import commit
from synergai.training.evaluation import page, pictures, report
from synergai.training.evaluation.book import ROWS_FILE, Book, KeptBook
from synergai.training.evaluation.campaign import Watch, carry_out, stage_of
from synergai.training.evaluation.plan import Plan
from synergai.training.evaluation.summary import summarise
from synergai.training.evaluation.workers import Alone, Workers

SUMMARY_FILE, RATES_FILE, GAINS_FILE = "summary.json", "violations.png", "gains.png"
REPORT_FILE = "report.html"


def run(plan: Plan, jobs: int | None, out: Path | None) -> None:
    """Into a folder, or only to the terminal."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    count = jobs or cores()
    if out is None:
        book = Book()
        play(plan, book, count)
        tell(console, plan, summarise(plan, book), count)
        return
    identity = plan.identity()
    with KeptBook(out, identity) as kept:
        if kept.found:
            console.print(f"{out}: goes on from {kept.found} runs", soft_wrap=True)
        play(plan, kept, count)
        kept.sort()
        figures = summarise(plan, kept)
        tell(console, plan, figures, count)
        written = write({**identity, "commit": commit(), "jobs": count, **figures}, plan, out)
        console.print(f"written: {out}/{', '.join(written)}", soft_wrap=True)


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def play(plan: Plan, book: Book, count: int) -> None:
    """With `count` processes; one is this one."""
    stage = stage_of(plan)
    with watching(len(plan.looks)) as watch:
        if count == 1:
            carry_out(plan, book, Alone(stage), watch)
            return
        with Workers(stage, count) as team:
            carry_out(plan, book, team, watch)


@contextmanager
def watching(looks: int) -> Iterator[Watch]:
    """A bar for each look, on a terminal; how many looks there will be is not known before they are taken."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("runs, left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:

        def watch(look: int, runs: int) -> Callable[[], None]:
            for task in bar.task_ids:
                bar.remove_task(task)
            task = bar.add_task(f"look {look} of at most {looks}", total=runs)
            return lambda: bar.advance(task)

        yield watch


def tell(console: Console, plan: Plan, figures: dict[str, Any], jobs: int) -> None:
    """Tables, then verdicts."""
    for cell in figures["cells"]:
        console.print(report.cell_table(cell, plan.policies))
    if plan.policies and jobs > 1:
        console.print(f"decisions were timed with {jobs} runs at a time on this machine: an indication only")
    for ours, overall in figures["overall"].items():
        if not overall:
            continue
        console.print(report.verdict_table(figures, ours))
        console.print(report.ratio_table(figures, ours))
        console.print(report.totals(overall, ours), soft_wrap=True)


def write(summary: dict[str, Any], plan: Plan, out: Path) -> list[str]:
    """Names of the files."""
    (out / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    pictures.draw_rates(summary, plan.policies, out / RATES_FILE)
    written = [ROWS_FILE, SUMMARY_FILE, RATES_FILE]
    if any(summary["overall"].values()):
        pictures.draw_gains(summary, out / GAINS_FILE)
        written.append(GAINS_FILE)
    page.write(summary, plan.policies, out / REPORT_FILE)
    written.append(REPORT_FILE)
    return written
