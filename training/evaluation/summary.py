"""What a book of rows says, as JSON values: the only place where figures that are reported are made."""

from dataclasses import asdict
from typing import Any

import numpy as np

from synergai.envs.metrics import LATE_BY_S
from synergai.training.evaluation.book import Book, values
from synergai.training.evaluation.campaign import judgements
from synergai.training.evaluation.evaluate import TIMED, TIMED_ARRIVALS, Cell, Row
from synergai.training.evaluation.intervals import RESAMPLES, Interval, interval
from synergai.training.evaluation.plan import Plan
from synergai.training.evaluation.ratios import ratios_of
from synergai.training.evaluation.verdicts import ERROR, MARGINS, Judgement, Verdict, together

MEANS = (
    "excess_mean_s", "excess_p99_s", "wait_mean_s", "flow_p95_s", "energy_j_per_job", "energy_j_per_sample",
    *(f"late_{limit_s}_s" for limit_s in LATE_BY_S),
)  # fmt: skip
VERDICTS: tuple[Verdict, ...] = ("failed", "undecided", "passed")
"""The worst first."""


def summarise(plan: Plan, book: Book) -> dict[str, Any]:
    """Everything but who made it: figures per cell and scheduler, verdicts per checkpoint."""
    cells = [_cell(plan, book, cell) for cell in plan.worlds]
    return {
        "protocol": {
            "looks": list(plan.looks),
            "error": ERROR,
            "margins": {field: asdict(margin) for field, margin in MARGINS.items()},
            "resamples": RESAMPLES,
            "timed_tapes": list(TIMED),
            "timed_arrivals": TIMED_ARRIVALS,
        },
        "overall": {ours: _overall(plan, book, cells, ours) for ours in plan.policies} if plan.rules else {},
        "cells": cells,
    }


def _cell(plan: Plan, book: Book, cell: Cell) -> dict[str, Any]:
    names, rules = plan.schedulers_of(cell), plan.rules_of(cell)
    schedulers = {name: _scheduler(book.of(cell, name), plan.seed) for name in names}
    against: dict[str, Any] = {}
    for ours in plan.policies_of(cell) if rules else ():
        found = {field: judgements(plan, book, cell, ours, field) for field in MARGINS}
        for rule in rules:
            schedulers[rule].setdefault("against", {})[ours] = _against(plan, book, cell, ours, rule, found)
        against[ours] = _verdicts(found, schedulers)
        schedulers[ours]["verdict"] = against[ours]["violation_rate"]["verdict"]
    rows = [row for name in names for row in book.of(cell, name)]
    hopeless = {row.seed: row.born_hopeless for row in rows}
    order = sorted(schedulers, key=lambda name: (schedulers[name]["violation_rate"], name))
    world = plan.worlds[cell]
    return {
        "scenario": cell.scenario,
        "load": cell.load,
        "arrivals": world.arrivals.kind,
        "profile_error": world.noise.profile_error,
        "nodes": sum(kind.count for kind in world.machines),
        "born_hopeless": float(np.mean([hopeless[seed] for seed in sorted(hopeless)])),
        "schedulers": {name: schedulers[name] for name in order},
        "verdicts": against,
    }


def _scheduler(rows: list[Row], seed: int) -> dict[str, Any]:
    rate = interval(values(rows, "violation_rate"), seed=seed)
    entry: dict[str, Any] = {
        "tapes": len(rows),
        "jobs": int(values(rows, "jobs").sum()),
        "violation_rate": rate.mean,
        "ci95": [max(rate.low, 0.0), min(rate.high, 1.0)],
        **{field: float(values(rows, field).mean()) for field in MEANS},
        "unfinished": int(values(rows, "unfinished").sum()),
    }
    timed = np.array([row.decision_us for row in rows if row.decision_us])
    if len(timed):
        p50, p99 = np.median(timed, axis=0)
        entry["decision_us_p50"], entry["decision_us_p99"] = float(p50), float(p99)
    return entry


def _against(
    plan: Plan, book: Book, cell: Cell, ours: str, rule: str, found: dict[str, dict[str, Judgement]]
) -> dict[str, Any]:
    mine, other = book.pairs(cell, ours, rule, "violation_rate")
    gain = interval(other - mine, seed=plan.seed)
    judged = found["violation_rate"][rule]
    return {
        "gain": gain.mean,
        "ci95": [gain.low, gain.high],
        "superior": superior(gain),
        "tapes": len(mine),
        "verdict": judged.verdict,
        "looks": judged.look,
        "no_worse": {field: asdict(found[field][rule]) for field in MARGINS},
    }


def superior(gain: Interval) -> bool:
    """Fewer violations beyond what tapes alone could make."""
    return gain.low > 0.0


def _verdicts(found: dict[str, dict[str, Judgement]], schedulers: dict[str, Any]) -> dict[str, Any]:
    """Of a cell: all rules must be matched; `against` is the rule that comes closest to spoiling it."""
    result: dict[str, Any] = {}
    for field, judged in found.items():
        worst = min(judged, key=lambda rule: severity(judged[rule].verdict, judged[rule].beyond))
        best = min(judged, key=lambda rule: schedulers[rule][field])
        verdict = together(judgement.verdict for judgement in judged.values())
        result[field] = {"verdict": verdict, "against": worst, "best_rule": best}
    return result


def severity(verdict: Verdict, beyond: float) -> tuple[int, float]:
    """A key that sorts the worst first."""
    return VERDICTS.index(verdict), -beyond


def severity_of(judged: dict[str, Any]) -> tuple[int, float]:
    """The same of a judgement in a summary."""
    return severity(judged["verdict"], judged["upper"] - judged["delta"])


def _overall(plan: Plan, book: Book, cells: list[dict[str, Any]], ours: str) -> dict[str, Any]:
    """Over all cells and rules, and the comparison that went worst."""
    cells = [cell for cell in cells if ours in cell["verdicts"]]
    single = [
        (cell, rule, entry["against"][ours])
        for cell in cells
        for rule, entry in cell["schedulers"].items()
        if ours in entry.get("against", {})
    ]
    if not single:
        return {}
    cell, rule, worst = min(single, key=lambda item: severity_of(item[2]["no_worse"]["violation_rate"]))
    return {
        "comparisons": count(entry["verdict"] for _, _, entry in single),
        "superior": sum(entry["superior"] for _, _, entry in single),
        "cells": {
            field: count(cell["verdicts"][ours][field]["verdict"] for cell in cells) for field in MARGINS
        },
        "worst": {"scenario": cell["scenario"], "load": cell["load"], "rule": rule, **worst},
        "ratios": ratios_of(plan, book, cells, ours),
    }


def count(verdicts: Any) -> dict[str, int]:
    """How many of each verdict, those that do not occur too."""
    found = list(verdicts)
    return {verdict: found.count(verdict) for verdict in VERDICTS}
