"""Writes about jobs: bounded, and the newest alone."""

import asyncio
from typing import Any

from synergai.k8s_bridge.api.client import ApiError, Withheld
from synergai.k8s_bridge.inference.writer import Write, Writer


class Server:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.answers: list[Any] = []
        self.open = asyncio.Event()
        self.open.set()
        self.most = self._now = 0

    async def request(
        self, method: str, path: str, *, body: Any, permit: Any = None, **_: Any
    ) -> dict[str, Any]:
        if permit is not None and not permit():
            raise Withheld
        self.seen.append(body)
        self._now += 1
        self.most = max(self.most, self._now)
        await self.open.wait()
        self._now -= 1
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer


def writer(server: Server, ends: list[Any], **given: Any) -> Writer:
    async def sleep(_: float) -> None:
        await asyncio.sleep(0)

    client: Any = server
    return Writer(client, lambda key, reply: ends.append((key, reply)), sleep=sleep, **given)


def write(n: Any) -> Write:
    return Write("PATCH", "/a", n)


async def test_of_what_waits_under_a_key_the_newest_is_sent():
    server, ends = Server(), []
    made = writer(server, ends)
    server.open.clear()
    made.put("a", write(1))
    await asyncio.sleep(0)
    for n in (2, 3, 4):
        made.put("a", write(n))
    server.open.set()
    await made.drain()
    assert server.seen == [1, 4]


async def test_what_may_wait_is_sent_once():
    server, ends = Server(), []
    made = writer(server, ends)
    for n in range(5):
        made.put("a", write(n), delay_s=0.01)
    await asyncio.sleep(0.05)
    assert server.seen == [4]


async def test_what_is_urgent_does_not_wait_for_what_may():
    server, ends = Server(), []
    made = writer(server, ends)
    made.put("a", write(1), delay_s=60)
    made.put("a", write(2))
    await made.drain()
    assert server.seen == [2]


async def test_no_more_are_under_way_than_allowed():
    server, ends = Server(), []
    made = writer(server, ends, concurrency=3)
    server.open.clear()
    for n in range(20):
        made.put(str(n), write(n))
    await asyncio.sleep(0.01)
    server.open.set()
    await made.drain()
    assert server.most == 3
    assert len(server.seen) == 20


async def test_a_server_that_is_away_is_asked_again():
    server, ends = Server(), []
    server.answers = [ApiError(503, "Unavailable", "x"), ApiError(0, "Timeout", "x"), {"kind": "done"}]
    made = writer(server, ends)
    made.put("a", write(1))
    await made.drain()
    assert ends == [("a", {"kind": "done"})]
    assert server.seen == [1, 1, 1]


async def test_while_a_server_is_away_the_newest_takes_the_place_of_what_failed():
    server, ends = Server(), []
    server.answers = [ApiError(503, "Unavailable", "x")]
    made = writer(server, ends)
    server.open.clear()
    made.put("a", write(1))
    await asyncio.sleep(0)
    made.put("a", write(2))
    server.open.set()
    await made.drain()
    assert server.seen == [1, 2]
    assert len(ends) == 1


async def test_what_the_server_refuses_is_handed_back():
    server, ends = Server(), []
    server.answers = [ApiError(422, "Invalid", "no")]
    made = writer(server, ends)
    made.put("a", write(1))
    await made.drain()
    assert [(key, reply.status) for key, reply in ends] == [("a", 422)]


async def test_without_a_permit_nothing_is_sent_and_nobody_hears_of_an_end():
    server, ends = Server(), []
    made = writer(server, ends, permit=lambda: False)
    made.put("a", write(1))
    await made.drain()
    assert (server.seen, ends) == ([], [])


async def test_of_what_may_wait_so_many_are_sent_in_a_second(monkeypatch):
    monkeypatch.setattr("synergai.k8s_bridge.inference.writer.LATE_PER_S", 1e-3)
    server, ends = Server(), []
    made = writer(server, ends)
    for n in range(3):
        made.put(str(n), write(n), delay_s=0.001)
    made.put("urgent", write("now"))
    await asyncio.sleep(0.05)
    assert sorted(map(str, server.seen)) == ["0", "now"]
    await made.drain()
    assert len(server.seen) == 4


async def test_what_is_in_line_keeps_its_turn_when_something_newer_takes_its_place(monkeypatch):
    monkeypatch.setattr("synergai.k8s_bridge.inference.writer.LATE_PER_S", 20.0)
    server, ends = Server(), []
    made = writer(server, ends)
    for n in range(4):
        made.put(str(n), write(n), delay_s=0.001)
    await asyncio.sleep(0.02)
    made.put("1", write("newer"), delay_s=0.001)
    await asyncio.sleep(0.4)
    assert server.seen == [0, "newer", 2, 3]
