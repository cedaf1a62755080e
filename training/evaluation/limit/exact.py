"""How many jobs a schedule can have in time, by constraint programming (OR-tools' CP-SAT)."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from ortools.sat.python import cp_model

from synergai.training.evaluation.limit.foresight import Place, by_deadline
from synergai.training.evaluation.limit.relaxed import Relaxed, Work

GRID_US = 10_000
"""Times are rounded down to it. A schedule stays one: of jobs that share an instant of the grid all had room at once
just before its end."""
SEED = 0


class Block(NamedTuple):
    jobs: int
    hopeless: int
    """Late even alone."""
    found: int
    """In time in the best schedule that was found."""
    most: int
    """No schedule has more in time."""

    @property
    def solved(self) -> bool:
        return self.found == self.most


class _Model:
    """An optional interval per job and mode, at most one of a job's, within what its pool has."""

    def __init__(self, relaxed: Relaxed) -> None:
        self.relaxed, self.cp = relaxed, cp_model.CpModel()
        self.runs: dict[tuple[int, int], cp_model.IntVar] = {}
        self.starts: dict[tuple[int, int], cp_model.IntVar] = {}
        self.uses: dict[int, list[tuple[cp_model.IntervalVar, int]]] = {}

    def add(self, work: Work) -> None:
        for k, mode in enumerate(work.modes):
            first, last = work.arrival_us // GRID_US, (work.deadline_us - mode.run_us) // GRID_US
            held = (mode.run_us + self.relaxed.release_us) // GRID_US
            runs, start = self.cp.new_bool_var(""), self.cp.new_int_var(first, last, "")
            interval = self.cp.new_optional_fixed_size_interval_var(start, held, runs, "")
            self.runs[work.job, k], self.starts[work.job, k] = runs, start
            for r, amount in mode.needs:
                self.uses.setdefault(r, []).append((interval, amount))
        if work.modes:
            self.cp.add_at_most_one([self.runs[work.job, k] for k in range(len(work.modes))])

    def solve(self, limit_s: float, known: Mapping[int, Place]) -> tuple[dict[int, Place], int]:
        """The best that was found, by job, and what no schedule exceeds. `known` is a schedule to start from."""
        for r, taken in self.uses.items():
            intervals, amounts = [interval for interval, _ in taken], [amount for _, amount in taken]
            if self.relaxed.capacities[r] == 1:
                self.cp.add_no_overlap(intervals)
            else:
                self.cp.add_cumulative(intervals, amounts, self.relaxed.capacities[r])
        for (job, k), runs in self.runs.items():
            chosen = job in known and known[job].mode == k
            self.cp.add_hint(runs, chosen)
            if chosen:
                self.cp.add_hint(self.starts[job, k], known[job].start_us // GRID_US)
        self.cp.maximize(sum(self.runs.values()))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = 1
        solver.parameters.random_seed = SEED
        solver.parameters.max_time_in_seconds = limit_s
        status = solver.solve(self.cp)
        if status == cp_model.UNKNOWN:  # it may not have got as far as a bound, and calls that 0
            return {}, len(self.relaxed.works)
        if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            raise RuntimeError(f"CP-SAT on {len(self.relaxed.works)} jobs: {solver.status_name(status)}")
        found = {
            job: Place(k, solver.value(self.starts[job, k]) * GRID_US)
            for (job, k), runs in self.runs.items()
            if solver.boolean_value(runs)
        }
        return found, _whole(solver.best_objective_bound)


def _whole(bound: float) -> int:
    """Of a bound on a whole number; the solver's is one, but for the last bits."""
    return int(np.floor(bound + 1e-6))


def solve(relaxed: Relaxed, limit_s: float) -> Block:
    """One thread, at most so many seconds of it; less time proves less, but nothing wrong. `most` is the bound of the
    solver, not the schedule that it found."""
    jobs, hopeless = len(relaxed.works), relaxed.hopeless
    model, known = _Model(relaxed), by_deadline(relaxed)
    for work in relaxed.works:
        model.add(work)
    found, most = model.solve(limit_s, known)
    best, most = max(len(found), len(known)), min(most, jobs - hopeless)
    if best > most:
        raise RuntimeError(f"CP-SAT on {jobs} jobs: {best} are in time, and it is said that {most} can be")
    return Block(jobs, hopeless, best, most)
