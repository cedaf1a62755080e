"""PATCH and PUT of pods/NAME/resize: cpu and memory of containers, and nothing else of a pod.

The texts are those of kube-apiserver (pkg/registry/core/pod, pkg/apis/core/validation, plugin/pkg/admission/podresize).
"""

from collections.abc import Iterator

from synergai.k8s_bridge.embedded.canonical import number
from synergai.k8s_bridge.embedded.clock import seconds_text
from synergai.k8s_bridge.embedded.errors import Cause, forbidden, forbidden_field, invalid_value
from synergai.k8s_bridge.embedded.objects import Json, at, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import NODES, PODS
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import without
from synergai.k8s_bridge.pods import pod_requests

KINDS = ("containers", "initContainers")
RESIZABLE = ("cpu", "memory")
_OWN_METADATA = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields")
"""What a resize cannot change of an object's metadata."""


def resized(new: Json, old: Json) -> Json:
    """The old pod with the new containers' resources; as it was sent where containers came, went or changed places."""
    spec = dict(old["spec"])
    for kind in KINDS:
        given, held = new["spec"].get(kind) or [], old["spec"].get(kind) or []
        if [item.get("name") for item in given] != [item["name"] for item in held]:
            return new
        if held:
            spec[kind] = [_with_resources(before, after) for before, after in zip(held, given)]
    kept = {key: metadata(old).get(key) for key in _OWN_METADATA}
    return {**with_metadata(new, **kept), "spec": spec, "status": old["status"]}


def _with_resources(before: Json, after: Json) -> Json:
    sent = {key: after[key] for key in ("resources", "resizePolicy") if key in after}
    return {**before, **sent}


def causes(new: Json, old: Json, qos_class: str) -> Iterator[Cause]:
    """What a resize may not do; `qos_class` is that of the new spec."""
    if qos_class != old["status"].get("qosClass"):
        why = "Pod QOS Class may not change as a result of resizing"
        yield invalid_value("spec", old["status"].get("qosClass", ""), why)
    for kind in KINDS:
        given, held = new["spec"].get(kind) or [], old["spec"].get(kind) or []
        if len(given) != len(held):
            yield forbidden_field(f"spec.{kind}", f"{kind} may not be added or removed on resize")
            return
        for index, (after, before) in enumerate(zip(given, held)):
            yield from _container_causes(after, before, f"spec.{kind}[{index}]")


def _container_causes(new: Json, old: Json, path: str) -> Iterator[Cause]:
    if new["name"] != old["name"]:
        why = f"{path.partition('.')[2].partition('[')[0]} may not be renamed or reordered on resize"
        yield forbidden_field(f"{path}.name", why)
        return
    for part in ("requests", "limits"):
        if set(old["resources"].get(part) or {}) - set(new["resources"].get(part) or {}):
            yield forbidden_field(f"{path}.resources.{part}", f"resource {part} cannot be removed")
    if _fixed(new) != _fixed(old):
        yield forbidden_field("spec", "only cpu and memory resources are mutable")


def _fixed(container: Json) -> Json:
    """Of a container what a resize must leave alone."""
    kept = {
        part: without(container["resources"].get(part) or {}, *RESIZABLE) for part in ("requests", "limits")
    }
    return {**without(container, "resources"), **kept}


def refuse_beyond_node(new: Json, old: Json, store: Store) -> None:
    """403 where a bound pod would ask for more than its node has in all (since 1.36)."""
    name = new["spec"].get("nodeName", "")
    if not name or new["spec"] == old["spec"]:
        return
    named = PODS.named(metadata(new)["name"])
    node = store.get(NODES.collection, ("", name))
    if node is None:
        raise forbidden(named, f'node "{name}" not found')
    asked, room = pod_requests(new["spec"]), at(node.obj, ("status", "allocatable")) or {}
    beyond = []
    if asked.cpu_milli > (there := int(number(room.get("cpu", "0")) * 1000)):
        beyond.append(f"cpu, requested: {asked.cpu_milli}, allocatable: {there}")
    if (wanted := asked.memory_mib * 2**20) > (there := int(number(room.get("memory", "0")))):
        beyond.append(f"memory, requested: {wanted}, allocatable: {there}")
    if beyond:
        why = f"node didn't have enough allocatable resources: {'; '.join(beyond)}"
        raise forbidden(named, why, Cause("", "NodeCapacity", ""))


def managed(new: Json, old: Json, manager: str, now_s: float) -> Json:
    """The new pod, with who set which quantity last. Other writes are not kept track of."""
    entries = [
        {**entry, "fieldsV1": left}
        for entry in metadata(old).get("managedFields") or []
        if (left := _without(entry["fieldsV1"], _changes(new, old)))
    ]
    mine = next((entry for entry in entries if entry["manager"] == manager), None)
    fields = _merged((mine or {}).get("fieldsV1", {}), _changes(new, old))
    if fields:
        entry = {
            "manager": manager,
            "operation": "Update",
            "apiVersion": "v1",
            "time": seconds_text(now_s),
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
            "subresource": "resize",
        }
        entries = [entry, *(other for other in entries if other is not mine)]
    return with_metadata(new, managedFields=entries or None)


def _changes(new: Json, old: Json) -> Json:
    """The quantities that differ, as fieldsV1 has them."""
    found: Json = {}
    for kind in KINDS:
        for after, before in zip(new["spec"].get(kind) or [], old["spec"].get(kind) or []):
            for part in ("requests", "limits"):
                then, now = before["resources"].get(part) or {}, after["resources"].get(part) or {}
                for name in now:
                    if now[name] != then.get(name):
                        path = ("spec", kind, f'k:{{"name":"{after["name"]}"}}', "resources", part, name)
                        found = _merged(found, _nested(path))
    return found


def _nested(path: tuple[str, ...]) -> Json:
    made: Json = {}
    for part in reversed(path):
        made = {part if part.startswith("k:") else f"f:{part}": made}
    return made


def _merged(one: Json, other: Json) -> Json:
    """The union of two sets of fields."""
    return {key: _merged(one.get(key, {}), other.get(key, {})) for key in {**one, **other}}


def _without(fields: Json, taken: Json) -> Json:
    """What is left of a set of fields, without empty branches."""
    left = {}
    for key, inner in fields.items():
        if key not in taken:
            left[key] = inner
        elif inner and (rest := _without(inner, taken[key])):
            left[key] = rest
    return left
