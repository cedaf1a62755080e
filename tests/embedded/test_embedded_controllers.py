"""The controllers of an embedded cluster: lost nodes, pods of nodes that are gone, and pods without owners."""

from collections.abc import Iterator

import pytest

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.embedded.clock import micros_text
from synergai.k8s_bridge.embedded.controllers import Controllers, ControllerSettings
from synergai.k8s_bridge.embedded.node_lifecycle import LifecycleSettings
from synergai.k8s_bridge.embedded.server import Server, Settings
from tests import kube_api
from tests.embedded.simulated import PODS, Ground, conditions
from tests.kube_api import Api, Json

NODES = "/api/v1/nodes"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
HELD = {"finalizers": [keys.FINALIZER_OUTCOME]}


class Watch:
    """A clock that a test sets."""

    now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Watch:
    return Watch()


@pytest.fixture
async def server(clock):
    async with Server(Settings(), clock) as running:
        yield running


@pytest.fixture
def controllers(server) -> Iterator[Controllers]:
    """They look when they are told to; a node is lost after 50 s, and its pods 40 s after it is gone."""
    return Controllers(server)


@pytest.fixture
def ground(embedded) -> Ground:
    return Ground(embedded)


async def make_node(api: Api, clock: Watch, name: str = "n") -> None:
    ready = [{"type": kind, "status": "True"} for kind in ("MemoryPressure", "Ready")]
    await api.post(NODES, {"metadata": {"name": name}, "status": {"conditions": ready}})
    await api.post(LEASES, {"metadata": {"name": name}, "spec": {"renewTime": renewal(clock)}})


def renewal(clock: Watch) -> str:
    return micros_text(clock.now_s)


async def node(api: Api) -> Json:
    return (await api.get(f"{NODES}/n")).json


def taints(shown: Json) -> list[tuple[str, str]]:
    return [(taint["key"], taint["effect"]) for taint in shown["spec"].get("taints") or []]


def tolerating(seconds: int) -> list[Json]:
    known = {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}
    return [{"key": f"node.kubernetes.io/{key}", **known} for key in ("not-ready", "unreachable")]


@pytest.fixture
async def lost(embedded, clock, controllers) -> None:
    """A node that has been silent for 51 s, with nothing on it."""
    await make_node(embedded, clock)
    clock.now_s += 51
    controllers.look()


async def test_a_node_that_renews_its_lease_is_left_alone(embedded, clock, controllers):
    await make_node(embedded, clock)
    before = await node(embedded)
    clock.now_s += 49
    controllers.look()
    assert await node(embedded) == before


async def test_a_silent_node_is_unknown_and_unreachable(embedded, lost):
    shown = await node(embedded)
    assert conditions(shown) == {"MemoryPressure": "Unknown", "Ready": "Unknown"}
    assert {found["reason"] for found in shown["status"]["conditions"]} == {"NodeStatusUnknown"}
    assert taints(shown) == [
        ("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")
    ]


async def test_a_lost_node_is_judged_once(embedded, clock, controllers, lost):
    before = await node(embedded)
    clock.now_s += 10
    controllers.look()
    assert await node(embedded) == before


async def test_a_node_that_is_back_loses_its_taints_and_keeps_its_others(embedded, clock, controllers):
    await make_node(embedded, clock)
    own = {"key": "example.com/own", "effect": "NoSchedule"}
    await embedded.merge(f"{NODES}/n", {"spec": {"taints": [own]}})
    clock.now_s += 51
    controllers.look()
    assert len(taints(await node(embedded))) == 3
    await embedded.merge(f"{LEASES}/n", {"spec": {"renewTime": renewal(clock)}})
    ready = [{"type": "Ready", "status": "True"}]
    await embedded.strategic(f"{NODES}/n/status", {"status": {"conditions": ready}})
    controllers.look()
    assert taints(await node(embedded)) == [("example.com/own", "NoSchedule")]


async def test_a_pod_stays_on_a_lost_node_as_long_as_it_tolerates(ground, clock, controllers, lost):
    await ground.put("a", "n", tolerations=tolerating(10))
    clock.now_s += 9
    controllers.look()
    assert "deletionTimestamp" not in (await ground.pod("a"))["metadata"]
    clock.now_s += 1
    controllers.look()
    shown = await ground.pod("a")
    assert shown["metadata"]["deletionTimestamp"]
    assert shown["status"]["phase"] == "Pending"
    (target,) = [found for found in shown["status"]["conditions"] if found["type"] == "DisruptionTarget"]
    assert target["reason"] == "DeletionByTaintManager"


async def test_a_pod_that_tolerates_for_ever_stays(ground, clock, controllers, lost):
    await ground.put("a", "n", tolerations=[{"operator": "Exists"}])
    clock.now_s += 10_000
    controllers.look()
    assert "deletionTimestamp" not in (await ground.pod("a"))["metadata"]


