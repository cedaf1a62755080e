"""InferenceJobs beside a real kube-scheduler on the same nodes: we choose, it binds, nobody loses a pod."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from synergai.agents.registry import make
from synergai.benchmarks.processes import process
from synergai.benchmarks.real import KUBE_SCHEDULER, kube_scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.types import Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.requests import pod_requests
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.api.watch import Reflector, Resource, WatchEvent
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
from synergai.k8s_bridge.inference.job import PATH, job_path
from synergai.k8s_bridge.lease import Lease, LeaseTimes
from synergai.offline_profiles.table import ProfileTable
from tests.e2e.cluster.control_plane import control_plane
from tests.e2e.cluster.source import Unavailable, programs
from tests.kube_api import eventually

pytestmark = pytest.mark.e2e

TABLE = ProfileTable.default()
T4 = "nvidia-t4"
CRDS = Path(__file__).parents[2] / "k8s_bridge" / "manifests" / "crds"
PODS = "/api/v1/namespaces/default/pods"
JOBS = job_path("default")
CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUME = "/api/v1/persistentvolumes/data"
DEVICES = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"
MERGE = "application/merge-patch+json"
CPU_MILLI = 6000
"""Of a node: room for three jobs, or four others, and devices for two jobs."""
Json = dict[str, Any]


@pytest.fixture(scope="module")
def admin() -> Iterator[str]:
    """Of an API server without controllers that nobody else uses; with kube-scheduler at hand."""
    try:
        folder = programs()
        scheduler = folder / "kube-scheduler"
        if not os.access(scheduler, os.X_OK):
            raise Unavailable(f"no {scheduler}; build.sh kube-scheduler makes it")
    except Unavailable as reason:
        if os.environ.get("SYNERGAI_E2E") == "require":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    with control_plane(folder, bare=True) as kubeconfig, pytest.MonkeyPatch.context() as patch:
        patch.setenv(KUBE_SCHEDULER, str(scheduler))
        yield str(kubeconfig)


class Here:
    """One cluster, and what was ever true of its pods."""

    def __init__(self, client: ApiClient, kubeconfig: str, folder: Path) -> None:
        self.client = client
        self.kubeconfig = kubeconfig
        self.folder = folder
        self.kubelets: Kubelets
        self.running: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.most_milli = 0
        """The most cpu that pods on one node ever requested together."""

    def see(self, event: WatchEvent) -> None:
        pod, uid = event.object, event.object["metadata"]["uid"]
        node = pod.get("spec", {}).get("nodeName")
        if event.kind == "DELETED" or not node or pod["status"]["phase"] in ("Succeeded", "Failed"):
            for pods in self.running.values():
                pods.pop(uid, None)
            return
        self.running[node][uid] = pod_requests(pod["spec"]).cpu_milli
        self.most_milli = max(self.most_milli, sum(self.running[node].values()))

    async def pods(self) -> list[Json]:
        return (await self.client.get(PODS))["items"]

    async def jobs(self) -> list[Json]:
        return (await self.client.get(JOBS))["items"]

    async def complete(self) -> int:
        return sum(is_complete(job) for job in await self.jobs())

    def settings(self, **more: Any) -> dict[str, Any]:
        times = {"lease_duration_s": 3, "lease_renew_deadline_s": 1.0, "lease_retry_s": 0.5}
        return {"binder": "kube-scheduler", "metrics_port": None, "queue_every_s": 0} | times | more

    def bridge_command(self) -> list[str]:
        config = self.folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(self.settings()), encoding="utf-8")
        return ["-m", "synergai.k8s_bridge", "--kubeconfig", self.kubeconfig, "--config", str(config)]

    @asynccontextmanager
    async def bridge(self) -> AsyncIterator[Daemon]:
        """In this process."""
        async with ApiClient(load(self.kubeconfig)) as client, ApiClient(load(self.kubeconfig)) as lessee:
            times = LeaseTimes(duration_s=3, renew_deadline_s=1.0, retry_s=0.5, bind_timeout_s=1.0)
            lease = Lease(lessee, "default", "synergai", times, identity="second")
            settings = Settings.model_validate(self.settings())
            daemon = Daemon(settings, client, make("sjf_feasible"), Cluster(TABLE), lease=lease)
            stop = asyncio.Event()
            task = asyncio.create_task(daemon.run(stop))
            try:
                yield daemon
            finally:
                stop.set()
                await asyncio.wait_for(task, 10)


def is_complete(job: Json) -> bool:
    conditions = job.get("status", {}).get("conditions", ())
    return any(c["type"] == "Complete" and c["status"] == "True" for c in conditions)


@pytest.fixture
async def here(admin: str, tmp_path: Path) -> AsyncIterator[Here]:
    """Three nodes that nobody dedicated, kube-scheduler, and a runtime."""
    nodes = [Node(f"shared-{n}", (Device(T4, 2),), CPU_MILLI, 65_536) for n in range(3)]
    settings = KubeletSettings(dedicated=False, default_run_s=1.0, pod_start_s=0.1)
    kubelets = Kubelets(load(admin), nodes, {T4: "nvidia.com/gpu"}, lambda run: 1.0, settings)
    async with ApiClient(load(admin)) as client, kubelets:
        made = Here(client, admin, tmp_path)
        made.kubelets = kubelets
        await define(client)
        for node in nodes:
            labels = {"metadata": {"labels": {keys.LABEL_DEDICATED: None}}}
            await client.request("PATCH", f"/api/v1/nodes/{node.name}", body=labels, media_type=MERGE)
        seeing = asyncio.create_task(Reflector(client, Resource("all", "/api/v1/pods"), made.see).run())
        async with process(kube_scheduler(admin, tmp_path), tmp_path / "kube-scheduler.log"):
            yield made
        seeing.cancel()
        for path in (JOBS, PODS):
            await client.request("DELETE", path, params={"gracePeriodSeconds": "0"})
        for pod in await made.pods():
            body = {"metadata": {"finalizers": None}}
            await client.request("PATCH", f"{PODS}/{pod['metadata']['name']}", body=body, media_type=MERGE)
        for node in nodes:
            await client.request("DELETE", f"/api/v1/nodes/{node.name}")


async def define(client: ApiClient) -> None:
    for file in sorted(CRDS.glob("*.yaml")):
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        try:
            await client.post(path, yaml.safe_load(file.read_text(encoding="utf-8")))
        except ApiError as error:
            if error.status != 409:
                raise

    async def served() -> bool:
        try:
            await client.get(JOBS)
            await client.get(f"{PATH}/clusterinferenceruntimes")
            return True
        except ApiError:
            return False

    await eventually(served, 60)


async def runtime(here: Here, name: str, model: str, **spec: Any) -> None:
    """Of all configurations that are profiled."""
    template = {"spec": {"containers": [{"name": "runner", "image": "example.org/ort:1"}], **spec}}
    rows = [{"name": profile.configuration} for profile in TABLE.of(model, T4)]
    variant = {"name": "t4", "hardware": [T4], "configurations": rows, "template": template}
    body = {"metadata": {"name": name}, "spec": {"models": [{"name": model}], "variants": [variant]}}
    kind = {"apiVersion": "synergai.dev/v1alpha1", "kind": "ClusterInferenceRuntime"}
    await here.client.post(f"{PATH}/clusterinferenceruntimes", kind | body)


async def job(here: Here, name: str, model: str) -> None:
    spec = {"model": {"name": model}, "input": {"samples": 500}, "backoffLimit": 0}
    body = {
        "apiVersion": "synergai.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": name},
        "spec": spec,
    }
    await here.client.post(JOBS, body)


async def plain(here: Here, name: str, milli: int = 1500) -> None:
    """A pod of somebody else, for kube-scheduler."""
    container = {"name": "c", "image": "example.org/other:1", "resources": {"requests": {"cpu": f"{milli}m"}}}
    spec = {"restartPolicy": "Never", "containers": [container]}
    await here.client.post(PODS, {"metadata": {"name": name}, "spec": spec})


async def test_jobs_and_pods_of_others_fill_the_same_nodes_and_all_end_well_though_the_bridge_is_killed(here):
    await runtime(here, "resnet", "resnet50")
    count = 40

    async def stream() -> None:
        for n in range(count):
            await job(here, f"job-{n:02}", "resnet50")
            await plain(here, f"other-{n:02}")
            await asyncio.sleep(0.1)

    log = here.folder / "bridge.log"
    async with process(here.bridge_command(), log) as first:
        streaming = asyncio.create_task(stream())

        async def is_under_way() -> bool:
            assert first.returncode is None, log.read_text(encoding="utf-8")
            return await here.complete() >= 8

        await eventually(is_under_way, 240)
        async with here.bridge() as second:
            await asyncio.wait_for(second.synced.wait(), 60)
            first.send_signal(signal.SIGKILL)
            await streaming

            async def all_ended() -> bool:
                return await here.complete() == count

            await eventually(all_ended, 240)

            async def others_ended() -> bool:
                return {pod["status"]["phase"] for pod in await here.pods()} == {"Succeeded"}

            await eventually(others_ended, 120)

            async def books_are_empty() -> bool:
                return (second._cluster.running(), second.pods.entries) == (0, {})

            await eventually(books_are_empty, 30)
    pods = await here.pods()
    attempts = [pod for pod in pods if keys.LABEL_JOB in pod["metadata"].get("labels", {})]
    assert {pod["spec"]["schedulerName"] for pod in attempts} == {"default-scheduler"}
    assert here.kubelets.rejected == 0
    assert 0 < here.most_milli <= CPU_MILLI
    assert not any(pod["metadata"].get("finalizers") for pod in attempts)


async def tie_claim(here: Here, node: str) -> None:
    """A claim that waits for its first consumer, and the one volume that will do, which only that node has."""
    local = {"storageClassName": "local", "accessModes": ["ReadWriteOnce"]}
    on = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    kind = {"provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"}
    volume = {
        "capacity": {"storage": "1Gi"},
        "local": {"path": "/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on]}]}},
    }
    claim = {"resources": {"requests": {"storage": "1Gi"}}}
    storage, metadata = "/apis/storage.k8s.io/v1/storageclasses", {"metadata": {"name": "data"}}
    await here.client.post(storage, {"metadata": {"name": "local"}} | kind)
    await here.client.post("/api/v1/persistentvolumes", metadata | {"spec": volume | local})
    ready = {"status": {"phase": "Available"}}
    await here.client.request("PATCH", f"{VOLUME}/status", body=ready, media_type=MERGE)
    await here.client.post(CLAIMS, metadata | {"spec": claim | local})


async def bind_volume(here: Here) -> None:
    """What the controller of volumes does when kube-scheduler has chosen one."""

    async def is_chosen() -> bool:
        return "claimRef" in (await here.client.get(VOLUME))["spec"]

    await eventually(is_chosen, 120)
    done = {
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": "data"},
    }
    bound = {"status": {"phase": "Bound"}}
    for path, body in (
        (f"{VOLUME}/status", bound),
        (f"{CLAIMS}/data", done),
        (f"{CLAIMS}/data/status", bound),
    ):
        await here.client.request("PATCH", path, body=body, media_type=MERGE)


async def test_a_job_whose_claims_only_kube_scheduler_understands_is_tried_until_it_is_where_they_are(here):
    """A volume that waits for its first consumer, and a claim of devices. The node that has the volume is not the first
    that we choose: one attempt ends in kube-scheduler's words, which is no failure."""
    await tie_claim(here, "shared-1")
    devices = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "mine"}}
    await here.client.post(DEVICES, devices | {"spec": {"devices": {}}})
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    claims = [{"name": "devices", "resourceClaimName": "mine"}]
    await runtime(here, "bert", "bert-99", volumes=volumes, resourceClaims=claims)
    await job(here, "claims", "bert-99")
    async with here.bridge():
        binding = asyncio.create_task(bind_volume(here))

        async def has_run() -> bool:
            return await here.complete() == 1

        await eventually(has_run, 180)
        await binding
    (found,) = await here.jobs()
    *before, last = found["status"]["attempts"]
    assert (last["node"], last["end"]["reason"]) == ("shared-1", "Completed")
    assert before
    for attempt in before:
        assert attempt["end"]["reason"] == "Unscheduled"
        assert "nodes are available" in attempt["end"]["message"]
    (device,) = (await here.client.get(DEVICES))["items"]
    assert "allocation" in device["status"]
