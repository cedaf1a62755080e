"""What decisions and the results of binds do to the books."""

from dataclasses import replace

import pytest
from bridge_fakes import ANNOTATIONS, NOW_US, raw_pod
from bridge_world import World, bound

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.entries import Stage

RECORD = DecisionRecord("other", "gpu-a", "ort-b8", 1, 1000, 1024, "rule", NOW_US - 5_000_000)
REPORT = {"model": "net", "samples": 100, "hardware": "gpu-a", "configuration": "ort-b8", "runSeconds": 1.25}


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


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("error: ValueError; edf_likely", ["DecisionFallback"]),
        ("illegal action; edf_likely", ["DecisionFallback"]),
        ("no reason", ["DecisionFallback"]),
        ("unproven; edf_likely", []),
        ("worse in a trial; edf_likely", []),
        ("replay; edf_likely", []),
        ("idle; edf_likely", []),
    ],
)
def test_owners_are_warned_of_a_policy_that_fails_and_not_of_one_that_is_judged(reason, told):
    world = World()
    world.pod(raw_pod("a"))
    (decision,) = world.cluster.round(world.now_us, None)
    world.placing.decide(replace(decision, decided_by="fallback", reason=reason), world.now_us)
    assert world.reasons() == told
