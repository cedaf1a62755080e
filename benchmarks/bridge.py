"""How fast the bridge binds: a cluster and the daemon as processes of their own, a full queue, a stop-watch.

The daemon is stopped (SIGSTOP) while the pods are created, so that it wakes up to all of them at once.
"""

import asyncio
import contextlib
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import yaml

from synergai.benchmarks.figure import BenchError, Figure
from synergai.benchmarks.processes import cpu_s, process, said, until
from synergai.benchmarks.real import SAMPLES, bridge, cluster_of, models_of, until_all
from synergai.benchmarks.worlds import MOST_DEVICES, enlarged, resized
from synergai.envs import scenario as scenarios
from synergai.envs.scenario import Scenario
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import CredentialsError
from synergai.k8s_bridge.api.watch import OWN_PODS, Reflector, WatchEvent
from synergai.k8s_bridge.submit import PodRequest, submit

DEADLINE_S = 3600.0
STALL_S = 60.0
"""Without a bind for so long, the figure is given up."""
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def bridge_pods_per_s(
    cluster: str = "embedded",
    pods: int = 500,
    nodes: int = 50,
    scenario: str = "demo",
    checkpoint: str = "demo",
    seed: int = 0,
) -> Figure:
    """Pods bound per second, from the moment that the daemon may bind to the last bind.

    Nodes are as large as it takes to hold all pods on one kind of them, so that none waits for room.
    """
    world = resized(scenarios.load(scenario), nodes, f"bench-{secrets.token_hex(3)}-")
    factor = -(-pods // min(kind.count for kind in world.machines))
    if factor > MOST_DEVICES:
        raise BenchError(
            f"bridge_pods_per_s: {nodes} nodes have no room for {pods} pods at once; take more nodes"
        )
    world = enlarged(world, factor)
    try:
        run = asyncio.run(_run(cluster, world, pods, checkpoint, seed))
    except (ApiError, CredentialsError) as error:
        raise BenchError(f"bridge_pods_per_s: {error}") from None
    waits = np.array([run.bound[name] - run.created[name] for name in run.bound])
    span_s = max(run.bound.values()) - run.began
    p50, p99 = np.percentile(waits, [50, 99])
    facts = {
        "cluster": cluster, "pods": pods, "nodes": nodes, "node_size": factor, "samples": SAMPLES, "scenario": scenario,
        "checkpoint": checkpoint, "measured_s": round(span_s, 3), "create_to_bound_p50_s": round(float(p50), 3),
        "create_to_bound_p99_s": round(float(p99), 3), "daemon_cpu_ms_per_pod": round(1000 * run.cpu_s / pods, 3),
        "seed": seed,
    }  # fmt: skip
    return Figure(pods / span_s, "pods/s", facts)


class _Run:
    """What was seen of one run; times are of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.created: dict[str, float] = {}
        self.bound: dict[str, float] = {}
        self.began = 0.0
        self.cpu_s = 0.0

    def see(self, event: WatchEvent) -> None:
        name = event.object["metadata"]["name"]
        self.created.setdefault(name, time.monotonic())
        if event.object["spec"].get("nodeName"):
            self.bound.setdefault(name, time.monotonic())


async def _run(cluster: str, world: Scenario, pods: int, checkpoint: str, seed: int) -> _Run:
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kubeconfig = await stack.enter_async_context(_cluster(cluster, world, folder))
        client = await stack.enter_async_context(ApiClient(credentials.load(kubeconfig)))
        if cluster == "real":
            stack.push_async_callback(_clean, client, world)
        namespace = await stack.enter_async_context(_namespace(client, cluster))
        log = folder / "bridge.log"
        expected = {name: {"share": entry.share, "samples": SAMPLES} for name, entry in world.jobs.items()}
        command = bridge(kubeconfig, checkpoint, folder / "bridge.yaml", expect=expected)
        daemon = await stack.enter_async_context(process(command, log))
        await until(lambda: "ready: " in said(log), daemon, log)
        run = _Run()
        seen = asyncio.create_task(Reflector(client, OWN_PODS, run.see).run())
        stack.callback(seen.cancel)
        daemon.send_signal(signal.SIGSTOP)
        try:
            await submit(client, _requests(world, pods, namespace, seed))
            await until_all(run.created, pods, [(daemon, log)], STALL_S)
            cpu_before_s = cpu_s(daemon.pid)
            run.began = time.monotonic()
        finally:
            daemon.send_signal(signal.SIGCONT)
        await until_all(run.bound, pods, [(daemon, log)], STALL_S)
        run.cpu_s = cpu_s(daemon.pid) - cpu_before_s
        return run


def _requests(world: Scenario, pods: int, namespace: str, seed: int) -> list[PodRequest]:
    return [
        PodRequest(f"bench-{i:05d}", model, SAMPLES, deadline_s=DEADLINE_S, namespace=namespace)
        for i, model in enumerate(models_of(world, pods, seed))
    ]


@contextlib.asynccontextmanager
async def _cluster(cluster: str, world: Scenario, folder: Path) -> AsyncIterator[str]:
    """Simulated nodes on a server of our own, or on that of KUBECONFIG; gives the kubeconfig."""
    file, log = folder / "scenario.yaml", folder / "cluster.log"
    file.write_text(yaml.safe_dump(world.model_dump(mode="json")), encoding="utf-8")
    kubeconfig = str(folder / "kubeconfig")
    option = ["--kubeconfig", kubeconfig]
    if cluster == "real":
        kubeconfig = cluster_of("bridge_pods_per_s: --cluster real")
        option = ["--kubeconfig-of-existing", kubeconfig]
    async with process(["-m", "synergai", "cluster", "--scenario", str(file), *option], log) as nodes:
        await until(lambda: "API server at" in said(log) or "Nodes registered" in said(log), nodes, log)
        yield kubeconfig


@contextlib.asynccontextmanager
async def _namespace(client: ApiClient, cluster: str) -> AsyncIterator[str]:
    """`default` on a server of our own; elsewhere one that is removed with its pods."""
    if cluster == "embedded":
        yield "default"
        return
    name = f"synergai-bench-{secrets.token_hex(3)}"
    await client.post("/api/v1/namespaces", {"metadata": {"name": name}})
    try:
        with _accepting(409):  # a controller may have made it; without it pods are refused
            await client.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": "default"}})
        yield name
    finally:
        force = {"gracePeriodSeconds": "0"}
        await client.request("DELETE", f"/api/v1/namespaces/{name}/pods", params=force)
        await client.request("DELETE", f"/api/v1/namespaces/{name}")


async def _clean(client: ApiClient, world: Scenario) -> None:
    """Nodes and Leases of a cluster that is not ours."""
    for group in world.machines:
        for i in range(group.count):
            for path in (f"/api/v1/nodes/{group.name}-{i}", f"{LEASES}/{group.name}-{i}"):
                with _accepting(404):
                    await client.request("DELETE", path)


@contextlib.contextmanager
def _accepting(status: int):
    try:
        yield
    except ApiError as error:
        if error.status != status:
            raise
