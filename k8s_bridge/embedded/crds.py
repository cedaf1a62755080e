"""CustomResourceDefinitions: what is served because somebody created one."""

from dataclasses import dataclass, field, replace

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.clock import Clock, seconds_text
from synergai.k8s_bridge.embedded.errors import ApiError, Cause, Named, forbidden, invalid_value, required
from synergai.k8s_bridge.embedded.objects import Json, Stored, at, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import METADATA_FIELDS, STATUS, Column, Registry, Resource
from synergai.k8s_bridge.embedded.schemas import Schema
from synergai.k8s_bridge.embedded.selectors import field_reader
from synergai.k8s_bridge.embedded.strategy import Strategy
from synergai.k8s_bridge.embedded.validation import metadata_causes

CRDS = Resource(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    False,
    short_names=("crd", "crds"),
    categories=("api-extensions",),
    subresources={"status": STATUS},
)
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""
_COLUMN: shapes.Shape = {
    "name": str,
    "type": str,
    "jsonPath": str,
    "priority": int,
    "description": str,
    "format": str,
}
_SERVED_VERSION: shapes.Shape = {
    "name": str,
    "served": bool,
    "storage": bool,
    "schema": {"openAPIV3Schema": {}},
    "subresources": {"status": {}},
    "additionalPrinterColumns": [_COLUMN],
    "selectableFields": [{"jsonPath": str}],
}
_NAMES: shapes.Shape = {
    "plural": str,
    "singular": str,
    "kind": str,
    "listKind": str,
    "shortNames": [str],
    "categories": [str],
}
SHAPE: shapes.Shape = shapes.OBJECT | {
    "spec": {"group": str, "scope": str, "names": _NAMES, "versions": [_SERVED_VERSION]},
}


@dataclass(frozen=True, slots=True)
class CrdStrategy(Strategy):
    """A definition is established as soon as it is there."""

    shape: shapes.Shape = field(default_factory=lambda: SHAPE)
    has_generation: bool = True
    clock: Clock = field(default=lambda: 0.0)

    def prepared(self, obj: Json, resource: Resource) -> Json:
        obj = _with_defaults(obj)
        return {**with_metadata(obj, generation=1), "status": _established(obj, self.clock())}

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        return Strategy.changed(self, _with_defaults(new), old, resource)

    def causes(self, obj: Json) -> list[Cause]:
        spec = obj.get("spec") or {}
        names = spec.get("names") or {}
        wanted = {"spec.group": spec.get("group"), "spec.scope": spec.get("scope")}
        wanted |= {"spec.names.plural": names.get("plural"), "spec.names.kind": names.get("kind")}
        causes = metadata_causes(obj) + [required(path) for path, value in wanted.items() if not value]
        name = f"{names.get('plural')}.{spec.get('group')}"
        if metadata(obj).get("name") != name:
            why = f'must be spec.names.plural+"."+spec.group: "{name}"'
            causes.append(invalid_value("metadata.name", metadata(obj).get("name"), why))
        for index, version in enumerate(spec.get("versions") or []):
            if not at(version, ("schema", "openAPIV3Schema")):
                path = f"spec.versions[{index}].schema.openAPIV3Schema"
                causes.append(required(path, "schemas are required"))
        if not any(version.get("storage") for version in spec.get("versions") or []):
            causes.append(
                required("spec.versions", "must have exactly one version marked as storage version")
            )
        return causes


def _with_defaults(obj: Json) -> Json:
    spec = obj.get("spec") or {}
    kind = (spec.get("names") or {}).get("kind", "")
    names = {"singular": kind.lower(), "listKind": f"{kind}List", **(spec.get("names") or {})}
    return {**obj, "spec": {"conversion": {"strategy": "None"}, **spec, "names": names}}


def _established(obj: Json, now_s: float) -> Json:
    """The status that the API server gives a definition a moment later."""
    spec = obj.get("spec") or {}
    at = seconds_text(now_s)
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": at}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [version.get("name", "") for version in spec.get("versions") or [] if version.get("storage")]
    return {"conditions": conditions, "acceptedNames": spec.get("names"), "storedVersions": stored}


def is_terminating(definition: Stored | None) -> bool:
    return definition is not None and "deletionTimestamp" in metadata(definition.obj)


def closed(named: Named) -> ApiError:
    """Nothing new of a kind that ends."""
    return forbidden(named, "create not allowed while custom resource definition is terminating")


def terminating(obj: Json, now_s: float) -> Json:
    """A definition that waits for its objects to go."""
    finalizers = [*(metadata(obj).get("finalizers") or []), CLEANUP]
    condition = {
        "type": "Terminating",
        "status": "True",
        "reason": "InstanceDeletionInProgress",
        "message": "CustomResource deletion is in progress",
        "lastTransitionTime": seconds_text(now_s),
    }
    status = obj.get("status") or {}
    status = {**status, "conditions": [*(status.get("conditions") or []), condition]}
    marked = with_metadata(obj, finalizers=finalizers, deletionTimestamp=seconds_text(now_s))
    return {**marked, "status": status}


def serve(registry: Registry, obj: Json) -> None:
    """Serve what the definition says now, and nothing that it said before."""
    withdraw(registry, obj)
    for resource in defined(obj):
        registry.add(resource)


def withdraw(registry: Registry, obj: Json) -> None:
    """Serve it no more."""
    spec = obj["spec"]
    registry.remove(spec["group"], spec["names"]["plural"])


def defined(obj: Json) -> list[Resource]:
    """One resource per served version of a definition."""
    spec = obj["spec"]
    base = _base(spec)
    return [_of_version(base, version) for version in spec["versions"] if version.get("served")]


def stored(obj: Json) -> Resource:
    """The resource as its objects are kept."""
    spec = obj["spec"]
    return _of_version(_base(spec), next(version for version in spec["versions"] if version.get("storage")))


def _base(spec: Json) -> Resource:
    names = spec["names"]
    return Resource(
        spec["group"],
        "",
        names["plural"],
        names["kind"],
        spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        needs_version=True,
    )


def _of_version(base: Resource, version: Json) -> Resource:
    paths = [entry["jsonPath"].removeprefix(".") for entry in version.get("selectableFields") or ()]
    columns = version.get("additionalPrinterColumns") or ()
    return replace(
        base,
        version=version["name"],
        subresources={"status": STATUS} if "status" in (version.get("subresources") or {}) else {},
        fields={**METADATA_FIELDS, **{path: field_reader(path) for path in paths}},
        columns=tuple(_column(item) for item in columns),
        schema=Schema(at(version, ("schema", "openAPIV3Schema"))),
    )


def _column(item: Json) -> Column:
    about = item.get("description", ""), item.get("format", "")
    return Column(item["name"], item["type"], item["jsonPath"], item.get("priority", 0), *about)
