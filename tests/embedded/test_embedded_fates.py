"""Simulated kubelets: pods that do not end well, and how they are ended from outside."""

from collections.abc import AsyncIterator

import pytest

from synergai.envs.types import Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded import kubelet
from synergai.k8s_bridge.embedded.fates import Fate, annotated
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings, PodRun
from synergai.k8s_bridge.embedded.objects import Json, metadata
from tests.embedded.simulated import PODS, Ground, conditions, decided, state
from tests.kube_api import TABLE, eventually

T4 = "nvidia-t4"
NODE = Node("t4", (Device(T4, 2),), cpu_milli=4000, memory_mib=8192, pods=5)
HELD = {"finalizers": [keys.FINALIZER_OUTCOME]}


@pytest.fixture
def ground(embedded) -> Ground:
    return Ground(embedded)


@pytest.fixture
async def kubelets(server) -> AsyncIterator[Kubelets]:
    """A hundred scenario seconds in a real one; decided pods run for ever, others for a scenario second."""
    settings = KubeletSettings(speed=100.0)
    async with Kubelets(Credentials(server.url), [NODE], {}, lambda run: 1e6, settings) as running:
        yield running


def fated(text: str, **more: object) -> Json:
    return {"annotations": {keys.ANNOTATION_SIM_FATE: text}, **more}


async def row(ground: Ground) -> str:
    """What `kubectl get pods` prints as the status."""
    return (await ground.api.show(PODS, TABLE)).json["rows"][0]["cells"][2]


async def test_a_pod_may_fail_with_a_code_and_a_message(ground, kubelets):
    await ground.put("a", "t4", fated("Error:3:no space: left on device"))
    ended = state(await ground.until("a", "Failed"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    assert ended["message"] == "no space: left on device"


async def test_a_pod_may_run_out_of_memory(ground, kubelets):
    await ground.put("a", "t4", fated("OOMKilled"))
    ended = state(await ground.until("a", "Failed"))["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert await row(ground) == "OOMKilled"


async def test_a_pod_may_be_put_out(ground, kubelets):
    await ground.put("a", "t4", fated("Evicted"))
    shown = await ground.until("a", "Failed")
    assert shown["status"]["reason"] == "Evicted"
    assert shown["status"]["message"].startswith("The node was low on resource")
    assert conditions(shown)["DisruptionTarget"] == "True"


async def test_an_image_may_be_missing(ground, kubelets, monkeypatch):
    monkeypatch.setattr(kubelet, "PULL_AGAIN_S", 0.1)
    await ground.put("a", "t4", fated("ErrImagePull"))
    reasons: list[str] = []

    async def has_backed_off() -> bool:
        shown = await ground.pod("a")
        if shown["status"].get("containerStatuses"):
            reasons.append(state(shown)["waiting"]["reason"])
        return "ImagePullBackOff" in reasons

    await eventually(has_backed_off)
    assert reasons[0] == "ErrImagePull"
    assert (await ground.pod("a"))["status"]["phase"] == "Pending"
    assert await row(ground) == "ImagePullBackOff"


async def test_a_pod_without_an_image_can_be_deleted(ground, kubelets):
    await ground.put("a", "t4", fated("ErrImagePull"))
    await ground.api.delete(f"{PODS}/a")
    await ground.gone("a")


async def test_a_pod_may_be_refused(ground, kubelets):
    await ground.put("a", "t4", fated("OutOfcpu"))
    assert (await ground.until("a", "Failed"))["status"]["reason"] == "OutOfcpu"
    assert kubelets.rejected == 1


async def test_a_fate_may_come_before_the_run_is_over(server, ground):
    fate = Fate("OOMKilled", share=0.01)
    settings = KubeletSettings(speed=100.0, default_run_s=1000.0)
    async with Kubelets(
        Credentials(server.url), [NODE], {}, lambda run: 1.0, settings, fate=lambda pod: fate
    ):
        await ground.put("a", "t4")
        await ground.until("a", "Failed")


async def test_a_test_may_choose_who_fails(server, ground):
    def first_fails(pod: Json) -> Fate | None:
        return Fate("Error") if metadata(pod)["name"] == "a" else None

    settings = KubeletSettings(speed=100.0)
    async with Kubelets(Credentials(server.url), [NODE], {}, lambda run: 1.0, settings, fate=first_fails):
        for name in "ab":
            await ground.put(name, "t4")
        await ground.until("a", "Failed")
        await ground.until("b", "Succeeded")


async def test_the_room_of_a_failed_pod_is_free(ground, kubelets):
    asked = [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "4"}}}]
    await ground.put("a", "t4", fated("OOMKilled"), containers=asked)
    await ground.until("a", "Failed")
    await ground.put("b", "t4", containers=asked)
    await ground.until("b", "Succeeded")


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("", None),
        ("OOMKilled", Fate("OOMKilled")),
        ("Error:3", Fate("Error", 3)),
        ("Error:3:a:b", Fate("Error", 3, "a:b")),
        ("Error:many:a", Fate("Error", 1, "a")),
    ],
)
def test_an_annotation_names_a_fate(text, fate):
    assert annotated({"metadata": fated(text)}) == fate


