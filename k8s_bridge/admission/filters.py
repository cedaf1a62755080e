"""Which nodes admit a pod, and why the others do not, in kube-scheduler's words where it has them.

Here is what depends on the pod and the node alone; what depends on other pods is in `neighbourhood`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from synergai.envs.types import Node
from synergai.k8s_bridge.admission.taints import CORDON, Taint, untolerated
from synergai.k8s_bridge.admission.volumes import Volume
from synergai.k8s_bridge.nodes import NodeFacts
from synergai.k8s_bridge.pods import Demand
from synergai.offline_profiles.profile import Hardware
from synergai.offline_profiles.table import Need

STALE = "node(s) had a kube-node-lease that is not renewed"


@dataclass(frozen=True, slots=True)
class Place:
    """A node with its constraints (`facts`) and its room net of others (`node`)."""

    facts: NodeFacts
    node: Node
    extended: Mapping[str, int] = field(default_factory=dict)
    """What others leave of its other resources, as the node itself counts them."""
    stale: bool = False
    """Its Lease is old: the node may be gone."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A pod's demand and the hardware that may serve it, None for any."""

    demand: Demand
    hardware: frozenset[str] | None = None
    needs: tuple[tuple[str, Need], ...] = ()
    """By hardware: what its smallest configurations take; none where there is no profile."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The nodes that admit a pod, and how many nodes refuse it for which reason."""

    nodes: frozenset[str]
    reasons: tuple[tuple[str, int], ...]
    total: int
    eligible: frozenset[str] = frozenset()
    """Also those that refuse it only because they are not ready, cordoned or silent."""
    problem: str = ""
    """Why no node can be said to admit it."""

    def explain(self) -> str:
        """`0/8 nodes are available: 3 Insufficient cpu, 5 node(s) didn't match ...`."""
        head = f"{len(self.nodes)}/{self.total} nodes are available"
        parts = self.problem or ", ".join(f"{count} {reason}" for reason, count in self.reasons)
        return f"{head}: {parts}." if parts else f"{head}."

    def without(self, refused: Mapping[str, str]) -> "Admission":
        """The same with more nodes refused, each with its reason."""
        reasons = Counter(dict(self.reasons))
        reasons.update(refused[name] for name in self.nodes if name in refused)
        return replace(
            self,
            nodes=self.nodes.difference(refused),
            reasons=tuple(sorted(reasons.items())),
            eligible=self.eligible.difference(refused),
        )


def admit(
    wish: Wish,
    places: Iterable[Place],
    hardware: Mapping[str, Hardware],
    volumes: tuple[Volume, ...] = (),
) -> Admission:
    """Filter all nodes; each refused node counts under its first reason. `volumes` are those behind its claims."""
    nodes, eligible, reasons, total = set(), set(), Counter[str](), 0
    for place in places:
        total += 1
        reason = refusal(wish, place, hardware) or _volumes(volumes, place)
        unready = _readiness(wish, place)
        if not reason:
            eligible.add(place.facts.name)
        if unready and not place.facts.problem:
            reasons[unready] += 1
        elif reason:
            reasons[reason] += 1
        else:
            nodes.add(place.facts.name)
    return Admission(frozenset(nodes), tuple(sorted(reasons.items())), total, frozenset(eligible))


def refusal(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """Why the node does not admit the pod whether or not it is ready; empty when it does."""
    for check in _FILTERS:
        reason = check(wish, place, hardware)
        if reason:
            return reason
    return ""


def _readiness(wish: Wish, place: Place) -> str:
    """What a pod may tolerate, and what none does: a node that nobody hears of."""
    facts = place.facts
    if facts.ready and not place.stale:
        return ""
    if facts.cordoned and untolerated((CORDON,), wish.demand.tolerations):
        return "node(s) were unschedulable"
    if taint := untolerated(facts.readiness, wish.demand.tolerations):
        return _tainted(taint)
    return STALE if place.stale else ""


def _tainted(taint: Taint) -> str:
    return f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"


def _usable(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    if not place.facts.problem and (wish.demand.delegated or not place.facts.others):
        return ""
    return (
        "node(s) weren't dedicated to SynergAI"
        if place.facts.devices
        else "node(s) weren't usable by SynergAI"
    )


def _taints(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    taint = untolerated(place.facts.taints, wish.demand.tolerations)
    return _tainted(taint) if taint else ""


def _selector(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    if wish.demand.selects(place.facts.name, place.facts.labels):
        return ""
    return "node(s) didn't match Pod's node affinity/selector"


def _hardware(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    if wish.hardware is None or any(device.hardware in wish.hardware for device in place.node.devices):
        return ""
    return "node(s) had none of the hardware that may serve the pod"


def _configuration(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """Whether any configuration would fit the node with all our own pods gone."""
    node = place.node
    units = {device.hardware: device.units for device in node.devices}
    for name, need in wish.needs:
        counted = hardware[name].kind != "cpu"
        if name not in units or (counted and need.device_units > units[name]):
            continue
        if need.cpu_milli <= node.cpu_milli and need.memory_mib <= node.memory_mib:
            return ""
    return "node(s) were too small for every configuration of the model" if wish.needs else ""


def _room(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """Whether the pod would fit the node with all our own pods gone."""
    requests, node = wish.demand.requests, place.node
    if requests.cpu_milli > node.cpu_milli:
        return "Insufficient cpu"
    if requests.memory_mib > node.memory_mib:
        return "Insufficient memory"
    return "Too many pods" if node.pods < 1 else ""


def _extended(wish: Wish, place: Place, hardware: Mapping[str, Hardware]) -> str:
    """The node must have it; a resource behind devices counts only where the node has such a device, besides."""
    for resource, amount in wish.demand.requests.extended:
        free = place.extended.get(resource, 0)
        if any(h.resource == resource for h in hardware.values()):
            behind = (d.units for d in place.node.devices if hardware[d.hardware].resource == resource)
            free = min(free, max(behind, default=0))
        if amount > free:
            return f"Insufficient {resource}"
    return ""


def _volumes(volumes: tuple[Volume, ...], place: Place) -> str:
    facts = place.facts
    return next((why for v in volumes if (why := v.refusal(facts.name, facts.labels))), "")


_FILTERS: tuple[Callable[[Wish, Place, Mapping[str, Hardware]], str], ...] = (
    _usable,
    _taints,
    _selector,
    _hardware,
    _room,
    _configuration,
    _extended,
)
