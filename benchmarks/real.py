"""A real control plane on this machine as the ground of a figure: nodes that are objects only, programs beside it."""

import asyncio
import contextlib
import os
import secrets
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from synergai.benchmarks.figure import BenchError
from synergai.benchmarks.processes import command_of, cpu_s, said
from synergai.benchmarks.worlds import resized
from synergai.envs import scenario as scenarios
from synergai.envs.scenario import Scenario
from synergai.envs.types import Node
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.embedded.machine import Machine
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.table import ProfileTable

Seen = TypeVar("Seen", bound=Any)
KUBE_SCHEDULER = "KUBE_SCHEDULER"
"""Environment: where that program is, if not in PATH."""
CREATORS = 16
"""Connections that create things."""
SAMPLES = 1
"""Of each job."""
Running = Sequence[tuple[asyncio.subprocess.Process, Path]]
"""Programs and their logs."""


def servers(kubeconfig: str) -> dict[str, int]:
    """Process ids of the API server and of its etcd, which run on this machine."""
    port = credentials.load(kubeconfig).host.rpartition(":")[2]
    apiserver, arguments = command_of(f"--secure-port={port}")
    (store,) = (value for value in arguments if value.startswith("--etcd-servers="))
    etcd, _ = command_of(store.replace("--etcd-servers=", "--listen-client-urls="))
    return {"kube-apiserver": apiserver, "etcd": etcd}


@contextlib.asynccontextmanager
async def nodes_of(client: ApiClient, scenario: str, count: int, pods: int) -> AsyncIterator[list[Node]]:
    """Nodes of the scenario's kinds, so large that each kind holds all pods; removed at the end."""
    table = ProfileTable.default()
    world = resized(scenarios.load(scenario), count, f"bench-{secrets.token_hex(3)}-")
    factor = -(-pods // min(kind.count for kind in world.machines))
    nodes = [enlarged(node, factor) for node in world.nodes(table)]
    resources = {name: hardware.resource for name, hardware in table.hardware.items()}
    await each(CREATORS, nodes, lambda node: client.post("/api/v1/nodes", object_of(node, resources)))
    try:
        yield nodes
    finally:
        await each(CREATORS, nodes, lambda node: client.request("DELETE", f"/api/v1/nodes/{node.name}"))


def enlarged(node: Node, factor: int) -> Node:
    """Of a CPU class there is no unit to have more of."""
    return replace(
        node,
        devices=tuple(replace(device, units=device.units * factor) for device in node.devices),
        cpu_milli=node.cpu_milli * factor,
        memory_mib=node.memory_mib * factor,
        pods=node.pods * factor,
    )


def object_of(node: Node, resources: dict[str, str]) -> Json:
    machine = Machine(node, resources)
    labels = machine.labels(())
    status = machine.status(time.time(), labels["kubernetes.io/arch"])
    metadata = {"name": node.name, "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


async def each(workers: int, items: Iterable[Any], do: Callable[[Any], Awaitable[object]]) -> None:
    """All items, by so many at once."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await do(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


def cluster_of(figure: str) -> str:
    """The kubeconfig that the environment names."""
    kubeconfig = os.environ.get("KUBECONFIG", "")
    if not kubeconfig:
        raise BenchError(f"{figure} takes the cluster of KUBECONFIG, which is not set")
    return kubeconfig


def program_of(name: str, variable: str) -> str:
    """Where it is: as the environment says, or in PATH."""
    found = os.environ.get(variable) or shutil.which(name)
    if not found:
        raise BenchError(f"no {name} in PATH; name it in {variable}")
    return found


def kube_scheduler(kubeconfig: str, folder: Path) -> list[str]:
    """As it comes, but for its client's limits, which are lifted."""
    config = folder / "kube-scheduler.yaml"
    settings = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": kubeconfig, "qps": 10_000, "burst": 10_000},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return [program_of("kube-scheduler", KUBE_SCHEDULER), f"--config={config}", "--secure-port=0"]


def models_of(world: Scenario, count: int, seed: int) -> list[str]:
    """Models of so many jobs, in the shares of the scenario's mix."""
    shares = np.array([entry.share for entry in world.jobs.values()])
    rng = np.random.default_rng([seed, 0x4253])
    return [str(model) for model in rng.choice(list(world.jobs), size=count, p=shares / shares.sum())]


def declared(models: Sequence[str]) -> Json:
    """The job mix that these are, as the bridge's setting `expect`."""
    return {
        model: {"share": models.count(model), "samples": SAMPLES, "samples_log_sd": 0.1}
        for model in sorted(set(models))
    }


def bridge(kubeconfig: str, checkpoint: str, config: Path, **settings: Any) -> list[str]:
    """The command; its settings are written to `config`."""
    config.write_text(yaml.safe_dump({"metrics_port": None, **settings}), encoding="utf-8")
    options = ["--checkpoint", checkpoint, "--kubeconfig", kubeconfig, "--config", str(config)]
    return ["-m", "synergai", "bridge", *options]


async def arriving(items: Sequence[Seen], per_s: float, create: Callable[[Seen], Awaitable[object]]) -> None:
    """Create each, so many per second; with 0 as fast as the API server takes them."""
    began_s = time.monotonic()

    async def in_time(numbered: tuple[int, Seen]) -> None:
        i, item = numbered
        if per_s:
            await asyncio.sleep(max(began_s + i / per_s - time.monotonic(), 0.0))
        await create(item)

    await each(CREATORS, enumerate(items), in_time)


async def until_all(seen: Mapping[str, float], count: int, running: Running, stall_s: float) -> None:
    """Until so many are seen. BenchError when a program has ended, or nothing happens any more."""
    last, changed_s = 0, time.monotonic()
    while len(seen) < count:
        if len(seen) > last:
            last, changed_s = len(seen), time.monotonic()
        ended = [log for program, log in running if program.returncode is not None]
        if ended or time.monotonic() - changed_s > stall_s:
            log = (ended or [log for _, log in running])[0]
            raise BenchError(f"{log.stem} stopped at {last} of {count}: {said(log)[-500:]}")
        await asyncio.sleep(0.005)


def median_of(legs: Sequence[Seen]) -> Seen:
    """The median of each figure."""
    kind = type(legs[0])
    return kind(**{key: statistics.median(getattr(leg, key) for leg in legs) for key in asdict(legs[0])})


def cpu_of(pids: Mapping[str, int]) -> dict[str, float]:
    return {program: cpu_s(pid) for program, pid in pids.items()}


@contextlib.asynccontextmanager
async def namespace_of(
    client: ApiClient, name: str, kinds: tuple[str, ...] = ("/api/v1/{}/pods", "/api/v1/{}/events")
) -> AsyncIterator[str]:
    """Emptied of these kinds at the end; without controllers nobody removes a namespace."""
    namespace = f"bench-{name}-{secrets.token_hex(3)}"
    await client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        yield namespace
    finally:
        for kind in kinds:
            path = kind.format(f"namespaces/{namespace}")
            with contextlib.suppress(ApiError):
                await client.request("DELETE", path, params={"gracePeriodSeconds": "0"}, timeout_s=120)
