"""What a finished run is judged by, always over the jobs that arrived in the counted window."""

from dataclasses import dataclass

import numpy as np

from synergai.envs.tape import Setting
from synergai.envs.world import WAITING, Sim

LATE_BY_S = (1, 3, 10, 30, 100, 300, 1000)


@dataclass(frozen=True)
class Measures:
    """One run on one tape."""

    jobs: int
    violations: int
    unfinished: int
    excess_mean_s: float
    """Time late so far, mean over all jobs, on-time ones counting 0."""
    excess_p99_s: float
    wait_mean_s: float
    wait_p95_s: float
    flow_mean_s: float
    """Arrival to finish."""
    flow_p95_s: float
    energy_j_per_job: float
    """Above idle."""
    energy_j_per_sample: float
    """Above idle, over the jobs that have started."""
    late_1_s: float
    """Share of the jobs that are late by more than a second; the others alike."""
    late_3_s: float
    late_10_s: float
    late_30_s: float
    late_100_s: float
    late_300_s: float
    late_1000_s: float
    span_s: float
    decisions: int

    @property
    def violation_rate(self) -> float:
        return self.violations / max(self.jobs, 1)


def node_energy_j(setting: Setting, sim: Sim) -> np.ndarray:
    """Of each node so far: idle while it was alive, and above idle. A node idles at what the hungriest of its hardware
    classes is said to. Shape (nodes, 2)."""
    classes = setting.table.hardware
    idle_w = [
        max((classes[d.hardware].idle_w for d in n.devices), default=0.0) for n in setting.catalog.nodes
    ]
    now_us = int(sim.state.clock[0]["now_us"])
    machines = sim.machines[: len(idle_w)]
    dead_us = machines["dead_us"] + np.where(machines["dead"] == 1, now_us - machines["died_us"], 0)
    return np.stack([np.array(idle_w) * (now_us - dead_us) * 1e-6, machines["energy_j"]], axis=1)


def counted_jobs(sim: Sim) -> tuple[np.ndarray, np.ndarray]:
    """Jobs and outcomes of the counted window; without those that a closed loop's clients did not come to send."""
    first, last = sim.tape.window
    jobs, outcomes = sim.tape.jobs[first:last], sim.outcomes[first:last]
    counted = (jobs["counted"] == 1) & (outcomes["status"] != WAITING)
    return jobs[counted], outcomes[counted]


def lateness(excess_s: np.ndarray, wait_s: np.ndarray, flow_s: np.ndarray) -> dict[str, float]:
    """Those of the measures that are of a job's times. Each of shape (jobs,)."""
    return {
        "excess_mean_s": float(excess_s.mean()),
        "excess_p99_s": float(np.quantile(excess_s, 0.99)),
        "wait_mean_s": float(wait_s.mean()),
        "wait_p95_s": float(np.quantile(wait_s, 0.95)),
        "flow_mean_s": float(flow_s.mean()),
        "flow_p95_s": float(np.quantile(flow_s, 0.95)),
        **{f"late_{limit_s}_s": float((excess_s > limit_s).mean()) for limit_s in LATE_BY_S},
    }


def measure(setting: Setting, sim: Sim) -> Measures:
    """The measures of a run that is over."""
    jobs, outcomes = counted_jobs(sim)
    now_us = int(sim.state.clock[0]["now_us"])
    finish = np.where(outcomes["finish_us"] >= 0, outcomes["finish_us"], now_us)
    started = np.where(outcomes["start_us"] >= 0, outcomes["start_us"], now_us)
    excess = np.maximum(finish - jobs["deadline_us"], 0) * 1e-6
    wait = (started - jobs["arrival_us"]) * 1e-6
    flow = (finish - jobs["arrival_us"]) * 1e-6
    ran = outcomes["start_us"] >= 0
    return Measures(
        jobs=len(jobs),
        violations=int((outcomes["violated"] == 1).sum()),
        unfinished=int((outcomes["finish_us"] < 0).sum()),
        **lateness(excess, wait, flow),
        energy_j_per_job=float(outcomes["energy_j"].mean()),
        energy_j_per_sample=float(outcomes["energy_j"][ran].sum() / max(int(jobs["samples"][ran].sum()), 1)),
        span_s=now_us * 1e-6,
        decisions=int(sim.progress[0]["actions"]),
    )
