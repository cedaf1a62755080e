"""Create, update, patch, bind and delete: from a request's body to a new version in the store.

Nothing here waits, so each call is atomic.
"""

import random
import uuid
from typing import Any

from synergai.k8s_bridge.embedded import crds, patches, preconditions, shapes
from synergai.k8s_bridge.embedded.clock import Clock, parse_s, seconds_text
from synergai.k8s_bridge.embedded.crds import CRDS, CrdStrategy
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    Named,
    already_exists,
    bad_request,
    forbidden,
    invalid,
    invalid_value,
    not_found,
)
from synergai.k8s_bridge.embedded.objects import Json, Stored, load, metadata, with_metadata
from synergai.k8s_bridge.embedded.pods import PodStrategy
from synergai.k8s_bridge.embedded.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Registry, Resource
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import CUSTOM, PLAIN, STRATEGIES, Strategy, without
from synergai.k8s_bridge.embedded.validation import finalizer_causes

NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Of generated names (apimachinery/pkg/util/rand)."""

_KEPT = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
"""Metadata that an update cannot change."""


def decode(body: bytes, shape: shapes.Shape, what: str) -> Json:
    """The body as an object of this shape; 400 if it is none."""
    try:
        value = load(body)
        return shapes.read(value, shape)
    except ValueError as error:
        raise bad_request(f"{what} cannot be handled: {error}") from None


class Writer:
    """Changes the store as the API server would."""

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._pods = PodStrategy(store=store, clock=clock)
        self._strategies: dict[str, Strategy] = {
            **STRATEGIES,
            PODS.collection: self._pods,
            CRDS.collection: CrdStrategy(clock=clock),
        }
        self._random = random.Random()

    def create(self, target: Target, body: bytes, dry_run: bool = False) -> Stored:
        """POST to a collection."""
        resource, strategy = target.resource, self._strategy(target.resource)
        obj = self._decoded(target, body)
        obj = self._fresh(obj, target)
        obj = strategy.prepared(obj, resource)
        named = resource.named(metadata(obj).get("name", ""))
        _refuse(named, strategy.causes(obj))
        key = (target.namespace, named.name)
        if target.namespace:
            self._live_namespace(target.namespace, named)
        if self._store.get(resource.collection, key) is not None:
            raise already_exists(named)
        return self._put(resource, key, with_metadata(obj, uid=str(uuid.uuid4())), dry_run)

    def replace(self, target: Target, body: bytes, dry_run: bool = False) -> Stored:
        """PUT."""
        obj = self._decoded(target, body)
        current = self.current(target)
        if target.resource.needs_version and not metadata(obj).get("resourceVersion"):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(target.resource.named(target.name), [cause])
        return self._update(target, current, obj, dry_run)

    def patch(self, target: Target, body: bytes, media_type: str, dry_run: bool = False) -> Stored:
        """PATCH."""
        resource = target.resource
        try:
            change = load(body)
        except ValueError as error:
            raise bad_request(f"error decoding patch: {error}") from None
        current = self.current(target)
        patched = patches.apply(media_type, resource.shown(current.obj), change, resource.custom)
        try:
            obj = self._read(target, patched)
        except shapes.DecodeError as error:
            raise invalid(
                Named("", "", ""), [invalid_value("patch", body.decode(errors="replace"), str(error))]
            ) from None
        return self._update(target, current, obj, dry_run)

    def current(self, target: Target) -> Stored:
        """The object that the target names, or 404."""
        found = self._store.get(target.resource.collection, (target.namespace, target.name))
        if found is None:
            raise not_found(target.resource.named(target.name))
        return found

    def bind(self, namespace: str, name: str, body: bytes, dry_run: bool = False) -> None:
        """POST to pods/NAME/binding, or to bindings, where the body has the name."""
        binding = decode(body, shapes.BINDING, "Binding")
        sent = metadata(binding)
        name = name or sent.get("name", "")
        if sent.get("name", name) != name:
            raise preconditions.other_name(sent["name"], name)
        pod = self.current(Target(PODS, namespace, name, ""))
        preconditions.of_binding(pod, PODS.named(name), sent)
        bound = self._pods.bound(pod.obj, binding, name)
        _refuse(PODS.named(name), self._pods.causes(bound))
        self._put(PODS, pod.key, bound, dry_run)

    def evict(self, target: Target, body: bytes, dry_run: bool = False) -> None:
        """POST to pods/NAME/eviction; there are no disruption budgets."""
        eviction = decode(body, shapes.OBJECT | {"deleteOptions": shapes.DELETE_OPTIONS}, "Eviction")
        pod = self.current(target)
        options = eviction.get("deleteOptions") or {}
        preconditions.of_delete(pod, PODS.named(target.name), options)
        if not dry_run:
            self._put(PODS, pod.key, self._pods.evicted(pod.obj), False)
        self.delete(target, {**options, "preconditions": {}}, dry_run)

    def delete(self, target: Target, options: Json, dry_run: bool = False) -> tuple[Stored, bool]:
        """The last or the doomed version, and whether it is gone."""
        resource = target.resource
        current = self.current(target)
        preconditions.of_delete(current, resource.named(target.name), options)
        if resource.collection == NAMESPACES.collection and not dry_run:
            self._empty(target.name)
        grace_s = self._strategy(resource).grace_s(current.obj, options.get("gracePeriodSeconds"))
        if grace_s == 0 and not metadata(current.obj).get("finalizers"):
            return self._remove(resource, current, current.obj, dry_run), True
        return self._put(resource, current.key, self._doomed(current.obj, grace_s), dry_run), False

    def _empty(self, namespace: str) -> None:
        """Delete what a namespace holds, without waiting for kubelets or finalizers."""
        for collection in {resource.collection for resource in self._registry if resource.namespaced}:
            self._clear(collection, namespace)

    def _clear(self, collection: str, namespace: str | None = None) -> None:
        for stored in self._store.snapshot(collection):
            if namespace in (None, stored.key[0]):
                self._store.remove(collection, stored.key, stored.obj)

    def _doomed(self, obj: Json, grace_s: int) -> Json:
        """Marked for deletion; a second request can only shorten the grace."""
        given = metadata(obj)
        now_s = self._clock()
        due_s = now_s + grace_s
        generation = (
            given["generation"] + 1 if "generation" in given and "deletionTimestamp" not in given else None
        )
        if "deletionTimestamp" in given:
            if grace_s >= given.get("deletionGracePeriodSeconds", 0):
                return obj
            due_s = min(due_s, parse_s(given["deletionTimestamp"]) or due_s)
        changes: Json = {"deletionTimestamp": seconds_text(due_s), "deletionGracePeriodSeconds": grace_s}
        return with_metadata(obj, **changes, **({} if generation is None else {"generation": generation}))

    def _update(self, target: Target, current: Stored, new: Json, dry_run: bool) -> Stored:
        resource, strategy = target.resource, self._strategy(target.resource)
        named = resource.named(target.name)
        preconditions.of_update(current, named, metadata(new))
        old = current.obj
        kept = {key: metadata(old).get(key) for key in _KEPT}
        new = with_metadata(new, **kept, generation=metadata(old).get("generation"))
        if target.subresource == "status":
            new = strategy.status_changed(new, old, resource)
        else:
            new = strategy.changed(new, old, resource)
        causes = finalizer_causes(new, old) + strategy.causes(new) + strategy.change_causes(new, old)
        _refuse(named, causes)
        doomed = "deletionTimestamp" in metadata(new) and not metadata(new).get("finalizers")
        if doomed and not metadata(new).get("deletionGracePeriodSeconds"):
            return self._remove(resource, current, new, dry_run)
        return self._put(resource, current.key, new, dry_run)

    def _put(self, resource: Resource, key: tuple[str, str], obj: Json, dry_run: bool) -> Stored:
        current = self._store.get(resource.collection, key)
        if current is not None and with_metadata(obj, resourceVersion=str(current.rv)) == current.obj:
            return current
        if dry_run:
            return self._store.versioned(key, obj, current.rv if current else 0)
        stored = self._store.put(resource.collection, key, obj)
        if resource.collection == NAMESPACES.collection and current is None:
            account = b'{"metadata":{"name":"default"}}'
            self.create(Target(SERVICE_ACCOUNTS, key[1], "", ""), account)
        if resource.collection == CRDS.collection:
            crds.serve(self._registry, obj)
        return stored

    def _remove(self, resource: Resource, current: Stored, last: Json, dry_run: bool) -> Stored:
        if dry_run:
            return current
        if resource.collection == CRDS.collection:
            crds.withdraw(self._registry, last)
            self._clear(current.key[1])
        return self._store.remove(resource.collection, current.key, last)

    def _strategy(self, resource: Resource) -> Strategy:
        return self._strategies.get(resource.collection, CUSTOM if resource.custom else PLAIN)

    def _decoded(self, target: Target, body: bytes) -> Json:
        try:
            return self._read(target, load(body))
        except ValueError as error:
            resource = target.resource
            what = f'{resource.kind} in version "{resource.version}"'
            raise bad_request(f"{what} cannot be handled as a {resource.kind}: {error}") from None

    def _read(self, target: Target, value: Any) -> Json:
        """As the collection holds it: decoded, without kind and apiVersion. `Any`: what was sent."""
        resource = target.resource
        if not isinstance(value, dict):
            raise shapes.DecodeError("couldn't get version/kind; json parse error")
        for key, expected in (("apiVersion", resource.group_version), ("kind", resource.kind)):
            if value.get(key) not in (None, "", expected):
                raise bad_request(
                    f"the {key} in the data ({value[key]}) does not match the expected {key} ({expected})"
                )
        obj = resource.decode(value) if resource.decode else value
        shape = self._strategy(resource).shape
        if target.subresource == "status":
            shape = {key: inner for key, inner in shape.items() if key in shapes.STATUS_PARTS}
        return without(shapes.read(obj, shape), "kind", "apiVersion")

    def _fresh(self, obj: Json, target: Target) -> Json:
        """With the metadata that only the server gives."""
        given = metadata(obj)
        if given.get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        if given.get("namespace") not in (None, "", target.namespace):
            raise preconditions.other_namespace()
        name, base = given.get("name", ""), given.get("generateName", "")
        if not name and base:
            name = base[:58] + "".join(self._random.choices(NAME_LETTERS, k=5))
        return with_metadata(
            obj,
            name=name,
            namespace=target.namespace or None,
            uid=None,
            creationTimestamp=seconds_text(self._clock()),
            deletionTimestamp=None,
            deletionGracePeriodSeconds=None,
            generation=None,
        )

    def _live_namespace(self, namespace: str, named: Named) -> None:
        found = self._store.get(NAMESPACES.collection, ("", namespace))
        if found is None:
            raise not_found(NAMESPACES.named(namespace))
        if "deletionTimestamp" in metadata(found.obj):
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(named, why)


def _refuse(named: Named, causes: list[Cause]) -> None:
    if causes:
        raise invalid(named, causes)
