"""Dry runs of templates: asked once, again when that makes sense, and none holds up another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from bridge_fakes import profile, table
from bridge_jobs import runtime

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.inference import checks
from synergai.k8s_bridge.inference.checks import Checks
from synergai.k8s_bridge.inference.runtime import read_runtime
from synergai.k8s_bridge.inference.templates import Way


class Server:
    """Takes every pod, but for what is in `answers` of its namespace."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, Any] = {}
        self.stuck: set[str] = set()

    async def request(self, method: str, path: str, *, params: Any, body: Any, **_: Any) -> dict[str, Any]:
        assert (method, params) == ("POST", {"dryRun": "All"})
        namespace = path.split("/")[4]
        self.asked.append((namespace, body))
        if namespace in self.stuck:
            await asyncio.Event().wait()
        answer = self.answers.get(namespace)
        if isinstance(answer, ApiError):
            raise answer
        return body


def way(**template: Any) -> Way:
    containers = [{"name": "runner", "image": "example.org/a:1"}]
    raw = runtime("ort", ["net"], ["gpu-a"], template={"spec": {"containers": containers, **template}})
    raw["metadata"] |= {"uid": "u", "generation": 1}
    read = read_runtime(raw, raw["kind"])
    (variant,) = read.variants
    return Way(read, variant, variant.configurations[0], table().hardware["gpu-a"], profile("net", "gpu-a"))


@asynccontextmanager
async def asking(server: Server) -> AsyncIterator[tuple[Checks, list[int]]]:
    answers: list[int] = []
    client: Any = server
    made = Checks(client, lambda: answers.append(1))
    running = asyncio.create_task(made.run())
    yield made, answers
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def soon() -> None:
    await asyncio.sleep(0.05)


async def test_nothing_is_known_before_the_server_was_asked_and_it_is_asked_once():
    server = Server()
    async with asking(server) as (known, answers):
        assert known(way(), "a", "") is None
        assert known(way(), "a", "") is None
        await soon()
        found = known(way(), "a", "")
        assert found is not None
        assert (found.problem, len(server.asked), answers) == ("", 1, [1])


async def test_what_is_asked_about_requests_what_an_attempt_would():
    server = Server()
    async with asking(server) as (known, _):
        known(way(), "a", "")
        await soon()
        (container,) = server.asked[0][1]["spec"]["containers"]
        assert container["resources"]["requests"]["cpu"] == "1000m"


async def test_a_namespace_whose_webhook_does_not_answer_holds_up_no_other():
    server = Server()
    server.stuck = {"slow"}
    async with asking(server) as (known, _):
        known(way(), "slow", "")
        await soon()
        known(way(), "fast", "")
        await soon()
        assert known(way(), "fast", "") is not None
        assert known(way(), "slow", "") is None


async def test_a_quota_that_is_full_is_no_fault_of_the_template():
    server = Server()
    server.answers["a"] = ApiError(403, "Forbidden", 'pods "x" is forbidden: exceeded quota: q')
    async with asking(server) as (known, _):
        known(way(), "a", "")
        await soon()
        found = known(way(), "a", "")
        assert found is not None
        assert found.problem == ""


async def test_what_the_server_refuses_is_said_in_its_words_and_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "DOUBT_S", 0.01)
    server = Server()
    server.answers["a"] = ApiError(422, "Invalid", "no such field")
    async with asking(server) as (known, answers):
        known(way(), "a", "")
        await soon()
        found = known(way(), "a", "")
        assert found is not None
        assert (found.problem, answers) == ("no such field", [1])
        del server.answers["a"]
        await soon()
        found = known(way(), "a", "")
        assert found is not None
        assert (found.problem, answers) == ("", [1, 1])


async def test_a_server_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "RETRY_S", 0.01)
    server = Server()
    server.answers["a"] = ApiError(503, "Unavailable", "away")
    async with asking(server) as (known, _):
        known(way(), "a", "")
        await soon()
        assert known(way(), "a", "") is None
        del server.answers["a"]
        await soon()
        assert known(way(), "a", "") is not None


async def test_a_namespace_that_is_gone_is_not_asked_about_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "DOUBT_S", 0.01)
    server = Server()
    server.answers["a"] = ApiError(404, "NotFound", 'namespaces "a" not found')
    async with asking(server) as (known, _):
        known(way(), "a", "")
        await asyncio.sleep(0.1)
        assert len(server.asked) == 1


async def test_what_is_known_of_a_namespace_may_be_given_up():
    server = Server()
    async with asking(server) as (known, _):
        known(way(), "a", "")
        known(way(), "b", "")
        await soon()
        known.ask_again("a")
        assert known(way(), "a", "") is None
        assert known(way(), "b", "") is not None
        await soon()
        assert known(way(), "a", "") is not None


async def test_a_template_that_we_would_not_respect_is_not_even_asked_about():
    server = Server()
    async with asking(server) as (known, _):
        known(way(nodeName="n0"), "a", "")
        await soon()
        found = known(way(nodeName="n0"), "a", "")
        assert found is not None
        assert "spec.nodeName" in found.problem
        assert server.asked == []
