"""What arrivals, changes and ends of pods do to the books."""

from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, NOW_US, raw_node, raw_pod
from bridge_world import World, bound, ended

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.entries import Stage

RECORD = DecisionRecord("other", "gpu-a", "ort-b8", 1, 1000, 1024, "rule", NOW_US - 5_000_000)
REPORT = {"model": "net", "samples": 100, "hardware": "gpu-a", "configuration": "ort-b8", "runSeconds": 1.25}


def test_a_new_pod_waits_in_the_cluster():
    world = World()
    assert world.pod(raw_pod("a"))
    assert list(world.cluster.waiting) == ["default/a"]


def test_a_pod_that_every_node_admits_is_not_tied_to_nodes():
    world = World(nodes=2)
    world.pod(raw_pod("a"))
    assert world.cluster.jobs["default/a"].nodes is None


def test_a_pod_that_one_node_admits_is_tied_to_it():
    world = World(nodes=2)
    raw = raw_node("n1")
    raw["metadata"]["labels"]["zone"] = "b"
    world.node(raw, "MODIFIED")
    world.pod(raw_pod("a", nodeSelector={"zone": "b"}))
    assert world.cluster.jobs["default/a"].nodes == {"n1"}


def test_a_gated_pod_waits_without_a_word():
    world = World()
    world.pod(raw_pod("a", schedulingGates=[{"name": "x"}]))
    assert (world.stage(), world.reasons(), world.cluster.queued()) == (Stage.WAITING, [], 0)


def test_a_pod_whose_gates_are_lifted_joins_the_queue():
    world = World()
    world.pod(raw_pod("a", schedulingGates=[{"name": "x"}]))
    world.pod(raw_pod("a"), "MODIFIED")
    assert world.stage() is Stage.QUEUED


def test_an_unsupported_pod_is_refused_with_an_event():
    world = World()
    world.pod(raw_pod("a", resourceClaims=[{"name": "x"}]))
    assert (world.stage(), world.reasons()) == (Stage.WAITING, ["UnsupportedSpec"])


def test_a_pod_that_no_node_admits_is_told_why():
    world = World()
    world.pod(raw_pod("a", nodeSelector={"zone": "b"}))
    assert world.stage() is Stage.PARKED
    assert world.notices[-1].message.startswith("0/1 nodes are available: 1 node(s) didn't match")


def test_a_parked_pod_moves_when_a_node_turns_up():
    world = World()
    world.pod(raw_pod("a", nodeSelector={"zone": "b"}))
    raw = raw_node("n1")
    raw["metadata"]["labels"]["zone"] = "b"
    assert world.node(raw)
    assert world.stage() is Stage.QUEUED


def test_a_parked_pod_is_told_the_same_only_once():
    world = World()
    world.pod(raw_pod("a", containers=[{"resources": {"requests": {"cpu": "50"}}}]))
    world.other(bound(raw_pod("x"), "n0"))
    assert world.reasons() == ["FailedScheduling"]


def test_a_queued_pod_follows_a_change_of_its_annotations():
    world = World()
    world.pod(raw_pod("a"))
    world.pod(raw_pod("a", ANNOTATIONS | {keys.ANNOTATION_SAMPLES: "7"}), "MODIFIED")
    assert world.cluster.waiting["default/a"].samples == 7


def test_a_status_update_of_a_queued_pod_starts_no_round():
    world = World()
    world.pod(raw_pod("a"))
    assert not world.pod(raw_pod("a"), "MODIFIED")


def test_a_deleted_pod_leaves_the_queue():
    world = World()
    world.pod(raw_pod("a"))
    world.pod(raw_pod("a"), "DELETED")
    assert (world.cluster.queued(), world.pods.entries) == (0, {})


def test_a_pod_that_is_being_deleted_is_not_decided():
    world = World()
    raw = raw_pod("a")
    raw["metadata"]["deletionTimestamp"] = "2026-11-18T11:06:41Z"
    world.pod(raw)
    assert world.round() == []


def test_a_new_pod_of_an_old_name_takes_its_place():
    world = World()
    world.pod(raw_pod("a"))
    again = raw_pod("a")
    again["metadata"]["uid"] = "uid-second"
    world.pod(again)
    assert [order.uid for order in world.round()] == ["uid-second"]


def running(world: World) -> dict[str, Any]:
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    return bound(raw_pod("a"), "n0", order.record)


def test_a_finished_pod_gives_its_room_back_with_the_runners_time():
    world = World()
    raw = running(world)
    assert world.pod(ended(raw, **REPORT), "MODIFIED")
    assert world.cluster.calls[-1] == ("release", "default/a", 1.25, "done")


@pytest.mark.parametrize("run_seconds", ["x", -1, 0, 1e300, None, float("nan")])
def test_a_nonsense_report_is_ignored(run_seconds):
    world = World()
    raw = running(world)
    world.pod(ended(raw, **{**REPORT, "runSeconds": run_seconds}), "MODIFIED")
    assert world.cluster.calls[-1] == ("release", "default/a", None, "done")


def test_the_report_of_a_failed_pod_is_not_learnt_from():
    world = World()
    raw = running(world)
    world.pod(ended(raw, "Failed", **REPORT), "MODIFIED")
    assert world.cluster.calls[-1] == ("release", "default/a", None, "failed")


def test_a_pod_that_the_kubelet_refuses_is_told():
    world = World()
    raw = ended(running(world), "Failed")
    raw["status"]["reason"] = "OutOfcpu"
    world.pod(raw, "MODIFIED")
    assert (world.cluster.calls[-1][-1], world.reasons()[-1]) == ("rejected", "Rejected")


def test_a_pod_that_has_ended_before_its_bind_was_seen_was_still_scheduled():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.pod(ended(bound(raw_pod("a"), "n0", order.record), **REPORT), "MODIFIED")
    world.settle(order, Outcome.BOUND)
    assert (world.reasons(), world.stage()) == (["Scheduled"], Stage.DONE)


def test_a_failed_pod_that_was_never_bound_leaves_the_queue():
    world = World()
    world.pod(raw_pod("a"))
    assert world.pod(ended(raw_pod("a"), "Failed"), "MODIFIED")
    assert world.cluster.waiting == {}


def test_an_end_is_counted_once():
    world = World()
    raw = running(world)
    world.pod(ended(raw, **REPORT), "MODIFIED")
    assert not world.pod(ended(raw, **REPORT), "MODIFIED")


def test_a_deleted_running_pod_gives_its_room_back():
    world = World()
    raw = running(world)
    assert world.pod(raw, "DELETED")
    assert world.cluster.placed == {}
