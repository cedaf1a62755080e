"""An embedded API server, a cluster that decides first come, and the daemon between them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from bridge_fakes import FakeCluster, raw_node, raw_pod

from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.control.reload import Change, Load, Reloads, Source
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded.server import Server
from synergai.k8s_bridge.parts import wait_for_bell
from synergai.k8s_bridge.reports.journal import Journal
from synergai.k8s_bridge.reports.metrics import Metrics


class Bench:
    """A server, a client and a daemon; everything a test wants to look at."""

    def __init__(self, server: Server, client: ApiClient) -> None:
        self.server = server
        self.client = client
        self.cluster = FakeCluster(slots=4)
        self.scheduler: Any = None
        self.load: Load = lambda settings, decider, tables: Change(settings)
        self.stop = asyncio.Event()
        self.daemon: Daemon
        self.task: asyncio.Task[None]

    async def start(
        self,
        once: bool = False,
        journal: Journal | None = None,
        pause=wait_for_bell,
        file: Path | None = None,
        **settings,
    ) -> None:
        """With a file its settings, and those given over it, are followed; what they name is loaded by `self.load`."""
        chosen = Settings.model_validate({"metrics_port": None, **settings})
        metrics, reloads = Metrics(), None
        if file is not None:
            source = Source(str(file), {"metrics_port": 0, **settings})
            chosen = source.load()
            reloads = Reloads(source, chosen, self.load, metrics, sleep=lambda _: asyncio.sleep(0.01))
        self.daemon = Daemon(
            chosen, self.client, self.scheduler, self.cluster,
            metrics=metrics, journal=journal, reloads=reloads, pause=pause,
        )  # fmt: skip
        self.task = asyncio.create_task(self.daemon.run(self.stop, once))

    async def end(self) -> None:
        self.stop.set()
        await asyncio.wait_for(self.task, 5)

    async def node(self, name: str = "n0", **spec: Any) -> None:
        await self.client.post("/api/v1/nodes", api_object("Node", raw_node(name, **spec)))

    async def pod(self, name: str, annotations: dict[str, str] | None = None, **spec: Any) -> None:
        await self.client.post(
            "/api/v1/namespaces/default/pods", api_object("Pod", raw_pod(name, annotations, **spec))
        )

    async def pods(self) -> dict[str, Any]:
        found = await self.client.get("/api/v1/pods")
        return {pod["metadata"]["name"]: pod for pod in found["items"]}

    async def node_of(self, name: str) -> str:
        return (await self.pods())[name]["spec"].get("nodeName", "")

    async def reasons(self) -> set[str]:
        return {event["reason"] for event in (await self.client.get("/api/v1/events"))["items"]}

    async def patch_status(self, name: str, status: dict[str, Any]) -> None:
        session = aiohttp.ClientSession()
        url = f"{self.server.url}/api/v1/namespaces/default/pods/{name}/status"
        headers = {"Content-Type": "application/merge-patch+json"}
        async with session, session.patch(url, data=json.dumps({"status": status}), headers=headers) as reply:
            assert reply.status == 200, await reply.text()


def api_object(kind: str, raw: dict[str, Any]) -> dict[str, Any]:
    spec = dict(raw["spec"])
    for container in spec.get("containers", ()):
        container.setdefault("image", "x")
        container.setdefault("name", "runner")
    metadata = {
        k: v for k, v in raw["metadata"].items() if k in ("name", "namespace", "labels", "annotations")
    }
    status = {"status": raw["status"]} if kind == "Node" else {}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec} | status


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    async with Server() as server, ApiClient(Credentials(server.url)) as client:
        made = Bench(server, client)
        yield made
        if hasattr(made, "task") and not made.task.done():
            await made.end()


async def until(fact: Callable[[], Awaitable[bool]], timeout_s: float = 5.0) -> None:
    """Wait for a fact of the API server."""
    deadline = time.monotonic() + timeout_s
    while not await fact():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
