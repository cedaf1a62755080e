"""Whether the spec of a pod makes sense, and what of it may change.

The texts are those of kube-apiserver (pkg/apis/core/validation).
"""

from collections.abc import Iterator

from synergai.k8s_bridge.embedded.canonical import number
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)
from synergai.k8s_bridge.embedded.objects import Json, metadata
from synergai.k8s_bridge.embedded.strategy import without
from synergai.k8s_bridge.embedded.validation import (
    EFFECTS,
    LABEL_TEXT,
    SUBDOMAIN_TEXT,
    is_label,
    is_subdomain,
    label_causes,
    name_causes,
)

RESTART_POLICIES = ("Always", "OnFailure", "Never")
OPERATORS = ("Equal", "Exists")
_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates")
_IMMUTABLE_TEXT = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def spec_causes(pod: Json) -> list[Cause]:
    """What is wrong with the spec; `pod` is new if it has no uid yet."""
    spec = pod.get("spec") or {}
    return [
        *_containers(spec),
        *_node_name(spec, new="uid" not in metadata(pod)),
        *_policies(spec),
        *label_causes(spec.get("nodeSelector") or {}, "spec.nodeSelector"),
        *_gates(spec.get("schedulingGates") or []),
        *_tolerations(spec.get("tolerations") or []),
    ]


def change_causes(new: Json, old: Json) -> list[Cause]:
    """What an update may not do to a spec."""
    gated = bool(old.get("schedulingGates"))
    causes: list[Cause] = []
    if _fixed(new, gated) != _fixed(old, gated):
        causes.append(forbidden_field("spec", _IMMUTABLE_TEXT))
    kept = new.get("tolerations") or []
    if any(toleration not in kept for toleration in old.get("tolerations") or []):
        why = "existing toleration can not be modified except its tolerationSeconds"
        causes.append(forbidden_field("spec.tolerations", why))
    for index, gate in enumerate(new.get("schedulingGates") or []):
        if gate not in (old.get("schedulingGates") or []):
            why = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            causes.append(forbidden_field(f"spec.schedulingGates[{index}].name", why))
    return causes


def _containers(spec: Json) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield required("spec.containers")
    seen: set[str] = set()
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or []):
            path = f"spec.{kind}[{index}]"
            name = container.get("name", "")
            if not name:
                yield required(f"{path}.name")
            elif not is_label(name):
                yield invalid_value(f"{path}.name", name, LABEL_TEXT)
            elif name in seen:
                yield duplicate(f"{path}.name", f'"{name}"')
            seen.add(name)
            if not container.get("image"):
                yield required(f"{path}.image")
            yield from _resources(container["resources"], f"{path}.resources")


def _resources(resources: Json, path: str) -> Iterator[Cause]:
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for kind, quantities in (("limits", limits), ("requests", requests)):
        for name, quantity in quantities.items():
            if quantity.startswith("-"):
                yield invalid_value(f"{path}.{kind}[{name}]", quantity, "must be greater than or equal to 0")
            elif _is_extended(name) and number(quantity).denominator != 1:
                yield invalid_value(f"{path}.{kind}[{name}]", quantity, "must be an integer")
    for name, quantity in requests.items():
        limit = limits.get(name)
        if limit is None:
            if _is_extended(name):
                yield required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        elif _is_extended(name) and quantity != limit:
            yield invalid_value(f"{path}.requests", quantity, f"must be equal to {name} limit of {limit}")
        elif number(quantity) > number(limit):
            why = f"must be less than or equal to {name} limit of {limit}"
            yield invalid_value(f"{path}.requests", quantity, why)


def _is_extended(name: str) -> bool:
    """A device of a vendor, which is counted and not shared."""
    return "/" in name and "kubernetes.io/" not in name


def _node_name(spec: Json, new: bool) -> Iterator[Cause]:
    node = spec.get("nodeName", "")
    if node and not is_subdomain(node):
        yield invalid_value("spec.nodeName", node, SUBDOMAIN_TEXT)
    if node and new and spec.get("schedulingGates"):
        yield forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def _policies(spec: Json) -> Iterator[Cause]:
    policy = spec.get("restartPolicy", "")
    if policy not in RESTART_POLICIES:
        yield unsupported("spec.restartPolicy", policy, RESTART_POLICIES)


def _gates(gates: list[Json]) -> Iterator[Cause]:
    for index, gate in enumerate(gates):
        path = f"spec.schedulingGates[{index}]"
        yield from name_causes(gate.get("name", ""), path)
        if gate in gates[:index]:
            yield duplicate(path, f'"{gate.get("name", "")}"')


def _tolerations(tolerations: list[Json]) -> Iterator[Cause]:
    for index, toleration in enumerate(tolerations):
        path = f"spec.tolerations[{index}]"
        key, operator = toleration.get("key", ""), toleration.get("operator", "") or "Equal"
        effect, value = toleration.get("effect", ""), toleration.get("value", "")
        if key:
            yield from name_causes(key, f"{path}.key")
        elif operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            yield invalid_value(f"{path}.operator", operator, why)
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield invalid_value(f"{path}.effect", effect, why)
        if operator not in OPERATORS:
            yield unsupported(f"{path}.operator", operator, OPERATORS)
        elif operator == "Exists" and value:
            yield invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
        if effect and effect not in EFFECTS:
            yield unsupported(f"{path}.effect", effect, EFFECTS)


def _fixed(spec: Json, gated: bool) -> Json:
    """The part of the spec that may not change; a gated pod may still be steered."""
    kept = without(spec, *_MUTABLE, *(("nodeSelector", "affinity") if gated else ()))
    for key in ("containers", "initContainers"):
        if key in kept:
            kept[key] = [without(container, "image") for container in kept[key]]
    return kept
