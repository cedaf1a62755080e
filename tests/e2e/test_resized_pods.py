"""A pod on a real API server has exactly the cpu, memory and annotations that were decided, or it is not bound: also
where somebody changes it between resize and bind, and where the bridge is killed there."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.envs.types import Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded.kubelet import Kubelets
from synergai.k8s_bridge.pods import pod_requests, read_pod
from synergai.k8s_bridge.submit import PodRequest, pod_of
from synergai.offline_profiles.table import ProfileTable
from tests.e2e.ground import Ground, Json, ground
from tests.kube_api import eventually

pytestmark = pytest.mark.e2e

T4, ORIN = "nvidia-t4", "jetson-agx-orin-maxn"
MERGE = "application/merge-patch+json"
KILLED = """
import asyncio, os, signal, sys
from synergai.k8s_bridge.binder import Binder
from synergai.k8s_bridge.config import load_settings
from synergai.k8s_bridge.startup import run_bridge

bind = Binder._bind

async def die(binder, order, version):
    if order.namespace == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    return await bind(binder, order, version)

Binder._bind = die
settings = load_settings(kubeconfig=sys.argv[1], lease="off", metrics_port=0)
asyncio.run(run_bridge(settings, asyncio.Event()))
"""


@pytest.fixture
async def here(real_kubeconfig: str, tmp_path: Path) -> AsyncIterator[Ground]:
    async with ground(real_kubeconfig, tmp_path) as made:
        nodes = [
            Node(f"{made.name}-{hardware}", (Device(hardware, 4),), 64_000, 262_144)
            for hardware in (T4, ORIN)
        ]
        kubelets = Kubelets(load(real_kubeconfig), nodes, {T4: "nvidia.com/gpu"}, lambda run: 300.0)
        await kubelets.start()
        try:
            yield made
        finally:
            await kubelets.stop()
            for node in nodes:
                await made.client.request("DELETE", f"/api/v1/nodes/{node.name}")


async def annotate_node(here: Ground) -> None:
    """A change of a node that matters to nobody."""
    path = f"/api/v1/nodes/{here.name}-{T4}"
    await here.client.request("PATCH", path, body={"metadata": {"annotations": {"x": "y"}}}, media_type=MERGE)


async def create(here: Ground, name: str, hardware: str = T4, **resources: Any) -> Json:
    pod = pod_of(PodRequest(name, "resnet50", 1000, namespace=here.name, hardware=frozenset({hardware})), 0)
    if resources:
        pod["spec"]["containers"][0]["resources"] = resources
    return await here.client.post(here.pods, pod)


async def annotate(here: Ground, name: str, **annotations: str) -> None:
    given = {f"{keys.PREFIX}/{key}": value for key, value in annotations.items()}
    body = {"metadata": {"annotations": given}}
    await here.client.request("PATCH", f"{here.pods}/{name}", body=body, media_type=MERGE)


async def pod(here: Ground, name: str) -> Json:
    return await here.client.get(f"{here.pods}/{name}")


async def bound(here: Ground, name: str) -> tuple[Json, DecisionRecord]:
    """The pod once it is bound, and its decision."""

    async def is_bound() -> bool:
        return bool((await pod(here, name))["spec"].get("nodeName"))

    await eventually(is_bound, 120)
    found = await pod(here, name)
    record = read_decision(found["metadata"]["annotations"])
    assert record is not None
    return found, record


def has(pod: Json) -> tuple[int, int]:
    requests = pod_requests(pod["spec"])
    return requests.cpu_milli, requests.memory_mib


class Rival(ApiClient):
    """The bridge's client, and somebody who acts after each of its resizes."""

    act: Callable[[], Awaitable[None]]

    def __init__(self, here: Ground) -> None:
        super().__init__(load(str(here.bridge_kubeconfig)))
        self.replies: list[tuple[str, str, int]] = []
        """To writes on pods of the test's own: other tests' may be there."""
        self._own = f"/namespaces/{here.name}/pods/"

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if method == "GET" or self._own not in path:
            return await super().request(method, path, **options)
        step = path.rpartition("/")[2]
        try:
            reply = await super().request(method, path, **options)
        except ApiError as error:
            self.replies.append((method, step, error.status))
            raise
        self.replies.append((method, step, 200))
        if step == "resize":
            await self.act()
        return reply


@asynccontextmanager
async def bridge(client: ApiClient, **settings: Any) -> AsyncIterator[Daemon]:
    made = Settings(metrics_port=None, lease="off", queue_every_s=0, **settings)
    daemon = Daemon(made, client, make("sjf_feasible"), Cluster(ProfileTable.default()))
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.run(stop))
    try:
        yield daemon
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


@asynccontextmanager
async def plain_bridge(here: Ground, **settings: Any) -> AsyncIterator[Daemon]:
    async with ApiClient(load(str(here.bridge_kubeconfig))) as client, bridge(client, **settings) as daemon:
        yield daemon


LIMITED = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
GUARANTEED = {"limits": {"cpu": "100m", "memory": "64Mi"}}


@pytest.mark.parametrize(
    ("name", "resources"),
    [("burstable", {}), ("limited", LIMITED), ("guaranteed", GUARANTEED)],
)
async def test_a_pod_gets_exactly_what_was_decided_and_keeps_its_class(here, name, resources):
    first = await create(here, name, **resources)
    async with plain_bridge(here):
        found, record = await bound(here, name)
    assert has(found) == (record.cpu_milli, record.memory_mib)
    assert record.resized
    assert found["status"]["qosClass"] == first["status"]["qosClass"]


