"""PodScheduled=False/Unschedulable is written where nothing can ever fit, once per message, and taken back."""

import asyncio
from typing import Any

import pytest
from bridge_fakes import CREATED, FakeClient, raw_node, raw_pod
from bridge_world import World

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.pods import Pod, read_pod
from synergai.k8s_bridge.reports.conditions import EVERY_S, WAITS, Conditions

POD = "/api/v1/namespaces/default/pods/a"
STATUS, GET = ("PATCH", f"{POD}/status"), ("GET", POD)
CONFLICT = ApiError(409, "Conflict", "modified")
LARGE = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "900", "memory": "1Gi"}}}]}


def shown(message: str = "", version: str = "5", **metadata: Any) -> dict[str, Any]:
    raw = raw_pod("a", **LARGE)
    raw["metadata"] = raw["metadata"] | {"resourceVersion": version} | metadata
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return raw | {"status": {"phase": "Pending", "conditions": [condition] if message else []}}


class Written:
    """What a client was sent, in how many pauses."""

    def __init__(self, script: Any = None, leads: bool = True) -> None:
        self.client = FakeClient(script)
        self.pauses: list[float] = []
        self.conditions = Conditions(self.client, permit=lambda: leads, sleep=self._sleep)  # type: ignore[arg-type]

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0)

    async def run(self) -> list[Any]:
        """Until nothing is left to be written."""
        task = asyncio.create_task(self.conditions.run())
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        return [body for method, _, body in self.client.sent if method == "PATCH"]


async def test_a_condition_is_written_of_exactly_the_version_that_was_seen():
    written = Written()
    written.conditions(read_pod(shown()), "0/1 nodes are available")
    (body,) = await written.run()
    assert body == {
        "metadata": {"uid": "uid-a", "resourceVersion": "5"},
        "status": {
            "conditions": [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "Unschedulable",
                    "message": "0/1 nodes are available",
                    "lastTransitionTime": CREATED,
                }
            ]
        },
    }


async def test_what_the_pod_says_already_is_not_written_again():
    written = Written()
    written.conditions(read_pod(shown("why")), "why")
    assert await written.run() == []


async def test_a_new_message_keeps_the_time_since_when():
    written = Written()
    written.conditions(read_pod(shown("why")), "another why")
    (body,) = await written.run()
    (condition,) = body["status"]["conditions"]
    assert (condition["message"], "lastTransitionTime" in condition) == ("another why", False)


async def test_a_pod_that_nodes_admit_now_is_no_business_of_an_autoscaler():
    written = Written()
    written.conditions(read_pod(shown("why")), "")
    (body,) = await written.run()
    (condition,) = body["status"]["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "Queued", WAITS)


async def test_a_pod_that_only_waits_has_no_condition():
    written = Written()
    written.conditions(read_pod(shown()), "")
    assert await written.run() == []


async def test_what_was_not_written_yet_is_replaced_or_dropped():
    written = Written()
    written.conditions(read_pod(shown()), "first")
    written.conditions(read_pod(shown()), "second")
    other = read_pod(shown() | {"metadata": shown()["metadata"] | {"name": "b"}})
    written.conditions(other, "first")
    written.conditions(other, "")
    (body,) = await written.run()
    assert body["status"]["conditions"][0]["message"] == "second"


async def test_writes_are_bounded_in_rate():
    written = Written()
    for n in range(5):
        raw = shown()
        raw["metadata"]["name"] = f"p{n}"
        written.conditions(read_pod(raw), "why")
    assert len(await written.run()) == 5
    assert written.pauses == [EVERY_S] * 5


async def test_a_follower_writes_nothing():
    written = Written(leads=False)
    written.conditions(read_pod(shown()), "why")
    assert await written.run() == []


async def test_a_pod_that_changed_is_written_as_it_is_now():
    written = Written({STATUS: [CONFLICT, {}], GET: [shown(version="6")]})
    written.conditions(read_pod(shown()), "why")
    assert [body["metadata"]["resourceVersion"] for body in await written.run()] == ["5", "6"]


@pytest.mark.parametrize(
    "now", [shown(uid="another"), shown() | {"spec": {"nodeName": "n"}}, ApiError(404, "NotFound", "gone")]
)
async def test_a_pod_that_was_bound_or_replaced_meanwhile_is_left_alone(now):
    written = Written({STATUS: [CONFLICT], GET: [now]})
    written.conditions(read_pod(shown()), "why")
    assert len(await written.run()) == 1


async def test_a_missing_right_is_told_once_per_namespace(caplog):
    denied = ApiError(403, "Forbidden", 'User "x" cannot patch resource "pods/status" in API group ""')
    written = Written({STATUS: [denied]})
    for message in ("one", "two"):
        written.conditions(read_pod(shown()), message)
        await written.run()
    assert len(written.client.sent) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_another_refusal_ends_nothing():
    written = Written({STATUS: [ApiError(500, "InternalError", "?"), {}]})
    for message in ("one", "two"):
        written.conditions(read_pod(shown()), message)
        await written.run()
    assert len(written.client.sent) == 2


class Told:
    """What the books say of each pod's condition, the last of each."""

    def __init__(self, world: World) -> None:
        self.last: dict[str, str] = {}
        world.pods._on_condition = self._tell  # the books of a world write nothing

    def _tell(self, pod: Pod, message: str) -> None:
        self.last[pod.key] = message


def test_a_parked_pod_has_the_reason_and_a_held_one_has_none():
    world = World(slots=0)
    told = Told(world)
    world.pod(shown())
    world.pod(raw_pod("b"))
    world.round()
    assert (world.stage(), world.stage("default/b")) == (Stage.PARKED, Stage.QUEUED)
    assert told.last == {"default/a": "0/1 nodes are available: 1 Insufficient cpu.", "default/b": ""}


def test_a_node_that_fits_takes_the_condition_back():
    world = World()
    told = Told(world)
    world.pod(shown())
    large = raw_node("n1")
    large["status"]["allocatable"] = {"cpu": "1000", "memory": "64Gi", "pods": "10"}
    world.node(large)
    assert (world.stage(), told.last) == (Stage.QUEUED, {"default/a": ""})


def test_a_condition_that_is_seen_after_the_pod_was_queued_is_taken_back():
    world = World(slots=0)
    told = Told(world)
    world.pod(raw_pod("a"))
    told.last.clear()
    late = raw_pod("a") | {"status": shown("old")["status"]}
    assert not world.pod(late, "MODIFIED")
    assert told.last == {"default/a": ""}
    assert world.pods.entries["default/a"].pod.unschedulable == "old"


def test_a_new_leader_says_it_again():
    world = World()
    world.pod(shown())
    told = Told(world)
    world.pods.retell()
    assert told.last == {"default/a": "0/1 nodes are available: 1 Insufficient cpu."}
