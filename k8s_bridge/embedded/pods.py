"""What is special about pods: their defaults, what an update leaves alone, binding, eviction and dying.

The texts are those of kube-apiserver (pkg/registry/core/pod).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from synergai.k8s_bridge.embedded import pod_validation, resizing, shapes
from synergai.k8s_bridge.embedded.admission import admitted
from synergai.k8s_bridge.embedded.clock import Clock, seconds_text
from synergai.k8s_bridge.embedded.errors import (
    ApiError,
    Cause,
    Named,
    conflict,
    required,
    unclassified,
    unsupported,
)
from synergai.k8s_bridge.embedded.limits import refuse_beyond_quota, with_range_defaults
from synergai.k8s_bridge.embedded.objects import Json, at, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import PODS, TERMINAL, Resource
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import Strategy, without
from synergai.k8s_bridge.embedded.validation import metadata_causes

_SPEC_DEFAULTS: Mapping[str, object] = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
    "enableServiceLinks": True,
}
_ADMITTED = ("priority", "preemptionPolicy")
_CONTAINER_DEFAULTS: Mapping[str, object] = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}


@dataclass(frozen=True, slots=True)
class PodStrategy(Strategy):
    """Needs the store for what a pod names, and the clock for its conditions."""

    shape: shapes.Shape = field(default_factory=lambda: shapes.POD)
    has_generation: bool = True
    graceful: bool = True
    store: Store = field(default_factory=Store)
    clock: Clock = field(default=lambda: 0.0)

    def prepared(self, obj: Json, resource: Resource) -> Json:
        obj = with_range_defaults({**obj, "spec": _with_defaults(obj.get("spec") or {})}, self.store)
        given, spec = metadata(obj), obj["spec"]
        spec = admitted(spec, PODS.named(given.get("name", "")), given.get("namespace", ""), self.store)
        return {**with_metadata(obj, generation=1), "spec": spec, "status": self._first_status(spec)}

    def admit(self, obj: Json, named: Named) -> None:
        refuse_beyond_quota(obj, named, self.store)

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """Defaults count as sent, and so does the priority that admission had computed."""
        added = {key: old["spec"][key] for key in _ADMITTED if key in old["spec"]}
        spec = _with_defaults(added | (new.get("spec") or {}))
        return Strategy.changed(self, {**new, "spec": spec}, old, resource)

    def _first_status(self, spec: Json) -> Json:
        status: Json = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            why = "Scheduling is blocked due to non-empty scheduling gates"
            gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": why}
            status["conditions"] = [{**gated, "lastProbeTime": None, "lastTransitionTime": None}]
        return status

    def causes(self, obj: Json) -> list[Cause]:
        return metadata_causes(obj) + pod_validation.spec_causes(obj)

    def change_causes(self, new: Json, old: Json) -> list[Cause]:
        return pod_validation.change_causes(new.get("spec") or {}, old.get("spec") or {})

    def resized(self, new: Json, old: Json) -> tuple[Json, list[Cause]]:
        """The pod after a resize, and why it may not be."""
        pod = resizing.resized({**new, "spec": _with_defaults(new.get("spec") or {})}, old)
        causes = [*self.causes(pod), *resizing.causes(pod, old, qos_class(pod["spec"]))]
        return self._counted(pod, old), causes

    def grace_s(self, obj: Json, asked_s: int | None) -> int:
        """A pod that no kubelet holds is gone at once (podStrategy.CheckGracefulDelete)."""
        spec = obj.get("spec") or {}
        if not spec.get("nodeName") or at(obj, ("status", "phase")) in TERMINAL:
            return 0
        wanted_s = spec.get("terminationGracePeriodSeconds", 30) if asked_s is None else asked_s
        return 1 if wanted_s < 0 else wanted_s

    def bound(self, pod: Json, binding: Json, name: str) -> Json:
        """The pod on the node that the Binding names, whatever that name is; 409 or 500 where it cannot be."""
        named = PODS.named(name)
        target = binding.get("target") or {}
        if target.get("kind", "") not in ("", "Node"):
            raise _no_target(unsupported("target.kind", target["kind"], ("Node", "<empty>")))
        if not target.get("name"):
            raise _no_target(required("target.name"))
        if "deletionTimestamp" in metadata(pod):
            why = f"pod {name} is being deleted, cannot be assigned to a host"
            raise conflict(named, why, "binding")
        if pod["spec"].get("nodeName"):
            why = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
            raise conflict(named, why, "binding")
        if pod["spec"].get("schedulingGates"):
            raise conflict(named, f"pod {name} has non-empty .spec.schedulingGates", "binding")
        return self._on_node(pod, binding, target["name"])

    def _on_node(self, pod: Json, binding: Json, node: str) -> Json:
        meta, sent = metadata(pod), metadata(binding)
        changes: Json = {}
        for key in ("annotations", "labels"):
            if sent.get(key):
                changes[key] = {**(meta.get(key) or {}), **sent[key]}
        status = without(pod["status"], "nominatedNodeName")
        return {
            **with_metadata(pod, **changes),
            "spec": {**pod["spec"], "nodeName": node},
            "status": with_condition(status, "PodScheduled", "True", self.clock()),
        }

    def evicted(self, pod: Json) -> Json:
        """With the condition that tells why the pod goes."""
        status = with_condition(
            pod["status"],
            "DisruptionTarget",
            "True",
            self.clock(),
            reason="EvictionByEvictionAPI",
            message="Eviction API: evicting",
        )
        return {**pod, "status": status}


def _no_target(cause: Cause) -> ApiError:
    return unclassified(f"{cause.field}: {cause.message}")


def with_condition(status: Json, kind: str, value: str, now_s: float, **texts: str) -> Json:
    """The status with this condition set."""
    condition = {
        "type": kind,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": seconds_text(now_s),
    }
    others = [other for other in status.get("conditions") or [] if other.get("type") != kind]
    return {**status, "conditions": [*others, condition | texts]}


def qos_class(spec: Json) -> str:
    """Guaranteed, Burstable or BestEffort (pkg/apis/core/v1/helper/qos)."""
    resources = [item.get("resources") or {} for item in _all_containers(spec)]
    asked = [
        {name: quantity for name, quantity in (given.get(key) or {}).items() if name in ("cpu", "memory")}
        for given in resources
        for key in ("requests", "limits")
    ]
    if not any(asked):
        return "BestEffort"
    guaranteed = all(
        len(limits) == 2 and requests == limits for requests, limits in zip(asked[::2], asked[1::2])
    )
    return "Guaranteed" if guaranteed else "Burstable"


def _all_containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]


def _with_defaults(spec: Json) -> Json:
    merged = {**_SPEC_DEFAULTS, **spec}
    on_host = bool(spec.get("hostNetwork"))
    for key in ("containers", "initContainers"):
        if key in merged:
            merged[key] = [_with_container_defaults(container, on_host) for container in merged[key]]
    return merged


def _with_container_defaults(container: Json, on_host: bool) -> Json:
    merged = {**_CONTAINER_DEFAULTS, "imagePullPolicy": _pull_policy(container.get("image", "")), **container}
    resources = merged["resources"]
    if resources.get("limits"):
        requests = {**resources["limits"], **(resources.get("requests") or {})}
        merged["resources"] = {**resources, "requests": requests}
    if merged.get("ports"):
        merged["ports"] = [_with_port_defaults(port, on_host) for port in merged["ports"]]
    return merged


def _pull_policy(image: str) -> str:
    """An image without a tag is the latest one, which is always pulled."""
    tag = "" if "@" in image else image.rpartition("/")[2].partition(":")[2] or "latest"
    return "Always" if tag == "latest" else "IfNotPresent"


def _with_port_defaults(port: Json, on_host: bool) -> Json:
    host = {"hostPort": port["containerPort"]} if on_host and "containerPort" in port else {}
    return {**host, "protocol": "TCP", **port}
