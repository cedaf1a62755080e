"""Kubernetes Events on pods and nodes, written behind the decisions from a bounded queue that may drop."""

import asyncio
import itertools
import logging
import os
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError, Permit, Withheld
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.pods import Json

log = logging.getLogger(__name__)

VERSIONS = {"Pod": "v1", "Node": "v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}
"""Of kinds that are not ours."""
REPEAT_AFTER_US = 300_000_000
"""The same event on the same object is not written again for this long."""
WRITERS = 4
_REMEMBERED = 8192
_LONGEST_MESSAGE = 1023  # the API server refuses 1024 and more


@dataclass(frozen=True, slots=True)
class Notice:
    """Something an object's owner should know."""

    kind: str
    """`Pod`, `Node`, or a kind of our own."""
    namespace: str
    """Empty for what has none."""
    name: str
    uid: str
    reason: str
    message: str
    warning: bool = False

    def subject(self) -> str:
        name = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind.lower()} {name}"


class EventRecorder:
    """Takes notices at once and writes them when it can."""

    def __init__(
        self,
        client: ApiClient,
        *,
        capacity: int = 1000,
        on_written: Callable[[str], None] = lambda reason: None,
        on_dropped: Callable[[], None] = lambda: None,
        permit: Permit | None = None,
    ) -> None:
        """What waits while `permit` says no is dropped."""
        self._client = client
        self._queue: asyncio.Queue[Json] = asyncio.Queue(capacity)
        self._seen: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._serial = itertools.count()
        self._instance = f"{socket.gethostname()}-{os.getpid()}"
        self._on_written = on_written
        self._on_dropped = on_dropped
        self._permit = permit
        self._told: set[str] = set()  # namespaces where we may not write

    def __call__(self, notice: Notice) -> None:
        now_us = self._client.now_us()
        if self._repeated(notice, now_us):
            return
        try:
            self._queue.put_nowait(self._event(notice, now_us))
        except asyncio.QueueFull:
            self._on_dropped()

    def _repeated(self, notice: Notice, now_us: int) -> bool:
        key = (notice.uid or notice.name, notice.reason, notice.message)
        last_us = self._seen.get(key)
        if last_us is not None and now_us - last_us < REPEAT_AFTER_US:
            return True
        self._seen[key] = now_us
        self._seen.move_to_end(key)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return False

    def _event(self, notice: Notice, now_us: int) -> Json:
        namespace = notice.namespace or "default"
        version = VERSIONS.get(notice.kind, f"{keys.PREFIX}/{keys.API_VERSION}")
        reference = {"apiVersion": version, "kind": notice.kind, "name": notice.name, "uid": notice.uid}
        if notice.namespace:
            reference["namespace"] = notice.namespace
        second = format_time_us(now_us)[:19] + "Z"
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{notice.name[:200]}.{now_us:x}{next(self._serial) % 0x1000:03x}",
                "namespace": namespace,
            },
            "involvedObject": reference,
            "reason": notice.reason,
            "message": notice.message[:_LONGEST_MESSAGE],
            "type": "Warning" if notice.warning else "Normal",
            "action": "Scheduling",
            "count": 1,
            "firstTimestamp": second,
            "lastTimestamp": second,
            "eventTime": format_time_us(now_us),
            "source": {"component": keys.SCHEDULER_NAME},
            "reportingComponent": keys.SCHEDULER_NAME,
            "reportingInstance": self._instance[:128],
        }

    async def run(self) -> None:
        """Write until cancelled."""
        await asyncio.gather(*(self._write() for _ in range(WRITERS)))

    async def _write(self) -> None:
        """An event that the server refuses is counted as dropped."""
        while True:
            event = await self._queue.get()
            try:
                path = f"/api/v1/namespaces/{event['metadata']['namespace']}/events"
                await self._client.post(path, event, permit=self._permit)
                self._on_written(event["reason"])
            except (ApiError, Withheld) as error:
                self._on_dropped()
                self._log(event, error)
            finally:
                self._queue.task_done()

    def _log(self, event: Json, error: ApiError | Withheld) -> None:
        """A missing right is news, once for each namespace; anything else passes by itself."""
        namespace = event["metadata"]["namespace"]
        news = isinstance(error, ApiError) and error.status == 403 and namespace not in self._told
        if news:
            self._told.add(namespace)
        said = str(error) or "another bridge leads"
        log.log(
            logging.WARNING if news else logging.DEBUG, "event %s was not written: %s", event["reason"], said
        )

    async def flush(self) -> None:
        """Until everything taken so far is written or dropped."""
        await self._queue.join()
