"""A watch: what is there, then what changes, as one line of JSON each."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from synergai.k8s_bridge.embedded.errors import ApiError
from synergai.k8s_bridge.embedded.formats import Format, watch_line
from synergai.k8s_bridge.embedded.objects import Json, Stored, dump
from synergai.k8s_bridge.embedded.options import ListOptions
from synergai.k8s_bridge.embedded.resources import Resource
from synergai.k8s_bridge.embedded.selectors import Selector
from synergai.k8s_bridge.embedded.store import Change, Store

Write = Callable[[bytes], Awaitable[None]]

DEFAULT_TIMEOUT_S = 1800
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Watch:
    """One watch request."""

    store: Store
    resource: Resource
    options: ListOptions
    format: Format
    bookmark_s: float

    async def run(self, write: Write) -> None:
        """Write lines until the watch's time is over, or the reader is too slow."""
        wake = asyncio.Event()
        collection = self.resource.collection
        try:
            subscription = self.store.subscribe(collection, wake.set, self._since())
        except ApiError as error:
            await write(watch_line("ERROR", dump(error.status())))
            return
        try:
            first = b"".join(self._initial())
            if first:
                await write(first)
            timeout_s = DEFAULT_TIMEOUT_S if self.options.timeout_s is None else self.options.timeout_s
            clock = asyncio.get_running_loop().time
            end = clock() + timeout_s
            bookmark_at = clock() + self.bookmark_s
            while not subscription.overrun:
                wake.clear()
                ended = subscription.ended
                lines = list(self._lines(subscription.take()))
                now = clock()
                if self.options.bookmarks and now >= min(bookmark_at, end):
                    lines.append(self._bookmark())
                    bookmark_at = now + self.bookmark_s
                if lines:
                    await write(b"".join(lines))
                if ended or now >= end:
                    return
                await _wait(wake, min(bookmark_at, end) if self.options.bookmarks else end)
        finally:
            self.store.unsubscribe(collection, subscription)

    def _starts_with_state(self) -> bool:
        if self.options.initial_events is not None:
            return self.options.initial_events
        return not self.options.resource_version

    def _since(self) -> int | None:
        """The version after which changes are wanted; None is now."""
        if self._starts_with_state() or not self.options.resource_version:
            return None
        return self.options.resource_version

    def _initial(self) -> Iterable[bytes]:
        if not self._starts_with_state():
            return
        for stored in self.store.snapshot(self.resource.collection):
            if self.options.selector.matches(stored):
                yield self.format.event(self.resource, "ADDED", stored, None)
        if self.options.initial_events and self.options.bookmarks:
            yield self._bookmark({INITIAL_EVENTS_END: "true"})

    def _lines(self, changes: Iterable[Change]) -> Iterable[bytes]:
        since = self._since() or 0
        for change in changes:
            event = seen(change, self.options.selector) if change.rv > since else None
            if event is not None:
                yield self.format.event(self.resource, *event, change)

    def _bookmark(self, annotations: Json | None = None) -> bytes:
        """Everything up to this version has been sent."""
        meta: Json = {"resourceVersion": str(self.store.rv), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        body = {"kind": self.resource.kind, "apiVersion": self.resource.group_version, "metadata": meta}
        return watch_line("BOOKMARK", dump(body))


def seen(change: Change, selector: Selector) -> tuple[str, Stored] | None:
    """The change as one with this selector sees it.

    What leaves the selector is DELETED, shown as it was before, under the version of the change
    (apiserver/pkg/storage/cacher/cache_watcher.go).
    """
    before = change.before is not None and selector.matches(change.before)
    after = change.after is not None and selector.matches(change.after)
    if change.after is not None and after:
        return ("MODIFIED" if before else "ADDED"), change.after
    if change.before is None or not before:
        return None
    return "DELETED", change.gone or Store.versioned(change.before.key, change.before.obj, change.rv)


async def _wait(wake: asyncio.Event, until: float) -> None:
    try:
        async with asyncio.timeout_at(until):
            await wake.wait()
    except TimeoutError:
        pass
