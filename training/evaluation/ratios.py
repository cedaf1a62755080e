"""How many times as many deadlines a rule misses: geometric means over cells, with their lower bounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from synergai.envs.rules import OWN
from synergai.training.evaluation.book import Book
from synergai.training.evaluation.evaluate import Cell
from synergai.training.evaluation.intervals import LEVEL
from synergai.training.evaluation.plan import Plan, plans

RANGES = {"up to 1": (0.0, 1.0), "0.5 to 0.9": (0.5, 0.9), "0.9 to 1.3": (0.9, 1.3)}
"""Of loads, both ends included."""
INFORMATIVE = (0.01, 0.60)
"""The best rule's violation rate in a cell that tells schedulers apart."""
MOST_HOPELESS = 0.02
DRAWS = 2000
BEST = "best rule"
"""Of those that are not this project's own (`rules.OWN`)."""


def ratios_of(plan: Plan, book: Book, cells: Sequence[dict[str, Any]], ours: str) -> dict[str, Any]:
    """Per range of loads and rule, and for the rule that is best in each cell: `ratio` is the geometric mean over
    informative cells of (rule + 0.5) / (ours + 0.5) in violations, `lower` its one-sided 95 % bound (bootstrap over
    tapes), `cells` how many there are. The best rule is that of the same tapes, which favours it."""
    found: dict[str, Any] = {}
    for words, (low, high) in RANGES.items():
        chosen = [cell for cell in cells if low <= cell["load"] <= high and is_informative(cell)]
        found[words] = {
            rule: one
            for rule in (*plan.rules, BEST)
            if not plans(rule)
            and (one := _ratio([_pair(book, cell, ours, rule) for cell in chosen], plan.seed))
        }
    return found


def is_informative(cell: dict[str, Any]) -> bool:
    best = cell["schedulers"][best_of(cell)]["violation_rate"]
    return INFORMATIVE[0] <= best <= INFORMATIVE[1] and cell["born_hopeless"] <= MOST_HOPELESS


def best_of(cell: dict[str, Any]) -> str:
    """The rule, not a planner nor one of `OWN` if there is another, of the fewest violations."""
    judged = [name for name, entry in cell["schedulers"].items() if "against" in entry and not plans(name)]
    rules = [name for name in judged if name not in OWN] or judged
    return min(rules, key=lambda rule: cell["schedulers"][rule]["violation_rate"])


def _pair(book: Book, cell: dict[str, Any], ours: str, rule: str) -> tuple[np.ndarray, np.ndarray]:
    at = Cell(cell["scenario"], cell["load"])
    return book.pairs(at, ours, best_of(cell) if rule == BEST else rule, "violations")


def _ratio(pairs: list[tuple[np.ndarray, np.ndarray]], seed: int) -> dict[str, Any] | None:
    """Of the violations of ours and the rule's by tape, for each cell."""
    if not pairs:
        return None
    logs = [_log(ours.sum(), rule.sum()) for ours, rule in pairs]
    drawn = np.zeros(DRAWS)
    for k, (ours, rule) in enumerate(pairs):
        rng = np.random.default_rng([seed, k, len(ours)])
        tapes = rng.integers(len(ours), size=(DRAWS, len(ours)))
        drawn += _log(ours[tapes].sum(axis=1), rule[tapes].sum(axis=1)) / len(pairs)
    lower = float(np.exp(np.quantile(drawn, 1.0 - LEVEL)))
    return {"ratio": float(np.exp(np.mean(logs))), "lower": lower, "cells": len(pairs)}


def _log(ours: Any, rule: Any) -> Any:
    return np.log((rule + 0.5) / (ours + 0.5))
