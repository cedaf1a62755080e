"""A node whose kubelet refuses a pod is given nothing new for a while, twice as long each time, until a pod runs."""

from typing import Any

import pytest
from bridge_fakes import NOW_US, raw_node, raw_pod
from bridge_world import World, bound

from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.outcomes import failure_cause
from synergai.k8s_bridge.pauses import Pauses
from synergai.k8s_bridge.pods import read_pod

SECOND_US = 1_000_000


def placed(world: World, name: str) -> dict[str, Any]:
    """A pod that was bound; as the API server shows it."""
    world.pod(raw_pod(name))
    (order,) = world.round()
    shown = bound(raw_pod(name), order.node, order.record)
    world.pod(shown, "MODIFIED")
    world.settle(order, Outcome.BOUND)
    return shown


def becomes(world: World, shown: dict[str, Any], phase: str, reason: str = "") -> None:
    world.pod(shown | {"status": {"phase": phase, "reason": reason}}, "MODIFIED")


def after(world: World, seconds: float) -> bool:
    """Whether a round is due then."""
    world.now_us += round(seconds * SECOND_US)
    return world.pods.expire(world.now_us)


def length_s(world: World) -> float:
    due_us = world.pods.next_timer_us()
    assert due_us is not None
    return (due_us - world.now_us) / SECOND_US


def test_after_a_refusal_nothing_new_goes_to_the_node_for_five_seconds():
    world = World(slots=9)
    becomes(world, placed(world, "a"), "Failed", "OutOfcpu")
    world.pod(raw_pod("b"))
    assert (world.round(), length_s(world)) == ([], 5.0)
    assert world.nodes.counts() == {"ready": 0, "unready": 0, "backoff": 1, "unused": 0}
    assert not after(world, 4.9)
    assert after(world, 0.1)
    assert [order.node for order in world.round()] == ["n0"]
    assert world.nodes.counts()["ready"] == 1
    assert world.pods.next_timer_us() is None


def test_its_owner_is_told():
    world = World()
    becomes(world, placed(world, "a"), "Failed", "OutOfmemory")
    (notice,) = [notice for notice in world.notices if notice.reason == "Rejected"]
    assert (notice.name, notice.warning) == ("a", True)
    assert "the kubelet of n0 refused the pod: OutOfmemory" in notice.message


def test_other_nodes_go_on():
    world = World(slots=9, nodes=2)
    becomes(world, placed(world, "a"), "Failed", "OutOfpods")
    world.pod(raw_pod("b"))
    assert [order.node for order in world.round()] == ["n1"]


def test_a_refusal_that_follows_in_a_pause_does_not_make_it_longer():
    world = World(slots=9)
    first, second = placed(world, "a"), placed(world, "b")
    becomes(world, first, "Failed", "OutOfcpu")
    after(world, 2)
    becomes(world, second, "Failed", "OutOfcpu")
    assert length_s(world) == 3.0


def test_each_pause_is_twice_as_long_up_to_five_minutes():
    world = World(slots=99)
    lengths = []
    for n in range(8):
        becomes(world, placed(world, f"p{n}"), "Failed", "NodeAffinity")
        lengths.append(length_s(world))
        after(world, lengths[-1])
    assert lengths == [5, 10, 20, 40, 80, 160, 300, 300]


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_a_pod_that_came_after_the_pause_and_runs_makes_the_next_one_short(phase):
    world = World(slots=9)
    for name in ("a", "b"):
        becomes(world, placed(world, name), "Failed", "OutOfcpu")
        after(world, length_s(world))
    becomes(world, placed(world, "c"), phase)
    becomes(world, placed(world, "d"), "Failed", "OutOfcpu")
    assert length_s(world) == 5.0


def test_a_pod_that_was_there_before_proves_nothing():
    world = World(slots=9)
    early = placed(world, "early")
    after(world, 1)
    becomes(world, placed(world, "a"), "Failed", "OutOfcpu")
    after(world, 5)
    becomes(world, early, "Running")
    becomes(world, placed(world, "b"), "Failed", "OutOfcpu")
    assert length_s(world) == 10.0


def test_refusals_before_the_bridge_began_are_history():
    world = World()
    world.pod(bound(raw_pod("a"), "n0") | {"status": {"phase": "Failed", "reason": "OutOfcpu"}})
    assert world.nodes.counts()["backoff"] == 0


def test_a_change_of_the_node_does_not_end_its_pause():
    world = World(slots=9)
    becomes(world, placed(world, "a"), "Failed", "OutOfcpu")
    world.node(raw_node("n0", {"gpu-a": "1"}), "MODIFIED")
    assert not world.cluster.nodes["n0"].ready


def test_a_node_that_goes_during_its_pause_is_forgotten_and_one_of_its_name_waits_for_the_end():
    world = World(slots=9)
    becomes(world, placed(world, "a"), "Failed", "OutOfcpu")
    world.node(raw_node("n0"), "DELETED")
    world.node(raw_node("n0"))
    assert not world.cluster.nodes["n0"].ready
    after(world, 5)
    assert world.cluster.nodes["n0"].ready


def test_a_pause_is_in_real_seconds():
    pauses = Pauses(lambda real_s: round(20 * real_s * SECOND_US))
    assert pauses.begin("n", NOW_US) == 5.0
    assert pauses.next_us() == NOW_US + 100 * SECOND_US


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("OutOfcpu", "rejected"),
        ("OutOfnvidia.com/gpu", "rejected"),
        ("NodeAffinity", "rejected"),
        ("UnexpectedAdmissionError", "rejected"),
        ("TopologyAffinityError", "rejected"),
        ("NodeShutdown", "rejected"),
        ("Evicted", "failed"),
        ("DeadlineExceeded", "failed"),
        ("", "failed"),
    ],
)
def test_a_refusal_is_told_from_a_failure(reason, cause):
    raw = bound(raw_pod("a"), "n0") | {"status": {"phase": "Failed", "reason": reason}}
    assert failure_cause(read_pod(raw)) == cause
