"""CustomResourceDefinitions: what is served because somebody created one. Schemas are not looked at."""

from dataclasses import dataclass, field, replace

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.clock import Clock, seconds_text
from synergai.k8s_bridge.embedded.errors import Cause, invalid_value, required
from synergai.k8s_bridge.embedded.objects import Json, metadata, with_metadata
from synergai.k8s_bridge.embedded.resources import METADATA_FIELDS, STATUS, Column, Registry, Resource
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
_COLUMN: shapes.Shape = {"name": str, "type": str, "jsonPath": str, "priority": int}
_SERVED_VERSION: shapes.Shape = {
    "name": str,
    "served": bool,
    "storage": bool,
    "subresources": {"status": {}},
    "additionalPrinterColumns": [_COLUMN],
    "selectableFields": [{"jsonPath": str}],
}
_NAMES: shapes.Shape = {"plural": str, "kind": str, "shortNames": [str], "categories": [str]}
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
        return {**with_metadata(obj, generation=1), "status": _established(obj, self.clock())}

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
        if not any(version.get("storage") for version in spec.get("versions") or []):
            causes.append(
                required("spec.versions", "must have exactly one version marked as storage version")
            )
        return causes


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
    names = spec["names"]
    base = Resource(
        spec["group"],
        "",
        names["plural"],
        names["kind"],
        spec["scope"] == "Namespaced",
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        custom=True,
        needs_version=True,
    )
    return [_of_version(base, version) for version in spec["versions"] if version.get("served")]


def _of_version(base: Resource, version: Json) -> Resource:
    paths = [entry["jsonPath"].removeprefix(".") for entry in version.get("selectableFields") or ()]
    columns = version.get("additionalPrinterColumns") or ()
    return replace(
        base,
        version=version["name"],
        subresources={"status": STATUS} if "status" in (version.get("subresources") or {}) else {},
        fields={**METADATA_FIELDS, **{path: field_reader(path) for path in paths}},
        columns=tuple(
            Column(item["name"], item["type"], item["jsonPath"], item.get("priority", 0)) for item in columns
        ),
    )