@pytest.mark.parametrize(("resources", "settings"), [({"requests": {}}, {}), ({}, {"resize": "never"})])
async def test_a_pod_that_is_not_resized_is_bound_as_it_is(here, resources, settings):
    await create(here, "a", **resources)
    before = has(await pod(here, "a"))
    async with plain_bridge(here, **settings):
        found, record = await bound(here, "a")
    assert (has(found), record.resized) == (before, False)
    assert record.cpu_milli > before[0]


async def test_a_change_between_resize_and_bind_gives_no_bind_and_a_second_decision(here):
    await create(here, "a")
    async with Rival(here) as client:
        changes = iter((T4, T4, ORIN))

        async def act() -> None:
            if hardware := next(changes, None):
                await annotate(here, "a", hardware=hardware, samples="500")

        client.act = act
        async with bridge(client):
            found, record = await bound(here, "a")
    steps = [reply for reply in client.replies if reply[1] in ("resize", "binding")]
    assert ("POST", "binding", 409) in steps
    assert steps[-1] == ("POST", "binding", 200)
    assert sum(step == ("POST", "binding", 200) for step in steps) == 1
    assert (record.hardware, has(found)) == (
        found["metadata"]["annotations"][keys.ANNOTATION_HARDWARE],
        (record.cpu_milli, record.memory_mib),
    )


async def test_a_rival_that_binds_a_resized_pod_has_it(here):
    await create(here, "a")
    async with Rival(here) as client:

        async def act() -> None:
            body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": f"{here.name}-{ORIN}"}}
            await here.client.post(f"{here.pods}/a/binding", body)

        client.act = act
        async with bridge(client) as daemon:

            async def is_booked() -> bool:
                entry = daemon.pods.entries.get(f"{here.name}/a")
                return entry is not None and entry.booked and entry.node.endswith(ORIN)

            await eventually(is_booked, 120)
    assert ("POST", "binding", 409) in client.replies


async def killed_between_resize_and_bind(here: Ground) -> None:
    command = (sys.executable, "-c", KILLED, str(here.bridge_kubeconfig), here.name)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    assert await asyncio.wait_for(process.wait(), 240) == -signal.SIGKILL


async def test_a_bridge_killed_between_resize_and_bind_leaves_the_floor_where_it_was(here):
    await create(here, "a", hardware=T4, **LIMITED)
    asked = read_pod(await pod(here, "a")).demand.requests
    for hardware in (T4, ORIN, T4):
        await annotate(here, "a", hardware=hardware)
        await killed_between_resize_and_bind(here)
        left = await pod(here, "a")
        assert not left["spec"].get("nodeName")
        assert has(left) > (asked.cpu_milli, asked.memory_mib)
        assert read_pod(left).demand.requests == asked
    async with plain_bridge(here):
        found, record = await bound(here, "a")
    assert has(found) == (record.cpu_milli, record.memory_mib)
    table = ProfileTable.default()
    (chosen,) = [p for p in table.of("resnet50", T4) if p.configuration == record.configuration]
    assert has(found) == (chosen.cpu_milli, chosen.memory_mib)


async def test_without_the_right_to_resize_pods_are_bound_as_they_are(here, caplog):
    path = here.path("ClusterRole", "-binds")
    role = await here.client.get(path)
    role["rules"] = [rule for rule in role["rules"] if "pods/resize" not in rule["resources"]]
    await here.client.request("PUT", path, body=role)
    async with plain_bridge(here):
        for name in ("a", "b"):
            await create(here, name)
            _, record = await bound(here, name)
            assert not record.resized
    told = f"pods of namespace {here.name} are not resized"
    assert sum(told in entry.message for entry in caplog.records) == 1


async def test_a_quota_that_has_no_room_for_the_configuration_leaves_the_pod_its_requests(here):
    quota = {"metadata": {"name": "q"}, "spec": {"hard": {"requests.cpu": "500m"}}}
    path = f"/api/v1/namespaces/{here.name}/resourcequotas"
    await here.client.post(path, quota)
    await here.client.request(
        "PATCH",
        f"{path}/q/status",
        body={"status": quota["spec"] | {"used": {"requests.cpu": "0"}}},
        media_type=MERGE,
    )
    await create(here, "a", requests={"cpu": "100m", "memory": "64Mi"})

    async def told() -> list[str]:
        events = (await here.client.get(f"/api/v1/namespaces/{here.name}/events"))["items"]
        return [event["reason"] for event in events if "exceeded quota" in event["message"]]

    async def is_told() -> bool:
        return bool(await told())

    async with plain_bridge(here):
        found, record = await bound(here, "a")
        await eventually(is_told, 120)  # after what is to be told of other tests' pods
    assert (has(found), record.resized) == ((100, 64), False)
    assert await told() == ["NotResized"]


async def test_autoscalers_are_told_of_a_pod_that_fits_nowhere_and_of_none_that_waits(here):
    await create(here, "large", requests={"cpu": "900", "memory": "64Mi"})
    async with plain_bridge(here):

        async def is_told() -> bool:
            # not of a node that has only just come and is not ready yet
            return "Insufficient cpu" in read_pod(await pod(here, "large")).unschedulable

        await eventually(is_told, 120)
        told = await pod(here, "large")
        (condition,) = told["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "PodScheduled",
            "False",
            "Unschedulable",
        )
        assert "Insufficient cpu" in condition["message"]
        await annotate_node(here)
        assert (await pod(here, "large"))["metadata"]["resourceVersion"] == told["metadata"][
            "resourceVersion"
        ]
        path = f"/api/v1/nodes/{here.name}-{T4}/status"
        room = {"cpu": "1000", "memory": "256Gi", "pods": "50"}
        await here.client.request(
            "PATCH", path, body={"status": {"allocatable": room, "capacity": room}}, media_type=MERGE
        )
        await bound(here, "large")
