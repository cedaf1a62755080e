"""Raw JSON to and from an API server over keep-alive connections, with typed errors and bounded retries."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal  # replies are JSON of any shape

import aiohttp

from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.api.errors import ApiError, error_of, lost
from synergai.k8s_bridge.api.wire import Reply, Wires
from synergai.k8s_bridge.clock import ServerClock

log = logging.getLogger(__name__)

JSON = "application/json"
CONNECTIONS = 48
"""Seven watches, sixteen binds, events and the GETs behind them."""
ATTEMPTS = 5
FIRST_DELAY_S, LAST_DELAY_S = 0.1, 5.0
LONGEST_RETRY_AFTER_S = 30.0
_TRANSIENT = frozenset({500, 502, 503, 504})
Retry = Literal["all", "throttled", "never"]
"""`all`: also server errors and lost connections, for requests that may be sent twice; `throttled`: only 429,
where the server says that it did nothing; `never`: one attempt, and one more with each token read anew."""
Permit = Callable[[], bool]
"""Asked just before a request leaves, and before each further attempt."""


class Withheld(Exception):
    """The permit was gone: nothing was sent, or only what the server says it did not carry out."""


class ApiClient:
    """One API server. `sleep` and `rng` are injected so that retries can be tested without waiting."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: ServerClock | None = None,
        timeout_s: float = 10.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        rng: random.Random | None = None,
        on_request: Callable[[str, int], None] = lambda method, status: None,
    ) -> None:
        self.clock = clock or ServerClock()
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._sleep = sleep
        self._rng = rng or random.Random()
        self._on_request = on_request
        self._session: aiohttp.ClientSession | None = None
        self._wires: Wires | None = None
        self._reading = asyncio.Lock()

    async def __aenter__(self) -> "ApiClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._wires is not None:
            await self._wires.close()
            self._wires = None

    def now_us(self) -> int:
        """The server's clock."""
        return self.clock.now_us()

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout_s: float | None = None
    ) -> dict[str, Any]:
        return await self.request("GET", path, params=params, timeout_s=timeout_s)

    async def text(self, path: str, params: Mapping[str, str], *, timeout_s: float = 60.0) -> str:
        """What is no JSON: a pod's log. One attempt; ApiError where there is none."""
        async with self._reply("GET", path, params, None, timeout_s) as response:
            return (await response.read()).decode(errors="replace")

    async def post(
        self,
        path: str,
        body: object,
        *,
        retry: Retry = "throttled",
        timeout_s: float | None = None,
        permit: Permit | None = None,
    ):
        return await self.request("POST", path, body=body, retry=retry, timeout_s=timeout_s, permit=permit)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: object = None,
        media_type: str = JSON,
        retry: Retry = "all",
        timeout_s: float | None = None,
        permit: Permit | None = None,
    ) -> dict[str, Any]:
        """One request, tried again while that is safe; the reply's JSON, or ApiError. Withheld without a permit."""
        limit_s = timeout_s or self._timeout_s
        backoff = Backoff(FIRST_DELAY_S, LAST_DELAY_S, self._rng)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                if params is None and not self._credentials.proxy:
                    return _json(await self._ask(method, path, body, limit_s, permit, media_type))
                async with self._reply(
                    method, path, params, body, limit_s, permit=permit, media_type=media_type
                ) as response:
                    return _json(await response.read())
            except ApiError as error:
                if attempt == ATTEMPTS or not _may_retry(error, retry):
                    raise
                delay_s = backoff.next_s()
                if error.retry_after_s is not None:
                    delay_s = max(delay_s, min(error.retry_after_s, LONGEST_RETRY_AFTER_S))
                log.debug("%s %s: %s; again in %.2f s", method, path, error, delay_s)
                await self._sleep(delay_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def lines(self, path: str, params: Mapping[str, str], idle_s: float) -> AsyncGenerator[bytes]:
        """The lines of an endless reply, of any length, until its end or a silence of `idle_s`."""
        pending: list[bytes] = []
        async with self._reply("GET", path, params, None, None, idle_s) as response:
            async for chunk in _chunks(response):
                *whole, rest = chunk.split(b"\n")
                if whole:
                    yield b"".join([*pending, whole[0]])
                    for line in whole[1:]:
                        yield line
                    pending = []
                pending.append(rest)

    async def _ask(
        self, method: str, path: str, body: object, total_s: float, permit: Permit | None, media_type: str
    ) -> bytes:
        """What a pod costs over and over, on lean connections; a reply that is not 2xx raises ApiError."""
        headers = await self._prepare(None if body is None else media_type, permit)
        sent_us, status = self.clock.local_us(), 0
        try:
            reply = await self._lean().ask(
                method, path, headers, _payload(body) or b"", self._timeout_s, total_s
            )
            status = reply.status
            self.clock.observe(reply.headers.get("date", ""), sent_us, self.clock.local_us())
        except (TimeoutError, OSError) as error:
            raise lost(error, self._credentials.host) from error
        finally:
            self._on_request(method, status)
        if status == 401:
            self._credentials.refused(headers)
        if not 200 <= status < 300:
            raise error_of(reply)
        return reply.body

    async def _prepare(self, media_type: str | None, permit: Permit | None) -> dict[str, str]:
        """Headers with a token that is not stale. Withheld without a permit."""
        if self._credentials.stale():
            await self._refresh()
        headers = self._headers(media_type)
        if permit is not None and not permit():
            raise Withheld
        return headers

    @asynccontextmanager
    async def _reply(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: object,
        total_s: float | None,
        idle_s: float | None = None,
        permit: Permit | None = None,
        media_type: str = JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = await self._prepare(None if body is None else media_type, permit)
        sent_us = self.clock.local_us()
        # Of aiohttp's total there are two timers, one in the other: a cancellation that comes with them is lost.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=idle_s)
        status = 0
        try:
            async with (
                asyncio.timeout(total_s),
                self._open().request(
                    method,
                    self._credentials.host + path,
                    params=params,
                    data=_payload(body),
                    headers=headers,
                    timeout=timeout,
                    proxy=self._credentials.proxy,
                    server_hostname=self._credentials.server_name,
                    allow_redirects=False,
                ) as response,
            ):
                status = response.status
                self.clock.observe(response.headers.get("Date", ""), sent_us, self.clock.local_us())
                if response.status == 401:
                    self._credentials.refused(headers)
                if not 200 <= response.status < 300:
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    raise error_of(Reply(status, response.reason or "", headers, await response.read()))
                yield response
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise lost(error, self._credentials.host) from error
        finally:
            self._on_request(method, status)

    def _headers(self, media_type: str | None) -> dict[str, str]:
        kind = {} if media_type is None else {"Content-Type": media_type}
        return {"Accept": JSON, **kind, **self._credentials.headers()}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            tls = self._credentials.tls
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=True if tls is None else tls)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=True)
        return self._session

    def _lean(self) -> Wires:
        if self._wires is None:
            given = self._credentials
            self._wires = Wires(given.host, given.tls, given.server_name, CONNECTIONS)
        return self._wires

    async def _refresh(self) -> None:
        """Once, however many requests wait for it."""
        async with self._reading:
            if self._credentials.stale():
                await asyncio.to_thread(self._credentials.refresh)


async def _chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async for chunk in response.content.iter_any():
        yield chunk


def _json(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw) if raw else {}
    except ValueError as error:
        raise ApiError(0, "BadReply", f"the reply is not JSON: {raw[:80]!r}") from error
    if not isinstance(value, dict):
        raise ApiError(0, "BadReply", f"the reply is no object: {raw[:80]!r}")
    return value


def _payload(body: object) -> bytes | None:
    return None if body is None else json.dumps(body, separators=(",", ":")).encode()


def _may_retry(error: ApiError, retry: Retry) -> bool:
    if error.status == 401 or (error.status == 429 and retry != "never"):  # refused before anything was done
        return True
    if retry != "all" or error.reason == "Untrusted":
        return False
    return error.status in _TRANSIENT or error.status == 0
