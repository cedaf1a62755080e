"""How much of a job mix a cluster can sustain: a linear program over shares of work, and its dual prices.

lambda* is the largest rate of jobs, in the proportions of the mix, for which the mean use of every resource of every
pool of like nodes stays within what there is. Packing can only make it worse, so it bounds every scheduler.

`refresh` solves it again from what has arrived, every minute on the cluster's clock and after every change of nodes:
the same code in the simulator and in the bridge. What does not change meanwhile is laid out once (`envs.program`).
"""

from dataclasses import dataclass

import numpy as np

from synergai.envs import simplex
from synergai.envs.catalog import Catalog
from synergai.envs.compile import kernel
from synergai.envs.mix import BINS
from synergai.envs.program import Program
from synergai.envs.state import NONE, ClusterState

PERIOD_US = 60_000_000
"""Between solutions, on the full minutes of the cluster's clock."""
DECLARED_JOBS = 50.0
"""The declared mix counts like so many jobs that came before all others and are not forgotten."""
RARE = 1e-6
"""A model with a smaller share of the jobs is left out of the program."""
IDLE_PRICE = 1e-3
"""What a second costs on resources that are not scarce, over the largest dual price."""


@dataclass(frozen=True)
class Capacity:
    jobs_per_s: float
    """lambda*."""
    tau_us: float
    """Work-weighted mean of the best run time."""
    best_s: float
    """Mean of the best run time over the jobs."""
    prices: np.ndarray
    """Per option: log of its opportunity cost over the cheapest of its model. Shape (options,)."""

    @property
    def tau_s(self) -> float:
        return self.tau_us * 1e-6


def solve(catalog: Catalog, state: ClusterState, program: Program) -> Capacity:
    """lambda*, tau and prices of what the state remembers and the program declares; they are in the state as well.
    ValueError names a declared model that no node serves."""
    for m, name in enumerate(catalog.models):
        if program.models[m]["share"] > 0.0 and program.models[m]["n_columns"] == 0:
            raise ValueError(f"no hardware of this cluster has a profile of model {name!r}")
    state.clock[0]["solved_us"] = NONE
    if not refresh(state, program):
        raise ValueError("the capacity program has no solution")
    clock = state.clock[0]
    sums_s = [
        load["now_share"] * mean_times(state, program, m)[0]
        for m, load in enumerate(program.models)
        if load["now_share"] > 0.0
    ]
    return Capacity(
        jobs_per_s=float(clock["capacity_sps"]),
        tau_us=float(clock["tau_us"]),
        best_s=float(sum(sums_s)) / BINS,
        prices=state.options["price"].copy(),
    )


def apply(state: ClusterState, capacity: Capacity) -> None:
    """Write lambda*, tau and the prices into a state."""
    clock = state.clock[0]
    clock["tau_us"] = capacity.tau_us
    clock["capacity_sps"] = capacity.jobs_per_s
    clock["solved_us"] = clock["now_us"]
    state.options["price"][: len(capacity.prices)] = capacity.prices


# compiled ------------------------------------------------------------------------------------------------------------
@kernel
def count_ready(state, program):
    """Which share of each resource is on nodes that are ready, and which columns are open."""
    program.ready[:] = 0.0
    for i in range(len(program.supplies)):
        supply = program.supplies[i]
        if state.nodes[supply.node].ready == 1:
            program.ready[supply.resource] += supply.share
    for r in range(program.n[0]):
        if program.ready[r] > 1.0 - 1e-9:
            program.ready[r] = 1.0  # sums of shares
    for c in range(len(program.columns)):
        column = program.columns[c]
        column.open = 1 if column.n_needs > 0 else 0
        for i in range(column.n_needs):
            if program.ready[program.need[c, i]] <= 0.0:
                column.open = 0


@kernel
def is_served(program, m):
    """Whether some node that is ready serves the model."""
    load = program.models[m]
    for c in range(load.first_column, load.first_column + load.n_columns):
        if program.columns[c].open == 1:
            return True
    return False


@kernel
def mix_of(state, program):
    """The arriving mix as the state remembers it, shrunk towards the declared one: shares of the models that some node
    serves, and their median sizes. False while nothing is declared or known; then all are alike."""
    total = 0.0
    for m in range(state.clock[0].n_models):
        model, load = state.models[m], program.models[m]
        declared = DECLARED_JOBS * load.share
        jobs = model.seen + declared
        log_samples = load.log_samples
        if jobs > 0.0:
            log_samples += (model.log_samples - model.seen * load.log_samples) / jobs
        load.now_samples = np.exp(log_samples - load.log_shift)
        load.now_share = jobs if is_served(program, m) else 0.0
        total += load.now_share
    for m in range(state.clock[0].n_models):
        load = program.models[m]
        if total > 0.0:
            load.now_share /= total
        elif is_served(program, m):
            load.now_share = 1.0
    return total > 0.0


@kernel
def run_time_s(option, column, samples):
    """Predicted run time of a job of so many samples, in seconds."""
    batches = np.ceil(samples / option.batch)
    at_hand_us, by_batch_us = samples * option.per_sample_us, batches * option.per_batch_us
    transfer_s = column.transfer_s + column.transfer_per_sample_s * samples
    return 1e-6 * (option.startup_us + max(at_hand_us, by_batch_us)) + transfer_s


