"""Taints of nodes, and what tolerates them.

https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from collections.abc import Iterable
from dataclasses import dataclass

BLOCKING = ("NoSchedule", "NoExecute")
READINESS = frozenset({"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"})
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"


@dataclass(frozen=True, slots=True)
class Taint:
    """One taint."""

    key: str
    value: str
    effect: str


CORDON = Taint(UNSCHEDULABLE, "", "NoSchedule")
"""What a pod must tolerate to go to a cordoned node."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """One toleration; empty `key` is any, empty `effect` is any."""

    key: str
    exists: bool
    value: str
    effect: str


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if not toleration.key:
        return toleration.exists
    return toleration.key == taint.key and (toleration.exists or toleration.value == taint.value)


def untolerated(taints: Iterable[Taint], tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The first taint that keeps the pod away."""
    return next((t for t in taints if not any(tolerates(toleration, t) for toleration in tolerations)), None)
