"""What one decision costs, as the bridge takes it."""

import time

import numpy as np

from synergai.agents.learned import Learned, load
from synergai.benchmarks.figure import BenchError, Figure
from synergai.benchmarks.worlds import resized
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import Candidates, empty_candidates, list_candidates, scratch_for
from synergai.envs.cluster import Cluster
from synergai.envs.features import N_GLOBAL, N_ROW
from synergai.envs.state import NONE, ClusterState
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.types import Decision, Job, Node

STATES = 20
"""Different queues on the same nodes."""
FEWEST_JOBS = 10
"""That a tape can have."""


class _Timed:
    """A scheduler that takes a decision many times and keeps how long it took."""

    def __init__(self, policy: Learned, repeats: int) -> None:
        self.policy = policy
        self.repeats = repeats
        self.times_us: list[float] = []
        self.candidates: list[int] = []
        self._out = empty_candidates()

    def decide(self, state: ClusterState, candidates: Candidates) -> Decision:
        scratch = scratch_for(state)
        self._once(state, scratch)  # compiles, and fetches what the round did not leave in the caches
        self.times_us += [1e6 * self._once(state, scratch) for _ in range(self.repeats)]
        self.candidates.append(int(candidates.n[0]))
        return self.policy.decide(state, candidates)

    def _once(self, state, scratch) -> float:
        began = time.perf_counter()
        list_candidates(state, scratch, self._out, NONE)
        self.policy.decide(state, self._out)
        return time.perf_counter() - began


def decision_us(
    nodes: int = 100,
    jobs: int = 100,
    scenario: str = "demo",
    checkpoint: str = "demo",
    repeats: int = 100,
    seed: int = 0,
) -> Figure:
    """The first decision of a round: options surveyed, nodes found, features, network. Half of the nodes are busy."""
    setting = setting_of(resized(scenarios.load(scenario), nodes))
    timed = _Timed(load(checkpoint), repeats)
    for number in range(STATES):
        cluster = queued_cluster(setting, jobs, seed + number)
        next(cluster.round(0, timed), None)
    if not timed.times_us:
        raise BenchError(f"decision_us: {nodes} nodes and {jobs} jobs leave no choice; take more")
    p50, p99 = np.percentile(timed.times_us, [50, 99])
    facts = {
        "p99": round(float(p99), 3), "nodes": nodes, "jobs": jobs, "busy_nodes": nodes // 2, "scenario": scenario,
        "checkpoint": checkpoint, "width": timed.policy.checkpoint.width, "features": N_ROW + N_GLOBAL,
        "mean_candidates": round(float(np.mean(timed.candidates)), 1), "states": len(timed.candidates),
        "repeats": repeats, "seed": seed, "cores_used": 1,
    }  # fmt: skip
    return Figure(float(p50), "us", facts)


def queued_cluster(setting: Setting, jobs: int, seed: int) -> Cluster:
    """At time 0 so many jobs of the scenario's mix wait, and every second node is full of jobs half done."""
    cluster = Cluster(setting.table, setting.scenario.mix())
    cluster.set_nodes(setting.catalog.nodes)
    for node in setting.catalog.nodes[1::2]:
        _fill(cluster, setting, node)
    tape = make_tape(setting, seed, max(jobs, FEWEST_JOBS), tail=0.0)
    for i, job in enumerate(tape.jobs[:jobs]):
        model = setting.catalog.models[job["model"]]
        patience_us = int(job["deadline_us"] - job["arrival_us"])
        cluster.enqueue(Job(f"queued/{i}", model, int(job["samples"]), 0, patience_us))
    return cluster


def _fill(cluster: Cluster, setting: Setting, node: Node) -> None:
    """Run the mix's first model that each device has a profile of until no more of it fits."""
    cpu, memory = node.cpu_milli, node.memory_mib
    for device in node.devices:
        found = (p for name in setting.scenario.jobs for p in setting.table.of(name, device.hardware))
        profile = next(found, None)
        if profile is None:
            continue
        left = device.units
        while cpu >= profile.cpu_milli and memory >= profile.memory_mib and left >= profile.device_units:
            samples = round(setting.scenario.jobs[profile.model].samples)
            job = Job(f"{node.name}/{device.hardware}/{cpu}", profile.model, samples, 0)
            half_us = round(profile.run_time_s(samples) * 5e5)
            cluster.adopt(job, node.name, device.hardware, profile.configuration, -half_us)
            cpu, memory = cpu - profile.cpu_milli, memory - profile.memory_mib
            left -= profile.device_units
