"""From a URL path to what it names."""

from typing import NamedTuple
from urllib.parse import unquote

from synergai.k8s_bridge.embedded.errors import NotServed, no_such_path
from synergai.k8s_bridge.embedded.resources import Registry, Resource


class Target(NamedTuple):
    """A collection, an object, or a subresource of one. The namespace is empty for all, or for none."""

    resource: Resource
    namespace: str
    name: str
    subresource: str


def parse(path: str, registry: Registry) -> Target:
    """`/api/v1/namespaces/a/pods/b/status` and the like; 404, or NotServed where not even the version is known."""
    parts = [unquote(part) for part in path.split("/")[1:]]
    if parts[0] == "api":
        group, rest = "", parts[1:]
    elif parts[0] == "apis" and len(parts) > 1:
        group, rest = parts[1], parts[2:]
    else:
        raise NotServed
    served = any((group, rest[0]) == (found.group, found.version) for found in registry) if rest else False
    if group and not served:
        raise NotServed
    if len(rest) < 2 or not all(rest):
        raise no_such_path()
    return _in_version(group, rest[0], rest[1:], registry)


def _in_version(group: str, version: str, parts: list[str], registry: Registry) -> Target:
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 2 and (group or not _of_namespace(parts[2], registry)):
        namespace, parts = parts[1], parts[2:]
    resource = registry.find(group, version, parts[0])
    if resource is None and any(found.custom for found in registry if found.group == group):
        raise NotServed
    if resource is None or len(parts) > 3:
        raise no_such_path()
    name = parts[1] if len(parts) > 1 else ""
    subresource = parts[2] if len(parts) > 2 else ""
    if subresource and subresource not in resource.subresources:
        raise no_such_path()
    if bool(namespace) != resource.namespaced and (namespace or name):
        raise NotServed if resource.custom else no_such_path()
    return Target(resource, namespace, name, subresource)


def _of_namespace(part: str, registry: Registry) -> bool:
    """Whether `/namespaces/a/PART` is a subresource of the namespace and no collection in it."""
    namespaces = registry.find("", "v1", "namespaces")
    return namespaces is not None and part in namespaces.subresources
