"""Everything together while things fail: no pod is lost, none is bound twice, no room is given twice."""

import asyncio
import random
import signal
import socket
from collections import Counter
from typing import Any

import pytest
from bridge_e2e import SPEED, daemon_as_process, daemon_in_process, requests, until, world

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded import errors
from synergai.k8s_bridge.embedded.server import Call
from synergai.k8s_bridge.embedded.server import Settings as ServerSettings
from synergai.k8s_bridge.submit import submit

pytestmark = pytest.mark.e2e


async def test_killed_in_the_middle_and_started_again_no_pod_is_lost_or_bound_twice(tmp_path):
    async with world() as w, daemon_as_process(w, tmp_path) as daemon:
        await submit(w.client, requests(60), speed=1000.0)

        async def some_are_bound() -> bool:
            return len(w.binds) >= 8

        await until(some_are_bound, 120)
        await daemon.end(signal.SIGKILL)
        assert len(w.binds) < 60, "all were bound before the kill: it proves nothing"
        await daemon.start()
        await until(w.all_done, 180)
        assert len(w.binds) == 60
        assert {len(binds) for binds in w.binds.values()} == {1}
        assert w.kubelets.rejected == 0


LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/synergai"


async def test_of_two_processes_the_one_that_binds_is_killed_and_the_other_goes_on(tmp_path):
    async with world() as w, daemon_as_process(w, tmp_path) as first:
        lease = {"get": 0, "update": 0}

        async def count(call: Call) -> None:
            if call.target.name == "synergai":
                lease[call.verb] += 1

        async def first_leads() -> bool:
            return lease["update"] > 0

        async def second_follows() -> bool:
            return lease["get"] > 2  # of which the first took one

        async def some_are_bound() -> bool:
            return len(w.binds) >= 30

        w.server.before = count
        await until(first_leads, 120)
        leader = (await w.client.get(LEASE))["spec"]["holderIdentity"]
        async with daemon_as_process(w, tmp_path) as second:
            await until(second_follows, 120)
            await submit(w.client, requests(300), speed=1000.0)
            await until(some_are_bound, 120)
            await first.end(signal.SIGKILL)
            assert len(w.binds) < 300, "all were bound before the kill: it proves nothing"
            await until(w.all_done, 240)
            assert {len(binds) for binds in w.binds.values()} == {1}
            assert (len(w.binds), w.kubelets.rejected) == (300, 0)
            spec = (await w.client.get(LEASE))["spec"]
            assert spec["holderIdentity"] != leader
            assert spec["leaseTransitions"] == 1
            assert await second.end(signal.SIGTERM) == 0
        assert (await w.client.get(LEASE))["spec"]["holderIdentity"] == ""


class Trouble:
    """Every kind of fault a client of an API server must live with, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def __call__(self, call: Call) -> None:
        """For `Server.before`; the calls of kubelets, and of who creates the pods, are left alone."""
        target = call.target
        creates = (call.verb, target.resource.plural, target.subresource) == ("create", "pods", "")
        if target.subresource == "status" or call.verb == "watch" or creates:
            return
        kind = self._random.choices(("none", "throttled", "failed", "slow"), (70, 10, 10, 10))[0]
        self.counts[kind] += 1
        if kind == "throttled":
            raise errors.ApiError(429, "TooManyRequests", "busy", headers={"Retry-After": "0"})
        if kind == "failed":
            raise errors.internal("injected")
        if kind == "slow":
            await asyncio.sleep(0.3)


async def test_throttling_errors_and_lost_replies_lose_no_pod_and_bind_none_twice():
    async with world() as w, daemon_in_process(w, bind_timeout_s=0.2) as daemon:
        await daemon.synced.wait()
        trouble = w.server.before = Trouble(seed=7)
        await submit(w.client, requests(60), speed=SPEED)
        await until(w.all_done, 120)
        assert min(trouble.counts[kind] for kind in ("throttled", "failed", "slow")) > 0
        assert (len(w.binds), {len(binds) for binds in w.binds.values()}) == (60, {1})
        assert w.kubelets.rejected == 0


class LossyClient(ApiClient):
    """Every third reply to a POST is lost after the server has done its work."""

    posts = 0

    async def post(self, path: str, body: object, **options: Any) -> dict[str, Any]:
        reply = await super().post(path, body, **options)
        self.posts += 1
        if self.posts % 3 == 0:
            raise ApiError(0, "Disconnected", "injected")
        return reply


async def test_a_bind_whose_reply_is_lost_is_found_out_and_not_repeated():
    async with (
        world() as w,
        LossyClient(Credentials(w.server.url)) as lossy,
        daemon_in_process(w, client=lossy),
    ):
        binds: list[str] = []

        async def count(call: Call) -> None:
            if call.target.subresource == "binding":
                binds.append(call.target.name)

        w.server.before = count
        await submit(w.client, requests(30), speed=SPEED)
        await until(w.all_done, 120)
        assert len(binds) == 30
        assert lossy.posts >= 30


async def test_watches_that_expire_lose_no_pod():
    async with world(ServerSettings(history=8)) as w, daemon_in_process(w):
        await submit(w.client, requests(60), speed=1000.0)
        await until(w.all_done, 120)
        assert w.kubelets.rejected == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_an_api_server_that_is_away_for_a_while_loses_no_pod():
    async with world(ServerSettings(port=free_port())) as w, daemon_in_process(w) as daemon:
        await submit(w.client, requests(40), speed=1000.0)
        await w.server.stop()
        await asyncio.sleep(1.0)
        await w.server.start()
        await until(w.all_done, 120)
        assert w.kubelets.rejected == 0

        async def daemon_knows() -> bool:
            return daemon.pods.counts() == {"done": 40}

        await until(daemon_knows, 60)
