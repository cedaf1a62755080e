"""A recording that the simulator itself plays: what a cluster would be that is exactly as it says."""

from synergai.agents.registry import make
from synergai.benchmarks.sim_to_real.parameters import Parameters
from synergai.benchmarks.sim_to_real.prediction import World
from synergai.benchmarks.sim_to_real.stages import Recording, Stages
from synergai.benchmarks.sim_to_real.workload import Recipe, workload
from synergai.envs.decision_log import DecisionLog, NodeChange
from synergai.envs.types import Device, Job, Node
from synergai.offline_profiles.table import ProfileTable

SECOND_US = 1_000_000
BEGIN_US = 1_700_000_000 * SECOND_US
MODELS = ("resnet50", "bert-99", "ssd-mobilenet")
NODES = (
    Node("orin-0", (Device("jetson-agx-orin-maxn", 1),), cpu_milli=12_000, memory_mib=60_000, pods=110),
    Node("t4-0", (Device("nvidia-t4", 2),), cpu_milli=16_000, memory_mib=60_000, pods=110),
)
TABLE = ProfileTable.default()


def recording(
    parameters: Parameters, scheduler: str = "edf_likely", jobs: int = 60, seed: int = 0
) -> Recording:
    """What a cluster with these parameters would have written down under a rule."""
    asked = workload(Recipe(MODELS, jobs=jobs, load=0.8, seed=seed), NODES, TABLE, parameters.pod_start_s)
    log = DecisionLog(
        jobs=[
            Job(f"default/{a.name}", a.model, a.samples, _us(a.arrival_s), _us(a.deadline_s)) for a in asked
        ],
        nodes=[NodeChange(BEGIN_US, node.name, node) for node in NODES],
        first_us=BEGIN_US,
    )
    nothing = tuple(_unknown(job) for job in log.jobs)
    world = World(Recording(scheduler, log, nothing, ()), TABLE, parameters)
    sim = world.played(make(scheduler), seed)
    stages = []
    for i, job in enumerate(log.jobs):
        outcome, option = sim.outcomes[i], sim.outcomes[i]["option"]
        profile = world.picture.catalog.profiles[option]
        begun_us = BEGIN_US + int(outcome["start_us"])
        ended_us = BEGIN_US + int(outcome["finish_us"])
        option = (profile.hardware, profile.model, profile.configuration)
        startup_s = profile.startup_cached_s + parameters.startup_of(*option)
        factor = parameters.compute_of(*option)
        compute_s = profile.run_time_s(job.samples) * factor
        stages.append(
            Stages(
                key=job.key,
                model=job.model,
                samples=job.samples,
                node=NODES[int(outcome["node"])].name,
                hardware=profile.hardware,
                configuration=profile.configuration,
                arrival_us=job.arrival_us,
                deadline_us=job.deadline_us or 0,
                decided_us=begun_us,
                began_us=ended_us - round((startup_s + compute_s) * SECOND_US),
                finished_us=ended_us,
                seen_us=ended_us + round(parameters.release_s * SECOND_US),
                compute_s=compute_s,
            )
        )
    return Recording(scheduler, log, tuple(stages), ())


def _us(at_s: float) -> int:
    return BEGIN_US + round(at_s * SECOND_US)


def _unknown(job: Job) -> Stages:
    return Stages(
        job.key, job.model, job.samples, "", "", "", job.arrival_us, job.deadline_us or 0, 0, 0, 0, 0, 0.0
    )
