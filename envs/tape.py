"""A tape: one recorded input of a simulation. Arrivals, deadlines and noise are fixed when it is made, so every
scheduler compared on it meets the same jobs and the same luck.

In a closed loop of C clients row i is the (i // C)-th job of client i % C. What it brings is fixed; its arrival and its
deadline count from the end of its client's last job, which is row i - C, or from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

from synergai.envs import capacity, disturbances, noise
from synergai.envs.arrivals import arrival_times_s, read_trace, replay
from synergai.envs.capacity import Capacity
from synergai.envs.catalog import Catalog, build_catalog, new_state
from synergai.envs.mix import ModelLoad
from synergai.envs.program import Program, program_of
from synergai.envs.scenario import Scenario, ScenarioError
from synergai.envs.state import ABSENT, BEST_EFFORT_FACTOR, CACHED, IMAGE, ClusterState
from synergai.offline_profiles.table import ProfileTable

TAIL = 0.25
"""Arrivals after the counted window, as a share of it, so that its last jobs are served under load."""

SPARE = 4.0
"""In a closed loop rows behind the window, in roots of its rows x clients: the quickest client has some left when the
slowest is through with the window."""
SLOW = 3.0
"""A closed loop is prepared to take so many times as long as it would if no job had to wait."""

WARMTH = {"absent": ABSENT, "image": IMAGE, "cached": CACHED}
KIB_BITS = 8192.0
T = TypeVar("T")

TAPE_JOB = np.dtype(
    [
        ("arrival_us", "i8"),
        ("deadline_us", "i8"),
        ("samples", "i8"),
        ("model", "i4"),
        ("counted", "i4"),
        ("priority", "i4"),
        ("namespace", "i4"),
        ("classes", "i8"),  # bit h: hardware class h is allowed
        ("site", "i4"),  # where it comes from
        ("signature", "i4"),  # row of `ClusterState.admitted`
    ],
    align=True,
)
TRUTH = np.dtype([("factor", "f8"), ("hardware_key", "i8"), ("configuration_key", "i8")], align=True)


class Tape(NamedTuple):
    """Arrays of one tape."""

    jobs: np.ndarray  # (jobs,) TAPE_JOB by arrival; of a closed loop by turn, then client
    by_deadline: np.ndarray  # (jobs,) int64: indices in order of deadline; not used in a closed loop
    truth: np.ndarray  # (options,) TRUTH: how wrong each option's profile is
    drift: np.ndarray  # (nodes, steps) factors, one step a minute, node factor included
    window: np.ndarray  # (2,) int64: first counted job, first not counted after it
    seed: np.ndarray  # (1,) int64
    changes: np.ndarray  # (changes,) CHANGE, see `disturbances`
    pods: np.ndarray  # (pods,) POD


@dataclass(frozen=True)
class Setting:
    """A scenario with everything that does not depend on the seed worked out."""

    scenario: Scenario
    table: ProfileTable
    catalog: Catalog
    capacity: Capacity
    """Of the declared mix: what the load is measured against, and tau of the reward."""
    program: Program

    @property
    def rate_sps(self) -> float:
        """Arrivals per second: load x lambda*. In a closed loop if no job had to wait."""
        return self.scenario.load * self.capacity.jobs_per_s

    @property
    def clients(self) -> int:
        """Of a closed loop; 0 where arrivals wait for nothing."""
        arrivals = self.scenario.arrivals
        if arrivals.think_s is not None:
            return max(round(self.rate_sps * (arrivals.think_s + self.capacity.best_s)), 1)
        return arrivals.clients or 0

    @property
    def think_s(self) -> float:
        """Mean time that a client takes from the end of a job to its next."""
        think_s = self.scenario.arrivals.think_s
        return self.clients / self.rate_sps - self.capacity.best_s if think_s is None else think_s


def setting_of(scenario: Scenario, table: ProfileTable | None = None) -> Setting:
    """Check a scenario against the profiles and solve its capacity. ScenarioError says what does not fit."""
    table = table or ProfileTable.default()
    problems = scenario.misfits(table)
    if scenario.arrivals.kind == "trace":
        try:
            read_trace(scenario.arrivals.trace)
        except ScenarioError as error:
            problems.append(f"{scenario.place('arrivals', 'trace')}: {error}")
    if problems:
        raise ScenarioError("\n".join(problems))
    try:
        origins = {site for entry in scenario.jobs.values() for site in entry.origins}
        models = tuple(sorted(scenario.jobs))
        catalog = build_catalog(table, scenario.nodes(table), models, sorted(origins))
    except ValueError as error:
        raise ScenarioError(f"{scenario.place('machines')}: {error}") from None
    state = empty_cluster(scenario, catalog, jobs=1)
    program = program_of(catalog, state, mix_of(scenario))
    unserved = [
        f"{scenario.place('jobs', model)}: no hardware of this cluster has a profile of model {model!r} that fits"
        for model, load in zip(catalog.models, program.models)
        if load["n_columns"] == 0
    ]
    if unserved:
        raise ScenarioError("\n".join(unserved))
    setting = Setting(scenario, table, catalog, capacity.solve(catalog, state, program), program)
    if setting.clients and setting.think_s <= 0.0:
        least = int(setting.rate_sps * setting.capacity.best_s) + 1
        raise ScenarioError(
            f"{scenario.place('arrivals', 'clients')}: {setting.clients} cannot make a load of {scenario.load:g} even "
            f"without a time to think; {least} can"
        )
    return setting


def mix_of(scenario: Scenario) -> dict[str, ModelLoad]:
    """The job mix, with the sizes of the replayed trace where there is one."""
    mix = scenario.mix()
    if scenario.arrivals.kind != "trace":
        return mix
    sizes = read_trace(scenario.arrivals.trace)[1]
    return {name: load.replayed(sizes) for name, load in mix.items()}


def empty_cluster(scenario: Scenario, catalog: Catalog, jobs: int, others: int = 0) -> ClusterState:
    """A cluster of this scenario at time 0, with room for so many jobs, and for others' pods beside them. What its
    world is like and the scheduler may know is in it."""
    admitted = _site_sets(scenario)
    state = new_state(catalog, jobs, signatures=len(admitted), others=others)
    delays, world, clock = scenario.delays, scenario.world, state.clock[0]
    state.options["startup_us"] += delays.pod_start_s * 1e6
    state.options["startup_us"] += (delays.bind_s + delays.decision_s) * 1e6
    clock["slowdown"] = world.co_tenant_slowdown
    clock["start_gap_us"] = delays.start_gap_s * 1e6
    clock["energy_weight"] = scenario.energy_weight
    state.warmth[:] = WARMTH[world.startup_states]
    for model, entry in scenario.jobs.items():
        state.models[catalog.model_index[model]]["input_kib"] = entry.input_kib
    for link in world.network:
        a, b = (catalog.site_index[site] for site in link.between)
        state.links[a, b] = state.links[b, a] = (
            1e6 * link.rtt_s,
            KIB_BITS / link.mbit_s if link.mbit_s else 0.0,
        )
    for row, sites in enumerate(admitted):
        nodes = frozenset(node.name for node in catalog.nodes if sites is None or node.site in sites)
        state.admitted[row, : len(catalog.devices)] = catalog.admitted((nodes, frozenset()))
    return state


def _site_sets(scenario: Scenario) -> list[frozenset[str] | None]:
    """The different sets of sites that jobs may run at; the first is any."""
    found: list[frozenset[str] | None] = [None]
    for entry in scenario.mix().values():
        if entry.sites not in found:
            found.append(entry.sites)
    return found


def make_tape(setting: Setting, seed: int, count: int | None = None, tail: float = TAIL) -> Tape:
    """The tape of this seed: `count` arrivals (default: the scenario's), and a tail that is not counted."""
    scenario = setting.scenario
    counted = count or scenario.arrivals_per_tape
    total = counted + int(np.ceil(counted * tail)) + int(np.ceil(SPARE * np.sqrt(counted * setting.clients)))
    rng = np.random.default_rng([seed, 0x5359])
    names = list(setting.catalog.models)
    mix = scenario.mix()
    shares = np.array([mix[name].share for name in names])
    model = rng.choice(len(names), size=total, p=shares / shares.sum())
    if scenario.arrivals.kind == "trace":
        arrival_s, sizes = replay(scenario.arrivals.trace, rng, total, setting.rate_sps)
    else:
        if setting.clients:
            arrival_s = rng.exponential(setting.think_s, total)
        else:
            arrival_s = arrival_times_s(scenario.arrivals, rng, total, setting.rate_sps)
        log_sd = np.array([mix[name].log_sd for name in names])[model]
        sizes = np.exp(log_sd * rng.standard_normal(total))
    samples = np.maximum(np.round(np.array([mix[name].samples for name in names])[model] * sizes), 1).astype(
        np.int64
    )
    jobs = np.zeros(total, TAPE_JOB)
    jobs["arrival_us"] = np.round(arrival_s * 1e6)
    jobs["model"] = model
    jobs["samples"] = samples
    jobs["counted"] = 1
    jobs["deadline_us"] = jobs["arrival_us"] + np.ceil(_budgets_s(setting, rng, names, model, samples) * 1e6)
    _add_wishes(setting, np.random.default_rng([seed, 0x7764]), jobs)
    window = np.array([int(scenario.warm_up * counted), counted], np.int64)
    by_deadline = np.argsort(jobs["deadline_us"], kind="stable").astype(np.int64)
    after_s = 60.0 * setting.capacity.tau_s + 600.0
    end_s = float(jobs["arrival_us"][-1] * 1e-6 + after_s)
    span_s = 1.5 * total / setting.rate_sps + after_s
    if setting.clients:
        end_s = span_s = SLOW * total / min(setting.rate_sps, setting.capacity.jobs_per_s) + after_s
    return Tape(
        jobs=jobs,
        by_deadline=by_deadline,
        truth=_truth(setting, seed),
        drift=_drift(setting, seed, end_s),
        window=window,
        seed=np.array([seed]),
        changes=disturbances.node_changes(scenario, setting.catalog, seed, span_s),
        pods=disturbances.background_pods(scenario, setting.catalog, seed, span_s),
    )


def _add_wishes(setting: Setting, rng: np.random.Generator, jobs: np.ndarray) -> None:
    """Where each job comes from and may run, how urgent it is and whose."""
    scenario, catalog = setting.scenario, setting.catalog
    site_sets = _site_sets(scenario)
    namespaces = sorted({name for entry in scenario.jobs.values() for name in entry.namespaces})
    loads = scenario.mix()
    for m, name in enumerate(catalog.models):
        entry, mine = scenario.jobs[name], np.flatnonzero(jobs["model"] == m)
        n = len(mine)
        origins = entry.origins or {catalog.sites[0]: 1.0}
        jobs["site"][mine] = [catalog.site_index[site] for site in _draw(rng, origins, n)]
        jobs["priority"][mine] = _draw(rng, {u.priority: u.share for u in entry.priorities}, n)
        jobs["namespace"][mine] = [namespaces.index(owner) for owner in _draw(rng, entry.namespaces, n)]
        jobs["classes"][mine] = catalog.class_mask(loads[name].hardware)
        jobs["signature"][mine] = site_sets.index(loads[name].sites)
        for i in mine[rng.random(n) < entry.best_effort]:
            jobs[i]["counted"] = 0
            jobs[i]["deadline_us"] = best_effort_deadline_us(
                setting.table, name, int(jobs[i]["samples"]), int(jobs[i]["arrival_us"])
            )


def _draw(rng: np.random.Generator, weights: Mapping[T, float], count: int) -> list[T]:
    """So many of the keys, each as often as its weight says."""
    keys, shares = list(weights), np.array(list(weights.values()))
    return [keys[k] for k in rng.choice(len(keys), count, p=shares / shares.sum())]


def _budgets_s(
    setting: Setting, rng: np.random.Generator, names: list[str], model: np.ndarray, samples: np.ndarray
) -> np.ndarray:
    """Seconds from arrival to deadline: tightness x reference time. Shape (jobs,)."""
    bands = np.log(np.array(setting.scenario.deadlines.tightness))
    band = rng.integers(len(bands), size=len(model))
    tightness = np.exp(rng.uniform(bands[band, 0], bands[band, 1]))
    reference = np.empty(len(model))
    for m, name in enumerate(names):
        reference[model == m] = setting.table.references_s(name, samples[model == m])
    return tightness * reference


def best_effort_deadline_us(table: ProfileTable, model: str, samples: int, arrival_us: int) -> int:
    """The internal deadline of a job that has none: it orders the job and is not counted."""
    return arrival_us + int(BEST_EFFORT_FACTOR * table.reference_s(model, samples) * 1e6)


def _truth(setting: Setting, seed: int) -> np.ndarray:
    truth = np.zeros(max(len(setting.catalog.profiles), 1), TRUTH)
    error = setting.scenario.noise.profile_error
    for o, profile in enumerate(setting.catalog.profiles):
        keys = noise.option_keys(profile)
        factor = noise.persistent_factor(seed, error, keys["model"], keys["hardware"], keys["configuration"])
        truth[o] = (factor, keys["hardware"], keys["configuration"])
    return truth


def _drift(setting: Setting, seed: int, end_s: float) -> np.ndarray:
    level = setting.scenario.noise.level
    series = np.ones((max(len(setting.catalog.nodes), 1), int(end_s / noise.DRIFT_STEP_S) + 2))
    for n, node in enumerate(setting.catalog.nodes):
        key = noise.name_key(node.name)
        noise.drift_series(seed, level, key, series[n])
        series[n] *= noise.node_factor(seed, level, key)
    return series
