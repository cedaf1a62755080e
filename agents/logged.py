"""A decision log played again: the arrivals that a bridge wrote down, on the nodes that it had, under other schedulers;
and what really became of them, in the same measures.

The world is what the log says of it: how long each option's runs really took, on average, with the noise that differs
from run to run; nodes are closed while they were not there or not ready, and others' pods take what was not ours. What
a scheduler knows of run times at the beginning is what the bridge knew then.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from math import log

import numpy as np

from synergai.agents.replay import (
    LONGEST_US,
    Picture,
    Window,
    begin,
    picture_of,
    play,
    setting_of_picture,
    tape_of_window,
)
from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.decision_log import DecisionLog, Ended, LogError
from synergai.envs.disturbances import CHANGE, CLOSES, OPENS, POD
from synergai.envs.learnt import WIDEST_LOG, Learnt, OptionName
from synergai.envs.metrics import Measures, lateness, measure
from synergai.envs.mix import ModelLoad
from synergai.envs.state import NEVER_US
from synergai.envs.tape import Tape
from synergai.envs.types import Job, Node
from synergai.offline_profiles.table import ProfileTable


@dataclass(frozen=True)
class Logged:
    """What can be played of a log."""

    log: DecisionLog
    jobs: tuple[Job, ...]
    """By arrival; those that count are known in the end: finished, or late when the log ends."""
    counted: np.ndarray  # (jobs,) bool
    known: Picture
    """The cluster, with what the bridge knew at the beginning."""
    real: Picture
    """The same, with what the runs of the log tell."""
    left_out: tuple[str, ...]
    """Jobs and nodes that the profiles do not know, one line for each kind."""


def logged(found: DecisionLog, table: ProfileTable) -> Logged:
    """LogError where nothing of it can be played with these profiles."""
    jobs = tuple(
        replace(job, arrival_us=max(job.arrival_us, found.first_us))
        for job in found.jobs
        if job.model in table.models
    )
    nodes = widest_nodes(found, table)
    if not nodes:
        raise LogError("no node of the log has hardware that the profiles know")
    if not jobs:
        raise LogError("no job of the log is of a model that the profiles know")
    mix = mix_of_jobs(jobs)
    start = found.start
    options = (float(start.get("energyWeight", 0.0)), float(start.get("podStartS", 0.0)))
    learnt = [found.learnt, found.learnt | observed(found)]
    known, real = (_picture(table, nodes, mix, options, what, jobs[0].arrival_us) for what in learnt)
    jobs = tuple(sorted(jobs, key=lambda job: job.arrival_us))
    counted = np.array([_is_known(job, found) for job in jobs])
    if not counted.any():
        raise LogError("no job of the log has a deadline, or none of them has ended")
    return Logged(found, jobs, counted, known, real, _left_out(found, table))


def _is_known(job: Job, found: DecisionLog) -> bool:
    return job.deadline_us is not None and (job.key in found.ended or job.deadline_us <= found.last_us)


def _left_out(found: DecisionLog, table: ProfileTable) -> tuple[str, ...]:
    models = sorted({job.model for job in found.jobs if job.model not in table.models})
    classes = {device.hardware for change in found.nodes if change.node for device in change.node.devices}
    hardware = sorted(classes - table.hardware.keys())
    lines = [f"no profile of model {name!r}: its jobs are left out" for name in models]
    return (*lines, *(f"no profile of hardware {name!r}" for name in hardware))


def _picture(
    table: ProfileTable,
    nodes: list[Node],
    mix: dict[str, ModelLoad],
    options: tuple[float, float],
    learnt: Mapping[OptionName, Learnt],
    now_us: int,
) -> Picture:
    cluster = Cluster(table, mix, *options)
    cluster.set_nodes(nodes)
    cluster.learn(learnt)
    cluster.refresh(now_us)
    try:
        return picture_of(cluster)
    except ValueError:
        raise LogError("the nodes of the log can serve none of its jobs") from None


def widest_nodes(found: DecisionLog, table: ProfileTable) -> list[Node]:
    """Every node that there was, ready, with the most room that it had and its last devices."""
    widest: dict[str, Node] = {}
    for change in found.nodes:
        node, before = change.node, widest.get(change.name)
        if node is None:
            continue
        devices = tuple(device for device in node.devices if device.hardware in table.hardware)
        if before is not None:
            cpu, memory = max(before.cpu_milli, node.cpu_milli), max(before.memory_mib, node.memory_mib)
            node = replace(node, cpu_milli=cpu, memory_mib=memory, pods=max(before.pods, node.pods))
        widest[change.name] = replace(node, devices=devices, ready=True)
    return [node for node in widest.values() if node.devices]


def mix_of_jobs(jobs: Iterable[Job]) -> dict[str, ModelLoad]:
    """The job mix as it was: shares, and log-normals of the samples."""
    samples: defaultdict[str, list[int]] = defaultdict(list)
    for job in jobs:
        samples[job.model].append(job.samples)
    return {
        model: ModelLoad(len(sizes), float(np.median(sizes)), float(np.std(np.log(sizes))))
        for model, sizes in sorted(samples.items())
    }


def observed(found: DecisionLog) -> dict[OptionName, Learnt]:
    """Of each option that ran in the log: how many runs, and the mean log of observed over predicted run time."""
    models = {job.key: job.model for job in found.jobs}
    logs: defaultdict[OptionName, list[float]] = defaultdict(list)
    for key, ended in found.ended.items():
        if ended.observed_s and ended.predicted_s:
            ratio = min(max(log(ended.observed_s / ended.predicted_s), -WIDEST_LOG), WIDEST_LOG)
            logs[OptionName(models[key], ended.hardware, ended.configuration)].append(ratio)
    return {name: Learnt(float(len(seen)), float(np.mean(seen))) for name, seen in logs.items()}


# played ---------------------------------------------------------------------------------------------------------------
def play_logged(what: Logged, scheduler: Scheduler, seed: int) -> Measures:
    """The log's jobs under a scheduler; the same seed is the same luck."""
    setting, tape = setting_of_picture(what.known), tape_of_log(what, seed)
    window = Window(what.jobs, 0, len(what.jobs))
    sim = begin(what.known, window, setting, tape)
    sim.progress[0]["end_us"] = int(tape.jobs[-1]["arrival_us"]) + LONGEST_US
    play(sim, scheduler)
    return measure(setting, sim)


