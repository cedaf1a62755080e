"""What a finished pod's runner reports in its termination message."""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple

from synergai.envs.types import Job
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.clock import SECOND_US, parse_time_us
from synergai.k8s_bridge.pods import Pod

REJECTIONS = frozenset(
    {
        "InvalidNodeInfo",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "NodeShutdown",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "SupplementalGroupsPolicyNotSupported",
        "TaintToleration",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
        "UnexpectedPredicateFailureType",
    }
)
"""Reasons of pods that a kubelet did not admit, beside OutOfcpu and its like.

https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/lifecycle/predicate.go
"""
LONGEST_RUN_S = 10 * 366 * 86_400.0
SHORTEST_BY_POD_US = 30 * SECOND_US
"""Container times have whole seconds: runs that are not longer are not measured by them."""

_AMOUNTS = {
    "load_s": "loadSeconds",
    "compute_s": "computeSeconds",
    "cpu_s": "cpuSeconds",
    "throttled_s": "throttledSeconds",
    "energy_j": "energyJoules",
}
"""What a report may tell beside."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """The runner's own measurement."""

    model: str
    samples: int
    hardware: str
    configuration: str
    run_s: float
    """Scenario seconds by the runner's monotonic clock."""
    finished_us: int | None = None
    """Server time by the node's clock; pod timestamps have whole seconds only."""
    process_us: int | None = None
    """When its process started, by the same clock; None where it did not say, as with all that follows."""
    load_s: float | None = None
    """Of importing the engine and loading the model."""
    compute_s: float | None = None
    """From the first query to the end of the last."""
    cpu_s: float | None = None
    throttled_s: float | None = None
    """For how long its container's CPU limit held it up."""
    energy_j: float | None = None


class Ran(NamedTuple):
    """How long a run took, and how long the profiles said that it would, both from its bind on, scenario seconds."""

    observed_s: float
    predicted_s: float


def read_report(pod: Pod) -> RunReport | None:
    """The report of a pod that succeeded; None where there is none or it cannot be believed."""
    if pod.phase != "Succeeded" or not pod.message:
        return None
    try:
        value = json.loads(pod.message)
        report = RunReport(
            model=str(value["model"]),
            samples=int(value["samples"]),
            hardware=str(value["hardware"]),
            configuration=str(value["configuration"]),
            run_s=float(value["runSeconds"]),
            finished_us=parse_time_us(value["finishedAt"]) if "finishedAt" in value else None,
            process_us=_time_us(value.get("processStartedAt")),
            **{name: _amount(value.get(key)) for name, key in _AMOUNTS.items()},
        )
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None  # any container may end with any text
    return report if math.isfinite(report.run_s) and 0 < report.run_s < LONGEST_RUN_S else None


def refusal(message: str) -> str:
    """Of a termination message: the runner's reason for not running, and any other message as it is."""
    try:
        value = json.loads(message)
        return value["error"] if isinstance(value["error"], str) else message
    except (ValueError, LookupError, TypeError, RecursionError):
        return message


def _time_us(text: object) -> int | None:
    try:
        return parse_time_us(text) if isinstance(text, str) else None
    except (ValueError, OverflowError):
        return None


def _amount(value: object) -> float | None:
    """What cannot be believed is left out: a runner of one's own need not know these."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < LONGEST_RUN_S else None


def observed_run_s(
    pod: Pod, report: RunReport | None, record: DecisionRecord | None, job: Job | None, speed: float
) -> float | None:
    """Scenario seconds that what was decided took: by the runner's own clock, else by the container's times. None
    where nobody measured it, or the runner says that it ran something else."""
    if pod.phase != "Succeeded" or record is None or job is None:
        return None
    if report is not None:
        ran = (report.hardware, report.configuration, report.samples)
        return report.run_s if ran == (record.hardware, record.configuration, job.samples) else None
    if pod.ran_us is None or pod.ran_us <= SHORTEST_BY_POD_US:
        return None
    return pod.ran_us * speed / SECOND_US


def failure_cause(pod: Pod) -> str:
    """`done`, `rejected` (the kubelet did not admit it) or `failed`."""
    if pod.phase == "Succeeded":
        return "done"
    return "rejected" if pod.reason.startswith("OutOf") or pod.reason in REJECTIONS else "failed"
