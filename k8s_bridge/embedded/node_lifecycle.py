"""What kube-controller-manager does about lost nodes: silent ones are tainted, their pods deleted, and pods of nodes
that are gone are collected (pkg/controller/nodelifecycle, tainteviction, podgc).

Left out: the rates, and that nobody is put out while all nodes are silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf

from synergai.k8s_bridge.admission.taints import READINESS, Taint, Toleration, tolerates
from synergai.k8s_bridge.embedded.clock import Clock, parse_s, seconds_text
from synergai.k8s_bridge.embedded.objects import Json, at, dump, metadata
from synergai.k8s_bridge.embedded.patches import STRATEGIC_PATCH
from synergai.k8s_bridge.embedded.resources import LEASES, NODES, PODS, TERMINAL
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.writes import Writer

LEASE_NAMESPACE = "kube-node-lease"
UNREACHABLE = "node.kubernetes.io/unreachable"
_SILENT = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
_TAINTED = {"reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint"}
_NODELESS = {"reason": "DeletionByPodGC", "message": "PodGC: node no longer exists"}


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """Real seconds; the defaults are those of kube-controller-manager."""

    grace_s: float = 50.0
    """From a node's last sign of life until it counts as lost."""
    quarantine_s: float = 40.0
    """From the end of a node to the end of its pods."""


class NodeLifecycle:
    """Looks at nodes and pods, and does what is due."""

    def __init__(self, store: Store, writer: Writer, clock: Clock, settings: LifecycleSettings) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock
        self._settings = settings
        self._missing_since: dict[str, float] = {}
        """Nodes that pods name and that are not there."""

    def look(self) -> None:
        for stored in self._store.snapshot(NODES.collection):
            self._judge(stored.obj)
        bound = [stored.obj for stored in self._store.snapshot(PODS.collection) if _node(stored.obj)]
        self._note_missing({_node(pod) for pod in bound})
        for pod in bound:
            node = self._store.get(NODES.collection, ("", _node(pod)))
            if node is None:
                self._collect(pod)
            elif "deletionTimestamp" not in metadata(pod) and self._is_put_out(pod, node.obj):
                self._delete(pod, {"conditions": [self._disruption(_TAINTED)]}, {})

    # nodes -----------------------------------------------------------------------------------------------

    def _judge(self, node: Json) -> None:
        ready = next((c for c in at(node, ("status", "conditions")) or [] if c.get("type") == "Ready"), {})
        if self._clock() - self._last_sign_s(node) > self._settings.grace_s:
            if ready.get("status") != "Unknown":
                self._call_lost(node)
        elif ready.get("status") == "True" and any(taint["key"] in READINESS for taint in _taints(node)):
            self._taint(node, [])

    def _last_sign_s(self, node: Json) -> float:
        lease = self._store.get(LEASES.collection, (LEASE_NAMESPACE, metadata(node)["name"]))
        renewed = at(lease.obj, ("spec", "renewTime")) if lease is not None else None
        return parse_s(renewed or metadata(node)["creationTimestamp"]) or 0.0

    def _call_lost(self, node: Json) -> None:
        now = seconds_text(self._clock())
        unknown = [
            {"type": condition["type"], "status": "Unknown", "lastTransitionTime": now, **_SILENT}
            for condition in at(node, ("status", "conditions")) or [{"type": "Ready"}]
        ]
        self._patch(Target(NODES, "", metadata(node)["name"], "status"), {"status": {"conditions": unknown}})
        effects = ("NoSchedule", "NoExecute")
        self._taint(node, [{"key": UNREACHABLE, "effect": effect, "timeAdded": now} for effect in effects])

    def _taint(self, node: Json, taints: list[Json]) -> None:
        kept = [taint for taint in _taints(node) if taint["key"] not in READINESS]
        self._patch(Target(NODES, "", metadata(node)["name"], ""), {"spec": {"taints": [*kept, *taints]}})

    # pods ------------------------------------------------------------------------------------------------

    def _is_put_out(self, pod: Json, node: Json) -> bool:
        """Whether the time is over for which it tolerates the node's taints."""
        tolerations = at(pod, ("spec", "tolerations")) or []
        return any(
            self._clock() >= (parse_s(taint.get("timeAdded", "")) or 0.0) + _tolerated_s(taint, tolerations)
            for taint in _taints(node)
            if taint["effect"] == "NoExecute"
        )

    def _note_missing(self, named: set[str]) -> None:
        there = self._store.collection(NODES.collection).objects
        missing = {name for name in named if ("", name) not in there}
        self._missing_since = {name: self._missing_since.get(name, self._clock()) for name in missing}

    def _collect(self, pod: Json) -> None:
        """Its node is gone, and nobody else will say that it has ended."""
        over = self._missing_since[_node(pod)] + self._settings.quarantine_s
        forced = metadata(pod).get("deletionGracePeriodSeconds") == 0
        if forced or self._clock() < over:
            return
        ended = at(pod, ("status", "phase")) in TERMINAL
        status = {} if ended else {"phase": "Failed", "conditions": [self._disruption(_NODELESS)]}
        self._delete(pod, status, {"gracePeriodSeconds": 0})

    def _disruption(self, why: Json) -> Json:
        since = {"lastTransitionTime": seconds_text(self._clock())}
        return {"type": "DisruptionTarget", "status": "True", **since, **why}

    def _delete(self, pod: Json, status: Json, options: Json) -> None:
        """After its status tells why."""
        given = metadata(pod)
        target = Target(PODS, given["namespace"], given["name"], "")
        self._patch(target._replace(subresource="status"), {"status": status})
        self._writer.delete(target, options)

    def _patch(self, target: Target, patch: Json) -> None:
        self._writer.patch(target, dump(patch), STRATEGIC_PATCH)


def _node(pod: Json) -> str:
    return at(pod, ("spec", "nodeName")) or ""


def _taints(node: Json) -> list[Json]:
    return at(node, ("spec", "taints")) or []


def _tolerated_s(taint: Json, tolerations: list[Json]) -> float:
    """How long a pod with these tolerations stays: 0 without one, for ever with one that names no time."""
    judged = Taint(taint["key"], taint.get("value", ""), taint["effect"])
    return min(_seconds(judged, tolerations), default=0.0)


def _seconds(taint: Taint, tolerations: list[Json]) -> Iterator[float]:
    for given in tolerations:
        exists = given.get("operator") == "Exists"
        read = Toleration(given.get("key", ""), exists, given.get("value", ""), given.get("effect", ""))
        if tolerates(read, taint):
            yield given.get("tolerationSeconds", inf)