def tape_of_log(what: Logged, seed: int) -> Tape:
    """From time 0 on, the first arrival."""
    tape = tape_of_window(what.real, Window(what.jobs, 0, len(what.jobs)), seed)
    tape.jobs["counted"] = what.counted
    changes, pods = node_changes(what)
    return tape._replace(changes=changes, pods=pods)


def node_changes(what: Logged) -> tuple[np.ndarray, np.ndarray]:
    """Nodes that are closed while they were not ready or not there, and pods of others that take what was not ours:
    (changes,) CHANGE and (pods,) POD, by time."""
    from_us = what.jobs[0].arrival_us
    changes: list[tuple[int, int, int]] = []
    pods: list[tuple[int, int, int, int, int]] = []
    for n, widest in enumerate(what.known.catalog.nodes):
        steps = _steps(what, widest.name, from_us)
        is_open = True
        for (at_us, node), (until_us, _) in zip(steps, [*steps[1:], (NEVER_US, None)]):
            ready = node is not None and node.ready
            if ready != is_open:
                changes.append((at_us, n, OPENS if ready else CLOSES))
                is_open = ready
            if node is not None and ready:
                taken = (widest.cpu_milli - node.cpu_milli, widest.memory_mib - node.memory_mib)
                if max(taken) > 0:
                    pods.append((at_us, until_us, *taken, n))
    return np.array(sorted(changes), CHANGE), np.array(sorted(pods), POD)


def _steps(what: Logged, name: str, from_us: int) -> list[tuple[int, Node | None]]:
    """What a node was, from when on: from 0 on what it was at the first arrival; None where it was not there."""
    steps: list[tuple[int, Node | None]] = [(0, None)]
    for change in what.log.nodes:
        if change.name == name:
            step = (max(change.at_us - from_us, 0), change.node)
            if steps[-1][0] == step[0]:
                steps.pop()
            steps.append(step)
    return steps


# as it happened -------------------------------------------------------------------------------------------------------
def as_it_happened(what: Logged) -> Measures:
    """What the log says became of the counted jobs; energy by the profiles' power and the runs' times."""
    found, last_us = what.log, what.log.last_us
    jobs = [job for job, counts in zip(what.jobs, what.counted) if counts]
    ends = [found.ended.get(job.key) for job in jobs]
    deadline_us = np.array([job.deadline_us for job in jobs])
    arrival_us = np.array([job.arrival_us for job in jobs])
    done = np.array([end is not None and end.cause == "done" for end in ends])
    finish_us = np.array([last_us if end is None else end.at_us for end in ends])
    start_us = np.array([found.started_us.get(job.key, last_us) for job in jobs])
    energy_j = np.array([_energy_j(what.known.catalog.table, job, end) for job, end in zip(jobs, ends)])
    excess = np.maximum(finish_us - deadline_us, 0) * 1e-6
    wait, flow = np.maximum(start_us - arrival_us, 0) * 1e-6, np.maximum(finish_us - arrival_us, 0) * 1e-6
    ran = energy_j > 0
    samples = sum(job.samples for job, did in zip(jobs, ran) if did)
    return Measures(
        jobs=len(jobs),
        violations=int((~done | (finish_us > deadline_us)).sum()),
        unfinished=sum(end is None for end in ends),
        **lateness(excess, wait, flow),
        energy_j_per_job=float(energy_j.mean()),
        energy_j_per_sample=float(energy_j.sum() / max(samples, 1)),
        span_s=(last_us - found.first_us) * 1e-6,
        decisions=len(found.started_us),
    )


def _energy_j(table: ProfileTable, job: Job, ended: Ended | None) -> float:
    if ended is None or ended.observed_s is None:
        return 0.0
    try:
        profile = table.find(job.model, ended.hardware, ended.configuration)
    except KeyError:
        return 0.0
    return (profile.active_w - profile.idle_w) * ended.observed_s


def mean_of(runs: list[Measures]) -> Measures:
    """Of several lucks, measure by measure."""
    means = {
        field.name: float(np.mean([getattr(run, field.name) for run in runs])) for field in fields(Measures)
    }
    counts = {name: round(means[name]) for name in ("jobs", "unfinished", "decisions")}
    return Measures(**(means | counts))  # type: ignore[arg-type] - a mean of violations need not be whole


def load_of(what: Logged) -> float:
    """rho: arrivals per second, of the time between the first and the last, over lambda*."""
    span_s = (what.jobs[-1].arrival_us - what.jobs[0].arrival_us) * 1e-6
    return len(what.jobs) / max(span_s, 1e-6) / setting_of_picture(what.known).capacity.jobs_per_s
