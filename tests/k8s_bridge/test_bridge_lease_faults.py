"""Hours of leaders that die, stall and come back on a network that delays and loses: never two who bind."""

import asyncio
import random
from dataclasses import dataclass
from typing import Any

import pytest
from lease_time import VirtualLoop

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.lease import Lease, LeaseTimes

TIMES = LeaseTimes(duration_s=6, renew_deadline_s=4.0, retry_s=1.0, bind_timeout_s=1.0)
HOURS_S = 2 * 3600.0


class Store:
    """One Lease, as an API server keeps it."""

    def __init__(self) -> None:
        self.object: dict[str, Any] | None = None
        self.version = 0

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        given = body["metadata"].get("resourceVersion", "")
        if self.object is not None and given != self.object["metadata"]["resourceVersion"]:
            raise ApiError(409 if given else 422, "Conflict", "modified")
        self.version += 1
        self.object = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.object


class Link:
    """One bridge's way to the store: slow at times, and lossy both ways."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        self._store = store
        self._rng = rng
        self.bad = False
        """Most requests fail or take long."""

    def now_us(self) -> int:
        return self._rng.randrange(10**15)  # nobody may depend on it

    async def request(self, method: str, path: str, *, body: Any, retry: str, timeout_s: float) -> Any:
        try:
            async with asyncio.timeout(timeout_s):
                await self._travel()
                reply = self._answer(method, body)
                await self._travel()
                return reply
        except TimeoutError as error:
            raise ApiError(0, "Timeout", "slow") from error

    def _answer(self, method: str, body: Any) -> Any:
        if method == "PUT":
            return self._store.put(body)
        if self._store.object is None:
            raise ApiError(404, "NotFound", "no lease")
        return self._store.object

    async def _travel(self) -> None:
        await asyncio.sleep(self._rng.expovariate(1 / (1.5 if self.bad else 0.02)))
        if self._rng.random() < (0.4 if self.bad else 0.01):
            raise ApiError(0, "Disconnected", "lost")


@dataclass(frozen=True)
class Bind:
    """One bind that a bridge sent, and when the server carried it out, at the latest its timeout later."""

    holder: str
    sent_s: float
    done_s: float


async def live(name: str, store: Store, rng: random.Random, binds: list[Bind]) -> None:
    """Bridges under one name, one after the other: each is killed, or ends well, at some time."""
    loop = asyncio.get_running_loop()
    for life in range(10**6):
        link, identity = Link(store, rng), f"{name}{life}"
        lease = Lease(link, "ns", "l", TIMES, identity=identity, elapsed_s=loop.time)  # type: ignore[arg-type]
        running = asyncio.create_task(lease.run())
        ends_s = loop.time() + rng.expovariate(1 / 120)
        while loop.time() < ends_s:
            link.bad = rng.random() < (0.9 if link.bad else 0.03)
            for _ in range(20):
                if lease.valid():
                    sent_s = loop.time()
                    binds.append(Bind(identity, sent_s, sent_s + rng.uniform(0, TIMES.bind_timeout_s)))
                await asyncio.sleep(rng.uniform(0.01, 0.1))
        running.cancel()
        if rng.random() < 0.5:
            await asyncio.sleep(TIMES.bind_timeout_s)  # its binds end
            await lease.release()
        await asyncio.sleep(rng.expovariate(1 / 5))


async def some_hours(seed: int) -> list[Bind]:
    binds: list[Bind] = []
    store = Store()
    lives = [
        asyncio.create_task(live(name, store, random.Random(f"{seed}{name}"), binds))
        for name in ("a", "b", "c")
    ]
    await asyncio.sleep(HOURS_S)
    for each in lives:
        each.cancel()
    await asyncio.gather(*lives, return_exceptions=True)
    return binds


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_bind_is_sent_while_one_of_another_may_be_under_way(seed: int):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        binds = runner.run(some_hours(seed))
    changes = 0
    latest_s, holder = 0.0, ""
    for bind in binds:  # in the order of sending
        if bind.holder != holder:
            assert bind.sent_s >= latest_s, (bind, latest_s)
            changes, holder = changes + 1, bind.holder
        latest_s = max(latest_s, bind.done_s)
    assert changes > 50
    assert len(binds) > 10_000
