"""What is done about one InferenceJob, by a pure function: every rule of it, and that it comes to rest."""

from dataclasses import replace
from typing import Any

import pytest
from bridge_fakes import NOW_US
from bridge_jobs import job as written
from bridge_jobs import stored
from hypothesis import given
from hypothesis import strategies as st

from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.inference.attempts import AttemptPod, attempt_name
from synergai.k8s_bridge.inference.job import (
    MOST_ATTEMPTS,
    End,
    InferenceJob,
    JobStatus,
    read_job,
    read_status,
    status_body,
)
from synergai.k8s_bridge.inference.plan import UNSCHEDULED_S, Plan, Sight, abandon, deadline_us, plan

RECORD = DecisionRecord("d", "nvidia-t4", "ort-b8", 1, 1000, 1024, "policy", NOW_US, NOW_US + 2 * SECOND_US)
COMPLETED = End("Completed", finished_at=format_time_us(NOW_US + 5 * SECOND_US), run_ms=4000)


def job(status: JobStatus | None = None, **spec: Any) -> InferenceJob:
    made = read_job(stored(written(**spec)))
    return made if status is None else replace(made, status=read_status(status_body(status)))


UID = job().uid


def pod(index: int = 0, **more: Any) -> AttemptPod:
    name = attempt_name("a", UID, index)
    made = AttemptPod(
        index, name, "default", f"pod-{index}", UID, NOW_US, node=f"n{index}", held=True, decision=RECORD
    )
    made = replace(made, **more)
    return replace(made, aim=more.get("aim", made.node))


def look(of: InferenceJob, *pods: AttemptPod, sight: Sight | None = None, after_s: float = 0.0) -> Plan:
    return plan(of, pods, sight or Sight(), NOW_US + round(after_s * SECOND_US))


def recorded(
    of: InferenceJob, *pods: AttemptPod, sight: Sight | None = None, after_s: float = 0.0
) -> InferenceJob:
    """The job, when what was found of it is written."""
    status = look(of, *pods, sight=sight, after_s=after_s).status
    return replace(of, status=read_status(status_body(status)))


def reason(found: Plan, kind: str) -> tuple[bool, str]:
    condition = found.status.condition(kind)
    assert condition is not None, f"no condition {kind} in {found.status.conditions}"
    return condition.status, condition.reason


# from the first attempt to the end -----------------------------------------------------------------------------------
def test_a_new_job_waits_for_its_first_attempt():
    found = look(job())
    assert (found.next, found.status.phase, found.status.attempts) == (0, "Pending", ())


@pytest.mark.parametrize(("running", "phase"), [(False, "Pending"), (True, "Running")])
def test_a_job_with_a_pod_is_placed_and_has_no_other_attempt(running, phase):
    found = look(job(), pod(running=running))
    assert (found.next, found.status.phase, found.status.node) == (None, phase, "n0")
    assert reason(found, "Placed") == (True, "PodCreated")


def test_what_was_decided_is_in_the_attempt():
    (attempt,) = look(job(), pod()).status.attempts
    assert (attempt.pod, attempt.uid, attempt.node) == (pod().name, "pod-0", "n0")
    assert (attempt.hardware, attempt.configuration, attempt.decided_by) == ("nvidia-t4", "ort-b8", "policy")


def test_a_completed_pod_completes_the_job():
    found = look(job(), pod(end=COMPLETED))
    assert (found.next, found.status.phase) == (None, "Succeeded")
    assert reason(found, "Complete") == (True, "Completed")


def test_a_job_that_has_succeeded_is_not_run_again_when_its_pod_is_gone():
    done = recorded(job(), pod(end=COMPLETED))
    found = look(done)
    assert (found.next, found.status) == (None, done.status)


@pytest.mark.parametrize("why", ["OOMKilled", "Evicted", "UnexpectedAdmissionError", "OutOfcpu", "Error"])
def test_the_next_attempt_after_a_failure_avoids_the_device(why):
    failed = pod(end=End(why))
    assert look(job(), failed).next is None
    found = look(recorded(job(), failed), failed)
    assert (found.next, found.avoid, found.status.phase) == (1, {("n0", "nvidia-t4")}, "Pending")


