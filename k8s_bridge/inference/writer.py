"""What is written about jobs: at most one request per thing at once, the newest of what waits, bounded in number."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.api.client import ApiClient, ApiError, Permit, Withheld
from synergai.k8s_bridge.pods import Json

log = logging.getLogger(__name__)

CONCURRENCY = 16
LATE_PER_S = 50.0
"""Of what may wait: where thousands of jobs start at once, their pods come before what is told of them."""
MERGE_PATCH = "application/merge-patch+json"
FIRST_DELAY_S, LAST_DELAY_S = 0.5, 30.0
_PASSING = frozenset({0, 401, 408, 429, 500, 502, 503, 504})
"""What may be over at the next try."""


@dataclass(frozen=True, slots=True)
class Write:
    """One request, which may be sent twice."""

    method: str
    path: str
    body: Json
    media_type: str = MERGE_PATCH


class Writer:
    """`put` returns at once; `on_end` hears of each write's end: its key, and the reply or what the server said."""

    def __init__(
        self,
        client: ApiClient,
        on_end: Callable[[str, Json | ApiError], None],
        *,
        permit: Permit | None = None,
        concurrency: int = CONCURRENCY,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """What is to be sent while `permit` says no is dropped."""
        self._client = client
        self._on_end = on_end
        self._permit = permit
        self._concurrency = concurrency
        self._sleep = sleep
        self._waiting: dict[str, Write] = {}
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._in_line: set[str] = set()  # of those, whose delay is over: they keep their turn
        self._next_late_s = 0.0
        self._ready: deque[str] = deque()
        self._flying: dict[str, asyncio.Task[None]] = {}

    def put(self, key: str, write: Write, delay_s: float = 0.0) -> None:
        """In place of what waits under this key, and as soon as either of them is due; something new within `delay_s`
        goes in its stead."""
        self._waiting[key] = write
        loop, before = asyncio.get_running_loop(), self._delayed.get(key)
        if delay_s <= 0:
            self._due(key)
        elif key not in self._in_line and (before is None or before.when() > loop.time() + delay_s):
            if before is not None:
                before.cancel()
            self._delayed[key] = loop.call_later(delay_s, self._late, key)

    def forget(self) -> None:
        """Send nothing of what waits."""
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        self._in_line.clear()
        self._waiting.clear()
        self._ready.clear()

    @property
    def backlog(self) -> int:
        return len(self._waiting) + len(self._flying)

    async def drain(self) -> None:
        """Send all that waits now, and wait for its end."""
        for key in list(self._waiting):
            self._due(key)
        while self._flying:
            await asyncio.gather(*self._flying.values())

    async def close(self) -> None:
        """Give up what is under way."""
        self.forget()
        flying = list(self._flying.values())
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)

    def _late(self, key: str) -> None:
        """Its delay is over; it takes its turn."""
        loop = asyncio.get_running_loop()
        at_s = max(self._next_late_s, loop.time())
        self._next_late_s = at_s + 1 / LATE_PER_S
        self._in_line.add(key)
        self._delayed[key] = loop.call_at(at_s, self._due, key)

    def _due(self, key: str) -> None:
        self._in_line.discard(key)
        handle = self._delayed.pop(key, None)
        if handle is not None:
            handle.cancel()
        if key not in self._flying and key in self._waiting:
            self._ready.append(key)
        self._next()

    def _next(self) -> None:
        while self._ready and len(self._flying) < self._concurrency:
            key = self._ready.popleft()
            write = None if key in self._flying else self._waiting.pop(key, None)
            if write is not None:
                self._flying[key] = asyncio.get_running_loop().create_task(self._send(key, write))

    async def _send(self, key: str, write: Write) -> None:
        try:
            ended = await self._to_its_end(key, write)
            if ended is not None:
                self._on_end(key, ended)
        finally:
            del self._flying[key]
            if key in self._waiting and key not in self._delayed:
                self._ready.append(key)
            self._next()

    async def _to_its_end(self, key: str, write: Write) -> Json | ApiError | None:
        """None where something newer waits, or nothing may be written any more."""
        backoff = Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        while True:
            try:
                return await self._client.request(
                    write.method,
                    write.path,
                    body=write.body,
                    media_type=write.media_type,
                    permit=self._permit,
                )
            except Withheld:
                return None
            except ApiError as error:
                if error.status not in _PASSING:
                    return error
                log.warning("%s %s: %s", write.method, write.path, error)
            await self._sleep(backoff.next_s())
            if key in self._waiting:
                return None
