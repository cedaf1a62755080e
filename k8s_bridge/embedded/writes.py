"""Create, update, patch, bind and delete: from a request's body to a new version in the store.

Nothing here waits, so each call is atomic.
"""

import uuid

from synergai.k8s_bridge.embedded import bodies, crds, namespaces, patches, preconditions, resizing, shapes
from synergai.k8s_bridge.embedded.bodies import Wish, decode
from synergai.k8s_bridge.embedded.clock import Clock
from synergai.k8s_bridge.embedded.crds import CRDS, CrdStrategy
from synergai.k8s_bridge.embedded.custom import CustomStrategy
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    Named,
    already_exists,
    bad_request,
    invalid,
    invalid_value,
    not_found,
)
from synergai.k8s_bridge.embedded.limits import QuotaStrategy, RangeStrategy
from synergai.k8s_bridge.embedded.objects import Json, Stored, dump, load, metadata, with_metadata
from synergai.k8s_bridge.embedded.pods import PodStrategy
from synergai.k8s_bridge.embedded.resources import (
    LIMIT_RANGES,
    NAMESPACES,
    PODS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    Registry,
    Resource,
)
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.store import Store
from synergai.k8s_bridge.embedded.strategy import PLAIN, STRATEGIES, Strategy, doomed
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


PLAIN_WISH = Wish()


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
            RESOURCE_QUOTAS.collection: QuotaStrategy(),
            LIMIT_RANGES.collection: RangeStrategy(),
        }

    def create(self, target: Target, body: bytes, wish: Wish = PLAIN_WISH) -> Stored:
        """POST to a collection."""
        resource, strategy = target.resource, self._strategy(target.resource)
        obj = bodies.received(target, body, strategy, wish.strict)
        obj = bodies.fresh(obj, target, self._clock())
        named = resource.named(metadata(obj).get("name", ""))
        if target.namespace and namespaces.is_doomed(namespaces.find(self._store, target.namespace)):
            raise namespaces.closed(named, target.namespace)
        if resource.custom and crds.is_terminating(
            self._store.get(CRDS.collection, ("", resource.collection))
        ):
            raise crds.closed(named)
        obj = strategy.prepared(obj, resource)
        _refuse(resource.judged(named.name), strategy.causes(obj))
        strategy.admit(obj, named)
        key = (target.namespace, named.name)
        if self._store.get(resource.collection, key) is not None:
            raise already_exists(named)
        return self._put(resource, key, with_metadata(obj, uid=str(uuid.uuid4())), wish.dry_run)

    def replace(self, target: Target, body: bytes, wish: Wish = PLAIN_WISH) -> tuple[Stored, bool]:
        """PUT; also whether it created the object."""
        resource = target.resource
        obj = bodies.received(target, body, self._strategy(resource), wish.strict)
        if resource.made_by_put and self._find(target) is None:
            fresh = dump(with_metadata(obj, name=target.name, resourceVersion=None))
            return self.create(target._replace(name=""), fresh, wish), True
        current = self.current(target)
        if resource.needs_version and not metadata(obj).get("resourceVersion"):
            cause = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
            raise invalid(resource.named(target.name)._replace(kind=resource.plural), [cause])
        return self._update(target, current, obj, wish), False

    def patch(self, target: Target, body: bytes, media_type: str, wish: Wish = PLAIN_WISH) -> Stored:
        """PATCH."""
        resource = target.resource
        try:
            change = load(body)
        except ValueError as error:
            raise bad_request(f"error decoding patch: {error}") from None
        current = self.current(target)
        typed = {"kind": resource.kind, "apiVersion": resource.group_version, **resource.shown(current.obj)}
        patched = patches.apply(media_type, typed, change, resource.custom)
        try:
            obj = bodies.read(target, patched, self._strategy(resource), wish.strict)
        except shapes.DecodeError as error:
            raise invalid(
                Named("", "", ""), [invalid_value("patch", body.decode(errors="replace"), str(error))]
            ) from None
        return self._update(target, current, obj, wish, patched=True)

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
        if resource.collection == CRDS.collection:
            return self._end_definition(current, dry_run), False
        return self._delete(resource, current, options.get("gracePeriodSeconds"), dry_run)

    def _delete(
        self, resource: Resource, current: Stored, asked_s: int | None, dry_run: bool = False
    ) -> tuple[Stored, bool]:
        strategy = self._strategy(resource)
        grace_s = strategy.grace_s(current.obj, asked_s)
        held = bool(metadata(current.obj).get("finalizers"))
        last = current
        if strategy.graceful or held:
            marked = doomed(current.obj, grace_s, self._clock())
            last = self._put(resource, current.key, marked, dry_run)
        if held or grace_s > 0:
            return last, False
        return (last if dry_run else self._remove(resource, last, last.obj)), True

    def _end_namespace(self, current: Stored, dry_run: bool) -> Stored:
        ending = namespaces.terminating(doomed(current.obj, 0, self._clock()))
        marked = self._put(
            NAMESPACES, current.key, with_metadata(ending, deletionGracePeriodSeconds=None), dry_run
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

    def _end_definition(self, current: Stored, dry_run: bool) -> Stored:
        if crds.is_terminating(current):
            return current
        ending = crds.terminating(current.obj, self._clock())
        marked = self._put(CRDS, current.key, ending, dry_run)
        if not dry_run:
            resource = crds.stored(current.obj)
            for stored in self._store.snapshot(resource.collection):
                self._delete(resource, stored, None)
            self._withdraw(resource.collection)
        return marked

    def _withdraw(self, name: str) -> None:
        """A doomed definition goes with the last of its objects, and their watches end."""
        found = self._store.get(CRDS.collection, ("", name))
        if found is None or not crds.is_terminating(found) or self._store.collection(name).objects:
            return
        self._remove(CRDS, found, with_metadata(found.obj, finalizers=None))

    def _update(
        self, target: Target, current: Stored, new: Json, wish: Wish, patched: bool = False
    ) -> Stored:
        resource, strategy = target.resource, self._strategy(target.resource)
        preconditions.of_update(current, resource.named(target.name), metadata(new), patched)
        old = current.obj
        kept = {key: metadata(old).get(key) for key in _KEPT}
        new = with_metadata(new, **kept, generation=metadata(old).get("generation"))
        if target.subresource == "resize":
            return self._resize(current, new, wish)
        if target.subresource == "status":
            new = strategy.status_changed(new, old, resource)
        else:
            new = strategy.changed(new, old, resource)
        causes = finalizer_causes(new, old) + strategy.causes(new) + strategy.change_causes(new, old)
        _refuse(resource.judged(target.name), causes)
        if resource.collection == NAMESPACES.collection:
            stored = self._put(resource, current.key, new, wish.dry_run)
            self._let_go(target.name)
            return stored
        let_go = "deletionTimestamp" in metadata(new) and not metadata(new).get("finalizers")
        if let_go and not metadata(new).get("deletionGracePeriodSeconds"):
            return current if wish.dry_run else self._remove(resource, current, new)
        return self._put(resource, current.key, new, wish.dry_run)

    def _resize(self, current: Stored, new: Json, wish: Wish) -> Stored:
        new, found = self._pods.resized(new, current.obj)
        _refuse(PODS.named(current.key[1]), found)
        resizing.refuse_beyond_node(new, current.obj, self._store)
        new = resizing.managed(new, current.obj, wish.manager, self._clock())
        return self._put(PODS, current.key, new, wish.dry_run)

    def _put(self, resource: Resource, key: tuple[str, str], obj: Json, dry_run: bool) -> Stored:
        current = self._store.get(resource.collection, key)
        if current is not None and with_metadata(obj, resourceVersion=str(current.rv)) == current.obj:
            return current
        if dry_run:
            return self._store.versioned(key, obj, current.rv) if current else Stored(key, obj, 0)
        stored = self._store.put(resource.collection, key, obj)
        if resource.collection == NAMESPACES.collection and current is None:
            account = b'{"metadata":{"name":"default"}}'
            self.create(Target(SERVICE_ACCOUNTS, key[1], "", ""), account)
        if resource.collection == CRDS.collection and (current is None or current.obj["spec"] != obj["spec"]):
            self._serve(obj, new=current is None)
        return stored

    def _serve(self, definition: Json, new: bool) -> None:
        """What is stored already is as the definition says now, without having changed."""
        crds.serve(self._registry, definition)
        resource = crds.stored(definition)
        if new:
            self._store.begin(resource.collection)
        elif resource.schema is not None:
            self._store.reshape(resource.collection, resource.schema.fit_root)
            self._store.end(resource.collection)

    def _remove(self, resource: Resource, current: Stored, last: Json) -> Stored:
        gone = self._store.remove(resource.collection, current.key, last)
        self._let_go(current.key[0])
        if resource.custom:
            self._withdraw(resource.collection)
        if resource.collection == CRDS.collection:
            crds.withdraw(self._registry, last)
            self._store.end(current.key[1])
        return gone

    def _strategy(self, resource: Resource) -> Strategy:
        if resource.schema is not None:
            return CustomStrategy(schema=resource.schema)
        return self._strategies.get(resource.qualified, PLAIN)


def _refuse(named: Named, causes: list[Cause]) -> None:
    if causes:
        raise invalid(named, causes)
