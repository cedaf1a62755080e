"""What the server says it has: /api, /apis, /apis/GROUP, /apis/GROUP/VERSION, /version and the probes."""

from synergai.k8s_bridge.embedded.objects import Json
from synergai.k8s_bridge.embedded.resources import Registry, Resource

VERSION: Json = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0-synergai.embedded",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "python",
    "platform": "linux/amd64",
}
PROBES = ("/healthz", "/livez", "/readyz")

_SUBRESOURCE_KINDS: dict[str, Json] = {
    "binding": {"kind": "Binding"},
    "eviction": {"group": "policy", "version": "v1", "kind": "Eviction"},
}


def document(path: str, registry: Registry) -> Json | None:
    """The document at a path without a trailing slash, or None."""
    match path.split("/")[1:]:
        case ["version"]:
            return VERSION
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            groups = sorted({resource.group for resource in registry if resource.group})
            listed = [_group(name, registry) for name in groups]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["apis", group]:
            return _named_group(group, registry)
        case ["api", version]:
            return _resources("", version, registry)
        case ["apis", group, version]:
            return _resources(group, version, registry)
        case _:
            return None


def _versions(group: str, registry: Registry) -> list[str]:
    return sorted({resource.version for resource in registry if resource.group == group})


def _group(name: str, registry: Registry) -> Json:
    served = [
        {"groupVersion": f"{name}/{version}", "version": version} for version in _versions(name, registry)
    ]
    return {"name": name, "versions": served, "preferredVersion": served[0]}


def _named_group(name: str, registry: Registry) -> Json | None:
    if not name or not _versions(name, registry):
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, registry)}


def _resources(group: str, version: str, registry: Registry) -> Json | None:
    found = [resource for resource in registry if (resource.group, resource.version) == (group, version)]
    if not found:
        return None
    return {
        "kind": "APIResourceList",
        **({"apiVersion": "v1"} if group else {}),
        "groupVersion": found[0].group_version,
        "resources": [entry for resource in found for entry in _entries(resource)],
    }


def _entries(resource: Resource) -> list[Json]:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return [entry, *(_subresource(resource, name, verbs) for name, verbs in resource.subresources.items())]


def _subresource(resource: Resource, name: str, verbs: tuple[str, ...]) -> Json:
    return {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(verbs),
        **_SUBRESOURCE_KINDS.get(name, {}),
    }
