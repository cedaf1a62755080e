"""How much of a job mix a cluster can sustain: a linear program over shares of work, and its dual prices.

lambda* is the largest rate of jobs, in the proportions of the mix, for which the mean use of every resource of every
pool of like nodes stays within what there is. Packing can only make it worse, so it bounds every scheduler.

`refresh` solves it again from what has arrived, every minute on the cluster's clock and after every change of nodes:
the same code in the simulator and in the bridge. What does not change meanwhile is laid out once (`program_of`).
"""

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from synergai.envs import simplex
from synergai.envs.catalog import Catalog
from synergai.envs.compile import kernel
from synergai.envs.simplex import Table
from synergai.envs.state import NONE, ClusterState

BINS = 15
"""Equally likely parts of a size distribution, each stood for by its mean."""
PERIOD_US = 60_000_000
"""Between solutions, on the full minutes of the cluster's clock."""
DECLARED_JOBS = 50.0
"""The declared mix counts like so many jobs that came before all others and are not forgotten."""
DEFAULT_LOG_SD = 0.7
DEFAULT_SAMPLES = 1000.0
"""Of a model of which nothing is declared and nothing has arrived."""
RARE = 1e-6
"""A model with a smaller share of the jobs is left out of the program."""
IDLE_PRICE = 1e-3
"""What a second costs on resources that are not scarce, over the largest dual price."""


def lognormal_bins(log_sd: float) -> np.ndarray:
    """Means of the bins of a log-normal with median one: partial expectations, so that their mean is exact."""
    normal = NormalDist()
    edges = [-np.inf, *(normal.inv_cdf(k / BINS) for k in range(1, BINS)), np.inf]
    below = np.array([normal.cdf(edge - log_sd) for edge in edges])
    return BINS * np.exp(0.5 * log_sd**2) * np.diff(below)


def empirical_bins(sizes: np.ndarray) -> tuple[float, ...]:
    """Means of equally likely bins of observed sizes."""
    return tuple(float(part.mean()) for part in np.array_split(np.sort(sizes), BINS))


@dataclass(frozen=True)
class ModelLoad:
    """One model's part of the mix: its share of the jobs, and the log-normal of its samples."""

    share: float
    samples: float
    """Median."""
    log_sd: float = 0.0
    shape: tuple[float, ...] = ()
    """Instead of the log-normal: bin means as multiples of `samples`, of a replayed trace."""
    log_shift: float = 0.0
    """Mean log size less the log of `samples`; 0 for a log-normal."""

    def bins(self) -> np.ndarray:
        """Mean sizes of equally likely bins, as multiples of `samples`. Shape (BINS,)."""
        return np.array(self.shape) if self.shape else lognormal_bins(self.log_sd)

    def replayed(self, sizes: np.ndarray) -> "ModelLoad":
        """The same with the sizes of a trace, multiples of `samples`."""
        return replace(self, shape=empirical_bins(sizes), log_shift=float(np.log(sizes).mean()))

    def as_lognormal(self) -> "ModelLoad":
        """The log-normal of the same mean and the same mean log."""
        log_sd = np.sqrt(2.0 * max(float(np.log(self.bins().mean())) - self.log_shift, 0.0))
        return ModelLoad(self.share, self.samples * float(np.exp(self.log_shift)), float(log_sd))


@dataclass(frozen=True)
class Capacity:
    jobs_per_s: float
    """lambda*."""
    tau_us: float
    """Work-weighted mean of the best run time."""
    prices: np.ndarray
    """Per option: log of its opportunity cost over the cheapest of its model. Shape (options,)."""

    @property
    def tau_s(self) -> float:
        return self.tau_us * 1e-6


MAX_NEEDS = 3
"""Resources that a configuration takes: cpu, memory, units of one device."""
MODEL_LOAD = np.dtype(
    [
        ("share", "f8"),  # declared, of one
        ("log_samples", "f8"),  # declared mean
        ("log_shift", "f8"),  # mean log of the size as a multiple of the median
        ("first_column", "i4"),
        ("n_columns", "i4"),
        ("now_share", "f8"),  # from here on: of the last solution
        ("now_samples", "f8"),  # median
        ("best_s", "f8"),  # smallest mean run time
        ("reference", "i4"),  # the column of it
    ],
    align=True,
)
COLUMN = np.dtype(
    [
        ("option", "i4"),
        ("n_needs", "i4"),
        ("variable", "i4"),  # its number in the table, NONE for a model that is left out
        ("time_s", "f8"),  # mean run time over the bins
    ],
    align=True,
)


