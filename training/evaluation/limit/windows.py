"""A bound from work that must fit: a linear program over which job runs how, with a row for each stretch of time that
is too full.

Whatever a schedule does, the jobs that it has in time take no more of a resource between a and b than there is. A job
that can only run within [a, b] takes all of its work there, another at least what it cannot do before or after. So the
sum of x, each in [0, 1], under these rows is at least the number of jobs in time; a row is added where x breaks it.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array, vstack

from synergai.training.evaluation.limit.relaxed import Relaxed

ROWS = 60
"""New ones of a resource in a turn: the most overfull."""
QUIET = 8
"""Turns that gain less than `LEAST` jobs one after the other are enough."""
LEAST = 0.05
EPSILON = 1e-6
"""Sums of floating point numbers may be off by so much."""


class Columns(NamedTuple):
    """A column per job and mode. Times in microseconds; (columns,) each, by job."""

    work: np.ndarray
    first: np.ndarray  # may start
    last: np.ndarray  # has to start
    held: np.ndarray  # how long its room is taken
    uses: dict[int, tuple[np.ndarray, np.ndarray]]
    """Of each resource: columns, and how much each takes."""


class Row(NamedTuple):
    """A stretch of time of a resource."""

    resource: int
    from_us: float
    to_us: float


def columns_of(relaxed: Relaxed) -> Columns:
    rows, uses = [], {}
    for w, work in enumerate(relaxed.works):
        for mode in work.modes:
            for resource, amount in mode.needs:
                uses.setdefault(resource, []).append((len(rows), amount))
            held_us = mode.run_us + relaxed.release_us
            rows.append((w, work.arrival_us, work.deadline_us - mode.run_us, held_us))
    work, first, last, held = np.array(rows, np.int64).reshape(-1, 4).T
    arrays = {r: np.array(taken, np.int64).T for r, taken in uses.items()}
    return Columns(work, first, last, held, {r: (own[0], own[1]) for r, own in arrays.items()})


def row_of(columns: Columns, row: Row, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    """Which columns must do some of their work in this stretch, and how much of what it holds each takes."""
    own, amount = columns.uses[row.resource]
    first, last, held = columns.first[own], columns.last[own], columns.held[own]
    span = row.to_us - row.from_us
    least = np.minimum(first + held - row.from_us, row.to_us - last)
    least = np.minimum(np.minimum(held, span), least)
    some = least > 0
    return own[some], amount[some] * least[some] / (capacity * span)


def overfull(columns: Columns, x: np.ndarray, resource: int, capacity: int) -> list[Row]:
    """For each start of a stretch the end at which the jobs that can only run within it are most too many."""
    own, amount = columns.uses[resource]
    works = amount * columns.held[own] * x[own]
    first, end = columns.first[own], columns.last[own] + columns.held[own]
    some = np.flatnonzero(works > 0.0)
    some = some[np.argsort(end[some], kind="stable")]
    works, first, end = works[some], first[some], end[some]
    found = []
    for from_us in np.unique(first):
        over = np.cumsum(np.where(first >= from_us, works, 0.0)) - capacity * (end - from_us)
        k = int(np.argmax(over))
        if over[k] > EPSILON * capacity * (end[k] - from_us):
            found.append((over[k] / (end[k] - from_us), Row(resource, float(from_us), float(end[k]))))
    return [row for _, row in sorted(found, reverse=True)[:ROWS]]


def proven(rows: csr_array, prices: np.ndarray, firsts: np.ndarray) -> float:
    """What no x exceeds, whatever these prices (at least 0) of rows are worth: all that rows hold at these prices, and
    of each job the most that a mode brings beyond what it costs. Does not rely on the solver."""
    gains = 1.0 - rows.T @ prices
    return float(prices.sum() + np.maximum(np.maximum.reduceat(gains, firsts), 0.0).sum())


def most_in_time(relaxed: Relaxed, limit_s: float) -> int:
    """No schedule has more of these jobs in time. `limit_s` of wall clock: less time proves less, but nothing wrong."""
    served = len(relaxed.works) - relaxed.hopeless
    if served == 0:
        return 0
    columns = columns_of(relaxed)
    firsts = np.flatnonzero(np.diff(columns.work, prepend=-1))
    count = len(columns.work)
    ids = np.cumsum(np.diff(columns.work, prepend=columns.work[0]) > 0)
    once = csr_array((np.ones(count), (ids, np.arange(count))))
    rows = csr_array((0, count))
    known: set[Row] = set()
    best, quiet, until = float(served), 0, time.monotonic() + limit_s
    while True:
        x, prices = _solve(once, rows, served, len(known))
        bound = proven(rows, prices, firsts)
        quiet = 0 if bound < best - LEAST else quiet + 1
        best = min(best, bound)
        new = [
            row
            for r in sorted(columns.uses)
            for row in overfull(columns, x, r, relaxed.capacities[r])
            if row not in known
        ]
        if not new or quiet > QUIET or time.monotonic() > until:
            return int(np.floor(best + EPSILON))
        known |= {*new}
        rows = csr_array(vstack([rows, _matrix(columns, new, relaxed.capacities)]))


def _solve(once: csr_array, rows: csr_array, jobs: int, stretches: int) -> tuple[np.ndarray, np.ndarray]:
    """x, and the prices of the rows."""
    table, columns = csr_array(vstack([once, rows])), once.nnz
    solved = linprog(
        -np.ones(columns), A_ub=table, b_ub=np.ones(jobs + stretches), bounds=(0, 1), method="highs-ds"
    )
    if solved.x is None:
        raise RuntimeError(f"the linear program of the bound: {solved.message}")
    return np.clip(solved.x, 0.0, 1.0), np.maximum(-solved.ineqlin.marginals[jobs:], 0.0)


def _matrix(columns: Columns, rows: Sequence[Row], capacities: Sequence[int]) -> csr_array:
    parts = [row_of(columns, row, capacities[row.resource]) for row in rows]
    edges = np.cumsum([0, *(len(own) for own, _ in parts)])
    values = np.concatenate([taken for _, taken in parts])
    indices = np.concatenate([own for own, _ in parts])
    return csr_array((values, indices, edges), shape=(len(rows), len(columns.work)))
