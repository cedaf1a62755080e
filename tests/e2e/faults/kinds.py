"""Every kind of fault, by name; what needs the API server's processes is made in `machines.py`."""

import asyncio
import json
from collections.abc import Callable
from email.utils import formatdate
from time import time

from aiohttp import web

from tests.e2e.faults.proxy import EndOfStream, Exchange, Fault, Lines, Proxy, Reply, hang, status_reply

BIND, WATCH, LIST = frozenset({"bind"}), frozenset({"watch"}), frozenset({"list"})
GONE = json.dumps(
    {
        "type": "ERROR",
        "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
    }
).encode()
TOO_NEW = "Too large resource version: 99999999, current: 1"
HTML = "<html><body>Welcome to the hotel. Please log in.</body></html>"
NO_EVENTS = (b'{"type": "MODIF', b"[]", b'{"type": "ADDED", "object": {}}', b'{"type": "ERROR", "object": null}',
             b'{"type": "MODIFIED", "object": {"metadata": {"resourceVersion": "1"}}}', b"\xff\xfe")  # fmt: skip


def _answer(make: Callable[[], web.Response]) -> Reply:
    async def reply(exchange: Exchange) -> web.StreamResponse:
        return make()

    return reply


async def _reset(exchange: Exchange) -> web.Response:
    return exchange.abort()


async def _lose_reply(exchange: Exchange) -> web.Response:
    await exchange.forward()
    return exchange.abort()


async def _lost_500(exchange: Exchange) -> web.Response:
    await exchange.forward()
    return status_reply(500, "InternalError", "etcdserver: request timed out")


async def _hang(exchange: Exchange) -> web.Response:
    return await hang(exchange)


def _late(after_s: float) -> Reply:
    """Carried out when the client has given up."""

    async def reply(exchange: Exchange) -> web.Response:
        async def carry_out() -> None:
            await asyncio.sleep(after_s)
            await exchange.forward()

        exchange.proxy.later(carry_out())
        return await hang(exchange)

    return reply


async def _slow(exchange: Exchange) -> None:
    await asyncio.sleep(exchange.proxy.rng.uniform(0.05, 0.8))


def _skewed(by_s: float) -> Reply:
    async def reply(exchange: Exchange) -> None:
        exchange.extra["Date"] = formatdate(time() + by_s, usegmt=True)

    return reply


async def _close(exchange: Exchange) -> web.StreamResponse | None:
    if exchange.sort == "watch":
        return None
    response = await exchange.forward()
    response.force_close()
    return response


async def _expire_pages(exchange: Exchange) -> web.Response | None:
    """Pages of five, of which the later ones are gone every other time."""
    exchange.query["limit"] = "5"
    if "continue" in exchange.query and exchange.proxy.rng.random() < 0.5:
        return status_reply(410, "Expired", "The provided continue parameter is too old")
    return None


