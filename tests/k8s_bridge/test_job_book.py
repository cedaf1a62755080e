"""The book of InferenceJobs between what the API server says and what is written: what comes late, twice or never."""

import copy
from typing import Any

import pytest
from bridge_fakes import raw_node
from bridge_jobs import job, runtime
from bridge_world import World
from job_api import Api
from job_bridge import WATCHED, Bridge

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.api.watch import CLUSTER_RUNTIMES, JOBS, NODES, OWN_PODS, WatchEvent
from synergai.k8s_bridge.binder import BindResult, Outcome
from synergai.k8s_bridge.clock import SECOND_US
from synergai.k8s_bridge.entries import Stage


class One:
    """A bridge that leads, and its server."""

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.api = Api()
        self.api.create(NODES, raw_node("n0"))
        self.api.create(CLUSTER_RUNTIMES, runtime("ort", ["net"], ["gpu-a"]))
        for one in jobs or (job("a", "net"),):
            self.api.create(JOBS, one)
        self.bridge = Bridge(self.api, "r0")
        self.bridge.begin()

    @property
    def world(self) -> World:
        return self.bridge.world

    def told(self, *, cycle: bool = True) -> None:
        for resource in WATCHED:
            while self.bridge.deliver(resource):
                pass
        if cycle:
            self.bridge.cycle()

    def written(self) -> None:
        for key in list(self.bridge.writer.waiting):
            self.bridge.send(key)
        for one in list(self.bridge.flying):
            self.bridge.land(one)
        self.told()

    def placed(self) -> dict[str, Any]:
        """The job's pod, which the bridge has seen."""
        (order,) = self.bridge.orders
        self.bridge.create(order)
        self.told()
        self.written()
        (pod,) = self.api.pods()
        return pod

    def later(self, seconds: float) -> None:
        self.api.now_us += round(seconds * SECOND_US)
        self.bridge.cycle()

    def status(self) -> dict[str, Any]:
        return self.api.objects[JOBS.name]["a"]["status"]

    def condition(self, kind: str = "Placed") -> dict[str, Any]:
        return next(c for c in self.status()["conditions"] if c["type"] == kind)

    def sent(self) -> list[str]:
        return [key.split()[0] for key in self.bridge.writer.waiting]


def test_a_reply_that_comes_after_the_end_of_its_job_does_not_bring_it_back():
    one = One()
    one.api.delete(JOBS, "a")
    raw = copy.deepcopy(one.bridge.known[JOBS.name])
    one.told()
    one.world.jobs.ended(f"status {next(iter(raw))}", next(iter(raw.values())))
    one.bridge.cycle()
    assert one.world.pods.entries == {}


def test_another_job_of_the_same_name_is_not_taken_for_the_one_before():
    one = One()
    (before,) = one.bridge.known[JOBS.name].values()
    one.api.delete(JOBS, "a")
    one.api.create(JOBS, job("a", "net"))
    one.told()
    one.world.jobs.ended(f"status {before['metadata']['uid']}", before)
    one.bridge.cycle()
    (entry,) = one.world.pods.entries.values()
    assert entry.pod.owner is not None
    assert entry.pod.owner.uid == one.api.jobs()[0]["metadata"]["uid"]


def test_a_node_that_is_deleted_while_it_is_well_loses_its_pods_at_once():
    one = One()
    one.placed()
    one.api.lose_node("n0")
    one.told()
    one.written()
    assert one.status()["attempts"][0]["end"]["reason"] == "NodeLost"


def test_the_next_attempt_waits_until_the_end_of_the_last_is_recorded():
    one = One()
    one.api.ends(one.placed(), 1, "Error")
    one.told()
    assert one.world.pods.entries == {}
    one.written()
    assert [order.name[-2:] for order in one.bridge.orders] == ["-1"]


def test_a_pod_that_comes_after_the_end_of_its_job_goes_at_once():
    one = One()
    pod = one.placed()
    one.api.ends(pod, 0, "Completed")
    one.told()
    one.written()
    late = {**pod, "metadata": {**pod["metadata"], "name": pod["metadata"]["name"][:-1] + "7"}}
    one.api.succeeded.clear()
    uid = one.api.create(OWN_PODS, late)["metadata"]["uid"]
    one.told()
    assert {f"delete {uid}", f"release {uid}"} <= one.bridge.writer.waiting.keys()


def test_a_pod_whose_owner_somebody_took_away_is_let_go_and_not_stopped():
    one = One()
    pod = one.placed()
    pod["metadata"] |= {"ownerReferences": [], "resourceVersion": "900"}
    one.world.pod(pod, "MODIFIED")
    one.world.jobs.reconcile(one.api.now_us)
    assert [key for key in one.sent() if key != "status"] == ["release"]


