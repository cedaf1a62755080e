"""`synergai explain job NAME`."""

import json
from typing import Any

from job_world import World, assert_one_line, at, attempt, complete, condition, failed, now_us, running

from synergai.agents.explanation import Choice, Explanation
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.inference.attempts import attempt_name
from synergai.k8s_bridge.reports.explanations import to_json
from synergai.k8s_bridge.reports.lines import Line


def explained(world: World, name: str = "a", *words: str, user: str = "admin") -> str:
    result = world.run("explain", "job", name, *words, user=user)
    assert result.exit_code == 0, result.output
    return result.stdout


def pod(world: World, name: str) -> str:
    """A pod of an attempt, with its decision and why; its uid."""
    decided_us = now_us(-5)
    record = DecisionRecord(
        "id", "gpu-a", "ort-b8", 1, 1000, 1024, "policy", decided_us, decided_us + 2_000_000
    )
    taken = Choice("start", True, "gpu-a", "ort-b8", decided_us + 2_000_000, 0.5, True)
    why = Explanation("net", "demo", "p=0.50", now_us(30), (taken,), "edf_likely", taken, (), 3)
    annotations = {keys.ANNOTATION_DECISION: record.to_json(), keys.ANNOTATION_EXPLANATION: to_json(why)}
    container = {"name": "runner", "image": "x"}
    body = {
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"schedulerName": "synergai", "containers": [container]},
    }
    return world.ask("POST", "/api/v1/namespaces/default/pods", body)["metadata"]["uid"]


def queue(world: World, *lines: Line) -> None:
    value = {"updatedAt": at(), "totals": {"queued": len(lines)}, "pods": [line.fields() for line in lines]}
    body = {"metadata": {"name": keys.QUEUE_CONFIGMAP}, "data": {"queue": json.dumps(value)}}
    world.ask("POST", f"/api/v1/namespaces/{keys.BRIDGE_NAMESPACE}/configmaps", body)


# what is wanted -------------------------------------------------------------------------------------------------------
def test_what_was_wanted_is_said(world: World) -> None:
    world.job(
        "a",
        running(),
        deadline={"at": at(60)},
        placement={"hardware": ["xeon", "gpu-a"], "originSite": "plant-3", "nodeSelector": {"zone": "z"}},
        priorityClassName="batch",
        runtimeRef={"name": "ort"},
        output={"uri": "s3://out"},
        ttlSecondsAfterFinished=60,
    )
    text = explained(world)
    for part in (
        "default/a is Running, created ",
        "net, 100 samples, deadline ",
        "hardware gpu-a or xeon, nodes with zone=z, InferenceRuntime ort",
        "output s3://out",
        "priority class batch, from site plant-3, 2 failures allowed, deleted 60.0 s after its end",
    ):
        assert part in text


def test_a_spec_that_cannot_be_used_is_quoted_with_what_to_do(world: World) -> None:
    both = {"after": "30s", "at": "2026-11-22T10:00:00Z"}
    world.job("a", failed("InvalidSpec", "spec.deadline has both"), deadline=both)
    text = explained(world)
    assert "asks for  what cannot be used: spec.deadline has" in text
    assert "a spec cannot be changed: cancel it and submit what is right" in text


# attempts -------------------------------------------------------------------------------------------------------------
def test_an_attempt_says_where_by_whom_and_why_as_its_pod_does(world: World) -> None:
    uid = pod(world, "a-pod-0")
    world.job("a", running(attempt(0, podRef={"name": "a-pod-0", "uid": uid})))
    text = explained(world)
    for part in (
        "attempt 0 on n0 (gpu-a) as ort-b8, decided by policy; pod a-pod-0",
        "by net demo (p=0.50)",
        "1 x gpu-a, 1000 m cpu, 1024 MiB, as ort-b8",
        "start it on gpu-a as ort-b8, to end 2.0 s later  <- taken",
        "edf_likely would have done the same",
    ):
        assert part in text


def test_an_attempt_whose_pod_is_gone_is_told_from_the_status(world: World) -> None:
    world.job("a", running(attempt(0, predictedFinish=at(10))))
    text = explained(world)
    assert "predicted to end " in text
    assert "its pod is gone, or may not be read" in text


def test_another_pod_of_the_name_is_not_taken_for_it(world: World) -> None:
    pod(world, "a-pod-0")
    world.job("a", running(attempt(0, podRef={"name": "a-pod-0", "uid": "other"})))
    assert "its pod is gone" in explained(world)


