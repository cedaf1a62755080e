"""List and watch: a stream of what was added, changed and deleted that survives lost connections and 410."""

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal  # an event's kind is what the server says

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.api.client import LONGEST_RETRY_AFTER_S, ApiClient, ApiError
from synergai.k8s_bridge.pods import Json

log = logging.getLogger(__name__)

Kind = Literal["ADDED", "MODIFIED", "DELETED", "REFUSED"]
"""`REFUSED`: what may be missing may not be read, and the object's `why` says so; empty once it may."""
PAGE = 500
SERVER_TIMEOUT_S = 30
"""After this long the server ends a watch; it is opened again from the last resourceVersion."""
IDLE_S = 35.0
"""A longer silence is a dead connection. Bookmarks do not tell one from a quiet cluster: where nothing of the resource
has changed there are none."""
FIRST_DELAY_S, LAST_DELAY_S = 0.2, 5.0
REFUSED_S = 60.0
"""Until what may be missing is asked for again."""
DEFINED_S = 5.0
"""The same of what we define ourselves: whoever installs that waits for it."""
STEADY_S = 5.0
"""A watch that lasted so long was a good one: what ends it is a new trouble, and is waited out as one."""
_PASSING = frozenset({0, 401, 408, 429, 500, 502, 503, 504})
"""What may be over at the next try, so that a first list waits for it."""
_TOO_NEW = "Too large resource version"
"""https://github.com/kubernetes/apimachinery/blob/v0.36.3/pkg/api/errors/errors.go: the server lacks what we have seen,
for a moment after its start, or for ever after a restore of etcd."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What is listed and watched."""

    name: str
    path: str
    field_selector: str = ""
    label_selector: str = ""
    optional: bool = False
    """Whether the bridge does without, where it may not be read or is not served."""
    again_s: float = REFUSED_S
    """Until that is asked for again."""

    def params(self, **more: str) -> dict[str, str]:
        given = {"fieldSelector": self.field_selector, "labelSelector": self.label_selector}
        return {name: selector for name, selector in given.items() if selector} | more


NODES = Resource("nodes", "/api/v1/nodes")
OWN_PODS = Resource("pods", "/api/v1/pods", f"spec.schedulerName={keys.SCHEDULER_NAME}")
OTHER_PODS = Resource(
    "others",
    "/api/v1/pods",
    f"spec.schedulerName!={keys.SCHEDULER_NAME},spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed",
    f"!{keys.LABEL_JOB}",
)
ATTEMPTS = Resource("attempts", "/api/v1/pods", f"spec.schedulerName!={keys.SCHEDULER_NAME}", keys.LABEL_JOB)
"""Our own pods that another scheduler binds, also by a setting of before: the label keeps the two apart."""
NOMINATED = Resource(
    "nominated",
    "/api/v1/pods",
    f"spec.schedulerName!={keys.SCHEDULER_NAME},spec.nodeName=,status.nominatedNodeName!=",
    f"!{keys.LABEL_JOB}",
)
NAMESPACES = Resource("namespaces", "/api/v1/namespaces", optional=True)
CLAIMS = Resource("persistentvolumeclaims", "/api/v1/persistentvolumeclaims", optional=True)
VOLUMES = Resource("persistentvolumes", "/api/v1/persistentvolumes", optional=True)
_GROUP = f"/apis/{keys.PREFIX}/{keys.API_VERSION}"
JOBS = Resource("inferencejobs", f"{_GROUP}/inferencejobs", optional=True, again_s=DEFINED_S)
RUNTIMES = Resource("inferenceruntimes", f"{_GROUP}/inferenceruntimes", optional=True, again_s=DEFINED_S)
CLUSTER_RUNTIMES = Resource(
    "clusterinferenceruntimes", f"{_GROUP}/clusterinferenceruntimes", optional=True, again_s=DEFINED_S
)
ALL = (
    OTHER_PODS, NODES, NOMINATED, NAMESPACES, CLAIMS, VOLUMES, RUNTIMES, CLUSTER_RUNTIMES, JOBS, ATTEMPTS,
    OWN_PODS,
)  # fmt: skip
"""In the order in which they are listed: our pods last, as what they may do depends on the others."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change; a DELETED made up after a new list has only the object's metadata."""

    resource: Resource
    kind: Kind
    object: Json


