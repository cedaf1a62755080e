"""How much of a job mix a cluster can sustain: a linear program over shares of work, and its dual prices.

lambda* is the largest rate of jobs, in the proportions of the mix, for which the mean use of every resource of every
pool of like nodes stays within what there is. Packing can only make it worse, so it bounds every scheduler.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from synergai.envs.catalog import Catalog
from synergai.envs.state import ClusterState

BINS = 15
"""Equally likely parts of a size distribution, each stood for by its mean."""


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

    def sizes(self) -> np.ndarray:
        """Equally likely job sizes, at least one sample each. Shape (BINS,)."""
        shape = np.array(self.shape) if self.shape else lognormal_bins(self.log_sd)
        return np.maximum(np.round(self.samples * shape, 6), 1.0)  # 1 + 1e-16 samples would be two batches


@dataclass(frozen=True)
class Capacity:
    jobs_per_s: float
    """lambda*."""
    tau_s: float
    """Work-weighted mean of the best run time."""
    prices: np.ndarray
    """Per option: log of its opportunity cost over the cheapest of its model. Shape (options,)."""


def run_times_s(state: ClusterState, o: int, load: ModelLoad) -> np.ndarray:
    """Predicted run time of option o at each size of the mix. Shape (BINS,)."""
    option = state.options[o]
    samples = load.sizes()
    batches = np.ceil(samples / option["batch"])
    slow = np.maximum(samples * option["per_sample_us"], batches * option["per_batch_us"])
    return (option["startup_us"] + slow) * 1e-6


def solve(catalog: Catalog, state: ClusterState, mix: dict[str, ModelLoad]) -> Capacity:
    """The LP for nodes that are ready. ValueError names a model of the mix that no option serves."""
    total = sum(load.share for load in mix.values())
    pools = _pools(catalog)
    rows, variables, best = _columns(catalog, state, mix, pools)
    for name in mix:
        if name not in best:
            raise ValueError(f"no hardware of this cluster has a profile of model {name!r}")
    lam, duals = _maximise(rows, variables, {name: load.share / total for name, load in mix.items()}, pools)
    weights = np.concatenate([np.full(BINS, load.share / total) for load in mix.values()])
    times = np.concatenate([best[name] for name in mix])
    tau = float((weights * times * times).sum() / (weights * times).sum())
    return Capacity(lam, tau, _prices(state, variables, duals))


def apply(state: ClusterState, capacity: Capacity) -> None:
    """Write lambda*, tau and the prices into a state."""
    state.clock[0]["tau_us"] = capacity.tau_s * 1e6
    state.clock[0]["capacity_sps"] = capacity.jobs_per_s
    state.options["price"][: len(capacity.prices)] = capacity.prices


@dataclass(frozen=True)
class _Pool:
    """Nodes that are alike; `amounts` has cpu, memory, then units of each class."""

    amounts: np.ndarray  # (resources,)
    largest: np.ndarray  # (resources,) of one node
    classes: frozenset[int]
    site: str


@dataclass(frozen=True)
class _Variable:
    option: int
    model: str
    pool: int
    time_s: float
    needs: tuple[tuple[int, float], ...]
    """(resource, share of the pool): 0 cpu, 1 memory, 2 + h units of class h."""


def _pools(catalog: Catalog) -> list[_Pool]:
    alike: dict[tuple[frozenset[int], str], list[np.ndarray]] = {}
    for node in catalog.nodes:
        if node.ready:
            amounts = np.zeros(2 + len(catalog.classes))
            amounts[0], amounts[1] = node.cpu_milli, node.memory_mib
            for device in node.devices:
                amounts[2 + catalog.class_index[device.hardware]] += device.units
            classes = frozenset(catalog.class_index[d.hardware] for d in node.devices)
            alike.setdefault((classes, node.site), []).append(amounts)
    return [
        _Pool(np.sum(amounts, axis=0), np.max(amounts, axis=0), classes, site)
        for (classes, site), amounts in alike.items()
    ]


def _columns(
    catalog: Catalog, state: ClusterState, mix: dict[str, ModelLoad], pools: list[_Pool]
) -> tuple[int, list[_Variable], dict[str, np.ndarray]]:
    variables: list[_Variable] = []
    best: dict[str, np.ndarray] = {}
    for o in range(len(catalog.profiles)):
        option = state.options[o]
        name = catalog.models[option["model"]]
        if name not in mix:
            continue
        h, s = catalog.groups[option["group"]]
        times = run_times_s(state, o, mix[name])
        needs = np.zeros(2 + len(catalog.classes))
        needs[0], needs[1], needs[2 + h] = option["cpu_milli"], option["memory_mib"], option["units"]
        for k, pool in enumerate(pools):
            if h in pool.classes and pool.site == catalog.sites[s] and (needs <= pool.largest).all():
                kept = tuple((int(r), float(needs[r] / pool.amounts[r])) for r in np.flatnonzero(needs))
                variables.append(_Variable(o, name, k, float(times.mean()), kept))
                best[name] = np.minimum(best.get(name, times), times)
    return 2 + len(catalog.classes), variables, best


def _maximise(
    n_resources: int, variables: list[_Variable], shares: dict[str, float], pools: list[_Pool]
) -> tuple[float, np.ndarray]:
    """Maximise lambda; columns are job rates, then lambda. Returns it and the duals by (pool, resource)."""
    # here, as importing them takes a second that `--help` need not wait for
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix

    entries = [
        (v.pool * n_resources + r, column, share * v.time_s)
        for column, v in enumerate(variables)
        for r, share in v.needs
    ]
    row, column, value = (np.array(part) for part in zip(*entries))
    last = len(variables)
    upper = coo_matrix((value, (row, column)), shape=(len(pools) * n_resources, last + 1))
    names = list(shares)
    balance = [(names.index(v.model), i, 1.0) for i, v in enumerate(variables)]
    balance += [(k, last, -shares[name]) for k, name in enumerate(names)]
    row, column, value = (np.array(part) for part in zip(*balance))
    equal = coo_matrix((value, (row, column)), shape=(len(names), last + 1))
    goal = np.zeros(last + 1)
    goal[last] = -1.0
    limits = np.array([1.0 if a > 0 else 0.0 for pool in pools for a in pool.amounts])
    result = linprog(goal, A_ub=upper, b_ub=limits, A_eq=equal, b_eq=np.zeros(len(names)), method="highs")
    if result.status != 0:
        raise ValueError(f"the capacity program failed: {result.message}")
    return float(result.x[last]), -np.asarray(result.ineqlin.marginals).reshape(len(pools), n_resources)


def _prices(state: ClusterState, variables: list[_Variable], duals: np.ndarray) -> np.ndarray:
    """Log of each option's cost in dual prices over its model's cheapest; idle resources cost a thousandth."""
    floor = 1e-3 * max(float(duals.max(initial=0.0)), 1e-9)
    cost = np.full(len(state.options), np.inf)
    for v in variables:
        spent = v.time_s * (floor + sum(duals[v.pool, r] * share for r, share in v.needs))
        cost[v.option] = min(cost[v.option], spent)
    prices = np.zeros(len(state.options))
    models = state.options["model"]
    for m in np.unique(models):
        mine = (models == m) & np.isfinite(cost)
        if mine.any():
            prices[mine] = np.log(cost[mine] / cost[mine].min())
    return prices
