"""What became of the pods, from their own annotations and termination messages, in scenario seconds."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.clock import parse_time_us
from synergai.offline_profiles.table import ProfileTable


@dataclass(frozen=True)
class Outcome:
    """One scheduler's figures over all pods of one tape."""

    scheduler: str
    pods: int
    failed: int
    violations: int
    excess_mean_s: float
    excess_p99_s: float
    energy_j_per_job: float
    wall_s: float
    simulated_violations: int

    @property
    def rate(self) -> float:
        return self.violations / max(self.pods, 1)


def excess_real_s(pod: dict[str, Any]) -> float:
    """Real seconds from the deadline to the runner's own finish stamp; infinite for a pod that failed."""
    deadline_us = parse_time_us(pod["metadata"]["annotations"][keys.ANNOTATION_DEADLINE])
    message = termination(pod)
    if message is None:
        return float("inf")
    return max(parse_time_us(message["finishedAt"]) - deadline_us, 0) * 1e-6


def is_late(pod: dict[str, Any]) -> bool:
    return excess_real_s(pod) > 0.0


def termination(pod: dict[str, Any]) -> dict[str, Any] | None:
    """The runner's message; None for a pod that did not succeed."""
    if pod["status"].get("phase") != "Succeeded":
        return None
    state = pod["status"]["containerStatuses"][0]["state"]
    return json.loads(state["terminated"]["message"])


def energy_j(pod: dict[str, Any], table: ProfileTable) -> float:
    """Joules above idle by the profile's power and the time it ran."""
    message = termination(pod)
    if message is None or not message.get("configuration"):
        return 0.0
    profile = table.find(message["model"], message["hardware"], message["configuration"])
    return (profile.active_w - profile.idle_w) * float(message["runSeconds"])


def outcome(
    scheduler: str,
    pods: Sequence[dict[str, Any]],
    speed: float,
    table: ProfileTable,
    wall_s: float,
    simulated: int,
) -> Outcome:
    excess = np.array([excess_real_s(pod) for pod in pods]) * speed
    served = excess[np.isfinite(excess)]
    return Outcome(
        scheduler=scheduler,
        pods=len(pods),
        failed=int((~np.isfinite(excess)).sum()),
        violations=int((excess > 0).sum()),
        excess_mean_s=float(served.mean()) if len(served) else 0.0,
        excess_p99_s=float(np.quantile(served, 0.99)) if len(served) else 0.0,
        energy_j_per_job=float(np.mean([energy_j(pod, table) for pod in pods])),
        wall_s=wall_s,
        simulated_violations=simulated,
    )
