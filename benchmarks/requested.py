"""InferenceJobs and the bridge beside batch/v1 Jobs, their controller and kube-scheduler: the same work on one real
API server, one after the other, from the creation of a job until its pod runs.

A program beside them says that pods run, which costs both the same. It takes an API server without other controllers:
`python -m tests.e2e.cluster --bare -- synergai bench jobs_beside_kubernetes`.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

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
    program_of,
    servers,
    until_all,
)
from synergai.benchmarks.runs import runs_command
from synergai.envs import scenario as scenarios
from synergai.envs.types import Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import CredentialsError
from synergai.k8s_bridge.api.watch import Reflector, Resource, WatchEvent
from synergai.k8s_bridge.embedded.shipped import definitions
from synergai.k8s_bridge.inference.profiled import profiled_runtimes
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.table import ProfileTable

GROUP = f"/apis/{keys.PREFIX}/{keys.API_VERSION}"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RUNTIMES = f"{GROUP}/clusterinferenceruntimes"
IMAGE = "example.org/runner:1"
STALL_S = 120.0
SETTLE_S = 2.0
CONTROLLERS = "KUBE_CONTROLLER_MANAGER"
"""Environment: where that program is, if not in PATH."""
SYNCS = 16
"""Jobs that the Job controller looks at at once; it comes with 5."""


@dataclass(frozen=True)
class Leg:
    """What was seen of one side, from the first creation until the last pod ran."""

    jobs_per_s: float
    p50_s: float
    """From the reply to a job's creation until the watch shows its pod running."""
    p99_s: float
    own_cpu_ms: float
    """Per job: of the bridge, or of the Job controller and kube-scheduler together."""
    apiserver_cpu_ms: float
    etcd_cpu_ms: float
    runs_cpu_ms: float
    """Of who says that pods run."""


@dataclass(frozen=True)
class Work:
    """One job, however it is asked for."""

    name: str
    model: str


def jobs_beside_kubernetes(
    jobs: int = 1000,
    nodes: int = 100,
    arrive: float = 0.0,
    scenario: str = "demo",
    checkpoint: str = "demo",
    repeats: int = 1,
    seed: int = 0,
) -> Figure:
    """Jobs per second from creation to a running pod, over those of batch/v1. With `arrive` so many are created per
    second; with 0 as fast as the API server takes them."""
    try:
        legs = asyncio.run(_all_legs(jobs, nodes, arrive, scenario, checkpoint, repeats, seed))
    except (ApiError, CredentialsError) as error:
        raise BenchError(f"jobs_beside_kubernetes: {error}") from None
    facts = {
        "jobs": jobs, "nodes": nodes, "arrive": arrive, "scenario": scenario, "checkpoint": checkpoint,
        "repeats": repeats, "job_syncs": SYNCS,
        **{name: {key: round(value, 3) for key, value in asdict(leg).items()} for name, leg in legs.items()},
        "seed": seed,
    }  # fmt: skip
    return Figure(legs["synergai"].jobs_per_s / legs["batch"].jobs_per_s, "times batch/v1's jobs/s", facts)


async def _all_legs(
    jobs: int, nodes: int, arrive: float, scenario: str, checkpoint: str, repeats: int, seed: int
) -> dict[str, Leg]:
    kubeconfig = cluster_of("jobs_beside_kubernetes")
    seen: dict[str, list[Leg]] = {"batch": [], "synergai": []}
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        client = await stack.enter_async_context(ApiClient(credentials.load(kubeconfig)))
        world = await stack.enter_async_context(nodes_of(client, scenario, nodes, jobs))
        models = models_of(scenarios.load(scenario), jobs, seed)
        work = [Work(f"j{i:05d}", model) for i, model in enumerate(models)]
        await _install(client, world, work)
        log = folder / "runs.log"
        runs = await stack.enter_async_context(process(runs_command(kubeconfig), log))
        await until(lambda: "listed" in said(log), runs, log)
        ours = {"bridge": bridge(kubeconfig, checkpoint, folder / "bridge.yaml", expect=declared(models))}
        sides = {"batch": _batch(kubeconfig, folder), "synergai": ours}
        spenders = {**servers(kubeconfig), "runs": runs.pid}
        for turn in range(repeats):
            for name, programs in sides.items():
                seen[name].append(await _leg(client, spenders, name, programs, work, arrive, folder, turn))
    return {name: median_of(legs) for name, legs in seen.items()}


async def _install(client: ApiClient, world: Sequence[Node], work: Sequence[Work]) -> None:
    """The definitions, and a runtime for every model; they stay."""
    for definition in definitions():
        await _make(client, DEFINITIONS, definition)
    hardware = {device.hardware for node in world for device in node.devices}
    models = sorted({one.model for one in work})
    for runtime in profiled_runtimes(ProfileTable.default(), models, hardware, IMAGE):
        for _ in range(50):  # a definition is served a moment after it is there
            with contextlib.suppress(ApiError):
                await _make(client, RUNTIMES, runtime)
                break
            await asyncio.sleep(0.2)


async def _make(client: ApiClient, path: str, body: Json) -> None:
    try:
        await client.post(path, body)
    except ApiError as error:
        if error.status != 409:
            raise


