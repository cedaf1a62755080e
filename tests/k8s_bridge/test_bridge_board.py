"""The queue as the bridge writes it: in its own order, bounded, never in the way."""

import asyncio
import json
from dataclasses import replace

import pytest
from bridge_bench import bench, until
from bridge_fakes import ANNOTATIONS, NOW_US, FakeClient, raw_node, raw_pod, table
from bridge_world import World
from hypothesis import given
from hypothesis import strategies as st

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.clock import ScenarioClock, parse_time_us
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.reports.board import MAX_BYTES, MOST, Board
from synergai.k8s_bridge.reports.lines import Line, read_line

PATH = "/api/v1/namespaces/synergai-bridge/configmaps"
PUT = ("PUT", f"{PATH}/synergai-queue")
MISSING = ApiError(404, "NotFound", 'configmaps "synergai-queue" not found')


def board(world: World, client: FakeClient | None = None) -> Board:
    return Board(client or FakeClient(), world.cluster, ScenarioClock(), world.pods)  # type: ignore[arg-type]


def lines(world: World) -> list[Line]:
    return [read_line(fields) for fields in board(world).content()["pods"]]


def asking(deadline_s: int, **spec: object) -> dict[str, str]:
    return ANNOTATIONS | {keys.ANNOTATION_DEADLINE: f"{deadline_s}s"}


def busy_world() -> World:
    """A cluster with one device, which runs a pod; the rest waits for it."""
    world = World(nodes=0, cluster=Cluster(table()))
    world.scheduler = make("sjf_feasible")
    world.node(raw_node("n0", {"gpu-a": "1"}))
    world.pod(raw_pod("first", ANNOTATIONS | {keys.ANNOTATION_SAMPLES: "5000"}))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    for name, deadline_s in (("c", 3000), ("a", 1000), ("b", 2000)):
        world.pod(raw_pod(name, asking(deadline_s)))
    return world


def test_the_order_is_that_of_the_cluster() -> None:
    world = busy_world()
    told = [line.pod for line in lines(world)]
    assert told == ["default/a", "default/b", "default/c"]
    assert told == [waiting.job.key for waiting in world.cluster.in_order(10)]


def test_a_line_has_the_model_the_deadline_and_the_latest_start() -> None:
    (line, *_) = lines(busy_world())
    assert (line.stage, line.model, line.deadline_us) == ("queued", "net", NOW_US + 1000 * 10**6)
    assert line.latest_start_us is not None
    assert (
        0 < 1000 * 10**6 - (line.latest_start_us - NOW_US) < 3 * 10**6
    )  # 100 samples at 100/s, and the start


def test_a_held_pod_says_for_what_and_until_when() -> None:
    world = busy_world()
    world.round()
    held = [line for line in lines(world) if line.held_for]
    (waiting, *_) = [waiting for waiting in world.cluster.in_order(10) if waiting.hardware]
    assert (held[0].held_for, held[0].configuration, held[0].until_us) == (
        "gpu-a",
        "ort-b8",
        waiting.until_us,
    )


def test_a_pod_without_a_deadline_is_never_late() -> None:
    world = World(nodes=0, cluster=Cluster(table()))
    world.node(raw_node("n0"))
    world.pod(raw_pod("a"))
    (line,) = lines(world)
    assert (line.deadline_us, line.latest_start_us) == (None, None)


@pytest.mark.parametrize(
    ("spec", "stage", "why"),
    [
        ({"nodeSelector": {"x": "y"}}, "unschedulable", "0/1 nodes are available: 1 node(s) didn't match"),
        ({"schedulingGates": [{"name": "g"}]}, "waiting", "it has scheduling gates"),
        ({"resourceClaims": [{"name": "gpu"}]}, "waiting",
         "not supported: "),
    ],
)  # fmt: skip
def test_a_pod_outside_the_queue_says_why(spec: Json, stage: str, why: str) -> None:
    world = World()
    world.pod(raw_pod("a", **spec))
    (line,) = lines(world)
    assert (line.stage, why in line.why) == (stage, True)


def test_a_pod_without_a_profile_says_so() -> None:
    world = World(slots=0)
    world.pod(raw_pod("a", ANNOTATIONS | {keys.ANNOTATION_MODEL: "nope"}))
    world.round()
    (line,) = lines(world)
    assert (line.stage, "there is no profile of model 'nope'" in line.why) == ("unprofiled", True)


