"""The books: what watch events, decisions and bind results do to pods and cluster."""

from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, NOW_US, raw_node, raw_pod
from bridge_world import World, bound, ended

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.watch import NODES, OWN_PODS, WatchEvent

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


def test_a_decision_becomes_an_order_with_the_pods_uid():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    assert (order.key, order.uid, order.node, order.record.hardware) == ("default/a", "uid-a", "n0", "gpu-a")


def test_a_bind_that_succeeded_is_told():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    assert (world.stage(), world.reasons()) == (Stage.BOUND, ["Scheduled"])


def test_the_watch_may_show_a_bind_before_its_reply():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.pod(bound(raw_pod("a"), "n0", order.record), "MODIFIED")
    world.settle(order, Outcome.BOUND)
    assert (world.stage(), world.reasons()) == (Stage.BOUND, ["Scheduled"])


def test_an_old_view_of_a_bound_pod_changes_nothing():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    assert not world.pod(raw_pod("a", ANNOTATIONS | {keys.ANNOTATION_SAMPLES: "7"}), "MODIFIED")
    assert world.cluster.placed == {"default/a": "n0"}


def test_a_failed_bind_gives_the_room_back():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    assert world.settle(order, Outcome.FAILED)
    assert (world.stage(), world.cluster.placed, world.cluster.waiting) == (Stage.BACKOFF, {}, {})


def test_a_failed_bind_is_tried_again_after_its_back_off():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.FAILED)
    due_us = world.pods.next_timer_us()
    assert due_us is not None
    assert not world.pods.expire(due_us - 1)
    assert world.pods.expire(due_us)
    assert len(world.round()) == 1


def test_the_back_off_of_one_pod_grows():
    world = World()
    world.pod(raw_pod("a"))
    waits = []
    for _ in range(6):
        (order,) = world.round()
        world.settle(order, Outcome.FAILED)
        due_us = world.pods.next_timer_us()
        assert due_us is not None
        waits.append(due_us - world.now_us)
        world.now_us = due_us
        world.pods.expire(due_us)
    assert waits[-1] > 4 * waits[0]


def test_a_rivals_bind_is_booked_as_the_api_server_says():
    world = World(nodes=2)
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.TAKEN, bound(raw_pod("a"), "n1", RECORD))
    assert world.cluster.placed == {"default/a": "n1"}


def test_a_rivals_bind_seen_by_the_watch_is_booked_as_it_says():
    world = World(nodes=2)
    world.pod(raw_pod("a"))
    world.round()
    assert world.pod(bound(raw_pod("a"), "n1", RECORD), "MODIFIED")
    assert world.cluster.calls[-1][:3] == ("adopt", "default/a", "n1")


def test_the_reply_to_a_bind_of_a_deleted_pod_is_ignored():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.pod(raw_pod("a"), "DELETED")
    assert not world.settle(order, Outcome.BOUND)


def test_a_pod_that_is_gone_gives_its_room_back():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.GONE)
    assert world.cluster.placed == {}


def test_a_hold_is_told_once():
    world = World()
    world.cluster.hold_all = True
    world.pod(raw_pod("a"))
    world.round()
    world.round()
    assert world.reasons() == ["Held"]


def test_a_dry_run_holds_the_room_until_the_predicted_finish():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.DRY)
    assert world.pods.next_timer_us() == NOW_US + 2_000_000
    world.pods.expire(NOW_US + 2_000_000)
    assert (world.cluster.placed, world.round()) == ({}, [])


@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ({}, "InvalidAnnotation"),
        (ANNOTATIONS | {keys.ANNOTATION_SAMPLES: "-1"}, "InvalidAnnotation"),
        (ANNOTATIONS | {keys.ANNOTATION_MODEL: "nope"}, "UnknownModel"),
    ],
)
def test_a_pod_that_is_not_understood_is_placed_by_the_fallback(annotations, reason):
    world = World()
    world.pod(raw_pod("a", annotations))
    (order,) = world.round()
    assert (world.reasons(), order.node, order.record.decided_by) == ([reason], "n0", "least_allocated")


def test_the_fallback_books_the_pods_own_requests():
    world = World()
    world.pod(raw_pod("a", {}))
    world.round()
    assert world.cluster.calls == [("occupy", "default/a", "n0", 100, 64, "", 0)]


def test_the_fallback_waits_for_room():
    world = World(slots=1)
    world.pod(raw_pod("a", {}))
    world.pod(raw_pod("b", {}))
    assert len(world.round()) == 1
    assert world.stage("default/b") is Stage.PLAIN


def test_the_fallback_never_books_a_device_twice():
    world = World(slots=9)
    gpu = [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]
    world.pod(raw_pod("a", {}, containers=gpu))
    world.pod(raw_pod("b", {}, containers=gpu))
    assert [order.key for order in world.round()] == ["default/a"]


def test_what_is_wrong_with_a_pod_is_told_once_however_often_it_is_tried():
    world = World()
    world.pod(raw_pod("a", {}))
    (order,) = world.round()
    world.settle(order, Outcome.FAILED)
    world.pods.expire(NOW_US + 10**9)
    assert world.reasons() == ["InvalidAnnotation", "FailedScheduling"]


def test_a_failed_bind_of_the_fallback_gives_the_room_back():
    world = World()
    world.pod(raw_pod("a", {}))
    (order,) = world.round()
    world.settle(order, Outcome.FAILED)
    assert world.cluster.placed == {}


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