def test_each_end_says_its_reason_and_what_came_next(world: World) -> None:
    killed = {
        "reason": "OOMKilled",
        "message": "exit code 137",
        "finishedAt": at(-3),
        "runMilliseconds": 1500,
    }
    world.job("a", running(attempt(0, end=killed), attempt(1, "n1")))
    text = explained(world)
    assert "OOMKilled after 1.500 s, " in text
    assert ": exit code 137; then attempt 1\n" in text
    assert "attempt 1 on n1" in text
    assert "give the configuration more memory in its runtime" in text


def test_a_failed_job_was_given_up_and_names_the_cause(world: World) -> None:
    world.job("a", failed(), backoffLimit=0)
    text = explained(world)
    assert "default/a is Failed, created" in text
    assert "OOMKilled: exit code 137; then the job was given up" in text
    assert "  status    Failed is True: BackoffLimitExceeded: 3 attempts failed" in text
    assert "cancel" not in text


def test_a_complete_job_says_how_its_deadline_went(world: World) -> None:
    world.job("a", complete(at(-5), at(-3.7), False))
    text = explained(world)
    assert "default/a is Succeeded, late by 1.3 s, created" in text
    assert "Completed after 4.210 s" in text
    assert "allow faster hardware, or submit it earlier" in text


# pending --------------------------------------------------------------------------------------------------------------
def test_a_pending_job_says_where_its_next_attempt_stands(world: World) -> None:
    lost = attempt(0, end={"reason": "NodeLost"})
    status = {"phase": "Pending", "attempts": [lost], "conditions": [condition("Placed", False, "Queued")]}
    uid = world.job("a", status)["metadata"]["uid"]
    next_pod = f"default/{attempt_name('a', uid, 1)}"
    held = Line(next_pod, "queued", "net", now_us(100), now_us(90), "gpu-a", until_us=now_us(50))
    queue(world, Line("default/b", "queued"), held)
    text = explained(world)
    assert "number 2 of 2" in text
    assert "held for gpu-a until in" in text
    assert "Placed is False: Queued" in text
    assert "NodeLost; then it waits for the next attempt" in text
    assert "give it up: `synergai cancel a -n default`" in text


def test_without_a_bridge_a_pending_job_says_so_and_what_to_look_at(world: World) -> None:
    world.job("a")
    text = explained(world)
    assert "default/a is not seen by any bridge yet" in text
    assert "no bridge has written its queue" in text
    assert "see that a bridge runs" in text


def test_a_job_that_is_narrowed_down_is_told_that_it_could_be_wider(world: World) -> None:
    world.job("a", placement={"hardware": ["gpu-a"]})
    assert "allow more than hardware gpu-a: submit it anew without" in explained(world)


def test_a_suspended_job_is_told_how_to_go_on(world: World) -> None:
    status = {"phase": "Suspended", "conditions": [condition("Suspended", True, "JobSuspended")]}
    world.job("a", status, suspend=True)
    text = explained(world)
    assert "kubectl patch inferencejob a -n default" in text
    assert "queue" not in text


def test_what_the_bridge_said_of_a_job_is_shown(world: World) -> None:
    uid = world.job("a")["metadata"]["uid"]
    event: dict[str, Any] = {
        "metadata": {"name": "e", "namespace": "default"},
        "involvedObject": {"kind": "InferenceJob", "namespace": "default", "name": "a", "uid": uid},
        "reason": "NoRuntime",
        "message": "no runtime has a variant for net",
        "type": "Warning",
        "reportingComponent": keys.SCHEDULER_NAME,
        "reportingInstance": "x",
        "action": "Scheduling",
        "eventTime": at(-30),
    }
    world.ask("POST", "/api/v1/namespaces/default/events", event)
    assert "NoRuntime: no runtime has a variant for net (3" in explained(world)


def test_texts_of_others_cannot_move_the_cursor(world: World) -> None:
    world.job("a", failed("X", "a\x1b[2Jb"))
    assert "\x1b" not in explained(world)


# problems -------------------------------------------------------------------------------------------------------------
def test_problems_are_a_line(world: World) -> None:
    assert_one_line(
        world.run("explain", "job", "ghost"), "there is no InferenceJob ghost in namespace default"
    )
    assert_one_line(world.run("explain", "job", "../../x"), "there is no InferenceJob")
    assert_one_line(world.run("explain", "job", "a", user="nobody"), "no permission", "cannot get")


def test_without_the_definitions_it_is_said_how_to_install_them(bare: World) -> None:
    assert_one_line(bare.run("explain", "job", "a"), "does not know InferenceJobs", "kubectl apply -k")
