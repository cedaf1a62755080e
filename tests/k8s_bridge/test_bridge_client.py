"""The client against a small HTTP server: retries, errors, streams, the server's clock."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from synergai.k8s_bridge.api.client import ApiClient, ApiError, Withheld
from synergai.k8s_bridge.api.credentials import Credentials


class Bench:
    """A server that answers from a script, and a client of it whose sleeps are noted."""

    def __init__(self, *answers: web.Response | None) -> None:
        self.answers = list(answers)
        self.requests: list[web.Request] = []
        self.slept: list[float] = []
        self.client: ApiClient

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        return answer

    @asynccontextmanager
    async def open(self, **credentials) -> AsyncIterator["Bench"]:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address = Credentials(f"http://127.0.0.1:{runner.addresses[0][1]}", **credentials)
        async with ApiClient(address, timeout_s=2.0, sleep=self.sleep) as self.client:
            yield self
        await runner.cleanup()


def status(code: int, reason: str, message: str, **headers: str) -> web.Response:
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code, headers={k.replace("_", "-"): v for k, v in headers.items()})


def good() -> web.Response:
    return web.json_response({"ok": True})


async def test_a_reply_is_its_json():
    async with Bench(good()).open() as bench:
        assert await bench.client.get("/x") == {"ok": True}


async def test_an_error_has_status_reason_and_message():
    async with Bench(status(403, "Forbidden", "cannot list pods")).open() as bench:
        with pytest.raises(ApiError) as caught:
            await bench.client.get("/x")
    assert (caught.value.status, caught.value.reason, caught.value.message) == (
        403,
        "Forbidden",
        "cannot list pods",
    )


async def test_throttling_in_plain_text_is_waited_out_as_told():
    throttled = web.Response(status=429, text="Too many requests", headers={"Retry-After": "7"})
    async with Bench(throttled, good()).open() as bench:
        await bench.client.post("/x", {})
    assert bench.slept == [7.0]


async def test_a_long_retry_after_is_bounded():
    throttled = web.Response(status=429, text="busy", headers={"Retry-After": "99999"})
    async with Bench(throttled, good()).open() as bench:
        await bench.client.get("/x")
    assert bench.slept == [30.0]


async def test_a_get_survives_a_server_error_and_a_reset():
    async with Bench(status(503, "Unavailable", ""), None, good()).open() as bench:
        assert await bench.client.get("/x") == {"ok": True}


@pytest.mark.parametrize("first", [status(500, "InternalError", ""), None])
async def test_a_post_is_not_sent_again_on_a_doubtful_reply(first):
    async with Bench(first, good()).open() as bench:
        with pytest.raises(ApiError):
            await bench.client.post("/x", {})
    assert len(bench.requests) == 1


@pytest.mark.parametrize("first", [status(429, "TooManyRequests", ""), status(503, "Unavailable", "")])
async def test_what_may_never_be_retried_is_sent_once(first):
    async with Bench(first, good()).open() as bench:
        with pytest.raises(ApiError):
            await bench.client.request("PUT", "/x", body={}, retry="never")
    assert len(bench.requests) == 1


async def test_without_a_permit_nothing_is_sent():
    async with Bench(good()).open() as bench:
        with pytest.raises(Withheld):
            await bench.client.post("/x", {}, permit=lambda: False)
    assert bench.requests == []


async def test_a_permit_that_is_gone_ends_the_retries():
    permits = iter([True, False])
    async with Bench(status(429, "TooManyRequests", ""), good()).open() as bench:
        with pytest.raises(Withheld):
            await bench.client.post("/x", {}, permit=lambda: next(permits))
    assert len(bench.requests) == 1


async def test_a_permit_is_asked_after_the_token_was_read():
    read: list[str] = []
    async with Bench().open(token_source=lambda: read.append("token")) as bench:
        with pytest.raises(Withheld):
            await bench.client.post("/x", {}, permit=lambda: bool(read.append("permit")))
    assert read == ["token", "permit"]


async def test_retries_end():
    async with Bench(*[status(503, "Unavailable", "down") for _ in range(9)]).open() as bench:
        with pytest.raises(ApiError, match="503"):
            await bench.client.get("/x")
    assert len(bench.requests) == 5


async def test_back_off_grows_and_stays_bounded():
    async with Bench(*[status(503, "Unavailable", "down") for _ in range(9)]).open() as bench:
        with pytest.raises(ApiError):
            await bench.client.get("/x")
    assert bench.slept[0] <= 0.1
    assert bench.slept == sorted(bench.slept)


async def test_an_expired_token_is_read_again():
    tokens = iter(["Bearer old", "Bearer new"])
    bench = Bench(status(401, "Unauthorized", ""), good())
    async with bench.open(token_source=lambda: next(tokens)):
        await bench.client.get("/x")
    assert [r.headers["Authorization"] for r in bench.requests] == ["Bearer old", "Bearer new"]


async def test_nobody_listening_is_unreachable():
    async with ApiClient(Credentials("http://127.0.0.1:9"), sleep=lambda _: asyncio.sleep(0)) as client:
        with pytest.raises(ApiError, match=r"Unreachable: http://127.0.0.1:9 cannot be reached"):
            await client.get("/x")


async def test_a_reply_that_is_not_json_is_an_error():
    async with Bench(*[web.Response(text="<html>") for _ in range(5)]).open() as bench:
        with pytest.raises(ApiError, match="not JSON"):
            await bench.client.get("/x")


async def test_a_stream_comes_in_lines_of_any_length():
    long = b"x" * 300_000
    async with Bench(web.Response(body=b"one\n" + long + b"\ntwo\n")).open() as bench:
        lines = [line async for line in bench.client.lines("/x", {}, 1.0)]
    assert lines == [b"one", long, b"two"]


async def test_the_servers_clock_is_learnt_from_its_replies():
    reply = web.json_response({}, headers={"Date": "Sun, 06 Nov 1994 08:49:37 GMT"})
    async with Bench(reply).open() as bench:
        await bench.client.get("/x")
        assert abs(bench.client.now_us() / 1e6 - 784111777) < 2


@pytest.mark.parametrize("text", ["[]", "null", "3", '"x"'])
async def test_a_reply_that_is_no_object_is_an_error(text: str):
    async with Bench(*[web.Response(text=text) for _ in range(5)]).open() as bench:
        with pytest.raises(ApiError, match="no object"):
            await bench.client.get("/x")


class Tokens:
    """A source that counts how often it is read."""

    def __init__(self) -> None:
        self.read = 0

    def __call__(self) -> str:
        self.read += 1
        return f"Bearer {self.read}"


async def test_a_watch_that_is_refused_reads_the_token_anew_the_next_time():
    bench = Bench(status(401, "Unauthorized", ""), web.Response(body=b"line\n"))
    async with bench.open(token_source=Tokens()):
        with pytest.raises(ApiError, match="401"):
            async for _ in bench.client.lines("/x", {}, 1.0):
                pass
        assert [each async for each in bench.client.lines("/x", {}, 1.0)] == [b"line"]
    assert [r.headers["Authorization"] for r in bench.requests] == ["Bearer 1", "Bearer 2"]


async def test_of_many_refused_at_once_one_reads_the_token():
    tokens = Tokens()
    bench = Bench(*[status(401, "Unauthorized", "") for _ in range(8)], *[good() for _ in range(8)])
    async with bench.open(token_source=tokens):
        await asyncio.gather(*(bench.client.get("/x") for _ in range(8)))
    assert tokens.read == 2


async def test_a_token_that_stays_refused_is_read_once_a_second():
    tokens = Tokens()
    bench = Bench(*[status(401, "Unauthorized", "") for _ in range(5)])
    async with bench.open(token_source=tokens, monotonic=lambda: 100.0):
        with pytest.raises(ApiError, match="401"):
            await bench.client.get("/x")
    assert tokens.read == 2


@pytest.mark.parametrize("before_s", [0.0, 0.01])
@pytest.mark.parametrize("params", [None, {"limit": "1"}], ids=["lean", "query"])
async def test_a_cancellation_that_comes_with_the_timeout_is_not_lost(
    params: dict[str, str] | None, before_s: float
):
    class Silent(Bench):
        async def answer(self, request: web.Request) -> web.Response:
            await asyncio.sleep(60.0)
            raise AssertionError("nobody waits so long")

    async with Silent().open() as bench:
        task = asyncio.create_task(bench.client.request("GET", "/x", params=params, timeout_s=0.3))
        await asyncio.sleep(0.2)
        asyncio.get_running_loop().call_later(0.1 - before_s, task.cancel)
        time.sleep(0.15)  # noqa: ASYNC251 - both are due when the loop goes on
        done, _ = await asyncio.wait([task], timeout=0.2)
        assert done == {task}
        assert task.cancelled()
