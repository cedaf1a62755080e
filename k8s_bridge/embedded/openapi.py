"""As much OpenAPI as kubectl asks for before it sends an object: that the server knows `fieldValidation`.

kubectl looks for that parameter at the PATCH of the kind and then leaves the check to the server
(kubectl/pkg/util/openapi and client-go/openapi3). There are no schemas, so `kubectl explain` says nothing.
"""

from synergai.k8s_bridge.embedded.objects import Json
from synergai.k8s_bridge.embedded.resources import Registry, Resource


def document(path: str, registry: Registry) -> Json | None:
    """`/openapi/v3`, or `/openapi/v3/GROUP_VERSION_PATH`; None for anything else."""
    match path.split("/")[1:]:
        case ["openapi", "v3"]:
            found = sorted({_place(resource) for resource in registry})
            return {"paths": {place: {"serverRelativeURL": f"/openapi/v3/{place}"} for place in found}}
        case ["openapi", "v3", *place]:
            return _version("/".join(place), registry)
        case _:
            return None


def _place(resource: Resource) -> str:
    return f"apis/{resource.group_version}" if resource.group else f"api/{resource.version}"


def _version(place: str, registry: Registry) -> Json | None:
    paths = {
        _path(resource): {"patch": _operation(resource)} for resource in registry if _place(resource) == place
    }
    info = {"title": "SynergAI embedded", "version": "1"}
    return {"openapi": "3.0.0", "info": info, "paths": paths} if paths else None


def _path(resource: Resource) -> str:
    namespace = "namespaces/{namespace}/" if resource.namespaced else ""
    return f"/{_place(resource)}/{namespace}{resource.plural}/{{name}}"


def _operation(resource: Resource) -> Json:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    return {"parameters": [parameter], "responses": {}, "x-kubernetes-group-version-kind": kind}
