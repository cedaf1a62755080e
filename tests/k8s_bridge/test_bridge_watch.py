"""List and watch: pages, bookmarks, 410, lost connections."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.api.watch import CLAIMS, NODES, OTHER_PODS, OWN_PODS, Reflector, WatchEvent


def item(name: str, version: int = 1, uid: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}}


def page(*items: dict[str, Any], version: str = "10", more: str = "") -> dict[str, Any]:
    return {"items": list(items), "metadata": {"resourceVersion": version, "continue": more}}


def line(kind: str, value: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": value}).encode()


EXPIRED = line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


class Server:
    """Answers lists and watches from a script and hangs when the script is over."""

    def __init__(self, lists: list[object], watches: list[list[bytes | ApiError]]) -> None:
        self.lists = lists
        self.watches = watches
        self.asked: list[dict[str, str]] = []
        self.over = asyncio.Event()

    async def get(self, path: str, params: dict[str, str]) -> dict[str, Any]:
        self.asked.append(dict(params))
        reply = self.lists.pop(0)
        if isinstance(reply, ApiError):
            raise reply
        assert isinstance(reply, dict)
        return reply

    async def lines(self, path: str, params: dict[str, str], idle_s: float) -> AsyncGenerator[bytes]:
        self.asked.append(dict(params))
        if not self.watches:
            self.over.set()
            await asyncio.Event().wait()
        for each in self.watches.pop(0):
            if isinstance(each, ApiError):
                raise each
            yield each


async def follow(server: Server, resource=NODES) -> list[WatchEvent]:
    """Everything a reflector tells until the script is over."""
    told: list[WatchEvent] = []

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    reflector = Reflector(server, resource, told.append, sleep=no_sleep)  # type: ignore[arg-type]
    task = asyncio.create_task(reflector.run())
    over = asyncio.create_task(server.over.wait())
    await asyncio.wait({task, over}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    if task.done():
        task.result()
    task.cancel()
    return told


def names(told: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.kind, event.object["metadata"]["name"]) for event in told]


async def test_a_list_comes_as_added():
    assert names(await follow(Server([page(item("a"), item("b"))], []))) == [("ADDED", "a"), ("ADDED", "b")]


async def test_a_long_list_comes_in_pages():
    server = Server([page(item("a"), more="token"), page(item("b"))], [])
    assert [name for _, name in names(await follow(server))] == ["a", "b"]
    assert server.asked[1]["continue"] == "token"


async def test_a_page_is_told_before_the_next_one_is_asked_for():
    told_before: list[int] = []
    server = Server([page(item("a"), more="t"), page(item("b"), more="t"), page(item("c"))], [])
    told: list[WatchEvent] = []
    plain = server.get

    async def get(path: str, params: dict[str, str]) -> dict[str, Any]:
        told_before.append(len(told))
        return await plain(path, params)

    server.get = get  # type: ignore[method-assign]
    task = asyncio.create_task(Reflector(server, NODES, told.append).run())  # type: ignore[arg-type]
    await asyncio.wait_for(server.over.wait(), 5)
    task.cancel()
    assert told_before == [0, 1, 2]


async def test_a_list_whose_pages_expire_begins_again():
    server = Server([page(item("a"), more="t"), ApiError(410, "Expired", ""), page(item("a"), item("b"))], [])
    assert [name for _, name in names(await follow(server))] == ["a", "b"]


async def test_changes_follow_the_list():
    server = Server([page(item("a"))], [[line("MODIFIED", item("a", 11)), line("DELETED", item("a", 12))]])
    assert names(await follow(server)) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_watch_goes_on_from_the_last_bookmark():
    server = Server([page()], [[line("BOOKMARK", {"metadata": {"resourceVersion": "77"}})]])
    await follow(server)
    assert server.asked[-1]["resourceVersion"] == "77"


async def test_after_410_the_list_is_compared_with_what_was_known():
    relisted = page(item("b"), item("c", 20), item("d", 21), version="30")
    server = Server([page(item("a"), item("b"), item("c")), relisted], [[EXPIRED]])
    told = names(await follow(server))[3:]
    assert told == [("MODIFIED", "c"), ("ADDED", "d"), ("DELETED", "a")]


async def test_a_new_object_of_an_old_name_is_a_deletion_and_an_addition():
    server = Server([page(item("a")), page(item("a", 20, uid="second"))], [[EXPIRED]])
    assert names(await follow(server))[1:] == [("DELETED", "a"), ("ADDED", "a")]


async def test_starting_over_lists_anew_and_tells_what_is_different():
    server = Server([page(item("a"), item("b")), page(item("b", 20), item("c"))], [])
    told: list[WatchEvent] = []
    reflector = Reflector(server, NODES, told.append)  # type: ignore[arg-type]
    for expected in (2, 5):
        task = asyncio.create_task(reflector.run())
        await asyncio.wait_for(reflector.listed.wait(), 5)
        assert len(told) == expected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        reflector.start_over()
        assert not reflector.listed.is_set()
    assert names(told)[2:] == [("MODIFIED", "b"), ("ADDED", "c"), ("DELETED", "a")]
    assert reflector.synced.is_set()


async def test_a_watch_refused_with_410_lists_again():
    server = Server([page(item("a")), page()], [[ApiError(410, "Gone", "")]])
    assert names(await follow(server))[1:] == [("DELETED", "a")]


async def test_a_lost_connection_goes_on_where_it_was():
    server = Server([page()], [[line("ADDED", item("a", 15)), ApiError(0, "Disconnected", "")]])
    await follow(server)
    assert server.asked[-1]["resourceVersion"] == "15"


async def test_a_damaged_line_opens_the_watch_again():
    server = Server([page()], [[b'{"type": "ADD'], [line("ADDED", item("a", 11))]])
    assert names(await follow(server)) == [("ADDED", "a")]


async def test_a_first_list_that_is_forbidden_is_an_error():
    with pytest.raises(ApiError, match="403"):
        await follow(Server([ApiError(403, "Forbidden", "cannot list")], []))


def test_the_two_pod_selectors_exclude_each_other():
    assert OWN_PODS.field_selector == "spec.schedulerName=synergai"
    assert OTHER_PODS.field_selector.startswith("spec.schedulerName!=synergai,spec.nodeName!=")


async def test_what_may_be_missing_is_done_without_until_the_right_is_given():
    refused = ApiError(403, "Forbidden", "no")
    told = await follow(Server([refused, refused, page(item("a"))], []), CLAIMS)
    assert [event.kind for event in told] == ["REFUSED", "ADDED", "REFUSED"]
    assert ["right to list and watch" in event.object.get("why", "") for event in told] == [
        True,
        False,
        False,
    ]


async def test_what_is_refused_counts_as_read():
    reflector = Reflector(Server([ApiError(404, "NotFound", "not served")], []), CLAIMS, lambda _: None)  # type: ignore[arg-type]
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.synced.wait(), 5)
    task.cancel()


async def test_without_the_right_to_list_nodes_nothing_begins():
    with pytest.raises(ApiError, match="403"):
        await follow(Server([ApiError(403, "Forbidden", "no")], []), NODES)


NO_EVENTS = [b"[]", b"{}", b'{"type": "ADDED", "object": {}}', b'{"type": "ERROR", "object": null}', b"\xff\xfe",
             b'{"type": "MODIFIED", "object": {"metadata": {"resourceVersion": "12"}}}',
             b'{"type": "DELETED", "object": {"metadata": {"uid": "u"}}}', b"<html>"]  # fmt: skip


@pytest.mark.parametrize("line_", NO_EVENTS)
async def test_a_line_that_is_no_event_opens_the_watch_again(line_: bytes):
    server = Server([page()], [[line_], [line("ADDED", item("a", 13))]])
    assert names(await follow(server)) == [("ADDED", "a")]


@pytest.mark.parametrize(
    "reply", [{}, {"items": []}, {"metadata": {"resourceVersion": "9"}}, {"kind": "Status"}]
)
async def test_a_reply_that_is_no_list_deletes_nothing(reply: dict[str, Any]):
    server = Server([page(item("a")), reply, page(item("a"))], [[EXPIRED], [line("ADDED", item("b", 11))]])
    assert names(await follow(server)) == [("ADDED", "a"), ("ADDED", "b")]


async def test_an_event_that_is_said_again_is_not_taken_again():
    once = line("ADDED", item("a", 11))
    changed, gone = line("MODIFIED", item("a", 12)), line("DELETED", item("a", 13))
    server = Server([page()], [[once, once, changed, once, gone, changed, gone]])
    assert names(await follow(server)) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_server_that_lacks_what_was_seen_is_listed_again():
    behind = ApiError(504, "Timeout", "Timeout: Too large resource version: 10, current: 5")
    server = Server([page(item("a")), page(item("b"), version="5")], [[behind]])
    assert names(await follow(server))[1:] == [("ADDED", "b"), ("DELETED", "a")]


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
async def test_a_first_list_that_fails_for_now_is_tried_again(status: int):
    server = Server([ApiError(status, "injected", "not now"), page(item("a"))], [])
    assert names(await follow(server)) == [("ADDED", "a")]


class Time:
    """Of one reflector: it passes while it sleeps and while a watch lasts."""

    def __init__(self) -> None:
        self.s = 0.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.s += seconds
        await asyncio.sleep(0)


async def sleeps(server: Server, lasting_s: dict[int, float]) -> list[float]:
    """How long a reflector slept between its watches; `lasting_s`: of a watch, by its number."""
    time, count = Time(), 0
    lines = server.lines

    async def lines_that_last(*args: Any) -> AsyncGenerator[bytes]:
        nonlocal count
        time.s += lasting_s.get(count, 0.0)
        count += 1
        async for each in lines(*args):
            yield each

    server.lines = lines_that_last  # type: ignore[method-assign]
    steady = Backoff(1.0, 60.0, Largest())
    reflector = Reflector(
        server, NODES, lambda _: None, sleep=time.sleep, monotonic=lambda: time.s, backoff=steady
    )  # type: ignore[arg-type]
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(server.over.wait(), 5)
    task.cancel()
    return time.slept


class Largest(random.Random):
    def random(self) -> float:
        return 1.0


async def test_a_watch_that_lasted_begins_its_back_off_anew():
    reset = [ApiError(0, "Disconnected", "")]
    server = Server([page()], [list(reset) for _ in range(5)])
    assert await sleeps(server, {3: 3600.0}) == [1.0, 2.0, 4.0, 1.0, 2.0]


async def test_a_throttled_watch_waits_as_told_up_to_a_bound():
    told = [[ApiError(429, "TooManyRequests", "", retry_after_s=seconds)] for seconds in (7.0, 9999.0)]
    assert await sleeps(Server([page()], told), {}) == [7.0, 30.0]


async def test_a_watch_that_ends_in_its_time_is_opened_again_at_once():
    assert await sleeps(Server([page()], [[], []]), {0: 30.0}) == [1.0]