def test_a_pod_whose_annotations_somebody_changed_is_still_its_attempt():
    one = One()
    pod = one.placed()
    pod["metadata"]["annotations"] = {keys.ANNOTATION_ATTEMPT: "4"}
    one.world.pod(pod, "MODIFIED")
    one.world.jobs.reconcile(one.api.now_us)
    assert one.sent() == []
    assert len(one.status()["attempts"]) == 1


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.FAILED])
def test_a_job_says_why_no_pod_is_made_for_it(outcome):
    one = One()
    (order,) = one.bridge.orders
    one.bridge.settle(order, BindResult(order, outcome, "exceeded quota: small"))
    one.bridge.cycle()
    one.written()
    assert (one.status()["phase"], one.condition()["reason"]) == ("Pending", "FailedCreate")
    assert "exceeded quota: small" in one.condition()["message"]
    one.later(61.0)
    one.written()
    assert one.condition()["reason"] == "FailedCreate"


def test_a_quota_that_is_lifted_lets_the_job_go_on():
    one = One()
    one.api.full = True
    one.bridge.create(one.bridge.orders[0])
    one.bridge.cycle()
    assert one.bridge.orders == []
    one.api.full = False
    one.later(61.0)
    one.placed()
    assert (one.condition()["status"], one.condition()["reason"]) == ("True", "PodCreated")


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.WITHHELD])
def test_a_runtime_that_goes_while_a_pod_is_made_leaves_the_job_waiting_for_another(outcome):
    one = One()
    (order,) = one.bridge.orders
    one.api.delete(CLUSTER_RUNTIMES, "ort")
    one.told(cycle=False)
    one.bridge.settle(order, BindResult(order, outcome, "why"))
    one.bridge.cycle()
    one.later(61.0)
    one.written()
    assert one.condition()["reason"] == "NoRuntime"
    one.api.create(CLUSTER_RUNTIMES, runtime("ort", ["net"], ["gpu-a"]))
    one.told()
    assert len(one.bridge.orders) == 1


def test_a_runtime_that_changes_while_a_pod_is_refused_is_asked_for_anew():
    one = One()
    (order,) = one.bridge.orders
    one.bridge.settle(order, BindResult(order, Outcome.REFUSED, "why"))
    one.bridge.cycle()
    rows = [{"name": "ort-b8", "resources": {"cpu": "3"}}]
    one.api.change(CLUSTER_RUNTIMES, "ort", **runtime("ort", ["net"], ["gpu-a"], rows)["spec"])
    one.api.now_us += 61 * SECOND_US
    one.told()
    (order,) = one.bridge.orders
    assert order.create is not None
    assert order.create["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "3"


def test_nothing_is_placed_while_jobs_cannot_be_read():
    one = One(job("a", "net"), job("b", "net"), job("c", "net"))
    waiting = [e for e in one.world.pods.entries.values() if e.stage is Stage.QUEUED]
    assert len(waiting) == 1
    refused = WatchEvent(JOBS, "REFUSED", {"metadata": {}, "why": "forbidden"})
    one.world.snapshot.apply([refused], one.api.now_us)
    assert {e.stage for e in one.world.pods.entries.values()} == {Stage.BINDING}
    one.world.snapshot.apply([WatchEvent(JOBS, "REFUSED", {"metadata": {}, "why": ""})], one.api.now_us)
    one.bridge.cycle()
    assert len(one.world.pods.entries) == 3


@pytest.mark.parametrize("status", [403, 404, 409, 422])
def test_what_was_not_written_is_written_again_a_while_later(status):
    one = One()
    one.api.ends(one.placed(), 1, "Error")
    one.told()
    (key,) = one.bridge.writer.waiting
    one.bridge.writer.waiting.clear()
    one.world.jobs.ended(key, ApiError(status, "Reason", "why"))
    one.bridge.cycle()
    assert one.sent() == []
    one.later(5.1)
    assert one.sent() == ["status"]


def test_a_status_that_somebody_was_faster_with_is_written_upon_what_is_there_now():
    one = One()
    one.api.ends(one.placed(), 1, "Error")
    one.told()
    one.api.change(JOBS, "a", backoffLimit=5)
    one.written()
    one.written()
    assert one.status()["attempts"][0]["end"]["reason"] == "Error"


def test_a_follower_that_hears_of_an_attempt_before_its_pod_does_not_queue_another():
    one = One()
    one.placed()
    follower = Bridge(one.api, "r1")
    for resource in (NODES, CLUSTER_RUNTIMES, JOBS):
        follower.list(resource)
    follower.cycle()
    follower.list(OWN_PODS)
    follower.cycle()
    assert [e.stage for e in follower.world.pods.entries.values()] == [Stage.BOUND]
    assert follower.world.cluster.queued() == 0


def test_a_pod_that_a_reply_alone_has_told_of_is_gone_when_nothing_else_tells_of_it():
    one = One()
    (order,) = one.bridge.orders
    one.bridge.create(order)
    one.bridge.cycle()
    assert one.world.cluster.running() == 1
    (pod,) = one.api.pods()
    one.api.vanish(pod)
    one.bridge.end()
    one.bridge.begin()
    (entry,) = one.world.pods.entries.values()
    assert entry.pod.uid == ""  # it is decided anew, as if it had never been created
    assert one.world.cluster.running() == 1
