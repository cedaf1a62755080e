"""Which nodes admit a pod, and why the others do not, in kube-scheduler's words where it has them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from synergai.envs.types import Node
from synergai.k8s_bridge.nodes import NodeFacts, Taint
from synergai.k8s_bridge.pods import Demand, Toleration
from synergai.offline_profiles.profile import Hardware


@dataclass(frozen=True, slots=True)
class Place:
    """A node with its constraints (`facts`) and its room net of others (`node`)."""

    facts: NodeFacts
    node: Node


@dataclass(frozen=True, slots=True)
class Wish:
    """A pod's demand and the hardware that may serve it, None for any."""

    demand: Demand
    hardware: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """The nodes that admit a pod, and how many nodes refuse it for which reason."""

    nodes: frozenset[str]
    reasons: tuple[tuple[str, int], ...]
    total: int

    def explain(self) -> str:
        """`0/8 nodes are available: 3 Insufficient cpu, 5 node(s) didn't match ...`."""
        head = f"{len(self.nodes)}/{self.total} nodes are available"
        parts = ", ".join(f"{count} {reason}" for reason, count in self.reasons)
        return f"{head}: {parts}." if parts else f"{head}."


def admit(wish: Wish, places: Iterable[Place], hardware: Mapping[str, Hardware]) -> Admission:
    """Filter all nodes; each refused node counts under its first reason."""
    nodes, reasons, total = set(), Counter[str](), 0
    for place in places:
        total += 1
        reason = refusal(wish, place, hardware)
        if reason:
            reasons[reason] += 1
        else:
            nodes.add(place.facts.name)
    return Admission(frozenset(nodes), tuple(sorted(reasons.items())), total)


def refusal(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """Why the node does not admit the pod; empty when it does.

    Readiness is left out: a node that is not ready admits the pod and is given nothing (`Node.ready`).
    """
    for check in _FILTERS:
        reason = check(wish, place, hardware)
        if reason:
            return reason
    return ""


def _usable(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    if not place.facts.problem:
        return ""
    return (
        "node(s) weren't dedicated to SynergAI"
        if place.facts.devices
        else "node(s) weren't usable by SynergAI"
    )


def _taints(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    for taint in place.facts.taints:
        if not any(tolerates(toleration, taint) for toleration in wish.demand.tolerations):
            return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"
    return ""


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if not toleration.key:
        return toleration.exists
    return toleration.key == taint.key and (toleration.exists or toleration.value == taint.value)


def _selector(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    if all(place.facts.labels.get(key) == value for key, value in wish.demand.selector):
        return ""
    return "node(s) didn't match Pod's node affinity/selector"


def _hardware(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    if wish.hardware is None or any(device.hardware in wish.hardware for device in place.node.devices):
        return ""
    return "node(s) had none of the hardware that may serve the pod"


def _room(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """Whether the pod would fit the node with all our own pods gone."""
    requests, node = wish.demand.requests, place.node
    if requests.cpu_milli > node.cpu_milli:
        return "Insufficient cpu"
    if requests.memory_mib > node.memory_mib:
        return "Insufficient memory"
    return "Too many pods" if node.pods < 1 else ""


def _extended(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """An extended resource counts only where it is the resource behind a device of the node."""
    for resource, amount in wish.demand.requests.extended:
        behind = (d.units for d in place.node.devices if hardware[d.hardware].resource == resource)
        if amount > max(behind, default=0):
            return f"Insufficient {resource}"
    return ""


_FILTERS: tuple[Callable[[Wish, Place, Mapping[str, Hardware]], str], ...] = (
    _usable,
    _taints,
    _selector,
    _hardware,
    _room,
    _extended,
)
