"""The bridge beside kube-scheduler: the same pods on the same nodes of the same API server, one after the other.

Nothing runs on the nodes, which are objects that nobody renews; so all of the machine is the API server's and the
scheduler's. It takes an API server without controllers, as they would call such nodes lost:
`python -m tests.e2e.cluster --bare -- synergai bench beside_kube_scheduler`.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from synergai.benchmarks.ceiling import ceiling_command
from synergai.benchmarks.figure import BenchError, Figure
from synergai.benchmarks.processes import process, said, until
from synergai.benchmarks.real import (
    SAMPLES,
    arriving,
    bridge,
    cluster_of,
    cpu_of,
    declared,
    kube_scheduler,
    median_of,
    models_of,
    namespace_of,
    nodes_of,
    servers,
    until_all,
)
from synergai.envs import scenario as scenarios
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import CredentialsError
from synergai.k8s_bridge.api.watch import Reflector, Resource, WatchEvent
from synergai.k8s_bridge.submit import PodRequest, pod_of

RESIZES = {"synergai": "never", "synergai-resizing": "auto"}
"""The bridge without and with resizes, which take a second request."""
SCHEDULERS = ("ceiling", "kube-scheduler", *RESIZES)
DEADLINE_S = 86_400.0
STALL_S = 60.0
SETTLE_S = 1.0
"""After the pods are created, and after a scheduler is ready for pods that arrive."""


@dataclass(frozen=True)
class Leg:
    """What was seen of one scheduler, from the first bind of a full queue, or the first of arriving pods, to the last
    bind."""

    pods_per_s: float
    p50_s: float
    """From the reply to a pod's creation until the watch shows it bound; of a full queue from the first bind on."""
    p99_s: float
    scheduler_cpu_ms: float
    """Per pod, as the two below."""
    apiserver_cpu_ms: float
    etcd_cpu_ms: float


def beside_kube_scheduler(
    pods: int = 1000,
    nodes: int = 100,
    arrive: float = 0.0,
    scenario: str = "demo",
    checkpoint: str = "demo",
    repeats: int = 1,
    seed: int = 0,
) -> Figure:
    """Pods per second of the bridge over those of kube-scheduler; and a script that binds without thinking.

    With `arrive` so many pods are created per second while the scheduler runs; with 0 all wait when it starts.
    """
    try:
        legs = asyncio.run(_all_legs(pods, nodes, arrive, scenario, checkpoint, repeats, seed))
    except (ApiError, CredentialsError) as error:
        raise BenchError(f"beside_kube_scheduler: {error}") from None
    ours, theirs, most = legs["synergai"], legs["kube-scheduler"], legs["ceiling"]
    facts = {
        "pods": pods, "nodes": nodes, "arrive": arrive, "scenario": scenario, "checkpoint": checkpoint,
        "repeats": repeats, "of_ceiling": round(ours.pods_per_s / most.pods_per_s, 3),
        **{name: {key: round(value, 3) for key, value in asdict(leg).items()} for name, leg in legs.items()},
        "seed": seed,
    }  # fmt: skip
    return Figure(ours.pods_per_s / theirs.pods_per_s, "times kube-scheduler's pods/s", facts)


async def _all_legs(
    pods: int, nodes: int, arrive: float, scenario: str, checkpoint: str, repeats: int, seed: int
) -> dict[str, Leg]:
    """The median of each figure over the repeats; the schedulers take turns."""
    kubeconfig = cluster_of("beside_kube_scheduler")
    seen: dict[str, list[Leg]] = {name: [] for name in SCHEDULERS}
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = await stack.enter_async_context(ApiClient(credentials.load(kubeconfig)))
        world = await stack.enter_async_context(nodes_of(client, scenario, nodes, pods))
        models = models_of(scenarios.load(scenario), pods, seed)
        requests = _requests(models)
        commands = {
            "ceiling": ceiling_command(kubeconfig, [node.name for node in world]),
            "kube-scheduler": kube_scheduler(kubeconfig, folder),
            **{
                name: bridge(
                    kubeconfig, checkpoint, folder / f"{name}.yaml", expect=declared(models), resize=resize
                )
                for name, resize in RESIZES.items()
            },
        }
        running = servers(kubeconfig)
        for turn in range(repeats):
            for name in SCHEDULERS:
                log = folder / f"{name}-{turn}.log"
                seen[name].append(await _leg(client, running, name, commands[name], requests, arrive, log))
    return {name: median_of(legs) for name, legs in seen.items()}