class _Expired(Exception):
    """The resourceVersion is too old: list again."""


class Reflector:
    """Keeps one resource followed and hands every change to `sink`, in order."""

    def __init__(
        self,
        client: ApiClient,
        resource: Resource,
        sink: Callable[[WatchEvent], None],
        *,
        page: int = PAGE,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
        on_listed: Callable[[], None] = lambda: None,
        on_restart: Callable[[str, str], None] = lambda resource, cause: None,
    ) -> None:
        self.synced = asyncio.Event()
        """Set after the first complete list."""
        self.listed = asyncio.Event()
        """Set after each complete list, cleared by `start_over`."""
        self._client = client
        self._resource = resource
        self._sink = sink
        self._page = page
        self._sleep = sleep
        self._monotonic = monotonic
        self._backoff = backoff or Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        self._on_listed = on_listed
        self._on_restart = on_restart
        self._heard_s = monotonic()
        self._version = ""
        self._refused = ""
        self._told_to_wait_s = 0.0
        self._known: dict[str, tuple[str, str, str]] = {}  # uid -> (resourceVersion, namespace, name)

    @property
    def name(self) -> str:
        return self._resource.name

    def age_s(self) -> float:
        """Since the server was heard last: a list, an event, a bookmark, or the end of a watch."""
        return self._monotonic() - self._heard_s

    def start_over(self) -> None:
        """The next `run` begins with a list of what the server has then; only while none is under way."""
        self._version = ""
        self._backoff.reset()
        self.listed.clear()

    async def run(self) -> None:
        """Until cancelled; before the first list is complete an error that no retry mends is raised."""
        while True:
            began_s = self._monotonic()
            cause = await self._cycle()
            self._on_restart(self._resource.name, cause)
            if cause == "refused":
                await self._sleep(self._resource.again_s)
                continue
            lasted_s = self._monotonic() - began_s
            if lasted_s > STEADY_S:
                self._backoff.reset()
            if cause != "end" or lasted_s < 1.0:
                await self._sleep(max(self._backoff.next_s(), self._told_to_wait_s))

    async def _cycle(self) -> str:
        """List where needed, then watch until that ends; why it ended."""
        self._told_to_wait_s = 0.0
        try:
            if not self._version:
                await self._list()
            await self._watch()
        except _Expired:
            self._version = ""
            return "expired"
        except ApiError as error:
            if self._resource.optional and error.status in (403, 404):
                self._refuse(error)
                return "refused"
            if not self.synced.is_set() and error.status not in _PASSING:
                raise
            if error.status == 410 or _TOO_NEW in error.message:
                self._version = ""
            self._told_to_wait_s = min(error.retry_after_s or 0.0, LONGEST_RETRY_AFTER_S)
            log.warning("watch of %s: %s", self._resource.name, error)
            return "error"
        self._heard_s = (
            self._monotonic()
        )  # where nothing changes no bookmark comes either, but the server ends it in time
        return "end"

    async def _list(self) -> None:
        """Each page is told at once: a large cluster's pods are never all in memory as they came."""
        before = {(namespace, name): uid for uid, (_, namespace, name) in self._known.items()}
        version = ""
        async for items, latest in self._pages():
            version = latest
            for item in items:
                metadata = item["metadata"]
                uid = before.pop(_name(metadata), metadata["uid"])
                if uid != metadata["uid"]:  # another of the name came after it
                    self._emit_gone(uid)
                known = self._known.get(metadata["uid"])
                if known is None or known[0] != metadata.get("resourceVersion"):
                    self._emit("ADDED" if known is None else "MODIFIED", item)
        for uid in sorted(before.values()):
            self._emit_gone(uid)
        self._version = version
        self._heard_s = self._monotonic()
        self._told("")
        self._is_listed()

    def _is_listed(self) -> None:
        if not self.listed.is_set():
            self.synced.set()
            self.listed.set()
            self._on_listed()

    def _refuse(self, error: ApiError) -> None:
        """Go on without."""
        self._version = ""
        self._told(
            f"{self._resource.name} cannot be read: it takes the right to list and watch them ({error.message})"
        )
        self._is_listed()

    def _told(self, why: str) -> None:
        if why != self._refused:
            self._refused = why
            if why:
                log.warning("%s; pods that depend on them are not scheduled", why)
            self._sink(WatchEvent(self._resource, "REFUSED", {"metadata": {}, "why": why}))

    async def _pages(self) -> AsyncIterator[tuple[list[Json], str]]:
        """The items of each page, and the list's version."""
        params = self._resource.params(limit=str(self._page))
        while True:
            try:
                reply = await self._client.get(self._resource.path, params)
            except ApiError as error:
                if error.status == 410:  # the list took longer than its snapshot lives
                    raise _Expired from error
                raise
            items, metadata = _page(reply)
            yield items, metadata["resourceVersion"]
            if not metadata.get("continue"):
                return
            params = self._resource.params(limit=str(self._page), **{"continue": metadata["continue"]})

    async def _watch(self) -> None:
        params = self._resource.params(
            watch="true",
            allowWatchBookmarks="true",
            resourceVersion=self._version,
            timeoutSeconds=str(SERVER_TIMEOUT_S),
        )
        async with aclosing(self._client.lines(self._resource.path, params, IDLE_S)) as lines:
            async for line in lines:
                if line:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        kind, value = _read(line)
        if kind == "ERROR":
            if value.get("code") == 410:
                raise _Expired
            raise ApiError(value.get("code", 0), value.get("reason", "Unknown"), value.get("message", ""))
        version = value["metadata"]["resourceVersion"]
        if not _is_newer(version, self._version):
            return  # said before, maybe by a proxy; what has come since counts
        if kind in ("ADDED", "MODIFIED", "DELETED"):
            self._emit(kind, value)
        self._version = version
        self._heard_s = self._monotonic()

    def _emit(self, kind: Kind, value: Json) -> None:
        metadata = value["metadata"]
        if kind == "DELETED":
            self._known.pop(metadata["uid"], None)
        else:
            self._known[metadata["uid"]] = (metadata.get("resourceVersion", ""), *_name(metadata))
        self._sink(WatchEvent(self._resource, kind, value))

    def _emit_gone(self, uid: str) -> None:
        """It was there, and a new list lacks it."""
        _, namespace, name = self._known[uid]
        where = {"namespace": namespace} if namespace else {}
        self._emit("DELETED", {"metadata": {"name": name, "uid": uid, **where}})


