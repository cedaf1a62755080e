"""How a namespace ends: what is in it is deleted, and it goes with the last of that."""

from collections.abc import Iterator

from synergai.k8s_bridge.embedded.errors import ApiError, Cause, Named, forbidden, not_found
from synergai.k8s_bridge.embedded.objects import Json, Stored, metadata
from synergai.k8s_bridge.embedded.resources import NAMESPACES, Registry, Resource
from synergai.k8s_bridge.embedded.store import Store

IMMORTAL = ("default", "kube-system", "kube-public")


def find(store: Store, name: str) -> Stored:
    """The namespace, or 404."""
    found = store.get(NAMESPACES.collection, ("", name))
    if found is None:
        raise not_found(NAMESPACES.named(name))
    return found


def is_doomed(namespace: Stored | None) -> bool:
    return namespace is not None and "deletionTimestamp" in metadata(namespace.obj)


def terminating(obj: Json) -> Json:
    return {**obj, "status": {**(obj.get("status") or {}), "phase": "Terminating"}}


def contents(store: Store, registry: Registry, name: str) -> Iterator[tuple[Resource, Stored]]:
    """Everything in the namespace, each object once."""
    resources = {resource.collection: resource for resource in registry if resource.namespaced}
    for collection, resource in resources.items():
        for stored in store.snapshot(collection):
            if stored.key[0] == name:
                yield resource, stored


def closed(named: Named, namespace: str) -> ApiError:
    """Nothing new in a namespace that ends."""
    cause = Cause("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    return forbidden(named, why, cause)


def immortal(name: str) -> ApiError:
    return forbidden(NAMESPACES.named(name), "this namespace may not be deleted")
