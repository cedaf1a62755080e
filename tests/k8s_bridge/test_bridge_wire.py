"""Lean connections against a server that answers byte by byte as it is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from synergai.k8s_bridge.api.wire import Reply, Unreachable, WireError, Wires

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
HANG_UP = b""


class Server:
    """Answers each request with the next script: pieces to send, an empty one hangs up."""

    def __init__(self, *scripts: list[bytes]) -> None:
        self.scripts = list(scripts)
        self.requests: list[bytes] = []
        self.connections = 0
        self.most_at_once = 0
        self._busy = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await _head(reader):
            self._busy += 1
            self.most_at_once = max(self.most_at_once, self._busy)
            self.requests.append(head)
            for piece in self.scripts.pop(0):
                await asyncio.sleep(0.005)
                if piece == HANG_UP:
                    self._busy -= 1
                    writer.transport.abort()
                    return
                writer.write(piece)
            self._busy -= 1

    @asynccontextmanager
    async def open(self, most: int = 4) -> AsyncIterator[Wires]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        wires = Wires(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None, None, most)
        try:
            yield wires
        finally:
            await wires.close()
            server.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def ask(wires: Wires, path: str = "/x", total_s: float = 2.0, **headers: str) -> Reply:
    return await wires.ask("POST", path, headers, b"{}", 1.0, total_s)


async def test_a_request_is_sent_as_http_with_its_headers_and_its_body():
    server = Server([OK])
    async with server.open() as wires:
        await ask(wires, "/a b", Authorization="Bearer x")
    (request,) = server.requests
    assert request.startswith(b"POST /a%20b HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nAuthorization: Bearer x\r\n" in request
    assert request.endswith(b"\r\nContent-Length: 2\r\n\r\n{}")


@pytest.mark.parametrize(
    "pieces",
    [
        [OK],
        [bytes([byte]) for byte in OK],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nh\r\n1\r", b"\ni\r\n0\r\n\r\n"],
        [b"HTTP/1.1 100 Continue\r\n\r\n", OK],
    ],
    ids=["whole", "byte by byte", "chunked", "after 100 Continue"],
)
async def test_a_reply_is_read_however_it_comes(pieces):
    async with Server(pieces).open() as wires:
        reply = await ask(wires)
    assert (reply.status, reply.body) == (200, b"hi")


async def test_an_error_is_a_reply_like_others():
    refused = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy"
    async with Server([refused]).open() as wires:
        reply = await ask(wires)
    assert (reply.status, reply.reason, reply.headers["retry-after"], reply.body) == (
        429,
        "Too Many Requests",
        "7",
        b"busy",
    )


async def test_a_connection_serves_one_request_after_another():
    server = Server(*[[OK]] * 5)
    async with server.open() as wires:
        for _ in range(5):
            await ask(wires)
    assert server.connections == 1


@pytest.mark.parametrize(
    "last",
    [[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"], [OK, HANG_UP], [OK + b"more"]],
    ids=["it says close", "it hangs up while nobody asks", "it says more than was asked"],
)
async def test_a_connection_that_is_over_is_not_used_again(last):
    server = Server(last, [OK])
    async with server.open() as wires:
        await ask(wires)
        await asyncio.sleep(0.05)
        assert (await ask(wires)).body == b"hi"
    assert server.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        [HANG_UP],
        [OK[:-1], HANG_UP],
        [b"HTTP/1.1 200 OK\r\n\r\n", b"hi", HANG_UP],
        [b"garbage\r\n\r\n"],
        [b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
    ],
    ids=["no reply", "half a reply", "a reply without a length", "no HTTP", "another protocol"],
)
async def test_a_reply_that_is_none_is_an_error_and_the_next_request_is_well(pieces):
    async with Server(pieces, [OK]).open() as wires:
        with pytest.raises(ConnectionError):
            await ask(wires)
        assert (await ask(wires)).body == b"hi"


async def test_silence_ends_in_a_timeout_and_a_late_reply_is_nobody_elses():
    late = [OK[i : i + 1] for i in range(len(OK))]  # 5 ms each
    async with Server(late, [OK.replace(b"hi", b"ho")]).open() as wires:
        with pytest.raises(TimeoutError):
            await ask(wires, total_s=0.05)
        assert (await ask(wires)).body == b"ho"


async def test_no_more_connections_are_opened_than_allowed():
    server = Server(*[[OK]] * 12)
    async with server.open(most=3) as wires:
        await asyncio.gather(*(ask(wires) for _ in range(12)))
    assert (server.connections, server.most_at_once) == (3, 3)


async def test_a_request_that_waits_for_a_connection_has_its_time_out_too():
    async with Server([b"H"]).open(most=1) as wires:
        first = asyncio.create_task(ask(wires, total_s=0.3))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            await ask(wires, total_s=0.1)
        with pytest.raises(TimeoutError):
            await first


async def test_where_nobody_listens_the_server_is_unreachable():
    with pytest.raises(Unreachable, match="refused"):
        await ask(Wires("http://127.0.0.1:1", None, None, 1))


async def test_a_header_cannot_begin_another():
    async with Server().open() as wires:
        with pytest.raises(WireError, match="Authorization"):
            await ask(wires, Authorization="x\r\nX-Remote-User: admin")


async def test_whoever_waits_hears_of_the_end():
    async with Server([b"H"]).open() as wires:
        waiting = asyncio.create_task(ask(wires, total_s=5.0))
        await asyncio.sleep(0.05)
        await wires.close()
        with pytest.raises(ConnectionError):
            await waiting