def _name(metadata: Json) -> tuple[str, str]:
    """Namespace, kept once for all that are in it, and name."""
    return sys.intern(metadata.get("namespace", "")), metadata["name"]


def _read(line: bytes) -> tuple[Any, Json]:
    """Kind and object of an event; ApiError for what is none, as of a connection that was cut or a stranger's reply."""
    try:
        event = json.loads(line)
        kind, value = event["type"], event["object"]
        metadata = value if kind == "ERROR" else value["metadata"]
        known = isinstance(metadata, dict) and (kind in ("ERROR", "BOOKMARK") or "uid" in metadata)
        if known and (kind == "ERROR" or metadata["resourceVersion"]):
            return kind, value
    except (ValueError, LookupError, TypeError):
        pass
    raise ApiError(0, "BadReply", f"a watch line is no event: {line[:80]!r}")


def _page(reply: Json) -> tuple[list[Json], Json]:
    """Items and metadata of a list. Taken for an empty one, anything else would have all that is known deleted."""
    items, metadata = reply.get("items", ()), reply.get("metadata")
    if "items" in reply and isinstance(metadata, dict) and metadata.get("resourceVersion"):
        return list(items or ()), metadata
    raise ApiError(0, "BadReply", f"the reply is no list: {str(reply)[:80]}")


def _is_newer(version: str, than: str) -> bool:
    """Versions of one resource are numbers that grow (KEP-5504); what is no number is taken as new."""
    return not (version.isdecimal() and than.isdecimal()) or int(version) > int(than)
