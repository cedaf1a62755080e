"""A proxy in front of an API server that does to its clients what networks, load balancers and busy servers do.

It forwards every request, unless a fault says otherwise, and remembers when each came and which binds the API server
accepted, whether or not the client was told.
"""

import asyncio
import json
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import aiohttp
from aiohttp import web

from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.pods import Json

Sort = Literal["bind", "watch", "list", "get", "event", "lease", "queue", "other"]
_COLLECTIONS = ("pods", "nodes", "inferencejobs", "inferenceruntimes", "clusterinferenceruntimes")
_KEPT = ("Accept", "Content-Type")
LONGEST_LINE = 2**24


class Accepted(NamedTuple):
    """A bind that the API server carried out."""

    uid: str
    node: str
    pod: str


@dataclass(eq=False)
class Exchange:
    """One request on its way."""

    proxy: "Proxy"
    request: web.Request
    body: bytes
    sort: Sort
    query: dict[str, str]
    """May be changed before it is passed on."""
    extra: dict[str, str] = field(default_factory=dict)
    """Headers of the reply that win over the API server's."""
    seen: list[bytes] = field(default_factory=list)
    """Lines of a watch, for faults that say them again."""

    @property
    def path(self) -> str:
        return self.request.path

    def abort(self) -> web.Response:
        """The connection is reset; the reply is never seen."""
        if self.request.transport is not None:
            self.request.transport.abort()
        return web.Response()

    async def forward(self) -> web.Response:
        """What the API server answers, as a whole."""
        async with self._ask() as upstream:
            raw = await upstream.read()
            self.proxy.note(self, upstream.status)
            headers = _headers(upstream) | self.extra
            return web.Response(status=upstream.status, body=raw, headers=headers)

    @asynccontextmanager
    async def _ask(self) -> AsyncIterator[aiohttp.ClientResponse]:
        upstream = self.proxy.upstream
        headers = {name: self.request.headers[name] for name in _KEPT if name in self.request.headers}
        headers |= upstream.headers()
        async with self.proxy.session.request(
            self.request.method,
            upstream.host + self.path,
            params=self.query,
            data=self.body or None,
            headers=headers,
            server_hostname=upstream.server_name,
        ) as response:
            yield response

    async def stream(self) -> web.StreamResponse:
        """An endless reply, line by line, each through the faults of its moment."""
        async with self._ask() as upstream:
            response = web.StreamResponse(status=upstream.status, headers=_headers(upstream) | self.extra)
            self.proxy.streams.add(self)
            try:
                await response.prepare(self.request)
                async for line in upstream.content:
                    for each in await self.proxy.lines(self, line):
                        await response.write(each)
            except (EndOfStream, ConnectionError, aiohttp.ClientError):
                self.abort()
            finally:
                self.proxy.streams.discard(self)
            return response


class EndOfStream(Exception):
    """Raised by a fault of lines: the watch is reset here."""


Reply = Callable[[Exchange], Awaitable[web.StreamResponse | None]]
Lines = Callable[[Exchange, bytes], Awaitable[list[bytes]]]


@dataclass(eq=False)
class Fault:
    """What happens to requests of some sorts, each with a probability, while it lasts."""

    name: str
    sorts: frozenset[str] = frozenset()
    """Empty: all."""
    reply: Reply | None = None
    """Instead of passing on; None from it passes on after all."""
    lines: Lines | None = None
    """What becomes of one line of a watch."""
    share: float = 1.0
    cuts: bool = False
    """When it begins, watches are reset so that it meets them too."""
    halts_all: bool = False
    """Nobody, whoever asks, reaches the API server meanwhile."""
    begin: Callable[["Proxy"], Awaitable[None]] | None = None
    end: Callable[["Proxy"], Awaitable[None]] | None = None

    def meets(self, exchange: Exchange, rng: random.Random) -> bool:
        return (not self.sorts or exchange.sort in self.sorts) and rng.random() < self.share


