"""Run times of simulated kubelets as the simulator would draw them."""

from functools import cache

from synergai.envs.noise import STRAGGLER_SHARE, World, name_key
from synergai.k8s_bridge.embedded.kubelet import PodRun, RunTime
from synergai.offline_profiles.table import ProfileTable

_JOBS = 2**63


def world_run_time(
    table: ProfileTable,
    seed: int,
    error: float,
    level: float = 1.0,
    stragglers: float = STRAGGLER_SHARE,
    default_run_s: float = 1.0,
) -> RunTime:
    """The world of the pod's seed, or of `seed`; pods without a profile run `default_run_s`.

    A pod that is no job of a tape draws its noise by its name.
    """

    @cache
    def world(of_seed: int) -> World:
        return World(table, of_seed, error, level, stragglers)

    world(seed).run_time_s(0, 0, table.profiles[0], 1, "", 0.0)  # compiles now, not at the first pod

    def run_time_s(run: PodRun) -> float:
        try:
            profile = table.find(run.model, run.hardware, run.configuration)
        except KeyError:
            return default_run_s
        job = (name_key(run.pod) if run.job is None else run.job) % _JOBS
        drawn = world(seed if run.seed is None else run.seed)
        return drawn.run_time_s(job, 0, profile, max(run.samples, 1), run.node, run.at_s)

    return run_time_s
