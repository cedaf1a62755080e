"""API server, simulated kubelets, measured profiles, the cluster's own decisions, and the daemon over all."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synergai.agents import learned, scorer
from synergai.agents.guard import Guarded
from synergai.agents.registry import make
from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.features import schema_hash
from synergai.envs.types import Decision, Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.client import ApiClient, ApiError
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.credentials import Credentials
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded import errors, kubeconfig
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
from synergai.k8s_bridge.embedded.server import Call, Server
from synergai.k8s_bridge.embedded.server import Settings as ServerSettings
from synergai.k8s_bridge.embedded.worlds import world_run_time
from synergai.k8s_bridge.startup import load_scheduler
from synergai.k8s_bridge.submit import PodRequest, submit
from synergai.k8s_bridge.watch import OWN_PODS, Reflector, WatchEvent
from synergai.offline_profiles.table import ProfileTable

pytestmark = pytest.mark.e2e

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
        return set(await self.phases()) <= {"Succeeded", "Failed"}


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
) -> AsyncIterator[Daemon]:
    chosen = make(scheduler) if isinstance(scheduler, str) else scheduler
    settings = Settings(speed=SPEED, metrics_port=None, bind_timeout_s=bind_timeout_s)
    daemon = Daemon(settings, client or w.client, chosen, Cluster(TABLE))
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.run(stop))
    yield daemon
    stop.set()
    await asyncio.wait_for(task, 5)


@pytest.mark.parametrize("scheduler", ["sjf_feasible", "synergai", "least_allocated"])
async def test_every_pod_runs_to_its_end_and_no_kubelet_refuses_one(scheduler):
    async with world() as w, daemon_in_process(w, scheduler):
        await submit(w.client, [*requests(40), PodRequest("odd", "no-such-model", 5)], speed=SPEED)
        await until(w.all_done, 120)
        assert w.kubelets.rejected == 0
        assert await w.phases() == ["Succeeded"] * 41


def untrained(folder: Path) -> str:
    """A checkpoint of random weights: valid, and no better than chance."""
    random_weights = np.random.default_rng(1)
    tensors = {
        name: random_weights.normal(size=shape).astype(np.float32) for name, shape in scorer.shapes(8).items()
    }
    save_file(tensors, folder / learned.WEIGHTS_FILE)
    card = {"format": learned.FORMAT, "features": schema_hash()}
    (folder / learned.CARD_FILE).write_text(json.dumps(card))
    return str(folder)


async def test_a_checkpoint_schedules_behind_the_guard(tmp_path):
    policy = load_scheduler(Settings(checkpoint=untrained(tmp_path)))
    async with world() as w, daemon_in_process(w, policy):
        await submit(w.client, requests(20), speed=SPEED)
        await until(w.all_done, 120)
        assert w.kubelets.rejected == 0


class Broken:
    """A policy that has no answer."""

    name = "broken"

    def decide(self, state: object, candidates: object) -> Decision:
        raise ArithmeticError("injected")


async def test_a_policy_that_fails_is_replaced_by_the_fallback_and_its_pods_are_told():
    async with world() as w, daemon_in_process(w, Guarded(Broken())) as daemon:
        await submit(w.client, requests(10), speed=SPEED)
        await until(w.all_done, 120)
        reasons = {event["reason"] for event in (await w.client.get("/api/v1/events"))["items"]}
        assert "DecisionFallback" in reasons
        assert b'synergai_fallbacks_total{cause="error: ArithmeticError"}' in daemon.render_metrics()


async def test_every_decision_is_a_configuration_that_was_measured():
    async with world() as w, daemon_in_process(w):
        await submit(w.client, requests(20), speed=SPEED)
        await until(w.all_done, 120)
        for pod in await w.pods():
            annotations = pod["metadata"]["annotations"]
            decision = json.loads(annotations[keys.ANNOTATION_DECISION])
            TABLE.find(annotations[keys.ANNOTATION_MODEL], decision["hardware"], decision["configuration"])


async def test_a_node_that_goes_and_comes_back_loses_no_waiting_pod():
    async with world() as w, daemon_in_process(w) as daemon:
        await submit(w.client, requests(20), speed=SPEED)
        node = await w.client.get("/api/v1/nodes/orin-0")
        await w.client.request("DELETE", "/api/v1/nodes/orin-0")
        await asyncio.sleep(0.3)
        for name in ("resourceVersion", "uid", "creationTimestamp"):
            node["metadata"].pop(name, None)
        await w.client.post("/api/v1/nodes", node)
        await until(w.all_done, 120)
        assert daemon.pods.counts()["queued"] == 0


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


async def test_sigterm_ends_the_process_with_0_in_less_than_two_seconds(tmp_path):
    async with world() as w, daemon_as_process(w, tmp_path) as daemon:
        await submit(w.client, requests(1), speed=SPEED)
        await until(w.all_done, 120)
        began_s = time.monotonic()
        assert await daemon.end(signal.SIGTERM) == 0
        assert time.monotonic() - began_s < 2


async def test_once_binds_what_waits_and_ends_with_0(tmp_path):
    async with world() as w:
        await submit(w.client, requests(3), speed=1000.0)
        async with daemon_as_process(w, tmp_path, "--once") as daemon:
            assert await asyncio.wait_for(daemon.process.wait(), 120) == 0
        assert all(pod["spec"].get("nodeName") for pod in await w.pods())


async def test_once_in_a_dry_run_writes_nothing(tmp_path):
    async with world() as w:
        await submit(w.client, [*requests(3), PodRequest("odd", "no-such-model", 1)], speed=1000.0)
        writes: list[str] = []

        async def note(call: Call) -> None:
            writes.extend([call.verb] if call.verb not in ("get", "list", "watch", "patch") else [])

        w.server.before = note
        async with daemon_as_process(w, tmp_path, "--once", "--dry-run") as daemon:
            assert await asyncio.wait_for(daemon.process.wait(), 120) == 0
        assert writes == []


class Trouble:
    """Every kind of fault a client of an API server must live with, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def __call__(self, call: Call) -> None:
        """For `Server.before`; the kubelets' calls are left alone."""
        if call.target.subresource == "status" or call.verb == "watch":
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

    async def post(self, path: str, body: object, *, timeout_s: float | None = None) -> dict[str, Any]:
        reply = await super().post(path, body, timeout_s=timeout_s)
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
        assert daemon.pods.counts() == {"done": 40}
