"""Create, update, patch, bind and delete: from a request's body to a new version in the store.

Nothing here waits, so each call is atomic.
"""

import uuid
from typing import Any

from synergai.k8s_bridge.embedded import crds, namespaces, patches, preconditions, resizing, shapes
from synergai.k8s_bridge.embedded.admission import random_suffix
from synergai.k8s_bridge.embedded.clock import Clock, parse_s, seconds_text
from synergai.k8s_bridge.embedded.crds import CRDS, CrdStrategy
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    Named,
    already_exists,
    bad_request,
    invalid,
    invalid_value,
    not_found,
    unclassified,
)
from synergai.k8s_bridge.embedded.objects import Json, Stored, dump, load, metadata, with_metadata
from synergai.k8s_bridge.embedded.pods import PodStrategy
from synergai.k8s_bridge.embedded.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Registry, Resource
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import CUSTOM, PLAIN, STRATEGIES, Strategy, without
from synergai.k8s_bridge.embedded.validation import finalizer_causes

_KEPT = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)
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

    def create(self, target: Target, body: bytes, dry_run: bool = False) -> Stored:
        """POST to a collection."""
        resource, strategy = target.resource, self._strategy(target.resource)
        obj = self._fresh(self._decoded(target, body), target)
        named = resource.named(metadata(obj).get("name", ""))
        if target.namespace and namespaces.is_doomed(namespaces.find(self._store, target.namespace)):
            raise namespaces.closed(named, target.namespace)
        obj = strategy.prepared(obj, resource)
        _refuse(resource.judged(named.name), strategy.causes(obj))
        key = (target.namespace, named.name)
        if self._store.get(resource.collection, key) is not None:
            raise already_exists(named)
        return self._put(resource, key, with_metadata(obj, uid=str(uuid.uuid4())), dry_run)

    def replace(
        self, target: Target, body: bytes, dry_run: bool = False, manager: str = ""
    ) -> tuple[Stored, bool]:
        """PUT; also whether it created the object."""
        resource = target.resource
        obj = self._decoded(target, body)
        if resource.made_by_put and self._find(target) is None:
            fresh = dump(with_metadata(obj, name=target.name, resourceVersion=None))
            return self.create(target._replace(name=""), fresh, dry_run), True
        current = self.current(target)
        if resource.needs_version and not metadata(obj).get("resourceVersion"):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(resource.named(target.name)._replace(kind=resource.plural), [cause])
        return self._update(target, current, obj, dry_run, manager=manager), False

    def patch(
        self, target: Target, body: bytes, media_type: str, dry_run: bool = False, manager: str = ""
    ) -> Stored:
        """PATCH; `manager` is told who resizes a pod."""
        resource = target.resource
        try:
            change = load(body)
        except ValueError as error:
            raise bad_request(f"error decoding patch: {error}") from None
        current = self.current(target)
        typed = {"kind": resource.kind, "apiVersion": resource.group_version, **resource.shown(current.obj)}
        patched = patches.apply(media_type, typed, change, resource.custom)
        try:
            obj = self._read(target, patched)
        except shapes.DecodeError as error:
            raise invalid(
                Named("", "", ""), [invalid_value("patch", body.decode(errors="replace"), str(error))]
            ) from None
        return self._update(target, current, obj, dry_run, patched=True, manager=manager)

    def current(self, target: Target) -> Stored:
        """The object that the target names, or 404."""
        found = self._find(target)
        if found is None:
            raise not_found(target.resource.named(target.name))
        return found

    def _find(self, target: Target) -> Stored | None:
        return self._store.get(target.resource.collection, (target.namespace, target.name))

    def bind(self, namespace: str, name: str, body: bytes, dry_run: bool = False) -> None:
        """POST to pods/NAME/binding, or to bindings, where the body has the name."""
        binding = decode(body, shapes.BINDING, "Binding")
        sent = metadata(binding)
        namespaces.find(self._store, namespace)
        if name and sent.get("name", "") != name:
            raise bad_request("name in URL does not match name in Binding object")
        if sent.get("namespace", "") not in ("", namespace):
            raise preconditions.other_namespace()
        name = sent.get("name", "")
        pod = self.current(Target(PODS, namespace, name, ""))
        preconditions.of_binding(pod, PODS.named(name), sent)
        self._put(PODS, pod.key, self._pods.bound(pod.obj, binding, name), dry_run)

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
        is_namespace = resource.collection == NAMESPACES.collection
        if is_namespace and target.name in namespaces.IMMORTAL:
            raise namespaces.immortal(target.name)
        current = self.current(target)
        preconditions.of_delete(current, resource.named(target.name), options)
        if is_namespace:
            return self._end_namespace(current, dry_run), False
        return self._delete(resource, current, options.get("gracePeriodSeconds"), dry_run)

    def _delete(
        self, resource: Resource, current: Stored, asked_s: int | None, dry_run: bool = False
    ) -> tuple[Stored, bool]:
        strategy = self._strategy(resource)
        grace_s = strategy.grace_s(current.obj, asked_s)
        held = bool(metadata(current.obj).get("finalizers"))
        last = current
        if strategy.graceful or held:
            last = self._put(resource, current.key, self._doomed(current.obj, grace_s), dry_run)
        if held or grace_s > 0:
            return last, False
        return (last if dry_run else self._remove(resource, last, last.obj)), True

    def _end_namespace(self, current: Stored, dry_run: bool) -> Stored:
        doomed = namespaces.terminating(self._doomed(current.obj, 0))
        marked = self._put(
            NAMESPACES, current.key, with_metadata(doomed, deletionGracePeriodSeconds=None), dry_run
        )
        if not dry_run:
            name = current.key[1]
            for resource, stored in list(namespaces.contents(self._store, self._registry, name)):
                self._delete(resource, stored, None)
            self._let_go(name)
        return marked

    def _let_go(self, namespace: str) -> None:
        """A doomed namespace goes once nothing is in it and nothing holds it."""
        found = self._store.get(NAMESPACES.collection, ("", namespace))
        if found is None or not namespaces.is_doomed(found) or metadata(found.obj).get("finalizers"):
            return
        if next(namespaces.contents(self._store, self._registry, namespace), None) is None:
            self._store.remove(NAMESPACES.collection, found.key, found.obj)

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

    def _update(
        self,
        target: Target,
        current: Stored,
        new: Json,
        dry_run: bool,
        patched: bool = False,
        manager: str = "",
    ) -> Stored:
        resource, strategy = target.resource, self._strategy(target.resource)
        preconditions.of_update(current, resource.named(target.name), metadata(new), patched)
        old = current.obj
        kept = {key: metadata(old).get(key) for key in _KEPT}
        new = with_metadata(new, **kept, generation=metadata(old).get("generation"))
        if target.subresource == "resize":
            return self._resize(current, new, dry_run, manager)
        if target.subresource == "status":
            new = strategy.status_changed(new, old, resource)
        else:
            new = strategy.changed(new, old, resource)
        causes = finalizer_causes(new, old) + strategy.causes(new) + strategy.change_causes(new, old)
        _refuse(resource.judged(target.name), causes)
        if resource.collection == NAMESPACES.collection:
            stored = self._put(resource, current.key, new, dry_run)
            self._let_go(target.name)
            return stored
        doomed = "deletionTimestamp" in metadata(new) and not metadata(new).get("finalizers")
        if doomed and not metadata(new).get("deletionGracePeriodSeconds"):
            return current if dry_run else self._remove(resource, current, new)
        return self._put(resource, current.key, new, dry_run)

    def _resize(self, current: Stored, new: Json, dry_run: bool, manager: str) -> Stored:
        new, found = self._pods.resized(new, current.obj)
        _refuse(PODS.named(current.key[1]), found)
        resizing.refuse_beyond_node(new, current.obj, self._store)
        new = resizing.managed(new, current.obj, manager, self._clock())
        return self._put(PODS, current.key, new, dry_run)

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
            if current is None:
                self._store.begin(key[1])
        return stored

    def _remove(self, resource: Resource, current: Stored, last: Json) -> Stored:
        if resource.collection == CRDS.collection:
            crds.withdraw(self._registry, last)
            for stored in self._store.snapshot(current.key[1]):
                self._store.remove(current.key[1], stored.key, stored.obj)
        gone = self._store.remove(resource.collection, current.key, last)
        self._let_go(current.key[0])
        return gone

    def _strategy(self, resource: Resource) -> Strategy:
        return self._strategies.get(resource.qualified, CUSTOM if resource.custom else PLAIN)

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
        value = {} if value is None else value
        if not isinstance(value, dict):
            raise shapes.DecodeError("couldn't get version/kind; json parse error")
        preconditions.of_type(value, resource)
        obj = resource.decode(value) if resource.decode else value
        shape = self._strategy(resource).shape
        if target.subresource == "status":
            shape = {key: inner for key, inner in shape.items() if key in shapes.STATUS_PARTS}
        return without(shapes.read(obj, shape), "kind", "apiVersion")

    def _fresh(self, obj: Json, target: Target) -> Json:
        """With the metadata that only the server gives."""
        given = metadata(obj)
        if given.get("resourceVersion"):
            raise unclassified("resourceVersion should not be set on objects to be created")
        if given.get("namespace") not in (None, "", target.namespace):
            raise preconditions.other_namespace()
        name, base = given.get("name", ""), given.get("generateName", "")
        if not name and base:
            name = base[:58] + random_suffix()
        return with_metadata(
            obj,
            name=name,
            namespace=target.namespace or None,
            uid=None,
            creationTimestamp=seconds_text(self._clock()),
            deletionTimestamp=None,
            deletionGracePeriodSeconds=None,
            generation=None,
            managedFields=None,
        )


def _refuse(named: Named, causes: list[Cause]) -> None:
    if causes:
        raise invalid(named, causes)
