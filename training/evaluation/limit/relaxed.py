"""What bounds every scheduler on a tape: its jobs with the run times they really have, on pools of like nodes.

Whatever the simulator lets a scheduler do is allowed here: every configuration, on every node that may take it, at any
instant. Left out are the borders between like nodes, other tenants' slow-down, what a cold node costs more, the rounds,
and everybody who is not in the block of jobs. So at least as many jobs of the block miss their deadlines on the tape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from synergai.envs import noise
from synergai.envs.state import QUEUED, compute_us, transfer_us
from synergai.envs.tape import Setting, Tape
from synergai.envs.world import BIND_RETRY_US, Sim, new_sim

CPU, MEMORY = "cpu", "memory"
STEP_US = int(noise.DRIFT_STEP_S) * 1_000_000


class Mode(NamedTuple):
    """One way to run a job in time."""

    pool: int
    needs: tuple[tuple[int, int], ...]
    """(resource, amount), of its pool."""
    run_us: int
    """The least that it takes there, or the most, if it starts between arrival and deadline."""
    option: int


@dataclass(frozen=True)
class Work:
    """One counted job; without modes it is late whatever happens."""

    job: int
    arrival_us: int
    deadline_us: int
    modes: tuple[Mode, ...]


@dataclass(frozen=True)
class Relaxed:
    """Jobs, and what pools of like nodes have for them."""

    works: tuple[Work, ...]
    capacities: tuple[int, ...]
    """Of each resource of each pool: milli-CPU, MiB or units."""
    release_us: int
    """How long after the end of a run its room is still taken."""

    @property
    def hopeless(self) -> int:
        return sum(not work.modes for work in self.works)

    def of(self, works: Sequence[Work]) -> "Relaxed":
        """The same cluster with these jobs alone."""
        return Relaxed(tuple(works), self.capacities, self.release_us)

    def blocks(self, size: int) -> list["Relaxed"]:
        """Blocks of about so many consecutive jobs, as even as they can be."""
        count = max(round(len(self.works) / size), 1)
        cuts = np.linspace(0, len(self.works), count + 1).round().astype(int)
        return [self.of(self.works[a:b]) for a, b in pairwise(cuts)]


class Truth:
    """How long each job of a tape really runs where nothing slows it down, and where it may run at all."""

    def __init__(self, setting: Setting, tape: Tape) -> None:
        scenario = setting.scenario
        if setting.clients:
            raise ValueError(f"{scenario.name}: in a closed loop jobs come when the scheduler lets them")
        if scenario.world.failures is not None:
            raise ValueError(f"{scenario.name}: nodes that die give jobs new luck, which has no bound")
        self.setting, self.tape = setting, tape
        self.sim: Sim = new_sim(setting, tape, jobs=1)
        self._queued = np.zeros(1, QUEUED)[0]

    def options(self, job: int) -> range:
        """Of the job's model."""
        model = self.sim.state.models[self.tape.jobs[job]["model"]]
        return range(model["first_option"], model["first_option"] + model["n_options"])

    def fits(self, job: int, o: int, node: int) -> bool:
        """Whether this node could take it if it were empty."""
        state, record = self.sim.state, self.tape.jobs[job]
        option, machine = state.options[o], state.nodes[node]
        if not (record["classes"] >> option["klass"]) & 1:
            return False
        if machine["cpu_milli"] < option["cpu_milli"] or machine["memory_mib"] < option["memory_mib"]:
            return False
        group = state.groups[option["group"]]
        first, end = group["first_device"], group["first_device"] + group["n_devices"]
        mine = state.devices["node"][first:end] == node
        admitted = state.admitted[record["signature"], first:end]
        return bool((mine & admitted & (state.devices["units"][first:end] >= option["units"])).any())

    def run_us(self, job: int, o: int, nodes: Sequence[int], from_us: int, to_us: int) -> tuple[int, int]:
        """The least and the most that its first attempt with this option takes, from START to end, on one of these
        nodes with a START between these instants: `envs.world.begin_run` without neighbours, on nodes that have image
        and engine cache."""
        option, record = self.sim.state.options[o], self.tape.jobs[job]
        steps = self.tape.drift.shape[1] - 1
        first, last = (min(at_us // STEP_US, steps) for at_us in (from_us, to_us))
        drift = self.tape.drift[list(nodes), first : last + 1]
        before_us, luck = self.overhead_us(job, o), self.luck(job, o)
        compute = compute_us(option, int(record["samples"]))
        least, most = (
            int(np.ceil(before_us + compute * (self.factor(job, o) * extreme * luck)))
            for extreme in (drift.min(), drift.max())
        )
        return least, most

    def factor(self, job: int, o: int) -> float:
        """How wrong the option's profile is."""
        return float(self.tape.truth[o]["factor"])

    def luck(self, job: int, o: int) -> float:
        """Of this job's first attempt."""
        truth, levels = self.tape.truth[o], self.setting.scenario.noise
        keys = truth["hardware_key"], truth["configuration_key"]
        samples, seed = int(self.tape.jobs[job]["samples"]), int(self.tape.seed[0])
        return noise.run_factor(seed, levels.level, levels.stragglers, job, 0, *keys, samples)

    def overhead_us(self, job: int, o: int) -> float:
        """Before the compute begins."""
        state, record, progress = self.sim.state, self.tape.jobs[job], self.sim.progress[0]
        queued = self._queued
        queued["site"], queued["samples"] = record["site"], record["samples"]
        option = state.options[o]
        overhead_us = float(option["startup_us"] + transfer_us(state, queued, option))
        if progress["bind_failures"] > 0.0:
            failed = noise.failed_binds(int(self.tape.seed[0]), float(progress["bind_failures"]), job, 0)
            overhead_us += failed * (float(progress["bind_us"]) + BIND_RETRY_US)
        return overhead_us


class Pools:
    """Nodes that nobody could tell apart but for their speed, with the sum of what they have."""

    def __init__(self, truth: Truth, apart: bool = False) -> None:
        """`apart`: every node is one, and runs take the most that they can: a schedule of that comes true."""
        catalog, admitted = truth.setting.catalog, truth.sim.state.admitted
        alike: dict[tuple[object, ...], list[int]] = {}
        for n, node in enumerate(catalog.nodes):
            own = [d for d, (at, _) in enumerate(catalog.devices) if at == n]
            key = (node.devices, node.cpu_milli, node.memory_mib, node.site, admitted[:, own].tobytes())
            alike.setdefault((*key, n) if apart else key, []).append(n)
        self.truth, self.catalog, self.apart = truth, catalog, apart
        self.nodes = list(alike.values())
        self.capacities: list[int] = []
        self.resources: list[dict[str, int]] = []
        for members in self.nodes:
            node, own = catalog.nodes[members[0]], {}
            amounts = {CPU: node.cpu_milli, MEMORY: node.memory_mib}
            amounts |= {device.hardware: device.units for device in node.devices if device.units > 0}
            for name, amount in amounts.items():
                own[name] = len(self.capacities)
                self.capacities.append(amount * len(members))
            self.resources.append(own)

    def modes(self, job: int) -> tuple[Mode, ...]:
        """All ways to have the job in time but those that another way betters in everything."""
        record = self.truth.tape.jobs[job]
        arrival_us, deadline_us = int(record["arrival_us"]), int(record["deadline_us"])
        found = []
        for o in self.truth.options(job):
            for p, members in enumerate(self.nodes):
                if not self.truth.fits(job, o, members[0]):
                    continue
                run_us = self.truth.run_us(job, o, members, arrival_us, deadline_us)[self.apart]
                if arrival_us + run_us <= deadline_us:
                    found.append(Mode(p, self._needs(o, p), run_us, o))
        return best_of(found)

    def _needs(self, o: int, p: int) -> tuple[tuple[int, int], ...]:
        option, own = self.truth.sim.state.options[o], self.resources[p]
        amounts = {CPU: option["cpu_milli"], MEMORY: option["memory_mib"]}
        if option["units"] > 0:
            amounts[self.catalog.classes[option["klass"]]] = option["units"]
        return tuple(sorted((own[name], int(amount)) for name, amount in amounts.items() if amount > 0))


def betters(a: Mode, b: Mode) -> bool:
    """Whether a takes no longer than b in the same pool, and no more of anything."""
    needs = dict(b.needs)
    lasts = a.run_us <= b.run_us
    return a.pool == b.pool and lasts and all(amount <= needs.get(r, 0) for r, amount in a.needs)


def best_of(modes: Sequence[Mode]) -> tuple[Mode, ...]:
    """Those that no other betters, the quickest first."""
    kept: list[Mode] = []
    for mode in sorted(modes, key=lambda mode: (mode.run_us, sum(amount for _, amount in mode.needs))):
        if not any(betters(other, mode) for other in kept):
            kept.append(mode)
    return tuple(kept)


def relax(setting: Setting, tape: Tape) -> Relaxed:
    """The counted jobs of a tape. ValueError: of this world nothing is known to bound it."""
    return _on(Pools(Truth(setting, tape)))


def sure(setting: Setting, tape: Tape, grid_us: int) -> Relaxed:
    """The same the other way round: what a schedule here has in time, one on the tape can have, too. Times are rounded
    to the grid. ValueError: jobs meet more than each other."""
    scenario = setting.scenario
    world, delays = scenario.world, scenario.delays
    if world.co_tenant_slowdown or world.changes or world.background or world.startup_states != "cached":
        raise ValueError(f"{scenario.name}: neighbours, cold nodes or closed ones change how long runs take")
    if delays.start_gap_s or delays.decision_s:
        raise ValueError(f"{scenario.name}: starts wait for each other")
    known = _on(Pools(Truth(setting, tape), apart=True))

    def up(at_us: int) -> int:
        return -(-at_us // grid_us) * grid_us

    works = []
    for work in known.works:
        arrival_us, deadline_us = up(work.arrival_us), work.deadline_us // grid_us * grid_us
        modes = [mode._replace(run_us=up(mode.run_us)) for mode in work.modes]
        modes = tuple(mode for mode in modes if arrival_us + mode.run_us <= deadline_us)
        works.append(Work(work.job, arrival_us, deadline_us, modes))
    return Relaxed(tuple(works), known.capacities, up(known.release_us))


def _on(pools: Pools) -> Relaxed:
    setting, tape = pools.truth.setting, pools.truth.tape
    first, last = (int(edge) for edge in tape.window)
    works = [
        Work(job, int(record["arrival_us"]), int(record["deadline_us"]), pools.modes(job))
        for job, record in enumerate(tape.jobs[:last])
        if job >= first and record["counted"] == 1
    ]
    release_us = int(setting.scenario.delays.release_s * 1e6)
    return bare(Relaxed(tuple(works), tuple(pools.capacities), release_us))


def bare(relaxed: Relaxed) -> Relaxed:
    """Without resources that cannot run out before another one of their pool does."""
    amounts: dict[int, list[dict[int, int]]] = {}
    for work in relaxed.works:
        for mode in work.modes:
            for r, _ in mode.needs:
                amounts.setdefault(r, []).append(dict(mode.needs))
    kept = set(amounts)
    for r in sorted(amounts):
        for other in kept - {r}:
            shares = [needs[r] / needs[other] if other in needs else np.inf for needs in amounts[r]]
            if relaxed.capacities[r] >= relaxed.capacities[other] * max(shares):
                kept.discard(r)
                break
    works = [
        Work(work.job, work.arrival_us, work.deadline_us, best_of([_without(m, kept) for m in work.modes]))
        for work in relaxed.works
    ]
    return Relaxed(tuple(works), relaxed.capacities, relaxed.release_us)


def _without(mode: Mode, kept: set[int]) -> Mode:
    return mode._replace(needs=tuple((r, amount) for r, amount in mode.needs if r in kept))
