"""What is special about pods: their defaults and admission, what may be changed, binding, eviction and dying.

The texts are those of kube-apiserver (pkg/registry/core/pod, pkg/apis/core/validation).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.clock import Clock, seconds_text
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    Named,
    conflict,
    forbidden,
    forbidden_field,
    invalid,
    invalid_value,
    required,
    unsupported,
)
from synergai.k8s_bridge.embedded.objects import Json, at, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import PODS, PRIORITY_CLASSES, RUNTIME_CLASSES, Resource
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import Strategy, without
from synergai.k8s_bridge.embedded.validation import is_label, is_subdomain, metadata_causes

TERMINAL = ("Succeeded", "Failed")
RESTART_POLICIES = ("Always", "OnFailure", "Never")

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
    "imagePullPolicy": "IfNotPresent",
}
_DEAD_NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates")
_IMMUTABLE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


@dataclass(frozen=True, slots=True)
class PodStrategy(Strategy):
    """Needs the store for the classes that a pod names, and the clock for its conditions."""

    shape: shapes.Shape = field(default_factory=lambda: shapes.POD)
    has_generation: bool = True
    store: Store = field(default_factory=Store)
    clock: Clock = field(default=lambda: 0.0)

    def prepared(self, obj: Json, resource: Resource) -> Json:
        spec = _with_defaults(obj.get("spec") or {})
        spec["tolerations"] = _with_dead_node_tolerations(spec.get("tolerations") or [])
        pod = with_metadata({**obj, "spec": spec}, generation=1)
        pod["spec"] = self._admitted(spec, PODS.named(metadata(pod).get("name", "")))
        return {**pod, "status": self._first_status(spec)}

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """Defaults count as sent, and so does what admission had added."""
        added = {key: old["spec"][key] for key in _ADMITTED if key in old["spec"]}
        spec = _with_defaults(added | (new.get("spec") or {}))
        return Strategy.changed(self, {**new, "spec": spec}, old, resource)

    def _admitted(self, spec: Json, named: Named) -> Json:
        """With what the plugins Priority and RuntimeClass add; 403 for a class that is not there."""
        spec = {**spec, **self._priority(spec.get("priorityClassName", ""), named)}
        handler = spec.get("runtimeClassName")
        if not handler:
            return spec
        runtime = self.store.get(RUNTIME_CLASSES.collection, ("", handler))
        if runtime is None:
            raise forbidden(named, f'pod rejected: RuntimeClass "{handler}" not found')
        overhead = at(runtime.obj, ("overhead", "podFixed"))
        selector = at(runtime.obj, ("scheduling", "nodeSelector"))
        if selector:
            spec = {**spec, "nodeSelector": {**(spec.get("nodeSelector") or {}), **selector}}
        return {**spec, "overhead": overhead} if overhead else spec

    def _priority(self, name: str, named: Named) -> Json:
        if not name:
            return {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}
        found = self.store.get(PRIORITY_CLASSES.collection, ("", name))
        if found is None:
            raise forbidden(named, f"no PriorityClass with name {name} was found")
        return {
            "priority": found.obj.get("value", 0),
            "preemptionPolicy": found.obj.get("preemptionPolicy", "PreemptLowerPriority"),
        }

    def _first_status(self, spec: Json) -> Json:
        status: Json = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            why = "Scheduling is blocked due to non-empty scheduling gates"
            gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": why}
            status["conditions"] = [{**gated, "lastProbeTime": None, "lastTransitionTime": None}]
        return status

    def causes(self, obj: Json) -> list[Cause]:
        spec = obj.get("spec") or {}
        found = metadata_causes(obj)
        containers = spec.get("containers") or []
        if not containers:
            found.append(required("spec.containers"))
        for index, container in enumerate(containers):
            found += _container_causes(container, f"spec.containers[{index}]")
        node = spec.get("nodeName", "")
        if node and not is_subdomain(node):
            found.append(invalid_value("spec.nodeName", node, "a lowercase RFC 1123 subdomain is required"))
        if node and spec.get("schedulingGates") and "uid" not in metadata(obj):
            why = "cannot be set until all schedulingGates have been cleared"
            found.append(forbidden_field("spec.nodeName", why))
        if spec.get("restartPolicy") not in RESTART_POLICIES:
            found.append(unsupported("spec.restartPolicy", spec.get("restartPolicy", ""), RESTART_POLICIES))
        return found

    def change_causes(self, new: Json, old: Json) -> list[Cause]:
        causes: list[Cause] = []
        before, after = old.get("spec") or {}, new.get("spec") or {}
        gated = bool(before.get("schedulingGates"))
        if _fixed(after, gated) != _fixed(before, gated):
            causes.append(forbidden_field("spec", _IMMUTABLE_TEXT))
        if any(
            toleration not in (after.get("tolerations") or [])
            for toleration in before.get("tolerations") or []
        ):
            why = "existing toleration can not be modified except its tolerationSeconds"
            causes.append(forbidden_field("spec.tolerations", why))
        for gate in after.get("schedulingGates") or []:
            if gate not in (before.get("schedulingGates") or []):
                why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
                causes.append(forbidden_field("spec.schedulingGates", why))
        return causes

    def grace_s(self, obj: Json, asked_s: int | None) -> int:
        """A pod that no kubelet holds is gone at once (podStrategy.CheckGracefulDelete)."""
        spec = obj.get("spec") or {}
        if not spec.get("nodeName") or at(obj, ("status", "phase")) in TERMINAL:
            return 0
        wanted_s = spec.get("terminationGracePeriodSeconds", 30) if asked_s is None else asked_s
        return 1 if wanted_s < 0 else wanted_s

    def bound(self, pod: Json, binding: Json, name: str) -> Json:
        """The pod on the node that the Binding names; 409 or 422 where it cannot be."""
        named = PODS.named(name)
        target = binding.get("target") or {}
        if not target.get("name"):
            raise invalid(Named("bindings", "", "Binding", name), [required("target.name")])
        if target.get("kind", "") not in ("", "Node"):
            cause = unsupported("target.kind", target["kind"], ("Node", "<empty>"))
            raise invalid(Named("bindings", "", "Binding", name), [cause])
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
        changes: Json = {"generation": meta.get("generation", 0) + 1}
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
    for key in ("containers", "initContainers"):
        if key in merged:
            merged[key] = [_with_container_defaults(container) for container in merged[key]]
    return merged


def _with_container_defaults(container: Json) -> Json:
    merged = {**_CONTAINER_DEFAULTS, **container}
    resources = merged["resources"]
    if resources.get("limits"):
        merged["resources"] = {
            **resources,
            "requests": {**resources["limits"], **(resources.get("requests") or {})},
        }
    return merged


def _with_dead_node_tolerations(tolerations: list[Json]) -> list[Json]:
    """As the plugin DefaultTolerationSeconds does."""
    known = {
        toleration.get("key", "")
        for toleration in tolerations
        if toleration.get("effect") in (None, "NoExecute")
    }
    if "" in known:
        return tolerations
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in _DEAD_NODE_TAINTS
        if key not in known
    ]
    return [*tolerations, *added]


def _container_causes(container: Json, path: str) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{path}.name"))
    elif not is_label(name):
        causes.append(invalid_value(f"{path}.name", name, "a lowercase RFC 1123 label is required"))
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    for kind in ("requests", "limits"):
        for resource, quantity in (container["resources"].get(kind) or {}).items():
            if quantity.startswith("-"):
                field_path = f"{path}.resources.{kind}[{resource}]"
                causes.append(invalid_value(field_path, quantity, "must be greater than or equal to 0"))
    return causes


def _fixed(spec: Json, gated: bool) -> Json:
    """The part of the spec that may not change; a gated pod may still be steered."""
    kept = without(spec, *_MUTABLE, *(("nodeSelector", "affinity") if gated else ()))
    for key in ("containers", "initContainers"):
        if key in kept:
            kept[key] = [without(container, "image") for container in kept[key]]
    return kept
