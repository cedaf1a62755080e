"""Which kinds of objects exist, as data: add a `Resource` to the `Registry` and it is served.

Names, short names and field selectors are those of kube-apiserver 1.36.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from synergai.k8s_bridge.embedded.errors import Named
from synergai.k8s_bridge.embedded.events import from_modern, to_modern
from synergai.k8s_bridge.embedded.objects import Json, Stored, dump
from synergai.k8s_bridge.embedded.schemas import Schema
from synergai.k8s_bridge.embedded.selectors import FieldReader, field_reader

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

METADATA_FIELDS: Mapping[str, FieldReader] = {
    "metadata.name": field_reader("metadata.name"),
    "metadata.namespace": field_reader("metadata.namespace"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of a custom resource, as its CustomResourceDefinition says it."""

    name: str
    type: str
    json_path: str
    priority: int = 0
    description: str = ""
    format: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of one API version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Name of each subresource and its verbs."""
    fields: Mapping[str, FieldReader] = field(default_factory=lambda: METADATA_FIELDS)
    columns: tuple[Column, ...] = ()
    schema: Schema | None = None
    """Of a CustomResourceDefinition: list items carry kind and apiVersion, strategic merge is refused."""
    needs_version: bool = False
    """A PUT must carry a resourceVersion."""
    made_by_put: bool = False
    """A PUT to a name that is not there creates it."""
    stored_as: str = ""
    """The collection that holds it, where another resource shows the same objects."""
    decode: Callable[[Json], Json] | None = None
    encode: Callable[[Json], Json] | None = None
    """From and to what the collection holds, where the two differ."""

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def collection(self) -> str:
        return self.stored_as or self.qualified

    @property
    def custom(self) -> bool:
        return self.schema is not None

    @property
    def singular(self) -> str:
        return self.kind.lower()

    def named(self, name: str = "") -> Named:
        return Named(self.plural, self.group, self.kind, name)

    def judged(self, name: str = "") -> Named:
        """What a refusal of the content names: the kind as it is stored."""
        return self.named(name)._replace(group="") if self.stored_as else self.named(name)

    def shown(self, obj: Json) -> Json:
        """The object as this API version has it, without kind and apiVersion."""
        return self.encode(obj) if self.encode else obj

    def item(self, stored: Stored) -> bytes:
        """As an item of a list: built-in kinds have neither kind nor apiVersion there."""
        if self.custom:
            return self.body(stored)
        view = f"{self.qualified}/items" if self.encode else "items"
        return stored.body(view, lambda obj: dump(self.shown(obj)))

    def body(self, stored: Stored) -> bytes:
        """As a reply or in a watch."""

        def make(obj: Json) -> bytes:
            return dump({"kind": self.kind, "apiVersion": self.group_version, **self.shown(obj)})

        return stored.body(f"{self.qualified}/{self.version}", make)


class Registry:
    """The resources a server has, by where they are found."""

    def __init__(self, resources: tuple[Resource, ...]) -> None:
        self._found: dict[tuple[str, str, str], Resource] = {}
        for resource in resources:
            self.add(resource)

    def add(self, resource: Resource) -> None:
        self._found[resource.group, resource.version, resource.plural] = resource

    def remove(self, group: str, plural: str) -> None:
        """In all its versions."""
        self._found = {
            key: resource for key, resource in self._found.items() if (key[0], key[2]) != (group, plural)
        }

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        return self._found.get((group, version, plural))

    def __iter__(self) -> Iterator[Resource]:
        return iter(list(self._found.values()))


def _fields(*paths: str, **defaults: str) -> dict[str, FieldReader]:
    return {**METADATA_FIELDS} | {
        path: field_reader(path, defaults.get(path.split(".")[-1], "")) for path in paths
    }


STATUS = ("get", "patch", "update")
TERMINAL = ("Succeeded", "Failed")
"""Phases of a pod that has ended."""

PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    True,
    short_names=("po",),
    categories=("all",),
    subresources={"binding": ("create",), "eviction": ("create",), "resize": STATUS, "status": STATUS},
    fields=_fields(
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
        hostNetwork="false",
    ),
)
NODES = Resource(
    "",
    "v1",
    "nodes",
    "Node",
    False,
    short_names=("no",),
    subresources={"status": STATUS},
    fields=_fields("spec.unschedulable", unschedulable="false"),
)
NAMESPACES = Resource(
    "",
    "v1",
    "namespaces",
    "Namespace",
    False,
    short_names=("ns",),
    verbs=tuple(verb for verb in VERBS if verb != "deletecollection"),
    subresources={"status": STATUS},
    fields=_fields("status.phase"),
)
EVENT_FIELDS = _fields(
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "type",
) | {"reportingComponent": field_reader("reportingComponent"), "source": field_reader("source.component")}
EVENTS = Resource(
    "", "v1", "events", "Event", True, short_names=("ev",), fields=EVENT_FIELDS, made_by_put=True
)
NEW_EVENTS = Resource(
    "events.k8s.io",
    "v1",
    "events",
    "Event",
    True,
    short_names=("ev",),
    fields={
        path.replace("involvedObject", "regarding").replace("Component", "Controller"): reader
        for path, reader in EVENT_FIELDS.items()
    },
    made_by_put=True,
    stored_as=EVENTS.qualified,
    decode=from_modern,
    encode=to_modern,
)
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, short_names=("sa",))
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True, needs_version=True, made_by_put=True)
RESOURCE_QUOTAS = Resource(
    "", "v1", "resourcequotas", "ResourceQuota", True, short_names=("quota",), subresources={"status": STATUS}
)
LIMIT_RANGES = Resource("", "v1", "limitranges", "LimitRange", True, short_names=("limits",))
PRIORITY_CLASSES = Resource(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", False, short_names=("pc",)
)
RUNTIME_CLASSES = Resource("node.k8s.io", "v1", "runtimeclasses", "RuntimeClass", False)

BUILT_IN = (
    Resource("", "v1", "bindings", "Binding", True, verbs=("create",)),
    Resource("", "v1", "configmaps", "ConfigMap", True, short_names=("cm",)),
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    LEASES,
    NEW_EVENTS,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
)
