"""The capacity program of one set of nodes, laid out for compiled code: which options fit which pools of like nodes,
what they take there, and what is declared of the job mix. `envs.capacity` solves it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synergai.envs import simplex
from synergai.envs.catalog import Catalog
from synergai.envs.mix import BINS, DEFAULT_LOG_SD, DEFAULT_SAMPLES, ModelLoad
from synergai.envs.simplex import Table
from synergai.envs.state import ClusterState

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
