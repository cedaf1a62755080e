"""What is found at a start, and what nodes and other schedulers do to the books."""

from typing import Any

from bridge_fakes import NOW_US, raw_node, raw_pod
from bridge_world import World, bound, ended

from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.watch import NODES, OWN_PODS, WatchEvent
from synergai.k8s_bridge.binder import Outcome

RECORD = DecisionRecord("other", "gpu-a", "ort-b8", 1, 1000, 1024, "rule", NOW_US - 5_000_000)
REPORT = {"model": "net", "samples": 100, "hardware": "gpu-a", "configuration": "ort-b8", "runSeconds": 1.25}


def running(world: World) -> dict[str, Any]:
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    return bound(raw_pod("a"), "n0", order.record)


def test_a_pod_found_running_is_adopted_from_its_annotation():
    world = World()
    world.pod(bound(raw_pod("a"), "n0", RECORD))
    assert world.cluster.calls == [("adopt", "default/a", "n0", "gpu-a", "ort-b8", NOW_US - 5_000_000)]


def test_a_pod_found_running_without_a_decision_is_booked_by_its_requests():
    world = World()
    world.pod(bound(raw_pod("a"), "n0"))
    assert world.cluster.calls == [("occupy", "default/a", "n0", 100, 64, "", 0)]


def test_a_pod_found_running_with_a_forged_decision_is_booked_by_the_larger_figures():
    world = World()
    forged = DecisionRecord("x", "gpu-a", "no-such", 1, 3000, 10, "me")
    world.pod(bound(raw_pod("a"), "n0", forged))
    assert world.cluster.calls == [("occupy", "default/a", "n0", 3000, 64, "gpu-a", 1)]


def test_a_pod_found_on_an_unknown_node_is_booked_when_the_node_turns_up():
    world = World()
    world.pod(bound(raw_pod("a"), "n7", RECORD))
    assert world.cluster.placed == {}
    world.node(raw_node("n7"))
    assert world.cluster.placed == {"default/a": "n7"}


def test_nodes_are_applied_before_pods_of_the_same_batch():
    world = World(nodes=0)
    events = [
        WatchEvent(OWN_PODS, "ADDED", bound(raw_pod("a"), "n0", RECORD)),
        WatchEvent(NODES, "ADDED", raw_node("n0")),
    ]
    world.snapshot.apply(events, NOW_US)
    assert world.cluster.placed == {"default/a": "n0"}


def test_a_pod_that_ended_before_the_start_is_no_news():
    world = World()
    assert not world.pod(ended(bound(raw_pod("a"), "n0", RECORD), **REPORT))
    assert world.cluster.calls == []


def test_a_node_that_vanishes_takes_its_jobs_out_of_the_books():
    world = World()
    running(world)
    assert world.node(raw_node("n0"), "DELETED")
    assert (world.cluster.placed, world.cluster.nodes) == ({}, {})


def test_a_node_that_comes_back_is_booked_again():
    world = World()
    raw = running(world)
    world.pod(raw, "MODIFIED")
    world.node(raw_node("n0"), "DELETED")
    world.node(raw_node("n0"))
    assert world.cluster.placed == {"default/a": "n0"}


def test_a_bind_that_fails_after_its_node_vanished_is_decided_again():
    world = World(nodes=2)
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.node(raw_node("n0"), "DELETED")
    world.settle(order, Outcome.FAILED)
    world.pods.expire(NOW_US + 10**9)
    assert [order.node for order in world.round()] == ["n1"]


def test_a_node_whose_label_goes_bad_is_no_longer_used():
    world = World()
    world.node(raw_node("n0", {"tpu": "1"}), "MODIFIED")
    assert (world.cluster.nodes, world.reasons()) == ({}, ["NodeNotUsable"])


def test_a_bad_node_is_told_once():
    world = World(nodes=0)
    world.node(raw_node("n0", {"tpu": "1"}))
    world.node(raw_node("n0", {"tpu": "1"}, unschedulable=True), "MODIFIED")
    assert world.reasons() == ["NodeNotUsable"]


def test_a_heartbeat_starts_no_round():
    world = World()
    assert not world.node(raw_node("n0"), "MODIFIED")


def test_queued_pods_are_admitted_anew_when_a_node_is_tainted():
    world = World(nodes=2)
    world.pod(raw_pod("a"))
    world.node(raw_node("n0", taints=[{"key": "mine", "effect": "NoSchedule"}]), "MODIFIED")
    assert world.cluster.waiting["default/a"].nodes == {"n1"}


def test_other_schedulers_pods_take_room():
    world = World()
    world.other(bound(raw_pod("x"), "n0"))
    assert world.cluster.nodes["n0"].cpu_milli == 7900


def test_other_schedulers_pods_give_room_back():
    world = World()
    raw = bound(raw_pod("x"), "n0")
    world.other(raw)
    assert world.other(raw, "DELETED")
    assert world.cluster.nodes["n0"].cpu_milli == 8000


def test_a_pod_of_another_scheduler_may_be_seen_before_its_node():
    world = World(nodes=0)
    world.other(bound(raw_pod("x"), "n0"))
    world.node(raw_node("n0"))
    assert world.cluster.nodes["n0"].cpu_milli == 7900