async def test_a_pod_that_does_not_tolerate_a_taint_goes_at_once(ground, clock, controllers):
    await make_node(ground.api, clock)
    await ground.put("a", "n")
    taint = {"key": "example.com/out", "effect": "NoExecute"}
    await ground.api.merge(f"{NODES}/n", {"spec": {"taints": [taint]}})
    controllers.look()
    assert (await ground.pod("a"))["metadata"]["deletionTimestamp"]


async def test_pods_of_a_node_that_is_gone_are_collected_after_a_while(ground, clock, controllers):
    await ground.put("a", "n")
    controllers.look()
    clock.now_s += 39
    controllers.look()
    assert await ground.pod("a")
    clock.now_s += 1
    controllers.look()
    assert not await ground.pod("a")


async def test_a_held_pod_of_a_node_that_is_gone_is_failed_and_stays(ground, clock, controllers):
    await ground.put("a", "n", HELD)
    controllers.look()
    clock.now_s += 40
    controllers.look()
    shown = await ground.pod("a")
    assert (shown["status"]["phase"], shown["metadata"]["deletionGracePeriodSeconds"]) == ("Failed", 0)
    assert shown["status"]["conditions"][0]["reason"] == "DeletionByPodGC"
    controllers.look()
    assert await ground.pod("a") == shown
    await ground.release("a")
    assert not await ground.pod("a")


async def test_a_node_that_comes_back_in_time_keeps_its_pods(ground, clock, controllers):
    await ground.put("a", "n")
    controllers.look()
    await make_node(ground.api, clock)
    clock.now_s += 30
    controllers.look()
    await ground.api.delete(f"{NODES}/n")
    clock.now_s += 30
    controllers.look()
    assert await ground.pod("a")


async def test_a_pod_that_has_ended_keeps_its_end_when_its_node_is_gone(ground, clock, controllers):
    await ground.put("a", "n", HELD)
    await ground.api.merge(f"{PODS}/a/status", {"status": {"phase": "Succeeded"}})
    controllers.look()
    clock.now_s += 40
    controllers.look()
    shown = await ground.pod("a")
    assert shown["status"]["phase"] == "Succeeded"
    assert "conditions" not in shown["status"]


def owned(uid: str, *more: str) -> Json:
    owners = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": one, "controller": one == uid}
        for one in (uid, *more)
    ]
    return {"ownerReferences": owners}


async def test_a_pod_goes_with_its_owner(ground, controllers):
    made = (await ground.api.post(CONFIG_MAPS, {"metadata": {"name": "c"}})).json
    await ground.put("a", "n", owned(made["metadata"]["uid"]))
    controllers.look()
    assert "deletionTimestamp" not in (await ground.pod("a"))["metadata"]
    await ground.api.delete(f"{CONFIG_MAPS}/c")
    controllers.look()
    assert (await ground.pod("a"))["metadata"]["deletionTimestamp"]


async def test_an_owner_of_the_same_name_and_another_uid_is_none(ground, controllers):
    await ground.api.post(CONFIG_MAPS, {"metadata": {"name": "c"}})
    await ground.put("a", "n", owned("another"))
    controllers.look()
    assert (await ground.pod("a"))["metadata"]["deletionTimestamp"]


async def test_one_of_two_owners_is_enough(ground, controllers):
    made = (await ground.api.post(CONFIG_MAPS, {"metadata": {"name": "c"}})).json
    await ground.put("a", "n", owned("another", made["metadata"]["uid"]))
    controllers.look()
    assert "deletionTimestamp" not in (await ground.pod("a"))["metadata"]


async def test_an_owner_of_a_kind_that_nobody_serves_is_believed(ground, controllers):
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", "uid": "u"}
    await ground.put("a", "n", {"ownerReferences": [owner]})
    controllers.look()
    assert "deletionTimestamp" not in (await ground.pod("a"))["metadata"]


async def test_they_look_again_and_again_while_they_run(server, ground):
    settings = ControllerSettings(0.01, LifecycleSettings(quarantine_s=0.0))
    async with Controllers(server, settings):
        await ground.put("a", "n")
        await ground.gone("a")


async def test_one_look_that_fails_is_not_the_last(server, ground, monkeypatch, caplog):
    looks = iter([RuntimeError("unforeseen")])
    controllers = Controllers(server, ControllerSettings(0.01))
    seen = []

    def look() -> None:
        seen.append(1)
        for error in looks:
            raise error

    monkeypatch.setattr(controllers, "look", look)
    async with controllers:

        async def has_looked_twice() -> bool:
            return len(seen) > 1

        await kube_api.eventually(has_looked_twice)
    assert "unforeseen" in caplog.text
