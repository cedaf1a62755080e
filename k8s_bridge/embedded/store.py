"""The objects, one resource version counter, and the history that watches start from."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from synergai.k8s_bridge.embedded.errors import expired
from synergai.k8s_bridge.embedded.objects import Json, Key, Stored, with_metadata

HISTORY = 10_000
"""Changes remembered per collection; a watch or an exact list from before them is 410."""

BACKLOG = 50_000
"""Changes a subscriber may lag behind before it is cut off, as kube-apiserver does with slow watchers."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened at one resource version: created (no `before`), updated, or deleted (no `after`)."""

    rv: int
    before: Stored | None
    after: Stored | None
    gone: Stored | None = None
    """The last state of a deleted object, under the resource version of its deletion."""
    lines: dict[str, bytes] = field(default_factory=dict)
    """Watch events made of this change, shared by all who watch it."""


class Subscription:
    """Changes of one collection that a reader has not taken yet."""

    def __init__(self, wake: Callable[[], None], pending: list[Change]) -> None:
        self._wake = wake
        self._pending = pending
        self.overrun = False
        self.ended = False
        """What is pending is the last."""

    def push(self, change: Change) -> None:
        if len(self._pending) >= BACKLOG:
            self.overrun = True
        else:
            self._pending.append(change)
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def take(self) -> list[Change]:
        taken, self._pending = self._pending, []
        return taken


class Collection:
    """The objects of one stored resource."""

    def __init__(self, history: int) -> None:
        self.objects: dict[Key, Stored] = {}
        self.history: deque[Change] = deque(maxlen=history)
        self.compacted_rv = 0
        self.subscriptions: set[Subscription] = set()
        self._order: list[Key] | None = None

    def in_order(self) -> Iterator[Stored]:
        """All objects by namespace and name."""
        if self._order is None:
            self._order = sorted(self.objects)
        return (self.objects[key] for key in self._order)

    def apply(self, key: Key, change: Change) -> None:
        if change.after is None:
            del self.objects[key]
            self._order = None
        else:
            if key not in self.objects:
                self._order = None
            self.objects[key] = change.after
        if len(self.history) == self.history.maxlen:
            self.compacted_rv = self.history[0].rv
        self.history.append(change)
        for subscription in self.subscriptions:
            subscription.push(change)

    def since(self, rv: int) -> list[Change]:
        """The changes after `rv`; 410 if some of them are forgotten."""
        if rv < self.compacted_rv:
            raise expired(f"too old resource version: {rv} ({self.compacted_rv})")
        newer: list[Change] = []
        for change in reversed(self.history):
            if change.rv <= rv:
                break
            newer.append(change)
        return newer[::-1]


class Store:
    """Every collection, under one counter."""

    def __init__(self, history: int = HISTORY) -> None:
        self.rv = 1
        self._history = history
        self._collections: dict[str, Collection] = {}

    def collection(self, name: str) -> Collection:
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(self._history)
        return found

    def begin(self, name: str) -> None:
        """The history of this collection begins now: a watch from an older version is 410."""
        self.collection(name).compacted_rv = self.rv

    def end(self, name: str) -> None:
        """The collection is served no more: its watches end."""
        for subscription in self.collection(name).subscriptions:
            subscription.end()

    def reshape(self, name: str, shaped: Callable[[Json], Json]) -> None:
        """The objects in another form from now on, under the versions they have."""
        objects = self.collection(name).objects
        for key, stored in objects.items():
            objects[key] = Stored(key, shaped(stored.obj), stored.rv)

    def get(self, collection: str, key: Key) -> Stored | None:
        return self.collection(collection).objects.get(key)

    def put(self, collection: str, key: Key, obj: Json) -> Stored:
        """Create or replace; the new version carries the new resource version."""
        before = self.get(collection, key)
        self.rv += 1
        after = self.versioned(key, obj, self.rv)
        self.collection(collection).apply(key, Change(self.rv, before, after))
        return after

    def remove(self, collection: str, key: Key, last: Json) -> Stored:
        """Delete; `last` is the state that watchers are shown."""
        before = self.get(collection, key)
        self.rv += 1
        gone = self.versioned(key, last, self.rv)
        self.collection(collection).apply(key, Change(self.rv, before, None, gone))
        return gone

    @staticmethod
    def versioned(key: Key, obj: Json, rv: int) -> Stored:
        return Stored(key, with_metadata(obj, resourceVersion=str(rv)), rv)

    def snapshot(self, collection: str, rv: int | None = None) -> list[Stored]:
        """All objects by key, now or as they were at an earlier resource version (410 if forgotten)."""
        kept = self.collection(collection)
        if rv is None or rv >= self.rv:
            return list(kept.in_order())
        objects = dict(kept.objects)
        for change in reversed(kept.since(rv)):
            known = change.after or change.gone
            assert known is not None, f"change {change.rv} has neither a state before nor after"
            if change.before is None:
                del objects[known.key]
            else:
                objects[known.key] = change.before
        return [objects[key] for key in sorted(objects)]

    def subscribe(self, collection: str, wake: Callable[[], None], since_rv: int | None) -> Subscription:
        """Changes after `since_rv` (410 if some are forgotten), or from now on. Ends with `unsubscribe`."""
        kept = self.collection(collection)
        subscription = Subscription(wake, [] if since_rv is None else kept.since(since_rv))
        kept.subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, collection: str, subscription: Subscription) -> None:
        self.collection(collection).subscriptions.discard(subscription)

    def compact(self) -> None:
        """Forget all history, as etcd's compaction does: a watch from an older version is 410."""
        for kept in self._collections.values():
            kept.history.clear()
            kept.compacted_rv = self.rv
