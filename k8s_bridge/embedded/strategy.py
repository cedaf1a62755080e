"""What is special about a kind when it is created, changed or deleted."""

from collections.abc import Mapping
from dataclasses import dataclass

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.errors import Cause, required
from synergai.k8s_bridge.embedded.objects import Json, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import Resource
from synergai.k8s_bridge.embedded.validation import metadata_causes


@dataclass(frozen=True, slots=True)
class Strategy:
    """The rules of most kinds; a kind with more of them has a subclass."""

    shape: shapes.Shape
    has_generation: bool = False
    label_name: bool = False
    """Its name may hold no dots."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        """A new object with its defaults."""
        if resource.custom and "status" in resource.subresources:
            obj = without(obj, "status")
        return with_metadata(obj, generation=1) if self.has_generation else obj

    def causes(self, obj: Json) -> list[Cause]:
        """What is wrong with an object."""
        return metadata_causes(obj, self.label_name)

    def change_causes(self, new: Json, old: Json) -> list[Cause]:
        """What may not be changed so."""
        return []

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """The object after an update of everything but its subresources."""
        own_status = "status" in resource.subresources
        return self._counted(_with(new, "status", old.get("status")) if own_status else new, old)

    def status_changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """The object after an update of its status: built-in kinds take metadata too, custom ones do not."""
        if resource.custom:
            return _with(old, "status", new.get("status"))
        kept = with_metadata(new, ownerReferences=metadata(old).get("ownerReferences"))
        return {**old, "metadata": kept["metadata"], **{key: new[key] for key in ("status",) if key in new}}

    def grace_s(self, obj: Json, asked_s: int | None) -> int:
        """Seconds between the request to delete and the deletion."""
        return 0

    def _counted(self, new: Json, old: Json) -> Json:
        if not self.has_generation:
            return new
        generation = metadata(old).get("generation", 0)
        same = without(new, "metadata", "status") == without(old, "metadata", "status")
        return with_metadata(new, generation=generation if same else generation + 1)


def without(obj: Json, *keys: str) -> Json:
    return {key: value for key, value in obj.items() if key not in keys}


def _with(obj: Json, key: str, value: object) -> Json:
    return without(obj, key) if value is None else {**obj, key: value}


class NamespaceStrategy(Strategy):
    """A namespace is active, and labelled with its own name."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        name = metadata(obj).get("name", "")
        labels = {**(metadata(obj).get("labels") or {}), "kubernetes.io/metadata.name": name}
        spec = {**(obj.get("spec") or {}), "finalizers": ["kubernetes"]}
        return {**with_metadata(obj, labels=labels), "spec": spec, "status": {"phase": "Active"}}


class EventStrategy(Strategy):
    """An event says what it is about, in its own namespace."""

    def causes(self, obj: Json) -> list[Cause]:
        found = metadata_causes(obj, self.label_name)
        about = obj.get("involvedObject") or {}
        where = about.get("namespace", "") or "default"
        if where != metadata(obj).get("namespace"):
            text = "Invalid value: does not match event.namespace"
            found.append(Cause("involvedObject.namespace", "FieldValueInvalid", text))
        return found


class PriorityClassStrategy(Strategy):
    def prepared(self, obj: Json, resource: Resource) -> Json:
        return with_metadata({"preemptionPolicy": "PreemptLowerPriority", "value": 0, **obj}, generation=1)


class RuntimeClassStrategy(Strategy):
    def causes(self, obj: Json) -> list[Cause]:
        found = metadata_causes(obj, self.label_name)
        return found if obj.get("handler") else [*found, required("handler")]


STRATEGIES: Mapping[str, Strategy] = {
    "configmaps": Strategy(shapes.CONFIG_MAP),
    "events": EventStrategy(shapes.EVENT),
    "leases.coordination.k8s.io": Strategy(shapes.LEASE),
    "namespaces": NamespaceStrategy(shapes.NAMESPACE, label_name=True),
    "nodes": Strategy(shapes.NODE),
    "priorityclasses.scheduling.k8s.io": PriorityClassStrategy(shapes.PRIORITY_CLASS),
    "runtimeclasses.node.k8s.io": RuntimeClassStrategy(shapes.RUNTIME_CLASS),
}
PLAIN = Strategy(shapes.OBJECT)
CUSTOM = Strategy(shapes.OBJECT, has_generation=True)