def test_a_pod_that_a_person_deleted_is_no_fault_of_its_device():
    gone = pod(end=End("Deleted"), deleting=True)
    found = look(recorded(job(), gone), gone)
    assert (found.next, found.avoid) == (1, frozenset())


def test_a_pod_that_is_gone_without_an_end_was_deleted():
    found = look(recorded(job(), pod()))
    assert found.next is None
    assert found.status.attempts[0].end == End("Deleted", "the pod is gone")
    assert look(recorded(recorded(job(), pod()))).next == 1


def test_a_pod_on_a_lost_node_is_tried_elsewhere_and_stopped():
    sight = Sight(lost=frozenset({"pod-0"}))
    lost = recorded(job(), pod(), sight=sight)
    found = look(lost, pod(), sight=sight)
    assert lost.status.attempts[0].end == End("NodeLost", "node n0 is gone or silent")
    assert (found.next, found.delete) == (1, (pod(),))


def test_a_lost_pod_that_comes_back_is_over_before_the_next_is_placed():
    lost = recorded(job(), pod(), sight=Sight(lost=frozenset({"pod-0"})))
    found = look(lost, pod(running=True))
    assert (found.next, found.delete) == (None, (pod(running=True),))
    assert reason(found, "Placed") == (False, "Terminating")


def test_an_image_that_is_missing_is_not_waited_for():
    stuck = pod(stuck=End("ImagePullBackOff", "container runner: no such image"))
    before = recorded(job(), stuck)
    found = look(before, stuck)
    assert before.status.attempts[0].end == stuck.stuck
    assert (found.next, found.delete) == (None, (stuck,))
    assert look(before).next == 1


def test_a_pod_that_admission_changed_is_decided_anew():
    sight = Sight(spoiled=(("pod-0", "its requests grew"),))
    found = look(job(), pod(), sight=sight)
    assert found.status.attempts[0].end == End("ChangedByAdmission", "its requests grew")
    assert found.delete == (pod(),)


def test_a_pod_that_nobody_binds_is_decided_anew():
    unbound = pod(node="")
    assert look(job(), unbound).look_us == NOW_US + round(UNSCHEDULED_S * SECOND_US)
    found = look(job(), unbound, after_s=UNSCHEDULED_S)
    assert found.delete == (unbound,)
    assert found.status.attempts[0].end is not None
    assert found.status.attempts[0].end.reason == "Unscheduled"


def test_the_backoff_limit_is_how_often_it_may_fail():
    one = pod(0, end=End("OOMKilled"))
    once = recorded(job(backoffLimit=1), one)
    assert look(once, one).next == 1
    found = look(once, one, pod(1, end=End("Error", "container runner ended with exit code 3")))
    assert (found.next, found.status.phase) == (None, "Failed")
    assert reason(found, "Failed") == (True, "BackoffLimitExceeded")
    condition = found.status.condition("Failed")
    assert condition is not None
    assert "on n1: Error: container runner ended with exit code 3" in condition.message


def test_a_spec_that_cannot_be_read_fails_the_job():
    found = look(job(samples=0))
    assert found.next is None
    assert reason(found, "Failed") == (True, "InvalidSpec")
    assert "spec.input.samples is '0'" in found.status.conditions[0].message


# ends and finalizers -------------------------------------------------------------------------------------------------
def test_an_end_that_is_recorded_is_never_changed():
    lost = recorded(job(), pod(), sight=Sight(lost=frozenset({"pod-0"})))
    found = look(lost, pod(end=COMPLETED))
    assert found.status.attempts == lost.status.attempts
    assert found.status.phase == "Pending"


def test_the_end_of_a_job_that_is_recorded_is_never_changed():
    failed = recorded(job(backoffLimit=0), pod(end=End("Error")))
    found = look(failed, pod(end=COMPLETED))
    assert found.status == failed.status


def test_a_finalizer_is_taken_off_when_the_end_is_recorded_and_not_before():
    over = pod(end=COMPLETED)
    assert look(job(), over).release == ()
    assert look(recorded(job(), over), over).release == (over,)