@kernel
def mean_times(state, program, m):
    """Fill in the mean run time of each of the model's columns; returns the sums over the bins of the best run time
    and of its square."""
    load, columns = program.models[m], program.columns
    first, last = load.first_column, load.first_column + load.n_columns
    for c in range(first, last):
        columns[c].time_s = 0.0
    work, squares = 0.0, 0.0
    for b in range(BINS):
        # without rounding, 1 + 1e-16 samples would be two batches
        samples = max(np.floor(load.now_samples * program.bins[m, b] * 1e6 + 0.5) * 1e-6, 1.0)
        best, took = np.inf, 0.0
        for c in range(first, last):
            if c == first or columns[c].option != columns[c - 1].option:
                took = run_time_s(state.options[columns[c].option], columns[c], samples)
            columns[c].time_s += took / BINS
            if columns[c].open == 1:
                best = min(best, took)
        work += best
        squares += best * best
    load.best_s, load.reference = np.inf, NONE
    for c in range(first, last):
        if columns[c].open == 1 and columns[c].time_s < load.best_s:
            load.best_s, load.reference = columns[c].time_s, c
    return work, squares


@kernel
def lay_out(program, n_models, work):
    """Write the table. Variable 0 is lambda x mean work, the others are how many servers are busy with a column. Each
    model's fastest column is in the basis from the start: it takes what its other columns leave. Returns the numbers
    of rows and of columns."""
    table, n_resources = program.table, program.n[0]
    m, n = n_resources, 1
    for k in range(n_models):
        load = program.models[k]
        if load.now_share > 0.0:
            m += 1
            n += count_open(program, k) - 1
    simplex.clear(table, m, n)
    cells = table.cells
    for r in range(n_resources):
        cells[r, n] = program.ready[r]
    cells[m, 0] = -1.0
    row, column = n_resources, 1
    for k in range(n_models):
        load = program.models[k]
        if load.now_share <= 0.0:
            continue
        flow = load.now_share * load.best_s / work
        cells[row, 0] = -flow
        take(program, load.reference, 0, flow)
        program.columns[load.reference].variable = n + row
        for c in range(load.first_column, load.first_column + load.n_columns):
            if c == load.reference or program.columns[c].open == 0:
                continue
            speed = load.best_s / program.columns[c].time_s
            cells[row, column] = speed
            take(program, c, column, 1.0)
            take(program, load.reference, column, -speed)
            program.columns[c].variable = column
            column += 1
        row += 1
    return m, n


@kernel
def count_open(program, k):
    load, count = program.models[k], 0
    for c in range(load.first_column, load.first_column + load.n_columns):
        count += program.columns[c].open
    return count


@kernel
def take(program, c, column, servers):
    """So many busy servers of column c, in this column of the table."""
    for i in range(program.columns[c].n_needs):
        program.table.cells[program.need[c, i], column] += servers * program.amount[c, i]


@kernel
def read_duals(program, m, n, work):
    """What one more pool's worth of each resource would bring, in jobs per second."""
    program.duals[:] = 0.0
    for j in range(n):
        r = program.table.columns[j] - n
        if 0 <= r < program.n[0]:
            program.duals[r] = max(program.table.cells[m, j], 0.0) / work


@kernel
def write_prices(state, program):
    """Log of each option's cost in dual prices over its model's cheapest."""
    floor = 1e-12
    for r in range(program.n[0]):
        floor = max(floor, IDLE_PRICE * program.duals[r])
    for o in range(state.clock[0].n_options):
        state.options[o].price = 0.0
    for k in range(state.clock[0].n_models):
        load = program.models[k]
        cheapest = np.inf
        for turn in range(2):
            before = NONE
            for c in range(load.first_column, load.first_column + load.n_columns):
                column = program.columns[c]
                if column.open == 0:
                    continue
                cost = floor
                for i in range(column.n_needs):
                    cost += program.duals[program.need[c, i]] * program.amount[c, i]
                cost = np.log(cost * column.time_s)
                cheapest = min(cheapest, cost)
                if turn == 1:
                    option = state.options[column.option]
                    again = column.option == before
                    option.price = min(option.price, cost - cheapest) if again else cost - cheapest
                    before = column.option


@kernel
def refresh(state, program):
    """Solve for the arriving mix if a full minute has passed or the nodes are new, and write lambda*, tau and the
    prices into the state; what there was stays where there is no solution. True if there is a new one."""
    clock = state.clock[0]
    if clock.solved_us != NONE and clock.now_us // PERIOD_US <= clock.solved_us // PERIOD_US:
        return False
    if clock.solved_us == NONE:
        count_ready(state, program)
    if mix_of(state, program):
        clock.solved_us = clock.now_us
    work, total, squares = 0.0, 0.0, 0.0
    for k in range(clock.n_models):
        load = program.models[k]
        if not is_served(program, k):
            continue
        best, best_squares = mean_times(state, program, k)
        if load.now_share < RARE:
            load.now_share = 0.0
        work += load.now_share * load.best_s
        total += load.now_share * best
        squares += load.now_share * best_squares
    if total <= 0.0:
        return False
    m, n = lay_out(program, clock.n_models, work)
    if not simplex.maximise(program.table, m, n):
        return False
    read_duals(program, m, n, work)
    clock.capacity_sps = program.table.cells[m, n] / work
    clock.tau_us = 1e6 * squares / total
    write_prices(state, program)
    return True