class Program(NamedTuple):
    """The program of one set of nodes: what is constant, and working memory; not for two threads at once."""

    models: np.ndarray  # (models,) MODEL_LOAD
    bins: np.ndarray  # (models, BINS): sizes as multiples of the median
    columns: np.ndarray  # (columns,) COLUMN by option, then pool: an option on the nodes of a pool
    need: np.ndarray  # (columns, MAX_NEEDS) int64: which resources it takes
    amount: np.ndarray  # (columns, MAX_NEEDS): how much of each, as a share of what the pool has
    n: np.ndarray  # (1,) int64: how many resources there are
    duals: np.ndarray  # (resources,): jobs per second that one more pool's worth of each would bring
    table: Table


@dataclass(frozen=True)
class Resource:
    """Something of a pool that can run out: cpu, memory, or units of a hardware class."""

    nodes: tuple[str, ...]
    what: str
    amount: float


@dataclass(frozen=True)
class _Pool:
    """Nodes that are alike; `amounts` has cpu, memory, then units of each class."""

    nodes: tuple[str, ...]
    amounts: np.ndarray  # (2 + classes,)
    largest: np.ndarray  # (2 + classes,) of one node
    classes: frozenset[int]
    site: str


def _pools(catalog: Catalog) -> list[_Pool]:
    alike: dict[tuple[frozenset[int], str], list[tuple[str, np.ndarray]]] = {}
    for node in catalog.nodes:
        if node.ready:
            amounts = np.zeros(2 + len(catalog.classes))
            amounts[0], amounts[1] = node.cpu_milli, node.memory_mib
            for device in node.devices:
                amounts[2 + catalog.class_index[device.hardware]] += device.units
            classes = frozenset(catalog.class_index[d.hardware] for d in node.devices)
            alike.setdefault((classes, node.site), []).append((node.name, amounts))
    return [
        _Pool(
            tuple(name for name, _ in members),
            np.sum([amounts for _, amounts in members], axis=0),
            np.max([amounts for _, amounts in members], axis=0),
            classes,
            site,
        )
        for (classes, site), members in alike.items()
    ]


def resources(catalog: Catalog) -> list[Resource]:
    """What can run out, in the order of `Program.duals`."""
    names = ("cpu", "memory", *catalog.classes)
    return [
        Resource(pool.nodes, names[r], float(pool.amounts[r]))
        for pool in _pools(catalog)
        for r in np.flatnonzero(pool.amounts > 0)
    ]


def program_of(catalog: Catalog, state: ClusterState, mix: dict[str, ModelLoad]) -> Program:
    """Lay out the program for the nodes that are ready. `mix` is what is declared of the workload; where that is
    nothing, what arrives counts alone."""
    pools = _pools(catalog)
    number = {}
    for k, pool in enumerate(pools):
        for r in np.flatnonzero(pool.amounts > 0):
            number[k, int(r)] = len(number)
    taken: list[tuple[int, list[tuple[int, float]]]] = []
    models = np.zeros(max(len(catalog.models), 1), MODEL_LOAD)
    for o in range(len(catalog.profiles)):
        option = state.options[o]
        h, s = catalog.groups[option["group"]]
        needs = np.zeros(2 + len(catalog.classes))
        needs[0], needs[1], needs[2 + h] = option["cpu_milli"], option["memory_mib"], option["units"]
        for k, pool in enumerate(pools):
            if h in pool.classes and pool.site == catalog.sites[s] and (needs <= pool.largest).all():
                found = models[option["model"]]
                found["first_column"] = found["first_column"] if found["n_columns"] else len(taken)
                found["n_columns"] += 1
                used = np.flatnonzero(needs)
                taken.append((o, [(number[k, int(r)], needs[r] / pool.amounts[r]) for r in used]))
    bins = _declare(catalog, models, mix)
    columns = np.zeros(max(len(taken), 1), COLUMN)
    need = np.zeros((len(columns), MAX_NEEDS), np.int64)
    amount = np.zeros((len(columns), MAX_NEEDS))
    for c, (o, used) in enumerate(taken):
        columns[c]["option"], columns[c]["n_needs"] = o, len(used)
        for i, (r, share) in enumerate(used):
            need[c, i], amount[c, i] = r, share
    room = simplex.table(len(number) + len(models), len(columns) + 1)
    n = np.array([len(number)])
    return Program(models, bins, columns, need, amount, n, np.zeros(max(len(number), 1)), room)