def test_a_pod_without_our_finalizer_is_not_released():
    over = pod(end=COMPLETED, held=False)
    assert look(recorded(job(), over), over).release == ()


def test_a_second_pod_of_an_attempt_that_is_over_goes_and_leaves_no_trace():
    done = recorded(job(), pod(end=End("OOMKilled")))
    stray = pod(uid="late", running=True)
    found = look(done, stray)
    assert (found.delete, found.release, found.next) == ((stray,), (stray,), None)
    assert found.status.attempts == done.status.attempts


def test_a_pod_of_an_attempt_that_nobody_knows_goes_where_the_job_has_ended():
    done = recorded(job(), pod(end=COMPLETED))
    stray = pod(1)
    found = look(done, stray)
    assert (found.delete, found.release) == ((stray,), (stray,))
    assert found.status == done.status


def test_what_runs_beside_an_attempt_that_has_completed_is_stopped():
    found = look(job(), pod(end=COMPLETED), pod(1, running=True))
    assert found.status.phase == "Succeeded"
    assert found.delete == (pod(1, running=True),)


def test_pods_of_a_job_that_is_gone_go_with_it():
    over, gone, orphan = pod(), pod(1, deleting=True), pod(2, job_uid="")
    assert abandon([over, gone, orphan]) == ((over,), (over, gone, orphan))


def test_a_job_that_is_being_deleted_has_no_next_attempt():
    assert look(replace(job(), deleting=True)).next is None


# suspended -----------------------------------------------------------------------------------------------------------
def test_a_suspended_job_is_not_placed():
    found = look(job(suspend=True))
    assert (found.next, found.status.phase) == (None, "Suspended")
    assert reason(found, "Suspended") == (True, "JobSuspended")


def test_suspending_a_job_stops_its_pod_which_is_no_failure():
    asked = job(suspend=True, backoffLimit=0)
    found = look(asked, pod(running=True))
    assert (found.delete, found.status.phase) == ((pod(running=True),), "Running")
    stopped = pod(deleting=True, end=End("Error"))
    found = look(asked, stopped)
    assert (found.status.phase, found.avoid) == ("Suspended", frozenset())
    assert found.status.attempts[0].end == End("Suspended", "the job was suspended")


def test_a_pod_that_completes_before_it_is_stopped_has_completed():
    found = look(job(suspend=True), pod(deleting=True, end=COMPLETED))
    assert found.status.phase == "Succeeded"


def test_a_job_that_is_resumed_waits_for_the_end_of_its_pod_which_is_no_failure():
    stopping = pod(deleting=True, running=True)
    halted = recorded(job(suspend=True, backoffLimit=0), stopping)
    resumed = replace(job(backoffLimit=0), status=halted.status)
    assert look(resumed, stopping).next is None
    stopped = replace(stopping, running=False, end=End("Deleted"))
    after = recorded(resumed, stopped)
    assert after.status.attempts[0].end == End("Suspended", "the job was suspended")
    found = look(after, stopped)
    assert (found.next, found.status.phase) == (1, "Pending")
    assert reason(found, "Suspended") == (False, "JobResumed")


def test_a_job_may_be_suspended_more_often_than_its_status_has_room_for():
    held = job(suspend=True)
    for index in range(MOST_ATTEMPTS + 3):
        held = recorded(held, pod(index, deleting=True, end=End("Deleted")))
    assert len(held.status.attempts) <= MOST_ATTEMPTS
    assert look(replace(job(), status=held.status)).next == MOST_ATTEMPTS + 3


# time ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("after", "met", "excess"),
    [("10s", True, ""), ("5s", True, ""), ("4s", False, "1.000s"), ("3.9995s", False, "1.000s")],
)
def test_a_deadline_is_met_or_missed_by_the_runners_own_clock(after, met, excess):
    found = look(job(deadline={"after": after}), pod(end=COMPLETED), after_s=60.0)
    assert reason(found, "DeadlineMet") == (met, "DeadlineMet" if met else "DeadlineExceeded")
    assert found.status.excess == excess


def test_a_job_that_fails_has_missed_its_deadline():
    found = look(job(deadline={"after": "1h"}, backoffLimit=0), pod(end=End("Error")))
    assert reason(found, "DeadlineMet") == (False, "BackoffLimitExceeded")


