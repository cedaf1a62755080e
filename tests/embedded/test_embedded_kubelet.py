"""Simulated kubelets: what they register, take, run, refuse and let go."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from synergai.envs.types import Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings, PodRun

T4 = "nvidia-t4"
XEON = "intel-xeon-platinum-8380-2s"
ORIN = "jetson-agx-orin-maxn"
NODES = (
    Node("t4", (Device(T4, 2),), cpu_milli=4000, memory_mib=8192, pods=5, site="hall-1"),
    Node("both", (Device(T4, 1), Device(XEON, 0)), cpu_milli=80_000, memory_mib=1024),
    Node("orin", (Device(ORIN, 1),), cpu_milli=12_000, memory_mib=1024),
)
RESOURCES = {T4: "nvidia.com/gpu", ORIN: "nvidia.com/gpu", XEON: ""}
PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture
def runs() -> list[PodRun]:
    return []


@pytest.fixture
async def kubelets(server, runs) -> AsyncIterator[Kubelets]:
    """A hundred scenario seconds in a real one; decided pods run for five."""

    def run_time_s(run: PodRun) -> float:
        runs.append(run)
        return 5.0

    settings = KubeletSettings(speed=100.0, default_run_s=1.0, renew_s=0.05)
    async with Kubelets(Credentials(server.url), NODES, RESOURCES, run_time_s, settings, {ORIN}) as running:
        yield running


@pytest.fixture
def start(embedded, make_pod, kubelets):
    """Create a pod and bind it."""

    async def create_and_bind(name: str = "a", node: str = "t4", requests=None, decision=None, **annotations):
        devices = {key: amount for key, amount in (requests or {}).items() if "/" in key}
        container = {"name": "c", "image": "i", "resources": {"requests": requests or {}, "limits": devices}}
        metadata = {"annotations": annotations}
        made = await embedded.post(PODS, make_pod(name, metadata, containers=[container]))
        assert made.status == 201, made.raw
        chosen = {} if decision is None else {keys.ANNOTATION_DECISION: json.dumps(decision)}
        body = {"metadata": {"name": name, "annotations": chosen}, "target": {"kind": "Node", "name": node}}
        assert (await embedded.post(f"{PODS}/{name}/binding", body)).status == 201

    return create_and_bind


@pytest.fixture
def until(embedded, eventually):
    """Wait for a phase."""

    async def reached(name: str, *phases: str) -> dict:
        pod: dict = {}

        async def is_reached() -> bool:
            pod.update((await embedded.get(f"{PODS}/{name}")).json)
            return pod["status"].get("phase") in phases

        await eventually(is_reached)
        return pod

    return reached


@pytest.fixture
def gone(embedded, eventually):
    """Wait for the end of a pod."""

    async def is_over(name: str) -> None:
        async def is_gone() -> bool:
            return (await embedded.get(f"{PODS}/{name}")).status == 404

        await eventually(is_gone)

    return is_over


def decision(units: int = 1, hardware: str = T4) -> dict:
    return {"id": "d", "hardware": hardware, "configuration": "trt-b8", "deviceUnits": units}


async def node(embedded, name: str) -> dict:
    return (await embedded.get(f"/api/v1/nodes/{name}")).json


async def test_a_node_is_labelled_with_its_devices_and_its_site(embedded, kubelets):
    labels = (await node(embedded, "t4"))["metadata"]["labels"]
    assert labels == {
        f"hardware.synergai.dev/{T4}": "2",
        "synergai.dev/dedicated": "true",
        "topology.kubernetes.io/zone": "hall-1",
        "kubernetes.io/hostname": "t4",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/os": "linux",
    }


async def test_a_cpu_is_one_device(embedded, kubelets):
    labels = (await node(embedded, "both"))["metadata"]["labels"]
    assert labels[f"hardware.synergai.dev/{XEON}"] == "1"


async def test_an_arm_device_makes_an_arm_node(embedded, kubelets):
    assert (await node(embedded, "orin"))["metadata"]["labels"]["kubernetes.io/arch"] == "arm64"


async def test_a_node_keeps_other_pods_away(embedded, kubelets):
    (taint,) = (await node(embedded, "t4"))["spec"]["taints"]
    assert (taint["key"], taint["effect"]) == ("synergai.dev/dedicated", "NoSchedule")


async def test_a_node_says_what_it_has(embedded, kubelets):
    status = (await node(embedded, "t4"))["status"]
    assert status["allocatable"] == {"cpu": "4", "memory": "8Gi", "pods": "5", "nvidia.com/gpu": "2"}
    assert status["capacity"] == status["allocatable"]


async def test_a_node_is_ready(embedded, kubelets):
    conditions = (await node(embedded, "t4"))["status"]["conditions"]
    assert {"Ready": "True"}.items() <= {item["type"]: item["status"] for item in conditions}.items()


async def test_a_node_that_is_there_already_is_taken_over(embedded, server, kubelets):
    credentials = Credentials(server.url)
    changed = [Node("t4", (Device(T4, 1),), cpu_milli=1000, memory_mib=1024)]
    async with Kubelets(credentials, changed, RESOURCES, lambda run: 1.0):
        assert (await node(embedded, "t4"))["status"]["allocatable"]["cpu"] == "1"


async def test_node_leases_are_renewed(embedded, kubelets, eventually):
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/t4"
    first = (await embedded.get(path)).json["spec"]["renewTime"]

    async def is_renewed() -> bool:
        return (await embedded.get(path)).json["spec"]["renewTime"] != first

    await eventually(is_renewed)


async def test_a_pod_without_a_decision_runs_the_default_time(start, until, runs):
    await start()
    assert (await until("a", "Succeeded"))["status"]["containerStatuses"][0]["state"]["terminated"][
        "exitCode"
    ] == 0
    assert runs == []


async def test_a_running_pod_is_ready_and_says_since_when(start, until, kubelets):
    kubelets._run_time_s = lambda run: 1e6
    await start(decision=decision())
    status = (await until("a", "Running"))["status"]
    assert status["startTime"]
    assert status["containerStatuses"][0]["ready"]
    assert {item["type"]: item["status"] for item in status["conditions"]}["PodScheduled"] == "True"


async def test_a_run_is_told_what_was_decided(start, until, runs):
    annotations = {
        "synergai.dev/model": "resnet50:2",
        "synergai.dev/samples": "200",
        "sim.synergai.dev/job": "7",
        "sim.synergai.dev/seed": "3",
    }
    await start(decision=decision(), **annotations)
    await until("a", "Succeeded")
    (run,) = runs
    assert (run.job, run.seed, run.model, run.samples) == (7, 3, "resnet50:2", 200)
    assert (run.hardware, run.configuration, run.node, run.pod) == (T4, "trt-b8", "t4", "default/a")
    assert run.at_s > 0


async def test_a_finished_pod_reports_in_its_termination_message(start, until):
    await start(decision=decision(), **{"synergai.dev/model": "resnet50", "synergai.dev/samples": "200"})
    ended = (await until("a", "Succeeded"))["status"]["containerStatuses"][0]["state"]["terminated"]
    report = json.loads(ended["message"])
    assert report.pop("startedAt") < report.pop("finishedAt")
    assert report == {
        "schema": "1",
        "model": "resnet50",
        "samples": 200,
        "hardware": T4,
        "configuration": "trt-b8",
        "runSeconds": 5.0,
    }


async def test_speed_shortens_the_run(start, until):
    began = asyncio.get_running_loop().time()
    await start(decision=decision())
    await until("a", "Succeeded")
    assert 0.05 <= asyncio.get_running_loop().time() - began < 2.0


@pytest.mark.parametrize(
    ("node_name", "requests", "chosen", "reason"),
    [
        ("t4", {"cpu": "5"}, None, "OutOfcpu"),
        ("t4", {"memory": "9Gi"}, None, "OutOfmemory"),
        ("t4", {"nvidia.com/gpu": "3"}, None, "OutOfnvidia.com/gpu"),
        ("t4", {}, decision(3), "OutOfdevice"),
        ("t4", {}, decision(1, "nvidia-a30"), "OutOfdevice"),
    ],
)
async def test_what_does_not_fit_is_failed(start, until, kubelets, node_name, requests, chosen, reason):
    await start(node=node_name, requests=requests, decision=chosen)
    status = (await until("a", "Failed"))["status"]
    assert status["reason"] == reason
    assert status["message"].startswith("Pod was rejected")
    assert kubelets.rejected == 1


async def test_a_request_that_nobody_can_read_is_failed(start, until):
    await start(requests={"cpu": "1e999"})
    assert (await until("a", "Failed"))["status"]["reason"] == "UnexpectedAdmissionError"


async def test_what_fits_beside_others_is_taken_and_no_more(start, until, kubelets):
    kubelets._run_time_s = lambda run: 1e6
    for name in "ab":
        await start(name, requests={"cpu": "1500m"}, decision=decision())
    await start("c", requests={"cpu": "1500m"})
    assert (await until("c", "Failed"))["status"]["reason"] == "OutOfcpu"
    await until("a", "Running")
    await until("b", "Running")


async def test_a_node_takes_no_more_pods_than_it_says(start, until, kubelets):
    kubelets._run_time_s = lambda run: 1e6
    for name in "abcde":
        await start(name, decision=decision(0))
    await start("f")
    assert (await until("f", "Failed"))["status"]["reason"] == "OutOfpods"


async def test_the_room_of_a_finished_pod_is_free(start, until):
    await start("a", requests={"cpu": "4"})
    await until("a", "Succeeded")
    await start("b", requests={"cpu": "4"})
    await until("b", "Succeeded")


async def test_a_decision_that_cannot_be_read_is_none(start, until, runs):
    await start("a", **{keys.ANNOTATION_DECISION: "{nonsense"})
    await until("a", "Succeeded")
    assert runs == []


async def test_a_running_pod_that_is_deleted_is_gone_soon_and_its_room_free(
    embedded, start, until, gone, kubelets
):
    kubelets._run_time_s = lambda run: 1e6
    await start("a", requests={"cpu": "4"}, decision=decision())
    await until("a", "Running")
    await embedded.delete(f"{PODS}/a")
    await gone("a")
    await start("b", requests={"cpu": "4"})
    await until("b", "Succeeded")


async def test_a_deleted_pod_that_is_kept_shows_how_it_ended(embedded, start, until, gone, kubelets):
    kubelets._run_time_s = lambda run: 1e6
    await start("a", decision=decision())
    await embedded.merge(f"{PODS}/a", {"metadata": {"finalizers": ["synergai.dev/outcome"]}})
    await until("a", "Running")
    await embedded.delete(f"{PODS}/a")
    ended = (await until("a", "Failed"))["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 137
    await embedded.merge(f"{PODS}/a/status", {"metadata": {"finalizers": None}})
    await gone("a")


async def test_start_and_release_take_their_time(server, embedded, make_pod, until):
    settings = KubeletSettings(speed=100.0, default_run_s=0.0, pod_start_s=10.0, release_s=10.0)
    async with Kubelets(Credentials(server.url), NODES, RESOURCES, lambda run: 1.0, settings):
        began = asyncio.get_running_loop().time()
        await embedded.post(PODS, make_pod("a"))
        body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "t4"}}
        await embedded.post(f"{PODS}/a/binding", body)
        await until("a", "Running", "Succeeded")
        assert asyncio.get_running_loop().time() - began >= 0.1
        await until("a", "Succeeded")
        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_kubelets_follow_a_server_that_forgets(server, embedded, start, until, kubelets):
    """A watch that ends in 410 begins again with a list."""
    server.store.rv += 1
    server.store.compact()
    server.drop_watches()
    await start("a")
    await until("a", "Succeeded")


async def test_a_server_that_fails_now_and_then_is_asked_again(server, start, until):
    from synergai.k8s_bridge.embedded.errors import internal

    failures = iter(range(2))

    async def fail_twice(call) -> None:
        if call.target.subresource == "status" and next(failures, None) is not None:
            raise internal("etcdserver: request timed out")

    server.before = fail_twice
    await start("a")
    await until("a", "Succeeded")


async def test_nodes_that_may_not_be_registered_are_an_error():
    from synergai.k8s_bridge.embedded.access import Access, User
    from synergai.k8s_bridge.embedded.api import Refused
    from synergai.k8s_bridge.embedded.server import Server, Settings

    access = Access({"t": User("x", ())})
    async with Server(Settings(access=access)) as server:
        credentials = Credentials(server.url, token_source=lambda: "Bearer t")
        with pytest.raises(Refused, match=r'User "x" cannot create resource "nodes"'):
            await Kubelets(credentials, NODES, RESOURCES, lambda run: 1.0).start()


def test_a_speed_of_nothing_is_refused():
    with pytest.raises(ValueError, match="speed 0 is not above 0"):
        KubeletSettings(speed=0)