class Proxy:
    """`async with Proxy(credentials, seed).serve(): ...`; faults come and go by `during`."""

    def __init__(self, upstream: Credentials, seed: int = 0, tls: ssl.SSLContext | None = None) -> None:
        """Requests go on with the upstream's identity; of the client, nothing but `token` is asked."""
        self.upstream = upstream
        self.token = "first"
        """Any other is refused with 401."""
        self.on_new_token: Callable[[str], object] = lambda token: None
        """Whoever brings it to the client."""
        self.rng = random.Random(seed)
        self.session: aiohttp.ClientSession
        self.faults: list[Fault] = []
        self.met: Counter[str] = Counter()
        """How often each fault struck."""
        self.arrivals: list[float] = []
        self.accepted: list[Accepted] = []
        self.streams: set[Exchange] = set()
        self.port = 0
        self._tls = tls
        self._runner: web.AppRunner
        self.over = asyncio.Event()
        """Set when the proxy ends."""
        self._late: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["Proxy"]:
        self.upstream.refresh()
        connector = aiohttp.TCPConnector(limit=0, ssl=self.upstream.tls or True)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=True, read_bufsize=LONGEST_LINE
        ) as self.session:
            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{tail:.*}", self._handle)
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            self.port = self._runner.addresses[0][1]
            try:
                yield self
            finally:
                self.over.set()
                for task in self._late:
                    task.cancel()
                await self.cut()
                await self._runner.cleanup()

    @asynccontextmanager
    async def during(self, *faults: Fault) -> AsyncIterator[None]:
        """Meanwhile the faults are at work."""
        for fault in faults:
            self.faults.append(fault)
            if fault.begin:
                await fault.begin(self)
            if fault.cuts:
                await self.reset_watches()
        try:
            yield
        finally:
            for fault in faults:
                self.faults.remove(fault)
                if fault.end:
                    await fault.end(self)

    async def cut(self) -> None:
        """Every connection of every client is reset."""
        server = self._runner.server
        for handler in list(server.connections) if server else ():
            transport = getattr(handler, "transport", None)
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Goes on when the client has left."""
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def reset_watches(self) -> None:
        for exchange in list(self.streams):
            exchange.abort()
        await asyncio.sleep(0)

    def note(self, exchange: Exchange, status: int) -> None:
        if exchange.path.endswith("/binding") and 200 <= status < 300:
            binding = json.loads(exchange.body)
            metadata = binding["metadata"]
            self.accepted.append(Accepted(metadata["uid"], binding["target"]["name"], metadata["name"]))

    def strike(self, name: str) -> None:
        self.met[name] += 1

    def busiest(self, span_s: float = 1.0) -> int:
        """Most requests within any span."""
        most = first = 0
        for last, at_s in enumerate(self.arrivals):
            while at_s - self.arrivals[first] > span_s:
                first += 1
            most = max(most, last - first + 1)
        return most

    async def lines(self, exchange: Exchange, line: bytes) -> list[bytes]:
        """What the faults make of a line; each sees what the one before made."""
        made = [line]
        for fault in list(self.faults):
            if fault.lines and fault.meets(exchange, self.rng):
                self.strike(fault.name)
                made = [new for old in made for new in await fault.lines(exchange, old)]
        return made

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.arrivals.append(time.monotonic())
        exchange = Exchange(self, request, await request.read(), _sort(request), dict(request.query))
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.strike("expired credentials")
            return status_reply(401, "Unauthorized", "Unauthorized")
        for fault in list(self.faults):
            if fault.reply and fault.meets(exchange, self.rng):
                self.strike(fault.name)
                reply = await fault.reply(exchange)
                if reply is not None:
                    return reply
        try:
            return await (exchange.stream() if exchange.sort == "watch" else exchange.forward())
        except (aiohttp.ClientError, OSError):  # the API server itself is away
            return exchange.abort()


def _headers(upstream: aiohttp.ClientResponse) -> dict[str, str]:
    kept = ("Content-Type", "Date", "Retry-After")
    return {name: upstream.headers[name] for name in kept if name in upstream.headers}


def _sort(request: web.Request) -> Sort:
    parts = request.path.strip("/").split("/")
    creates = request.method == "POST" and parts[-1] == "pods" and "dryRun" not in request.query
    if parts[-1] == "binding" or creates:
        return "bind"  # the pod of a job is created on its node
    if "leases" in parts:
        return "lease"
    if "configmaps" in parts:
        return "queue"
    if parts[-1] == "events":
        return "event"
    if parts[-1] in _COLLECTIONS and request.method == "GET":
        return "watch" if request.query.get("watch") else "list"
    return "get" if request.method == "GET" else "other"


def status_reply(code: int, reason: str, message: str, **headers: str) -> web.Response:
    """A Status object, as the API server writes them."""
    body: Json = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    }  # fmt: skip
    return web.json_response(body, status=code, headers=headers)


async def hang(exchange: Exchange) -> web.Response:
    """Nothing is ever said."""
    await exchange.proxy.over.wait()
    return exchange.abort()
