"""Owner references: pods go when the last of their owners is gone (pkg/controller/garbagecollector)."""

from synergai.k8s_bridge.embedded.objects import Json, Stored, metadata
from synergai.k8s_bridge.embedded.resources import PODS, Registry
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.writes import Writer

Kinds = dict[tuple[str, str], tuple[str, bool]]
"""Collection and whether it is in namespaces, by apiVersion and kind."""


def collect_orphans(store: Store, registry: Registry, writer: Writer) -> None:
    """Delete the pods whose owners are gone."""
    kinds: Kinds = {(r.group_version, r.kind): (r.collection, r.namespaced) for r in registry}
    for pod in store.snapshot(PODS.collection):
        if _is_orphan(pod, kinds, store):
            writer.delete(Target(PODS, *pod.key, ""), {})


def _is_orphan(pod: Stored, kinds: Kinds, store: Store) -> bool:
    given = metadata(pod.obj)
    owners = given.get("ownerReferences") or []
    if not owners or "deletionTimestamp" in given:
        return False
    return all(_is_gone(owner, pod.key[0], kinds, store) for owner in owners)


def _is_gone(owner: Json, namespace: str, kinds: Kinds, store: Store) -> bool:
    """An owner of a kind that nobody serves may be anywhere."""
    found = kinds.get((owner["apiVersion"], owner["kind"]))
    if found is None:
        return False
    collection, namespaced = found
    there = store.get(collection, (namespace if namespaced else "", owner["name"]))
    return there is None or metadata(there.obj)["uid"] != owner["uid"]
