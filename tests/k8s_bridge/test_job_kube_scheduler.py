"""Attempts that kube-scheduler binds: the books in each order of events, and what becomes of one that is not bound."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, NOW_US, raw_node, raw_pod
from bridge_jobs import job, runtime, stored
from bridge_world import World, bound, ended

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import BindOrder, Outcome, _made
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.inference.attempts import AttemptPod
from synergai.k8s_bridge.inference.delegation import delegate
from synergai.k8s_bridge.inference.job import MOST_ATTEMPTS, Attempt, End, JobStatus, read_job
from synergai.k8s_bridge.inference.plan import AVOIDED_S, MOST_UNSCHEDULED, Sight, plan
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND
from synergai.k8s_bridge.pods import read_pod

KUBE = "default-scheduler"
NODES = "requiredDuringSchedulingIgnoredDuringExecution"
SECOND = 1_000_000


# the books ----------------------------------------------------------------------------------------
def world(nodes: int = 1, slots: int = 2, **options: Any) -> World:
    made = World(nodes=nodes, slots=slots, delegate_to=KUBE, **options)
    made.runtimes.set(stored(runtime(models=["net"], hardware=["gpu-a"])), CLUSTER_KIND)
    return made


def want(w: World, name: str = "a", **spec: Any) -> None:
    w.jobs.set_job(stored(job(name, "net", 100, **spec)))
    w.jobs.reconcile(w.now_us)


def decided(w: World) -> BindOrder:
    want(w)
    (order,) = w.round()
    return order


def created(
    order: BindOrder, uid: str = "pod-uid", at: str = "2026-11-18T11:06:40Z", **status: Any
) -> dict[str, Any]:
    """As the API server has it."""
    pod = copy.deepcopy(order.create or {})
    pod["metadata"] |= {"uid": uid, "creationTimestamp": at, "resourceVersion": "5"}
    return {**pod, "status": {"phase": "Pending", **status}}


def only(w: World) -> tuple[Stage, str, bool]:
    """The one pod that is known."""
    (entry,) = w.pods.entries.values()
    return entry.stage, entry.node, entry.booked


def test_an_attempt_is_created_for_its_node_and_holds_its_room_until_it_is_bound_and_until_it_ends():
    w = world()
    order = decided(w)
    assert order.create is not None
    assert read_pod(order.create).aim == order.node == "n0"
    pod = created(order)
    w.settle(order, Outcome.CREATED, pod)
    assert only(w) == (Stage.BINDING, "n0", True)
    w.attempt(pod)
    assert only(w) == (Stage.BINDING, "n0", True)
    w.attempt(bound(pod, "n0"), "MODIFIED")
    assert only(w) == (Stage.BOUND, "n0", True)
    over = ended(bound(pod, "n0"))
    over["metadata"]["resourceVersion"] = "6"
    w.attempt(over, "MODIFIED")
    assert (w.pods.entries, w.cluster.running()) == ({}, 0)


ORDERS = {
    "the reply first": ["reply", "seen", "bound"],
    "the watch first": ["seen", "reply", "bound"],
    "the bind before the reply": ["seen", "bound", "reply"],
    "bound when it is seen first": ["bound", "reply"],
}


@pytest.mark.parametrize("steps", ORDERS.values(), ids=ORDERS)
def test_room_is_held_once_in_each_order_of_events(steps):
    w = world()
    order = decided(w)
    pod = created(order)
    does = {
        "reply": lambda: w.settle(order, Outcome.CREATED, pod),
        "seen": lambda: w.attempt(pod),
        "bound": lambda: w.attempt(bound(pod, "n0"), "MODIFIED"),
    }
    for step in steps:
        does[step]()
        assert w.cluster.running() == 1
    assert only(w) == (Stage.BOUND, "n0", True)
    assert w.reasons().count("Scheduled") == 1


def test_a_bridge_that_finds_an_attempt_unbound_books_it_where_it_was_decided_to_go():
    pod = created(decided(world()))
    w = world()
    w.attempt(pod)
    assert only(w) == (Stage.BINDING, "n0", True)
    assert (w.cluster.running(), w.round()) == (1, [])
    w.attempt(bound(pod, "n0"), "MODIFIED")
    assert only(w) == (Stage.BOUND, "n0", True)
    assert w.cluster.running() == 1


def test_a_follower_whose_queue_has_the_attempt_books_the_leaders():
    pod = created(decided(world()))
    w = world()
    want(w)
    assert w.cluster.queued() == 1
    w.attempt(pod)
    w.jobs.reconcile(w.now_us)
    assert only(w) == (Stage.BINDING, "n0", True)
    assert (w.cluster.queued(), w.cluster.running()) == (0, 1)


def test_an_attempt_that_another_leader_made_for_another_node_counts_there():
    w = world(nodes=2)
    order = decided(w)
    theirs = delegate(
        bound(order.create or {}, "n1", DecisionRecord("theirs", "gpu-a", "ort-b8", 1, 1000, 1024, "r")), KUBE
    )
    theirs["spec"]["affinity"] = delegate({"spec": {"nodeName": "n1", "containers": []}}, KUBE)["spec"][
        "affinity"
    ]
    pod = {**theirs, "metadata": theirs["metadata"] | {"uid": "u"}, "status": {"phase": "Pending"}}
    w.attempt(pod)
    assert only(w) == (Stage.BINDING, "n1", True)
    w.settle(order, Outcome.TAKEN, pod)
    assert only(w) == (Stage.BINDING, "n1", True)
    assert w.cluster.running() == 1


def test_an_attempt_is_booked_when_its_node_turns_up():
    pod = created(decided(world()))
    w = world(nodes=0)
    w.attempt(pod)
    assert only(w) == (Stage.BINDING, "n0", False)
    w.node(raw_node("n0"))
    assert only(w) == (Stage.BINDING, "n0", True)


def test_one_that_is_deleted_before_it_is_bound_gives_its_room_back_at_once():
    w = world()
    order = decided(w)
    pod = created(order)
    w.settle(order, Outcome.CREATED, pod)
    leaving = {**pod, "metadata": pod["metadata"] | {"deletionTimestamp": "2026-11-18T11:06:50Z"}}
    w.attempt(leaving, "MODIFIED")
    assert (w.cluster.running(), w.cluster.queued()) == (0, 0)
    w.attempt(leaving, "MODIFIED")
    w.attempt(leaving, "DELETED")
    assert (w.pods.entries, w.cluster.running()) == ({}, 0)


@pytest.mark.parametrize("told", ["attempt", "pod"])
def test_a_pod_of_a_job_that_names_no_node_is_neither_queued_nor_bound(told):
    pod = created(decided(world()))
    pod["spec"]["affinity"] = {}
    w = world()
    getattr(w, told)(pod)
    assert w.round() == []
    assert only(w) == (Stage.WAITING, "", False)
    w.pods.decide_again(w.now_us)
    assert w.round() == []


def test_an_attempt_that_admission_lets_go_anywhere_is_not_what_was_decided():
    order = decided(world())
    pod = created(order)
    pod["spec"]["affinity"] = {}
    assert _made(order, created(order)).outcome is Outcome.CREATED
    assert _made(order, pod).outcome is Outcome.SPOILED


def test_the_attempt_is_measured_when_it_is_bound():
    w = world()
    order = decided(w)
    metrics = w.pods._report.metrics

    def measured() -> float:
        (found,) = [s for s in metrics.attempt_s.collect()[0].samples if s.name.endswith("_count")]
        return found.value

    pod = created(order)
    w.settle(order, Outcome.CREATED, pod)
    assert measured() == 0
    w.attempt(bound(pod, "n0"))
    assert measured() == 1


def test_a_strangers_pod_with_our_label_takes_room_whichever_watch_tells_of_it():
    w = world()
    node = w.nodes.node
    free = node("n0").cpu_milli
    stranger = bound(raw_pod("x", {}), "n0")
    w.other(stranger)
    assert node("n0").cpu_milli == free - 100
    labelled = copy.deepcopy(stranger)
    labelled["metadata"]["labels"] = {keys.LABEL_JOB: "copied"}
    w.attempt(labelled)
    w.other(labelled, "DELETED")
    assert node("n0").cpu_milli == free - 100
    assert not w.pods.entries
    w.attempt(labelled, "DELETED")
    assert node("n0").cpu_milli == free


# nodes that others fill ---------------------------------------------------------------------------
def open_node(name: str) -> dict[str, Any]:
    raw = raw_node(name)
    del raw["metadata"]["labels"][keys.LABEL_DEDICATED]
    return raw


def test_an_attempt_may_go_where_others_go_and_a_plain_pod_not():
    w = world(nodes=0)
    w.node(open_node("n0"))
    w.pod(raw_pod("p"))
    w.pod(raw_pod("plain", {}))
    assert w.round() == []
    assert w.stage("default/p") is w.stage("default/plain") is Stage.PARKED
    assert "weren't dedicated" in w.pods.entries["default/p"].told["FailedScheduling"]
    assert decided(w).node == "n0"


def test_with_shared_nodes_a_plain_pod_may_too():
    w = world(nodes=0, shared_nodes=True)
    w.node(open_node("n0"))
    w.pod(raw_pod("plain", {}))
    assert [order.node for order in w.round()] == ["n0"]


def test_without_the_binder_a_node_that_is_not_dedicated_stays_unused():
    w = World(nodes=0)
    w.node(open_node("n0"))
    assert not w.nodes.usable


def test_a_claim_that_is_not_bound_is_kube_schedulers_business():
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}, {"name": "e", "ephemeral": {}}]
    template = {"spec": {"containers": [{"name": "runner", "image": "i"}], "volumes": volumes}}
    for scheduler, count in ((KUBE, 1), ("", 0)):
        w = World(delegate_to=scheduler)
        w.runtimes.set(stored(runtime(models=["net"], hardware=["gpu-a"], template=template)), CLUSTER_KIND)
        want(w)
        assert len(w.round()) == count


# one that is not bound ----------------------------------------------------------------------------
def seen(index: int = 0, age_s: float = 11.0, node: str = "n0", **more: Any) -> AttemptPod:
    return AttemptPod(
        index=index,
        name=f"a-{index}",
        namespace="default",
        uid=f"u{index}",
        job_uid="a-0000-uid",
        created_us=NOW_US - round(age_s * SECOND),
        aim=node,
        decision=DecisionRecord("id", "gpu-a", "ort-b8", 1, 1000, 1024, "policy"),
        **more,
    )


def planned(status: JobStatus, *pods: AttemptPod, now_us: int = NOW_US, **spec: Any):
    wanted = replace(read_job(stored(job("a", "net", **spec))), status=status)
    return plan(wanted, pods, Sight(), now_us)


WORDS = "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't match Pod's node affinity/selector."


def test_one_that_is_not_bound_in_time_ends_in_kube_schedulers_words_and_goes_and_the_job_is_decided_again():
    found = planned(JobStatus(), seen(unscheduled=WORDS))
    (attempt,) = found.status.attempts
    assert attempt.end is not None
    assert (attempt.end.reason, attempt.node) == ("Unscheduled", "n0")
    assert WORDS in attempt.end.message
    assert [pod.name for pod in found.delete] == ["a-0"]
    assert found.next is None
    again = planned(found.status)
    assert (again.next, again.avoid) == (1, {("n0", "gpu-a")})


def test_before_that_nothing_is_done_but_to_look_again():
    found = planned(JobStatus(), seen(age_s=9.0))
    assert (found.delete, found.next, found.look_us) == ((), None, NOW_US + SECOND)


def test_one_for_which_room_is_being_made_has_longer():
    assert planned(JobStatus(), seen(nominated=True)).delete == ()
    assert planned(JobStatus(), seen(age_s=61.0, nominated=True)).delete != ()


def test_that_it_is_being_deleted_for_that_does_not_make_it_a_failure():
    found = planned(JobStatus(), seen(deleting=True))
    (attempt,) = found.status.attempts
    assert attempt.end is not None
    assert attempt.end.reason == "Unscheduled"


def unscheduled(*indexes: int) -> JobStatus:
    end = End("Unscheduled", "no room", "2026-11-18T11:06:40Z")
    return JobStatus(
        attempts=tuple(Attempt(i, f"a-{i}", f"u{i}", f"n{i % 3}", "gpu-a", end=end) for i in indexes)
    )


def test_a_job_for_which_there_is_no_room_waits_however_often_it_is_tried():
    found = planned(unscheduled(*range(50)), backoffLimit=0)
    assert not found.status.ended
    assert found.next == 50


def test_of_such_attempts_the_last_are_kept_so_that_the_status_has_room():
    found = planned(unscheduled(*range(MOST_ATTEMPTS + 7)))
    assert [a.index for a in found.status.attempts] == list(range(MOST_ATTEMPTS + 7))[-MOST_UNSCHEDULED:]


def test_one_whose_pod_is_still_there_is_kept_until_it_is_released():
    found = planned(unscheduled(*range(20)), seen(0, deleting=True, held=True))
    assert found.status.attempts[0].index == 0
    assert [pod.name for pod in found.release] == ["a-0"]


def test_its_device_is_avoided_for_a_while():
    status = unscheduled(0)
    until_us = NOW_US + round(AVOIDED_S * SECOND)
    assert planned(status).look_us == until_us
    assert planned(status, now_us=until_us - 1).avoid == {("n0", "gpu-a")}
    assert planned(status, now_us=until_us).avoid == frozenset()


def over(w: World, pod: dict[str, Any]) -> bool:
    """Its end is written down, and then it is gone; whether a round is due."""
    status = [write.body["status"] for key, write in w.writes.made if key.startswith("status")][-1]
    w.jobs.set_job(stored(job("a", "net"), 2, **status))
    w.attempt(pod, "DELETED")
    return w.jobs.reconcile(w.now_us)


def test_the_job_is_tried_on_another_device_and_the_first_attempt_is_written_down():
    w = world(nodes=2)
    first = decided(w)
    pod = created(first)
    w.settle(first, Outcome.CREATED, pod)
    w.attempt(pod)
    w.now_us += 11 * SECOND
    w.jobs.set_pod(pod)
    assert not w.jobs.reconcile(w.now_us)
    assert over(w, pod)
    (waits,) = w.cluster.waiting_jobs()
    assert waits.key.endswith("-1")
    assert waits.barred == {("n0", "gpu-a")}
    deleted = [write.path for _, write in w.writes.made if write.method == "DELETE"]
    assert deleted == [f"/api/v1/namespaces/default/pods/{first.name}"]


def test_of_an_attempt_on_which_nothing_ran_the_job_is_no_new_arrival():
    w = world(nodes=2)
    arrivals = []
    enqueue = w.cluster.enqueue
    w.cluster.enqueue = lambda job, again=False: (arrivals.append(again), enqueue(job, again))[1]
    order = decided(w)
    pod = created(order)
    w.attempt(pod)
    w.now_us += 11 * SECOND
    w.jobs.set_pod(pod)
    w.jobs.reconcile(w.now_us)
    over(w, pod)
    assert arrivals == [False, True]


def test_annotations_of_the_attempt_are_those_of_a_pod_of_ours():
    pod = read_pod(decided(world()).create or {})
    assert pod.demand.delegated
    assert pod.annotations[keys.ANNOTATION_MODEL] == ANNOTATIONS[keys.ANNOTATION_MODEL]