async def _half(exchange: Exchange) -> web.StreamResponse:
    body = (await exchange.forward()).body
    assert isinstance(body, bytes)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    response = web.StreamResponse(headers=headers)
    await response.prepare(exchange.request)
    await response.write(body[: len(body) // 2])
    exchange.abort()
    return response


async def _no_http(exchange: Exchange) -> web.Response:
    transport = exchange.request.transport
    if isinstance(transport, asyncio.WriteTransport):
        transport.write(b"SSH-2.0-surprise\r\n\r\n")
    await asyncio.sleep(0.01)
    return exchange.abort()


async def _twice(exchange: Exchange, line: bytes) -> list[bytes]:
    return [line, line]


async def _again(exchange: Exchange, line: bytes) -> list[bytes]:
    """The line, and one that was sent before."""
    exchange.seen.append(line)
    return [line, exchange.proxy.rng.choice(exchange.seen)]


async def _delay(exchange: Exchange, line: bytes) -> list[bytes]:
    """So streams fall behind each other."""
    await asyncio.sleep(exchange.proxy.rng.uniform(0.0, 0.3))
    return [line]


async def _tear(exchange: Exchange, line: bytes) -> list[bytes]:
    """The first line of a watch is its last, and half of it is missing."""
    if exchange.seen:
        raise EndOfStream
    exchange.seen.append(line)
    return [line[: len(line) // 2]]


async def _mix_in(exchange: Exchange, line: bytes) -> list[bytes]:
    return [exchange.proxy.rng.choice(NO_EVENTS) + b"\n", line]


async def _expire(exchange: Exchange, line: bytes) -> list[bytes]:
    return [GONE + b"\n"]


async def _drop_bookmarks(exchange: Exchange, line: bytes) -> list[bytes]:
    return [] if b'"BOOKMARK"' in line[:40] else [line]


async def _stall(exchange: Exchange, line: bytes) -> list[bytes]:
    await exchange.proxy.over.wait()
    return []


async def _cut(proxy: Proxy) -> None:
    await proxy.cut()


async def _change_token(proxy: Proxy) -> None:
    proxy.token = "second"
    await proxy.reset_watches()


async def _bring_token(proxy: Proxy) -> None:
    proxy.on_new_token(proxy.token)


def _error(code: int, reason: str, message: str = "injected") -> Reply:
    return _answer(lambda: status_reply(code, reason, message))


def _throttle() -> web.Response:
    """As API Priority and Fairness says it."""
    text = "Too many requests, please try again later.\n"
    return web.Response(status=429, text=text, headers={"Retry-After": "1"})


Kind = Callable[[], Fault]


def _kind(
    name: str, sorts: frozenset[str] = frozenset(), reply: Reply | None = None, **more: object
) -> tuple[str, Kind]:
    return name, lambda: Fault(name, sorts, reply, **more)  # type: ignore[arg-type]  # as they are named there


def _watched(name: str, lines: Lines, share: float = 1.0) -> tuple[str, Kind]:
    return name, lambda: Fault(name, WATCH, lines=lines, share=share)


KINDS: dict[str, Kind] = dict(
    (
        _kind("binds answered 409", BIND, _error(409, "Conflict", "the object has been modified")),
        _kind("binds answered 404", BIND, _error(404, "NotFound", 'pods "x" not found'), share=0.5),
        _kind(
            "409 to everything written",
            frozenset({"bind", "lease", "queue", "event"}),
            _error(409, "Conflict"),
        ),
        _kind("410 to a watch", WATCH, _error(410, "Gone"), cuts=True),
        _watched("410 in a watch", _expire),
        _kind("throttled: 429 with Retry-After", reply=_answer(_throttle), share=0.8, cuts=True),
        _kind(
            "500", reply=_error(500, "InternalError", "etcdserver: request timed out"), share=0.8, cuts=True
        ),
        _kind(
            "502 in HTML", reply=_answer(lambda: web.Response(status=502, text=HTML)), share=0.8, cuts=True
        ),
        _kind("503", reply=_error(503, "ServiceUnavailable"), share=0.8, cuts=True),
        _kind("504", reply=_error(504, "Timeout"), share=0.8, cuts=True),
        _kind("504, too large resource version", WATCH, _error(504, "Timeout", TOO_NEW), cuts=True),
        _kind("403 for a while", reply=_error(403, "Forbidden"), cuts=True),
        _kind("reset before a request is passed on", reply=_reset, share=0.5, cuts=True),
        _kind("reset after a bind was carried out", BIND, _lose_reply, share=0.7),
        _kind("reset after a lease was written", frozenset({"lease"}), _lose_reply),
        _kind("binds carried out, answered 500", BIND, _lost_500, share=0.7),
        _watched("reset in the middle of a line", _tear),
        _watched("stalled watch", _stall),
        _kind("binds carried out after 1.5 timeouts", BIND, _late(0.75), share=0.7),
        _kind("binds carried out after 6 timeouts", BIND, _late(3.0), share=0.7),
        _kind("binds that hang", BIND, _hang, share=0.7),
        _watched("watch events twice", _twice),
        _watched("old watch events again", _again),
        _watched("watch events late", _delay),
        _watched("watch lines that are no events", _mix_in, share=0.3),
        _watched("no bookmarks", _drop_bookmarks),
        _kind("a server's clock 3 h ahead", reply=_skewed(3 * 3600.0)),
        _kind("a server's clock 3 h behind", reply=_skewed(-3 * 3600.0)),
        _kind("one server's clock of two 3 h ahead", reply=_skewed(3 * 3600.0), share=0.5),
        _kind("every connection closed with its reply", reply=_close),
        _kind("slow replies", reply=_slow),
        _kind("pages of a list that expire", LIST, _expire_pages),
        _kind("lists that are no lists", LIST, _answer(lambda: web.json_response({}))),
        _kind("lists in half", LIST, _half),
        _kind("200 with a page of HTML", reply=_answer(lambda: web.Response(text=HTML)), cuts=True),
        _kind("replies that are no HTTP", reply=_no_http, share=0.5, cuts=True),
        _kind("expired credentials", begin=_change_token, end=_bring_token),
        _kind("the network cut", reply=_reset, begin=_cut),
        _kind("a black hole", reply=_hang, cuts=True),
    )
)
"""A list happens only after a 410: what concerns lists comes with one in `together`."""


def together(name: str) -> list[Fault]:
    """The fault, and what it takes for it to be met."""
    fault = KINDS[name]()
    if fault.sorts == LIST:
        return [fault, Fault("410 first", WATCH, _error(410, "Gone"), share=0.5, cuts=True)]
    return [fault]