def _requests(models: Sequence[str]) -> list[PodRequest]:
    return [
        PodRequest(f"p{i:05d}", model, SAMPLES, deadline_s=DEADLINE_S, cpu="100m", memory="64Mi")
        for i, model in enumerate(models)
    ]


class _Watch:
    """When each pod of a namespace was created and seen bound; monotonic seconds."""

    def __init__(self) -> None:
        self.created: dict[str, float] = {}
        self.bound: dict[str, float] = {}

    def see(self, event: WatchEvent) -> None:
        if event.object["spec"].get("nodeName"):
            self.bound.setdefault(event.object["metadata"]["name"], time.monotonic())


async def _leg(
    client: ApiClient,
    servers: Mapping[str, int],
    name: str,
    command: Sequence[str],
    requests: Sequence[PodRequest],
    arrive: float,
    log: Path,
) -> Leg:
    """One scheduler, in a namespace of its own."""
    scheduler = "default-scheduler" if name == "kube-scheduler" else "synergai"
    async with namespace_of(client, name) as namespace, contextlib.AsyncExitStack() as stack:
        watch = _Watch()
        pods = Resource("bench", f"/api/v1/namespaces/{namespace}/pods")
        reflector = asyncio.create_task(Reflector(client, pods, watch.see).run())
        stack.callback(reflector.cancel)
        if not arrive or name == "ceiling":
            await _create(client, requests, namespace, scheduler, watch, 0.0)
            await asyncio.sleep(SETTLE_S)
        given = [*command, namespace] if name == "ceiling" else command
        running = await stack.enter_async_context(process(given, log))
        spenders = {**servers, name: running.pid}
        spent_s: dict[str, float] = {}
        if arrive and name != "ceiling":
            await until(lambda: _is_ready(name, log), running, log)
            await asyncio.sleep(SETTLE_S)
            spent_s = cpu_of(spenders)
            await _create(client, requests, namespace, scheduler, watch, arrive)
        while not spent_s:
            await until_all(watch.bound, 1, [(running, log)], STALL_S)
            spent_s = cpu_of(spenders)
        await until_all(watch.bound, len(requests), [(running, log)], STALL_S)
        spent_s = {program: after_s - spent_s[program] for program, after_s in cpu_of(spenders).items()}
        return _figures(name, watch, spent_s, bool(arrive) and name != "ceiling")


def _is_ready(name: str, log: Path) -> bool:
    words = "Successfully acquired lease" if name == "kube-scheduler" else " leading: "
    return words in said(log)


def _figures(name: str, watch: _Watch, cpu: dict[str, float], arriving: bool) -> Leg:
    count = len(watch.bound)
    began_s = min(watch.created.values() if arriving else watch.bound.values())
    span_s = max(watch.bound.values()) - began_s
    waits = [at_s - (watch.created[pod] if arriving else began_s) for pod, at_s in watch.bound.items()]
    p50, p99 = np.percentile(waits, [50, 99])
    spent = [1000 * cpu[program] / count for program in (name, "kube-apiserver", "etcd")]
    return Leg(count / span_s, float(p50), float(p99), *spent)


async def _create(
    client: ApiClient,
    requests: Sequence[PodRequest],
    namespace: str,
    scheduler: str,
    watch: _Watch,
    arrive: float,
) -> None:
    now_us = client.now_us()

    async def create(request: PodRequest) -> None:
        pod = pod_of(replace(request, namespace=namespace), now_us)
        pod["spec"]["schedulerName"] = scheduler
        await client.post(f"/api/v1/namespaces/{namespace}/pods", pod)
        watch.created[request.name] = time.monotonic()

    await arriving(requests, arrive, create)
