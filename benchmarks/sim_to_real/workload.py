"""Jobs of a replayed trace for the nodes that a cluster has: the same for every scheduler that is compared."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from synergai.envs.arrivals import read_trace, replay
from synergai.envs.cluster import Cluster
from synergai.envs.mix import ModelLoad
from synergai.envs.types import Node
from synergai.offline_profiles.table import ProfileTable

TRACE = "azure_conversation_2023"
LEAST, MOST = 5 / 7, 3.0
"""Sizes of the trace, in medians, are cut to this: no run under 5 s where the median takes 7."""
BANDS = ((2.0, 4.0), (4.0, 6.0), (6.0, 10.0))
"""Tightness of deadlines, equally likely: wider than a scenario's, as start-up is a large part of runs so short."""


class WorkloadError(ValueError):
    """No work can be made for these nodes; one line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One job; times are seconds from the start of the submission."""

    name: str
    model: str
    samples: int
    arrival_s: float
    deadline_s: float


@dataclass(frozen=True)
class Recipe:
    """What is to be made. `load` is arrivals per second over the most that the nodes sustain."""

    models: tuple[str, ...]
    jobs: int = 100
    load: float = 0.7
    job_s: float = 7.0
    """Median run of a job on its fastest class, without start-up."""
    seed: int = 0


def workload(recipe: Recipe, nodes: Sequence[Node], table: ProfileTable, pod_start_s: float) -> list[Asked]:
    """By arrival. WorkloadError where a model has no profile on these nodes."""
    rng = np.random.default_rng([recipe.seed, 0x7265])
    medians = {model: _samples(model, recipe.job_s, nodes, table) for model in recipe.models}
    rate_sps = recipe.load * most_jobs_per_s(medians, nodes, table, pod_start_s)
    arrival_s, size = replay(TRACE, rng, recipe.jobs, rate_sps)
    size = np.clip(size, LEAST, MOST)
    bands = np.log(np.array(BANDS))[rng.integers(len(BANDS), size=recipe.jobs)]
    tightness = np.exp(rng.uniform(bands[:, 0], bands[:, 1]))
    jobs = []
    for n, model in enumerate(rng.choice(recipe.models, size=recipe.jobs)):
        samples = max(round(medians[model] * size[n]), 1)
        budget_s = tightness[n] * table.reference_s(model, samples)
        at_s = float(arrival_s[n] - arrival_s[0])
        jobs.append(Asked(f"job-{n:04d}", str(model), samples, at_s, at_s + float(budget_s)))
    return jobs


def _samples(model: str, job_s: float, nodes: Sequence[Node], table: ProfileTable) -> float:
    """How many take so long on the fastest class of these nodes."""
    classes = {device.hardware for node in nodes for device in node.devices}
    fastest = [row for name in classes for row in table.of(model, name)]
    if not fastest:
        raise WorkloadError(f"model {model!r} has no profile on {', '.join(sorted(classes)) or 'any node'}")
    return max(job_s / (row.run_time_s(10_000) / 10_000) for row in fastest)


def most_jobs_per_s(
    medians: Mapping[str, float], nodes: Sequence[Node], table: ProfileTable, pod_start_s: float
) -> float:
    """lambda*: by the linear program that simulator and bridge solve."""
    sizes = np.clip(read_trace(TRACE)[1], LEAST, MOST)
    mix = {model: ModelLoad(1.0, samples).replayed(sizes) for model, samples in medians.items()}
    cluster = Cluster(table, mix, 0.0, pod_start_s)
    cluster.set_nodes(nodes)
    cluster.refresh(0)
    found = float(cluster.state.clock[0]["capacity_sps"])
    if found <= 0.0:
        raise WorkloadError(
            f"the nodes {', '.join(node.name for node in nodes)} have room for none of the jobs"
        )
    return found


def save(jobs: Sequence[Asked], path: Path) -> None:
    """As JSON."""
    path.write_text(json.dumps([asdict(job) for job in jobs], indent=0) + "\n", encoding="utf-8")
