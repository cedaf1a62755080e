"""A decision log as a scenario: its nodes, its job mix, and its arrivals as a trace.

Jobs keep when they came and how large they were beside others of their model. Which model, how urgent and whose they
are is drawn from how it was in the log, so that tapes differ; `synergai replay` plays the log itself.
"""

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from synergai.envs.decision_log import DecisionLog, LogError, read_logs
from synergai.envs.scenario import Arrivals, Deadlines, MixEntry, NodeGroup, Scenario, ScenarioError, Urgency
from synergai.envs.types import Job, Node
from synergai.offline_profiles.table import ProfileTable

BANDS = 3
"""Of tightness: equally many deadlines in each."""
ANY_TIGHTNESS = Deadlines()
"""Where no job of the log has a deadline."""


def scenario_of(path: Path) -> Scenario:
    """By the shipped profiles. Its load is that of the log; ScenarioError says what is wrong with it."""
    from synergai.envs.tape import setting_of  # which needs arrivals, and these need this

    table = ProfileTable.default()
    log = _read(path)
    jobs = [job for job in log.jobs if job.model in table.models]
    nodes = _nodes(log, table)
    if not jobs or not nodes:
        raise ScenarioError(
            f"{path}: nothing of it is in the shipped profiles; `synergai replay` takes others"
        )
    made = Scenario(
        name=_name(path.stem),
        description=f"arrivals and nodes of {path}",
        machines=nodes,
        jobs=_mix(jobs),
        arrivals=Arrivals(kind="trace", trace=str(path)),
        load=1.0,
        deadlines=_deadlines(jobs, table),
    )
    span_s = max((jobs[-1].arrival_us - jobs[0].arrival_us) * 1e-6, 1e-6)
    load = len(jobs) / span_s / setting_of(made).capacity.jobs_per_s
    return made.model_copy(update={"load": round(load, 3)})


def trace_of(path: Path) -> list[tuple[float, float]]:
    """(milliseconds from the first arrival, samples as multiples of the model's median) of each job."""
    jobs = _read(path).jobs
    sizes: defaultdict[str, list[int]] = defaultdict(list)
    for job in jobs:
        sizes[job.model].append(job.samples)
    medians = {model: float(np.median(found)) for model, found in sizes.items()}
    return [((job.arrival_us - jobs[0].arrival_us) / 1e3, job.samples / medians[job.model]) for job in jobs]


def _read(path: Path) -> DecisionLog:
    try:
        return read_logs([path])
    except LogError as error:
        raise ScenarioError(str(error)) from None


def _name(text: str) -> str:
    return re.sub("[^a-z0-9-]+", "-", text.lower()).strip("-")[:52] or "log"


def _nodes(log: DecisionLog, table: ProfileTable) -> list[NodeGroup]:
    """Every node as it was last, by its own name as far as scenarios have such names."""
    last = {change.name: change.node for change in log.nodes if change.node is not None}
    groups, taken = [], set()
    for node in last.values():
        hardware = {d.hardware: max(d.units, 1) for d in node.devices if d.hardware in table.hardware}
        name = _name(node.name)
        if hardware and name not in taken and node.cpu_milli > 0 and node.memory_mib > 0:
            taken.add(name)
            groups.append(_group(node, name, hardware))
    return groups


def _group(node: Node, name: str, hardware: dict[str, int]) -> NodeGroup:
    return NodeGroup(
        name=name,
        hardware=hardware,
        cpu_milli=node.cpu_milli,
        memory_mib=node.memory_mib,
        pods=max(node.pods, 1),
        site=_name(node.site) if node.site else "",
    )


def _mix(jobs: list[Job]) -> dict[str, MixEntry]:
    by_model: defaultdict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_model[job.model].append(job)
    return {model: _entry(found) for model, found in sorted(by_model.items())}


def _entry(jobs: list[Job]) -> MixEntry:
    samples = np.array([job.samples for job in jobs], float)
    priorities = Counter(job.priority for job in jobs)
    return MixEntry(
        share=float(len(jobs)),
        samples=float(np.median(samples)),
        samples_log_sd=min(float(np.std(np.log(samples))), 5.0),
        priorities=[Urgency(priority=p, share=float(n)) for p, n in sorted(priorities.items())],
        namespaces={name: float(n) for name, n in sorted(Counter(job.namespace for job in jobs).items())},
        best_effort=sum(job.deadline_us is None for job in jobs) / len(jobs),
    )


def _deadlines(jobs: list[Job], table: ProfileTable) -> Deadlines:
    tightness = sorted(
        max((job.deadline_us - job.arrival_us) * 1e-6 / table.reference_s(job.model, job.samples), 0.01)
        for job in jobs
        if job.deadline_us is not None
    )
    if not tightness:
        return ANY_TIGHTNESS
    bands = [band for band in np.array_split(np.array(tightness), BANDS) if len(band)]
    return Deadlines(tightness=[(float(band[0]), float(band[-1])) for band in bands])