def test_best_effort_has_no_word_on_deadlines():
    found = look(job(), pod(end=COMPLETED))
    assert (found.status.deadline, found.status.condition("DeadlineMet")) == ("", None)


def test_a_relative_deadline_runs_at_the_scenarios_speed():
    assert deadline_us(job(deadline={"after": "60s"}), speed=20.0) == NOW_US + 3 * SECOND_US


def test_a_job_is_deleted_a_while_after_its_end_is_recorded():
    over = pod(end=COMPLETED)
    asked = job(ttlSecondsAfterFinished=60)
    assert look(asked, over).expires_us is None
    assert look(recorded(asked, over, after_s=7.0), over, after_s=9.0).expires_us == NOW_US + 67 * SECOND_US


def test_a_job_without_a_time_to_live_stays():
    over = pod(end=COMPLETED)
    assert look(recorded(job(), over), over).expires_us is None


def test_a_condition_keeps_the_time_of_its_last_change():
    first = recorded(job(), pod())
    later = recorded(first, pod(running=True), after_s=30.0)
    assert later.status.condition("Placed") == first.status.condition("Placed")


# whatever there is ---------------------------------------------------------------------------------------------------
ENDS = st.sampled_from(
    [None, COMPLETED, End("OOMKilled"), End("Deleted", "the pod was deleted"), End("Error", "exit code 1")]
)
PODS = st.builds(
    pod,
    st.integers(0, 3),
    uid=st.sampled_from(["pod-0", "pod-1", "pod-2", "pod-3", "late"]),
    node=st.sampled_from(["", "n0", "n1"]),
    running=st.booleans(),
    deleting=st.booleans(),
    held=st.booleans(),
    end=ENDS,
    stuck=st.sampled_from([None, End("ImagePullBackOff")]),
    decision=st.sampled_from([None, RECORD]),
)
SETS = st.lists(PODS, max_size=4, unique_by=lambda p: p.index)
SIGHTS = st.builds(
    Sight,
    waiting=st.sampled_from([("", ""), ("NoRuntime", "no runtime runs it")]),
    lost=st.frozensets(st.sampled_from(["pod-0", "pod-1", "late"])),
    spoiled=st.sampled_from([(), (("pod-1", "grown"),)]),
)
JOBS = st.builds(
    lambda deleting, **spec: replace(job(**spec), deleting=deleting),
    deleting=st.booleans(),
    samples=st.sampled_from([0, 500]),
    backoffLimit=st.integers(0, 2),
    suspend=st.booleans(),
    deadline=st.sampled_from([None, {"after": "3s"}]),
    ttlSecondsAfterFinished=st.sampled_from([None, 5]),
)


@given(JOBS, SETS, SETS, SIGHTS, st.floats(0, 60))
def test_what_is_recorded_is_found_again(of, before, pods, sight, after_s):
    of = recorded(of, *before)
    once = recorded(of, *pods, sight=sight, after_s=after_s)
    twice = recorded(once, *pods, sight=sight, after_s=after_s)
    assert recorded(twice, *pods, sight=sight, after_s=after_s + 100.0).status.ended == twice.status.ended
    assert recorded(twice, *pods, sight=sight, after_s=after_s).status == twice.status


@given(JOBS, SETS, SETS, SIGHTS)
def test_whatever_there_is_no_rule_is_broken(of, before, pods, sight):
    of = recorded(of, *before)
    found = look(of, *pods, sight=sight)
    ends = {a.index: a.end for a in of.status.attempts if a.end is not None}
    assert {a.index: a.end for a in found.status.attempts if a.index in ends} == ends
    assert all(p.uid in {a.uid for a in of.status.attempts if a.end} or p in found.delete or p.deleting or p.end
               for p in found.release)  # fmt: skip
    assert of.status.ended <= found.status.ended
    if found.next is not None:
        assert all(p.end is not None or p.uid in sight.lost for p in pods)
        assert {a.uid for a in found.status.attempts} <= {a.uid for a in of.status.attempts if a.end}
        assert found.next not in {a.index for a in found.status.attempts} | {p.index for p in pods}