async def test_a_pod_made_on_its_node_is_run(ground, kubelets):
    await ground.put("a", "t4")
    await ground.until("a", "Succeeded")


async def test_a_held_pod_that_is_deleted_tells_how_it_ended_before_it_goes(ground, kubelets):
    await ground.put("a", "t4", decided(T4) | HELD)
    await ground.until("a", "Running")
    await ground.api.delete(f"{PODS}/a")
    assert state(await ground.until("a", "Failed"))["terminated"]["exitCode"] == 137

    async def is_confirmed() -> bool:
        return metadata(await ground.pod("a"))["deletionGracePeriodSeconds"] == 0

    await eventually(is_confirmed)
    await ground.release("a")
    await ground.gone("a")


async def test_a_held_pod_that_had_ended_well_keeps_its_end(ground, kubelets):
    await ground.put("a", "t4", HELD)
    await ground.until("a", "Succeeded")
    await ground.api.delete(f"{PODS}/a")
    assert (await ground.pod("a"))["status"]["phase"] == "Succeeded"
    await ground.release("a")
    await ground.gone("a")


# silent nodes ---------------------------------------------------------------------------------------------

LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/t4"


@pytest.fixture
async def quick(server) -> AsyncIterator[Kubelets]:
    """Leases are renewed all the time; pods of the model `short` run for 30 scenario seconds, others for ever."""

    def run_time_s(run: PodRun) -> float:
        return 30.0 if run.model == "short" else 1e6

    settings = KubeletSettings(speed=100.0, renew_s=0.02)
    async with Kubelets(Credentials(server.url), [NODE], {}, run_time_s, settings) as running:
        yield running


async def renewed(ground: Ground) -> str:
    return (await ground.api.get(LEASE)).json["spec"]["renewTime"]


async def test_a_silent_node_renews_no_lease_until_it_wakes(ground, quick):
    quick.silence("t4")
    await ground.put("a", "t4")
    last = await renewed(ground)
    await ground.put("b", "t4")
    assert await renewed(ground) == last
    await quick.wake("t4")
    assert await renewed(ground) != last


async def test_a_silent_node_takes_no_pod_until_it_wakes(ground, quick):
    quick.silence("t4")
    made = await ground.put("a", "t4")
    assert (await ground.pod("a"))["status"] == made["status"]
    await quick.wake("t4")
    await ground.until("a", "Succeeded")


async def test_a_run_that_ends_in_silence_is_told_on_waking(ground, quick):
    await ground.put("a", "t4", decided(T4, **{keys.ANNOTATION_MODEL: "short"}))
    await ground.until("a", "Running")
    quick.silence("t4")

    async def is_over() -> bool:
        return quick.finished == 1

    await eventually(is_over)
    assert (await ground.pod("a"))["status"]["phase"] == "Running"
    await quick.wake("t4")
    await ground.until("a", "Succeeded")


async def test_a_pod_deleted_in_silence_is_ended_on_waking(ground, quick):
    await ground.put("a", "t4", decided(T4) | HELD)
    await ground.until("a", "Running")
    quick.silence("t4")
    await ground.api.delete(f"{PODS}/a", {"gracePeriodSeconds": 0})
    assert (await ground.pod("a"))["status"]["phase"] == "Running"
    await quick.wake("t4")
    await ground.until("a", "Failed")
    await ground.release("a")
    await ground.gone("a")


async def test_a_node_that_wakes_is_ready_again(ground, quick):
    quick.silence("t4")
    lost = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    await ground.api.strategic("/api/v1/nodes/t4/status", lost)
    await quick.wake("t4")
    assert conditions((await ground.api.get("/api/v1/nodes/t4")).json)["Ready"] == "True"