def _declare(catalog: Catalog, models: np.ndarray, mix: dict[str, ModelLoad]) -> np.ndarray:
    """Write what is declared of each model; returns its sizes. Shape (models, BINS)."""
    unknown = ModelLoad(0.0, DEFAULT_SAMPLES, DEFAULT_LOG_SD)
    total = sum(load.share for load in mix.values()) or 1.0
    bins = np.ones((len(models), BINS))
    for m, name in enumerate(catalog.models):
        load = mix.get(name, unknown)
        models[m]["share"] = load.share / total
        models[m]["log_samples"] = np.log(load.samples) + load.log_shift
        models[m]["log_shift"] = load.log_shift
        bins[m] = load.bins()
    return bins


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
    return Capacity(float(clock["capacity_sps"]), float(clock["tau_us"]), state.options["price"].copy())


def apply(state: ClusterState, capacity: Capacity) -> None:
    """Write lambda*, tau and the prices into a state."""
    clock = state.clock[0]
    clock["tau_us"] = capacity.tau_us
    clock["capacity_sps"] = capacity.jobs_per_s
    clock["solved_us"] = clock["now_us"]
    state.options["price"][: len(capacity.prices)] = capacity.prices


# compiled ------------------------------------------------------------------------------------------------------------
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
        load.now_share = jobs if load.n_columns > 0 else 0.0
        total += load.now_share
    for m in range(state.clock[0].n_models):
        load = program.models[m]
        if total > 0.0:
            load.now_share /= total
        elif load.n_columns > 0:
            load.now_share = 1.0
    return total > 0.0


@kernel
def run_time_s(option, samples):
    """Predicted run time of a job of so many samples, in seconds."""
    batches = np.ceil(samples / option.batch)
    return 1e-6 * (option.startup_us + max(samples * option.per_sample_us, batches * option.per_batch_us))


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
                took = run_time_s(state.options[columns[c].option], samples)
            columns[c].time_s += took / BINS
            best = min(best, took)
        work += best
        squares += best * best
    load.best_s, load.reference = np.inf, NONE
    for c in range(first, last):
        if columns[c].time_s < load.best_s:
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
            n += load.n_columns - 1
    simplex.clear(table, m, n)
    cells = table.cells
    cells[:n_resources, n] = 1.0
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
            if c == load.reference:
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
            for c in range(load.first_column, load.first_column + load.n_columns):
                column = program.columns[c]
                cost = floor
                for i in range(column.n_needs):
                    cost += program.duals[program.need[c, i]] * program.amount[c, i]
                cost = np.log(cost * column.time_s)
                cheapest = min(cheapest, cost)
                if turn == 1:
                    option = state.options[column.option]
                    again = c > load.first_column and program.columns[c - 1].option == column.option
                    option.price = min(option.price, cost - cheapest) if again else cost - cheapest


@kernel
def refresh(state, program):
    """Solve for the arriving mix if a full minute has passed or the nodes are new, and write lambda*, tau and the
    prices into the state; what there was stays where there is no solution. True if there is a new one."""
    clock = state.clock[0]
    if clock.solved_us != NONE and clock.now_us // PERIOD_US <= clock.solved_us // PERIOD_US:
        return False
    if mix_of(state, program):
        clock.solved_us = clock.now_us
    work, total, squares = 0.0, 0.0, 0.0
    for k in range(clock.n_models):
        load = program.models[k]
        if load.n_columns == 0:
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
