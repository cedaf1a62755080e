"""What is special about a kind when it is created, changed or deleted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.clock import parse_s, seconds_text
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    Named,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)
from synergai.k8s_bridge.embedded.event_validation import changed_event_causes, event_causes
from synergai.k8s_bridge.embedded.objects import Json, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import Resource
from synergai.k8s_bridge.embedded.validation import EFFECTS, metadata_causes, name_causes, value_causes

_EVENT_DEFAULTS: Json = {
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}


@dataclass(frozen=True, slots=True)
class Strategy:
    """The rules of most kinds; a kind with more of them has a subclass."""

    shape: shapes.Shape
    has_generation: bool = False
    label_name: bool = False
    """Its name may hold no dots."""
    graceful: bool = False
    """Whoever holds it is asked to let it go: each deletion is first a change."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        """A new object with its defaults."""
        return with_metadata(obj, generation=1) if self.has_generation else obj

    def causes(self, obj: Json) -> list[Cause]:
        """What is wrong with an object."""
        return metadata_causes(obj, self.label_name)

    def admit(self, obj: Json, named: Named) -> None:
        """ApiError where there is no room for a new object that is sound."""

    def change_causes(self, new: Json, old: Json) -> list[Cause]:
        """What may not be changed so."""
        return []

    def unknown(self, obj: Json) -> Iterable[str]:
        """Fields that are not kept."""
        return ()

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """The object after an update of everything but its subresources."""
        own_status = "status" in resource.subresources
        return self._counted(with_status(new, old.get("status")) if own_status else new, old)

    def status_changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """The object after an update of its status, which may change metadata too."""
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


def with_status(obj: Json, status: object) -> Json:
    """With this status, or with none."""
    return without(obj, "status") if status is None else {**obj, "status": status}


def doomed(obj: Json, grace_s: int, now_s: float) -> Json:
    """Marked for deletion; a second request can only shorten the grace."""
    given = metadata(obj)
    due_s = now_s + grace_s
    changes: Json = {"deletionGracePeriodSeconds": grace_s}
    if "deletionTimestamp" not in given:
        changes |= {"generation": given["generation"] + 1} if "generation" in given else {}
    elif grace_s >= given.get("deletionGracePeriodSeconds", 0):
        return obj
    else:
        due_s = min(due_s, parse_s(given["deletionTimestamp"]) or due_s)
    return with_metadata(obj, deletionTimestamp=seconds_text(due_s), **changes)


class NamespaceStrategy(Strategy):
    """A namespace is active, and labelled with its own name."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        name = metadata(obj).get("name", "")
        labels = {**(metadata(obj).get("labels") or {}), "kubernetes.io/metadata.name": name}
        spec = {**(obj.get("spec") or {}), "finalizers": ["kubernetes"]}
        return {**with_metadata(obj, labels=labels), "spec": spec, "status": {"phase": "Active"}}


@dataclass(frozen=True, slots=True)
class EventStrategy(Strategy):
    """An event shows the fields of both its versions, empty or not."""

    modern: bool = False
    """It is sent as events.k8s.io has it."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        return _EVENT_DEFAULTS | obj

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        return _EVENT_DEFAULTS | new

    def causes(self, obj: Json) -> list[Cause]:
        return [*metadata_causes(obj, self.label_name), *event_causes(obj, self.modern)]

    def change_causes(self, new: Json, old: Json) -> list[Cause]:
        return list(changed_event_causes(new, old, self.modern))


class NodeStrategy(Strategy):
    """What a node has is what it gives, unless it says otherwise."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        return _with_node_defaults(obj)

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        return _with_node_defaults(Strategy.changed(self, new, old, resource))

    def status_changed(self, new: Json, old: Json, resource: Resource) -> Json:
        return _with_node_defaults(Strategy.status_changed(self, new, old, resource))

    def causes(self, obj: Json) -> list[Cause]:
        taints = (obj.get("spec") or {}).get("taints") or []
        return [*metadata_causes(obj), *_taint_causes(taints)]


def _with_node_defaults(node: Json) -> Json:
    status = node.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status = {**status, "allocatable": status["capacity"]}
    return {**node, "spec": node.get("spec") or {}, "status": status}


def _taint_causes(taints: list[Json]) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path = f"metadata.taints[{index}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        yield from name_causes(key, f"{path}.key")
        yield from value_causes(taint.get("value", ""), f"{path}.value")
        if not effect:
            yield required(f"{path}.effect")
        elif effect not in EFFECTS:
            yield unsupported(f"{path}.effect", effect, EFFECTS)
        if (key, effect) in seen:
            yield duplicate(path, f'"{key}"', "taints must be unique by key and effect pair")
        seen.add((key, effect))


class LeaseStrategy(Strategy):
    """Its numbers count seconds and holders."""

    def prepared(self, obj: Json, resource: Resource) -> Json:
        return {"spec": {}, **obj}

    def causes(self, obj: Json) -> list[Cause]:
        spec = obj.get("spec") or {}
        found = metadata_causes(obj)
        duration_s, transitions = spec.get("leaseDurationSeconds", 1), spec.get("leaseTransitions", 0)
        if duration_s <= 0:
            found.append(invalid_value("spec.leaseDurationSeconds", duration_s, "must be greater than 0"))
        if transitions < 0:
            why = "must be greater than or equal to 0"
            found.append(invalid_value("spec.leaseTransitions", transitions, why))
        return found


class ConfigMapStrategy(Strategy):
    """An immutable one keeps what it has."""

    def change_causes(self, new: Json, old: Json) -> list[Cause]:
        if not old.get("immutable"):
            return []
        why = "field is immutable when `immutable` is set"
        fields = ("immutable", "data", "binaryData")
        return [forbidden_field(field, why) for field in fields if new.get(field) != old.get(field)]


class PriorityClassStrategy(Strategy):
    def prepared(self, obj: Json, resource: Resource) -> Json:
        return with_metadata({"preemptionPolicy": "PreemptLowerPriority", "value": 0, **obj}, generation=1)


class RuntimeClassStrategy(Strategy):
    def causes(self, obj: Json) -> list[Cause]:
        found = metadata_causes(obj, self.label_name)
        return found if obj.get("handler") else [*found, required("handler")]


STRATEGIES: Mapping[str, Strategy] = {
    "configmaps": ConfigMapStrategy(shapes.CONFIG_MAP),
    "events": EventStrategy(shapes.EVENT),
    "events.events.k8s.io": EventStrategy(shapes.EVENT, modern=True),
    "leases.coordination.k8s.io": LeaseStrategy(shapes.LEASE),
    "namespaces": NamespaceStrategy(shapes.NAMESPACE, label_name=True),
    "nodes": NodeStrategy(shapes.NODE),
    "priorityclasses.scheduling.k8s.io": PriorityClassStrategy(shapes.PRIORITY_CLASS),
    "runtimeclasses.node.k8s.io": RuntimeClassStrategy(shapes.RUNTIME_CLASS),
}
PLAIN = Strategy(shapes.OBJECT)
