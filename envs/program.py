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
from synergai.envs.types import Node

MAX_NEEDS = 3
"""Resources that a configuration takes: cpu, memory, units of one device."""
UNKNOWN = ModelLoad(0.0, DEFAULT_SAMPLES, DEFAULT_LOG_SD)
"""Of a model of which nothing is declared."""
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
        ("open", "i4"),  # 1: of all that it takes there is something on nodes that are ready
        ("transfer_s", "f8"),  # of the input, mean over where jobs come from: per job
        ("transfer_per_sample_s", "f8"),
        ("time_s", "f8"),  # mean run time over the bins
    ],
    align=True,
)


SUPPLY = np.dtype([("node", "i4"), ("resource", "i4"), ("share", "f8")], align=True)


class Program(NamedTuple):
    """The program of one set of nodes: what is constant, and working memory; not for two threads at once."""

    models: np.ndarray  # (models,) MODEL_LOAD
    bins: np.ndarray  # (models, BINS): sizes as multiples of the median
    columns: np.ndarray  # (columns,) COLUMN by option, then pool: an option on the nodes of a pool
    need: np.ndarray  # (columns, MAX_NEEDS) int64: which resources it takes
    amount: np.ndarray  # (columns, MAX_NEEDS): how much of each, as a share of what the pool has
    n: np.ndarray  # (1,) int64: how many resources there are
    duals: np.ndarray  # (resources,): jobs per second that one more pool's worth of each would bring
    ready: np.ndarray  # (resources,): share of each that is on nodes that are ready
    supplies: np.ndarray  # (supplies,) SUPPLY: what each node brings of each
    table: Table

    def copy(self) -> "Program":
        """One whose working memory is its own."""
        table = Table(*(array.copy() for array in self.table))
        own = {name: array.copy() for name, array in zip(self._fields, self) if isinstance(array, np.ndarray)}
        return self._replace(table=table, **own)


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
            amounts = _amounts(catalog, node)
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
    taken: list[tuple[int, int, list[tuple[int, float]]]] = []
    models = np.zeros(max(len(catalog.models), 1), MODEL_LOAD)
    for o in range(len(catalog.profiles)):
        option = state.options[o]
        h, s = catalog.groups[option["group"]]
        load = mix.get(catalog.models[option["model"]], UNKNOWN)
        if not load.admits(catalog.classes[h], catalog.sites[s]):
            continue
        needs = np.zeros(2 + len(catalog.classes))
        needs[0], needs[1], needs[2 + h] = option["cpu_milli"], option["memory_mib"], option["units"]
        for k, pool in enumerate(pools):
            if h in pool.classes and pool.site == catalog.sites[s] and (needs <= pool.largest).all():
                found = models[option["model"]]
                found["first_column"] = found["first_column"] if found["n_columns"] else len(taken)
                found["n_columns"] += 1
                used = np.flatnonzero(needs)
                taken.append((o, s, [(number[k, int(r)], needs[r] / pool.amounts[r]) for r in used]))
    bins = _declare(catalog, models, mix)
    columns = np.zeros(max(len(taken), 1), COLUMN)
    need = np.zeros((len(columns), MAX_NEEDS), np.int64)
    amount = np.zeros((len(columns), MAX_NEEDS))
    for c, (o, s, used) in enumerate(taken):
        columns[c]["option"], columns[c]["n_needs"], columns[c]["open"] = o, len(used), 1
        _add_transfer(catalog, state, columns[c], s, mix)
        for i, (r, share) in enumerate(used):
            need[c, i], amount[c, i] = r, share
    room = simplex.table(len(number) + len(models), len(columns) + 1)
    n = np.array([len(number)])
    rows = max(len(number), 1)
    supplies = _supplies(catalog, pools, number)
    return Program(models, bins, columns, need, amount, n, np.zeros(rows), np.ones(rows), supplies, room)


def _add_transfer(
    catalog: Catalog, state: ClusterState, column: np.ndarray, site: int, mix: dict[str, ModelLoad]
) -> None:
    """What bringing the input takes, on average over where the model's jobs come from."""
    m = state.options[column["option"]]["model"]
    origins = mix.get(catalog.models[m], UNKNOWN).origins or {catalog.sites[0]: 1.0}
    total = sum(origins.values())
    for name, weight in origins.items():
        link = state.links[catalog.site_index[name], site]
        column["transfer_s"] += 1e-6 * weight / total * link["fixed_us"]
        per_sample_us = link["per_kib_us"] * state.models[m]["input_kib"]
        column["transfer_per_sample_s"] += 1e-6 * weight / total * per_sample_us


def _supplies(catalog: Catalog, pools: list[_Pool], number: dict[tuple[int, int], int]) -> np.ndarray:
    """Each node's share of each resource of its pool. Shape (supplies,)."""
    found = []
    for k, pool in enumerate(pools):
        for name in pool.nodes:
            n = catalog.node_index[name]
            amounts = _amounts(catalog, catalog.nodes[n])
            found += [
                (n, number[k, int(r)], amounts[r] / pool.amounts[r]) for r in np.flatnonzero(amounts > 0)
            ]
    return np.array(found or [(0, 0, 0.0)], SUPPLY)


def _amounts(catalog: Catalog, node: Node) -> np.ndarray:
    """Cpu, memory, then units of each class. Shape (2 + classes,)."""
    amounts = np.zeros(2 + len(catalog.classes))
    amounts[0], amounts[1] = node.cpu_milli, node.memory_mib
    for device in node.devices:
        amounts[2 + catalog.class_index[device.hardware]] += device.units
    return amounts


def _declare(catalog: Catalog, models: np.ndarray, mix: dict[str, ModelLoad]) -> np.ndarray:
    """Write what is declared of each model; returns its sizes. Shape (models, BINS)."""
    total = sum(load.share for load in mix.values()) or 1.0
    bins = np.ones((len(models), BINS))
    for m, name in enumerate(catalog.models):
        load = mix.get(name, UNKNOWN)
        models[m]["share"] = load.share / total
        models[m]["log_samples"] = np.log(load.samples) + load.log_shift
        models[m]["log_shift"] = load.log_shift
        bins[m] = load.bins()
    return bins
