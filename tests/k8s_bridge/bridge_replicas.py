"""Several daemons on one embedded API server, and everything that each of them wrote there."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from bridge_bench import api_object
from bridge_fakes import FakeCluster, raw_node, raw_pod
from lease_time import HandClock

from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.api.watch import OWN_PODS, Reflector, WatchEvent
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded.access import ADMIN, Access, User
from synergai.k8s_bridge.embedded.server import Call, Server
from synergai.k8s_bridge.embedded.server import Settings as ServerSettings
from synergai.k8s_bridge.lease import Lease, LeaseTimes

SLOTS = 30
TICK_S = 0.02
"""Of lease time, for each few milliseconds of the test."""


class Cut(ApiClient):
    """A client whose machine can lose its network, or all its power."""

    dead = False

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if self.dead:
            raise ApiError(0, "Unreachable", "injected")
        return await super().request(method, path, **options)

    async def cut(self) -> None:
        self.dead = True
        await self.close()


class Write(NamedTuple):
    """One request that changes something, when it reached the server."""

    user: str
    verb: str
    what: str
    at_s: float


class Replica:
    """One daemon under a user of its own."""

    def __init__(self, where: "Replicas", name: str) -> None:
        credentials = Credentials(where.server.url, token_source=lambda: f"Bearer {name}")
        self.name = name
        self.client, self.lessee = Cut(credentials), Cut(credentials)
        self.cluster = FakeCluster(slots=SLOTS)
        times = LeaseTimes(duration_s=6, renew_deadline_s=4.0, retry_s=1.0, bind_timeout_s=1.0)
        clock = where.clock
        self.lease = Lease(
            self.lessee,
            "default",
            "synergai",
            times,
            identity=name,
            elapsed_s=clock.elapsed_s,
            sleep=clock.sleep,
        )
        settings = Settings(metrics_port=None)
        self.daemon = Daemon(settings, self.client, None, self.cluster, lease=self.lease)  # type: ignore[arg-type]
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.daemon.run(self.stop))

    def leads(self) -> bool:
        return self.gauge("synergai_leader_election_master_status") == 1

    def gauge(self, name: str) -> float:
        page = self.daemon.render_metrics().decode()
        return float(next(line for line in page.splitlines() if line.startswith(f"{name} ")).split()[1])

    async def die(self) -> None:
        """As by a power cut: nothing more reaches the server, and nothing is given up."""
        await self.client.cut()
        await self.lessee.cut()
        self.task.cancel()

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 10)


class Replicas:
    """The server, its log, and the clock by which leases run."""

    def __init__(self, server: Server, client: ApiClient) -> None:
        self.server = server
        self.client = client
        self.clock = HandClock()
        self.writes: list[Write] = []
        self.bound: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
        self.faults: Callable[[Call], Awaitable[None]] | None = None
        self.started: list[Replica] = []
        server.before = self._before

    async def _before(self, call: Call) -> None:
        target = call.target
        if call.verb not in ("get", "list", "watch"):
            what = target.subresource or target.resource.plural
            self.writes.append(Write(call.user.name, call.verb, what, self.clock.now_s))
        if self.faults is not None:
            await self.faults(call)

    def see(self, event: WatchEvent) -> None:
        node = event.object.get("spec", {}).get("nodeName")
        if node:
            record = read_decision(event.object["metadata"]["annotations"])
            self.bound[event.object["metadata"]["name"]].add((node, record.id if record else ""))

    def binders(self) -> list[str]:
        """Who sent binds, in the order of the first; one who comes back is named again."""
        order: list[str] = []
        for write in self.writes:
            if write.what == "binding" and order[-1:] != [write.user]:
                order.append(write.user)
        return order

    def per_node(self) -> Counter[str]:
        return Counter(node for places in self.bound.values() for node, _ in places)

    async def start(self, name: str) -> Replica:
        replica = Replica(self, name)
        self.started.append(replica)
        await asyncio.wait_for(replica.daemon.synced.wait(), 10)
        return replica

    async def nodes(self, count: int) -> None:
        for n in range(count):
            await self.client.post("/api/v1/nodes", api_object("Node", raw_node(f"n{n}")))

    async def pods(self, first: int, count: int, annotations: dict[str, str] | None = None) -> None:
        for n in range(first, first + count):
            raw = raw_pod(f"p{n:03}", annotations)
            await self.client.post("/api/v1/namespaces/default/pods", api_object("Pod", raw))

    async def until(self, fact: Callable[[], bool], lease_s: float = 60.0) -> None:
        """Let time pass until it is so, and no more of it than that."""
        give_up_s, last_s = time.monotonic() + 60, self.clock.now_s + lease_s
        while not fact():
            assert time.monotonic() < give_up_s, "it did not happen in time"
            if self.clock.now_s < last_s:
                self.clock.advance(TICK_S)
            await asyncio.sleep(0.004)

    async def passes(self, duration_s: float) -> None:
        """That much time of the lease."""
        end_s = self.clock.now_s + duration_s
        while self.clock.now_s < end_s:
            self.clock.advance(TICK_S)
            await asyncio.sleep(0.004)


@asynccontextmanager
async def replicas() -> AsyncIterator[Replicas]:
    users = {name: User(name) for name in "abc"} | {"admin": ADMIN}
    async with (
        Server(ServerSettings(access=Access(users))) as server,
        ApiClient(Credentials(server.url, token_source=lambda: "Bearer admin")) as client,
    ):
        made = Replicas(server, client)
        watching = asyncio.create_task(Reflector(client, OWN_PODS, made.see).run())
        try:
            yield made
        finally:
            made.faults = None
            watching.cancel()
            for replica in made.started:
                if not replica.task.done():
                    await replica.end()
                await replica.client.close()
                await replica.lessee.close()