def test_a_pod_whose_bind_failed_says_so() -> None:
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.FAILED)
    assert [line.stage for line in lines(world)] == ["backoff"]


def test_a_bound_pod_does_not_wait() -> None:
    world = World()
    world.pod(raw_pod("a"))
    world.round()
    assert board(world).content() == {"schema": "1", "mode": "active", "totals": {}, "pods": []}


@given(st.lists(st.text(min_size=1, max_size=253), max_size=400, unique=True))
def test_the_board_is_bounded_whatever_the_names_are(names: list[str]) -> None:
    world = World()
    for name in names:
        world.pod(raw_pod(name, nodeSelector={"x": "y"}))
    content = board(world).content()
    assert len(content["pods"]) <= MOST
    assert content["totals"] == ({"unschedulable": len(names)} if names else {})
    assert len(json.dumps(content)) < MAX_BYTES + 1000


@given(st.builds(Line, st.text(min_size=1), st.text(), st.text(), st.none() | st.integers(0, 2**51)))
def test_a_line_survives_its_json(line: Line) -> None:
    assert read_line(json.loads(json.dumps(line.fields()))) == line


# written --------------------------------------------------------------------------------------------------------------
async def test_a_board_that_is_there_is_replaced() -> None:
    client = FakeClient()
    assert await board(World(), client).write({"pods": []})
    assert [sent[:2] for sent in client.sent] == [PUT]


async def test_a_board_that_is_not_there_is_made() -> None:
    client = FakeClient({PUT: [MISSING]})
    assert await board(World(), client).write({"pods": []})
    assert [sent[:2] for sent in client.sent] == [PUT, ("POST", PATH)]


async def test_a_refusal_is_logged_once_and_tried_again(caplog) -> None:
    client = FakeClient({PUT: [ApiError(403, "Forbidden", "no")]})
    written = board(World(), client)
    assert not await written.write({"pods": []})
    assert not await written.write({"pods": []})
    assert len([r for r in caplog.records if "synergai-bridge/synergai-queue" in r.getMessage()]) == 1


async def turns(written: Board, n: int) -> None:
    """So many turns of its loop."""
    left = iter(range(n))

    async def sleep(_: float) -> None:
        if next(left, None) is None:
            raise asyncio.CancelledError

    written._sleep = sleep
    with pytest.raises(asyncio.CancelledError):
        await written.run(5.0)


async def test_a_board_that_has_not_changed_is_not_written_again_at_once() -> None:
    client = FakeClient()
    await turns(board(World(), client), 3)
    assert len(client.sent) == 1


async def test_a_bridge_that_does_not_decide_writes_nothing() -> None:
    client, world = FakeClient(), World()
    await turns(Board(client, world.cluster, ScenarioClock(), world.pods, active=lambda: False), 3)  # type: ignore[arg-type]
    assert client.sent == []


async def test_a_board_that_cannot_be_made_ends_nothing(caplog) -> None:
    world = World()
    world.cluster.in_order = lambda limit: 1 / 0
    await turns(board(world, FakeClient()), 2)
    assert "the queue cannot be shown" in caplog.text


async def test_the_daemon_writes_what_waits() -> None:
    async with bench() as b:
        await b.client.post("/api/v1/namespaces", {"metadata": {"name": "synergai-bridge"}})
        await b.node()
        await b.pod("a", nodeSelector={"x": "y"})
        await b.start(queue_every_s=0.01)

        async def written() -> bool:
            return [line.pod for line in await on_server(b)] == ["default/a"]

        await until(written)


async def on_server(b) -> list[Line]:
    try:
        found = await b.client.get(f"{PATH}/synergai-queue")
    except ApiError:
        return []
    value = json.loads(found["data"]["queue"])
    assert parse_time_us(value["updatedAt"])
    return [read_line(fields) for fields in value["pods"]]


async def test_a_dry_run_writes_no_board() -> None:
    async with bench() as b:
        await b.client.post("/api/v1/namespaces", {"metadata": {"name": "synergai-bridge"}})
        await b.start(queue_every_s=0.01, dry_run=True)
        await b.daemon.synced.wait()
        await asyncio.sleep(0.1)
        assert (await b.client.get(PATH))["items"] == []


def test_read_lines_refuse_what_is_none() -> None:
    good = replace(Line("default/a", "queued")).fields()
    for bad in ({}, good | {"pod": ""}, good | {"why": 3}, good | {"deadline": "soon"}):
        with pytest.raises((KeyError, TypeError, ValueError)):
            read_line(bad)
