"""Keep-alive connections for the requests that every pod costs: a third of the time that aiohttp's client takes.

HTTP/1.1 without pipelining, redirects, proxies or compression, and each reply says its length, as the API server's do;
llhttp (httptools) parses them.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import httptools


class WireError(ConnectionError):
    """The connection ended before the reply did, or the reply is not HTTP."""


class Unreachable(ConnectionError):
    """No connection can be opened."""


@dataclass(slots=True)
class Reply:
    """A reply; header names in lower case."""

    status: int = 0
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Wires:
    """Up to `most` connections to one server; a request takes an idle one, opens one, or waits for one."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, server_name: str | None, most: int) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._prefix = parts.path.rstrip("/")
        self._authority = parts.netloc.rpartition("@")[2]
        self._tls = (tls or ssl.create_default_context()) if secure else None
        self._server_name = (server_name or self._host) if secure else None
        self._room = asyncio.Semaphore(most)
        self._idle: list[_Wire] = []
        self._open: set[_Wire] = set()

    async def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        connect_s: float,
        total_s: float,
    ) -> Reply:
        """One request. TimeoutError after `total_s`, or where no connection opens within `connect_s`; WireError and
        other OSErrors where there is no reply. The connection is then given up, and the server may have acted."""
        async with asyncio.timeout(total_s), self._room:
            wire = await self._take(connect_s)
            try:
                reply = await wire.ask(self._encode(method, path, headers, body))
            except BaseException:
                wire.abort()
                raise
            if wire.reusable:
                self._idle.append(wire)
            else:
                wire.abort()
            return reply

    def _encode(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{method} {self._prefix}{quote(path)} HTTP/1.1", f"Host: {self._authority}"]
        for name, value in headers.items():
            if "\r" in value or "\n" in value:
                raise WireError(f"the header {name} has a line break in it")
            lines.append(f"{name}: {value}")
        lines.append(f"Content-Length: {len(body)}\r\n\r\n")
        return "\r\n".join(lines).encode("latin-1") + body

    async def _take(self, connect_s: float) -> "_Wire":
        while self._idle:
            wire = self._idle.pop()
            if not wire.ended:
                return wire
        try:
            async with asyncio.timeout(connect_s):
                return await self._connect()
        except (ssl.SSLError, TimeoutError):
            raise
        except OSError as error:
            why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
            raise Unreachable(why) from error

    async def _connect(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        given = {"ssl": self._tls, "server_hostname": self._server_name}
        _, wire = await loop.create_connection(lambda: _Wire(self._open), self._host, self._port, **given)
        return wire

    async def close(self) -> None:
        """Every connection, whatever it waits for."""
        for wire in list(self._open):
            wire.abort()
        self._idle.clear()
        await asyncio.sleep(0)


class _Wire(asyncio.Protocol):
    """One connection; httptools calls the `on_...` methods."""

    def __init__(self, register: set["_Wire"]) -> None:
        self.ended = False
        self.reusable = True
        self._register = register
        self._transport: asyncio.Transport
        self._waiting: asyncio.Future[Reply] | None = None
        self._reply = Reply()
        self._parser = httptools.HttpResponseParser(self)

    def ask(self, request: bytes) -> "asyncio.Future[Reply]":
        self._waiting = asyncio.get_running_loop().create_future()
        self._reply = Reply()
        if self.ended:
            self._waiting.set_exception(WireError("the server closed the connection"))
        else:
            self._transport.write(request)
        return self._waiting

    def abort(self) -> None:
        self.ended = True
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._register.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._register.discard(self)
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(exc or WireError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            self.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._waiting.set_exception(WireError(f"the reply is not HTTP: {error}"))
            self.abort()

    def on_status(self, status: bytes) -> None:
        self._reply.reason += status.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._reply.body += body

    def on_message_complete(self) -> None:
        self._reply.status = self._parser.get_status_code()
        if self._reply.status < 200:  # 100 Continue: the reply is still to come
            self._reply = Reply()
            return
        self.reusable = self._parser.should_keep_alive()
        if self._waiting and not self._waiting.done():
            self._waiting.set_result(self._reply)
