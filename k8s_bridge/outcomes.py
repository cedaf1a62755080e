"""What a finished pod's runner reports in its termination message."""

import json
import math
from dataclasses import dataclass

from synergai.k8s_bridge.clock import parse_time_us
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
        )
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return None  # any container may end with any text
    return report if math.isfinite(report.run_s) and 0 < report.run_s < LONGEST_RUN_S else None


def failure_cause(pod: Pod) -> str:
    """`done`, `rejected` (the kubelet did not admit it) or `failed`."""
    if pod.phase == "Succeeded":
        return "done"
    return "rejected" if pod.reason.startswith("OutOf") or pod.reason in REJECTIONS else "failed"
