"""A summary for a terminal: a table per cell, and the verdicts with the worst first."""

from pathlib import Path
from typing import Any

from rich.table import Table

from synergai.agents.policies import name_of, parts_of
from synergai.training.evaluation.ratios import BEST
from synergai.training.evaluation.summary import severity_of

STYLES = {"passed": "green", "undecided": "yellow", "failed": "red"}


def label(name: str) -> str:
    """A checkpoint folder by what tells it from others."""
    checkpoint, policy = parts_of(name)
    path = Path(checkpoint)
    shown = path.parent.name if path.name == "checkpoint" and path.parent.name else path.name
    return name_of(shown, policy)


def points(share: float) -> str:
    """A share as a percentage's number."""
    return f"{100 * share:.2f}"


def cell_table(cell: dict[str, Any], policies: tuple[str, ...]) -> Table:
    """Schedulers from the fewest violations to the most; for each checkpoint the paired gain and the verdict."""
    shown = Table(title=_title(cell), caption=_notes(cell), caption_justify="left")
    shown.add_column("scheduler", no_wrap=True)
    for head in ("tapes", "violations, %", "late s mean", "p99", "J/job"):
        shown.add_column(head, justify="right")
    for ours in cell["verdicts"]:
        shown.add_column(f"fewer by {label(ours)}", justify="right")
        shown.add_column("verdict")
    for name, entry in cell["schedulers"].items():
        against = [entry.get("against", {}).get(ours) for ours in cell["verdicts"]]
        shown.add_row(
            label(name),
            str(entry["tapes"]),
            with_interval(entry["violation_rate"], entry["ci95"]),
            f"{entry['excess_mean_s']:.2f}",
            f"{entry['excess_p99_s']:.1f}",
            f"{entry['energy_j_per_job']:.0f}",
            *[text for found in against for text in (_against(found) if found else ("", ""))],
            style="bold" if name in policies else None,
        )
    return shown


def with_interval(mean: float, bounds: list[float]) -> str:
    return f"{points(mean)} ({points(bounds[0])} to {points(bounds[1])})"


def _title(cell: dict[str, Any]) -> str:
    hopeless = points(cell["born_hopeless"])
    return f"{cell['scenario']}, load {cell['load']:g} ({hopeless} % of the jobs are hopeless from the start)"


def _notes(cell: dict[str, Any]) -> str | None:
    """Jobs that were given up, and how long decisions took."""
    notes = []
    for name, entry in cell["schedulers"].items():
        if entry["unfinished"]:
            notes.append(f"{label(name)} left {entry['unfinished']} of {entry['jobs']} jobs unfinished")
        if "decision_us_p50" in entry and "verdict" in entry:
            p50, p99 = entry["decision_us_p50"], entry["decision_us_p99"]
            notes.append(f"{label(name)} decides in {p50:.0f} us (p99 {p99:.0f})")
    return "; ".join(notes) or None


def _against(entry: dict[str, Any]) -> tuple[str, str]:
    said = _verdict(entry)
    return with_interval(entry["gain"], entry["ci95"]), f"{said}, superior" if entry["superior"] else said


def verdict_table(summary: dict[str, Any], ours: str) -> Table:
    """A line per cell, the worst first: the rule that comes closest to spoiling it, and what that makes of the cell."""
    shown = Table(title=f"{label(ours)}: no worse than any rule? (points; the worst cell first)")
    for head in ("cell", "violations", "closest rule", "worse by at most", "allowed", "superior to"):
        shown.add_column(head)
    for head in ("late mean", "late p99"):
        shown.add_column(head)
    cells = [cell for cell in summary["cells"] if ours in cell["verdicts"]]
    for cell in sorted(cells, key=lambda cell: severity_of(_worst(cell, ours)[1])):
        rule, judged = _worst(cell, ours)
        entries = [e["against"][ours] for e in cell["schedulers"].values() if ours in e.get("against", {})]
        verdicts = cell["verdicts"][ours]
        shown.add_row(
            f"{cell['scenario']}, load {cell['load']:g}",
            _verdict(verdicts["violation_rate"]),
            rule,
            points(judged["upper"]),
            points(judged["delta"]),
            f"{sum(entry['superior'] for entry in entries)} of {len(entries)}",
            _verdict(verdicts["excess_mean_s"]),
            _verdict(verdicts["excess_p99_s"]),
        )
    return shown


def _worst(cell: dict[str, Any], ours: str) -> tuple[str, dict[str, Any]]:
    rule = cell["verdicts"][ours]["violation_rate"]["against"]
    return rule, cell["schedulers"][rule]["against"][ours]["no_worse"]["violation_rate"]


def _verdict(found: dict[str, Any]) -> str:
    return f"[{STYLES[found['verdict']]}]{found['verdict']}[/]"


def ratio_table(summary: dict[str, Any], ours: str) -> Table:
    """How many times as many deadlines each rule misses, by range of loads, with the lower bound."""
    ratios = summary["overall"][ours]["ratios"]
    shown = Table(
        title=f"violations of the rule over those of {label(ours)} (geometric mean; lower 95 % bound)"
    )
    shown.add_column("rule", no_wrap=True)
    for words in ratios:
        cells = next(iter(ratios[words].values()), {"cells": 0})["cells"]
        shown.add_column(f"load {words} ({cells} cells)", justify="right")
    rules = {rule: None for by_rule in ratios.values() for rule in by_rule}
    for rule in sorted(rules, key=lambda rule: rule != BEST):
        found = [by_rule.get(rule) for by_rule in ratios.values()]
        shown.add_row(rule, *map(ratio, found))
    return shown


def ratio(found: dict[str, Any] | None) -> str:
    """With its lower bound."""
    return f"{found['ratio']:.2f} ({found['lower']:.2f})" if found else ""


def totals(overall: dict[str, Any], ours: str) -> str:
    """One line of counts."""
    found, cells = overall["comparisons"], overall["cells"]
    said = ", ".join(f"{count} {verdict}" for verdict, count in found.items())
    passed = ", ".join(f"{cells[field]['passed']} on {word}" for field, word in WORDS.items())
    return (
        f"{label(ours)}: of {sum(found.values())} comparisons {said}; {overall['superior']} superior. Of "
        f"{sum(cells['violation_rate'].values())} cells passed {passed}"
    )


WORDS = {"violation_rate": "violations", "excess_mean_s": "mean excess", "excess_p99_s": "p99 of excess"}