def _batch(kubeconfig: str, folder: Path) -> dict[str, list[str]]:
    """The Job controller alone and kube-scheduler; their clients' limits are lifted."""
    limits = ["--kube-api-qps=10000", "--kube-api-burst=10000", f"--concurrent-job-syncs={SYNCS}"]
    manager = [
        program_of("kube-controller-manager", CONTROLLERS),
        f"--kubeconfig={kubeconfig}",
        "--controllers=job",
    ]
    manager += [*limits, "--leader-elect=false", "--secure-port=0"]
    return {"kube-controller-manager": manager, "kube-scheduler": kube_scheduler(kubeconfig, folder)}


def _is_ready(name: str, log: Path) -> bool:
    words = {"bridge": " leading: ", "kube-scheduler": "Successfully acquired lease"}
    return words.get(name, "Caches are synced") in said(log)


class _Watch:
    """When each job was created and its pod seen running; monotonic seconds."""

    def __init__(self) -> None:
        self.created: dict[str, float] = {}
        self.runs: dict[str, float] = {}

    def see(self, event: WatchEvent) -> None:
        if (event.object.get("status") or {}).get("phase") == "Running":
            owners = event.object["metadata"].get("ownerReferences") or ({"name": ""},)
            self.runs.setdefault(owners[0]["name"], time.monotonic())


async def _leg(
    client: ApiClient,
    spenders: dict[str, int],
    name: str,
    programs: dict[str, list[str]],
    work: Sequence[Work],
    arrive: float,
    folder: Path,
    turn: int,
) -> Leg:
    """One side, in a namespace of its own."""
    jobs = "/apis/batch/v1/{}/jobs" if name == "batch" else f"{GROUP}/{{}}/inferencejobs"
    kinds = (jobs, "/api/v1/{}/pods", "/api/v1/{}/events")
    async with namespace_of(client, name, kinds) as namespace, contextlib.AsyncExitStack() as stack:
        watch, running, own = _Watch(), [], {}
        pods = Resource("bench", f"/api/v1/namespaces/{namespace}/pods")
        reflector = asyncio.create_task(Reflector(client, pods, watch.see).run())
        stack.callback(reflector.cancel)
        for program, command in programs.items():
            log = folder / f"{program}-{turn}.log"
            started = await stack.enter_async_context(process(command, log))
            running.append((started, log))
            own[program] = started.pid
            await until(lambda program=program, log=log: _is_ready(program, log), started, log)
        await asyncio.sleep(SETTLE_S)
        everybody = {**spenders, **own}
        before_s = cpu_of(everybody)
        make = _batch_job if name == "batch" else _inference_job
        path = jobs.format(f"namespaces/{namespace}")
        await _create(client, work, path, make, watch, arrive)
        await until_all(watch.runs, len(work), running, STALL_S)
        after_s = cpu_of(everybody)
        spent = {program: after_s[program] - before_s[program] for program in everybody}
        await _clear(client, path, namespace)
        return _figures(watch, spent, own)


async def _clear(client: ApiClient, jobs: str, namespace: str) -> None:
    """While those run that let pods go: what one side leaves behind is no work for the next."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    await client.request("DELETE", jobs, params={"propagationPolicy": "Background"}, timeout_s=120)
    give_up_s = time.monotonic() + STALL_S
    while (await client.get(pods, {"limit": "1"}))["items"]:
        if time.monotonic() > give_up_s:
            raise BenchError(f"jobs_beside_kubernetes: the pods of {namespace} do not go")
        await client.request("DELETE", pods, params={"gracePeriodSeconds": "0"}, timeout_s=120)
        await asyncio.sleep(0.5)


def _figures(watch: _Watch, spent: dict[str, float], own: dict[str, int]) -> Leg:
    count = len(watch.runs)
    span_s = max(watch.runs.values()) - min(watch.created.values())
    p50, p99 = np.percentile([at_s - watch.created[name] for name, at_s in watch.runs.items()], [50, 99])
    ours = sum(spent[program] for program in own)
    costs = [1000 * s / count for s in (ours, spent["kube-apiserver"], spent["etcd"], spent["runs"])]
    return Leg(count / span_s, float(p50), float(p99), *costs)


async def _create(
    client: ApiClient,
    work: Sequence[Work],
    path: str,
    make: Callable[[Work], Json],
    watch: _Watch,
    arrive: float,
) -> None:
    async def create(one: Work) -> None:
        watch.created[one.name] = time.monotonic()
        await client.post(path, make(one))

    await arriving(work, arrive, create)


def _inference_job(one: Work) -> Json:
    name, _, version = one.model.partition(":")
    spec = {
        "model": {"name": name, "version": version or "1"},
        "input": {"samples": SAMPLES},
        "deadline": {"after": "24h"},
    }
    return {
        "apiVersion": f"{keys.PREFIX}/{keys.API_VERSION}", "kind": "InferenceJob",
        "metadata": {"name": one.name}, "spec": spec,
    }  # fmt: skip


def _batch_job(one: Work) -> Json:
    resources = {"requests": {"cpu": "1", "memory": "1Gi"}}
    container = {"name": "runner", "image": IMAGE, "resources": resources}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": one.name},
        "spec": {"backoffLimit": 2, "template": template},
    }  # fmt: skip
