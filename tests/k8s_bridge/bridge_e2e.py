"""API server, simulated kubelets, measured profiles and the daemon, in one process or as one of its own."""

import asyncio
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from synergai.agents.registry import make
from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.types import Device, Node
from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.api.watch import OWN_PODS, Reflector, WatchEvent
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded import kubeconfig
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
from synergai.k8s_bridge.embedded.server import Server
from synergai.k8s_bridge.embedded.server import Settings as ServerSettings
from synergai.k8s_bridge.embedded.worlds import world_run_time
from synergai.k8s_bridge.submit import PodRequest
from synergai.offline_profiles.table import ProfileTable

SPEED = 20.0
TABLE = ProfileTable.default()
NODES = (
    Node("t4-0", (Device("nvidia-t4", 2),), 16_000, 65_536),
    Node("orin-0", (Device("jetson-agx-orin-maxn", 1),), 12_000, 32_768, site="edge"),
    Node("orin-1", (Device("jetson-agx-orin-maxn", 1),), 12_000, 32_768, site="edge"),
    Node("xeon-0", (Device("intel-xeon-platinum-8380-2s", 0),), 80_000, 262_144),
)


class World:
    """An API server with nodes, and everything that was ever true of its pods."""

    def __init__(self, server: Server, client: ApiClient, kubelets: Kubelets) -> None:
        self.server = server
        self.client = client
        self.kubelets = kubelets
        self.binds: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def see(self, event: WatchEvent) -> None:
        node = event.object.get("spec", {}).get("nodeName")
        if node:
            record = read_decision(event.object["metadata"]["annotations"])
            self.binds[event.object["metadata"]["name"]].add((node, record.id if record else ""))

    async def pods(self) -> list[dict[str, Any]]:
        return (await self.client.get("/api/v1/pods"))["items"]

    async def phases(self) -> list[str]:
        return [pod["status"]["phase"] for pod in await self.pods()]

    async def all_done(self) -> bool:
        """False too where nobody knows, as the server makes trouble for this client as for others."""
        try:
            return set(await self.phases()) <= {"Succeeded", "Failed"}
        except ApiError:
            return False


@asynccontextmanager
async def world(served: ServerSettings | None = None) -> AsyncIterator[World]:
    resources = {name: hardware.resource for name, hardware in TABLE.hardware.items()}
    run_time_s = world_run_time(TABLE, seed=1, error=0.2)
    async with Server(served) as server, ApiClient(Credentials(server.url)) as client:
        settings = KubeletSettings(speed=SPEED, pod_start_s=0.2)
        async with Kubelets(Credentials(server.url), NODES, resources, run_time_s, settings) as kubelets:
            made = World(server, client, kubelets)
            watching = asyncio.create_task(Reflector(client, OWN_PODS, made.see).run())
            yield made
            watching.cancel()


def requests(count: int) -> list[PodRequest]:
    models = ("resnet50", "bert-99", "retinanet", "mobilenet-v1")
    return [
        PodRequest(f"job-{n:03}", models[n % 4], 500, n * 0.5, n * 0.5 + 60, sim_job=n, sim_seed=1)
        for n in range(count)
    ]


async def until(fact: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not await fact():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


@asynccontextmanager
async def daemon_in_process(
    w: World,
    scheduler: Scheduler | str = "sjf_feasible",
    bind_timeout_s: float = 1.0,
    client: ApiClient | None = None,
    replay_every_s: float = 0.0,
) -> AsyncIterator[Daemon]:
    chosen = make(scheduler) if isinstance(scheduler, str) else scheduler
    settings = Settings(
        speed=SPEED, metrics_port=None, bind_timeout_s=bind_timeout_s, replay_every_s=replay_every_s
    )
    daemon = Daemon(settings, client or w.client, chosen, Cluster(TABLE))
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.run(stop))
    yield daemon
    stop.set()
    await asyncio.wait_for(task, 5)


class Process:
    """The daemon as a user starts it."""

    def __init__(self, config: Path, *options: str) -> None:
        self.command = [
            sys.executable, "-m", "synergai.k8s_bridge", "--kubeconfig", str(config), "--speed", str(SPEED),
            "--epoch", "2026-01-01T00:00:00Z", "--metrics-port", "0", *options,
        ]  # fmt: skip
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self.command, stderr=asyncio.subprocess.DEVNULL, env=os.environ
        )

    async def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return await asyncio.wait_for(self.process.wait(), 10)


@asynccontextmanager
async def daemon_as_process(w: World, folder: Path, *options: str) -> AsyncIterator[Process]:
    config = folder / "config"
    kubeconfig.write(config, w.server.url)
    process = Process(config, *options)
    await process.start()
    try:
        yield process
    finally:
        if process.process.returncode is None:
            await process.end(signal.SIGKILL)
