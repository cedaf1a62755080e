"""What to do about one InferenceJob, from what is known of it: a pure function, so that a restart changes nothing.

The pod is the record of an attempt. Its name comes from the job's uid and the attempt's number, so that there is one at
most; it keeps a finalizer until the job's status holds its end. Whatever is missing here was never created.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.clock import SECOND_US, format_time_us, parse_time_us
from synergai.k8s_bridge.inference.attempts import LONGEST_MESSAGE, AttemptPod
from synergai.k8s_bridge.inference.job import (
    MOST_ATTEMPTS,
    Attempt,
    Condition,
    End,
    InferenceJob,
    JobSpec,
    JobStatus,
)

UNSCHEDULED = "Unscheduled"
_OURS = frozenset({"Suspended", UNSCHEDULED})
"""Ends that are no failure: nothing has run."""
_UNAVOIDABLE = frozenset({"Suspended", "Deleted"})
"""Ends that say nothing against the device."""
UNSCHEDULED_S = 10.0
"""How long kube-scheduler has for a pod that is made for one node."""
NOMINATED_S = 60.0
"""How long, where it has stopped other pods for it: they end within 30 s unless they say otherwise."""
AVOIDED_S = 60.0
"""How long a device is avoided after that, where another is left: what is full now has room again."""
MOST_UNSCHEDULED = 8
"""Attempts on which nothing has run that are kept in a status: it has room for MOST_ATTEMPTS."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is known beside the objects themselves."""

    waiting: tuple[str, str] = ("", "")
    """Why it is not placed: reason and message; empty where it only waits its turn."""
    lost: frozenset[str] = frozenset()
    """Pods, by uid, whose node is gone or silent."""
    spoiled: tuple[tuple[str, str], ...] = ()
    """Pods, by uid, that are not what was decided, and why."""
    speed: float = 1.0
    """Scenario seconds per second."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do; all of it may be done twice."""

    status: JobStatus
    """As it should be."""
    next: int | None = None
    """The attempt to be placed: only when all before it are recorded as ended, and their pods are over or lost."""
    avoid: frozenset[tuple[str, str]] = frozenset()
    """Devices, as (node, hardware), that an attempt failed on."""
    delete: tuple[AttemptPod, ...] = ()
    release: tuple[AttemptPod, ...] = ()
    """Whose finalizer goes."""
    expires_us: int | None = None
    """Server time at which the job itself is to be deleted."""
    look_us: int | None = None
    """Server time at which to plan anew, whatever happens until then."""


@dataclass(slots=True)
class _Seen:
    """Attempts, and what is to be done about their pods."""

    attempts: dict[int, Attempt]
    recorded: frozenset[str]
    """Pods, by uid, whose end the job's status holds."""
    halted: bool
    """Suspended, or resumed while a pod that goes for that is not over yet."""
    doomed: set[str] = field(default_factory=set)
    """Pods, by uid, that are to be stopped."""
    strays: set[str] = field(default_factory=set)
    """Pods, by uid, of requests that arrived after their attempt or their job was over: nothing of them is recorded."""
    look_us: int | None = None


def plan(job: InferenceJob, pods: Iterable[AttemptPod], sight: Sight, now_us: int) -> Plan:
    """For a job that is there; `abandon` is for one that is not."""
    pods = sorted(pods, key=lambda pod: pod.index)
    recorded = frozenset(a.uid for a in job.status.attempts if a.end is not None)
    seen = _Seen({a.index: a for a in job.status.attempts}, recorded, _halted(job, pods, recorded))
    for pod in pods:
        _take(seen, job, pod, sight, now_us)
    there = {pod.name for pod in pods}
    for index, attempt in seen.attempts.items():
        if attempt.end is None and attempt.pod not in there:
            seen.attempts[index] = replace(attempt, end=End("Deleted", "the pod is gone"))
    attempts = _kept([seen.attempts[index] for index in sorted(seen.attempts)], there)
    avoid, until_us = _avoid(attempts, now_us)
    busy = [pod for pod in pods if pod.end is None and pod.uid not in sight.lost]
    status = _status(job, attempts, seen.halted, pods, busy, sight, now_us)
    wanted = not (status.ended or seen.halted or job.deleting or busy)
    settled = all(a.end is not None and a.uid in recorded for a in attempts)
    return Plan(
        status=status,
        next=max(seen.attempts, default=-1) + 1 if wanted and settled else None,
        avoid=avoid,
        delete=tuple(
            pod
            for pod in pods
            if pod.end is None and not pod.deleting and (status.ended or pod.uid in seen.doomed)
        ),
        release=tuple(pod for pod in pods if pod.held and pod.uid in recorded | seen.strays),
        expires_us=expires_us(job, now_us),
        look_us=min((us for us in (seen.look_us, until_us) if us is not None), default=None),
    )


def abandon(pods: Iterable[AttemptPod]) -> tuple[tuple[AttemptPod, ...], tuple[AttemptPod, ...]]:
    """Of a job that is gone: the pods to delete, and those whose finalizer goes; who has lost its owner runs on."""
    pods = tuple(pods)
    return tuple(p for p in pods if p.job_uid and not p.deleting), tuple(p for p in pods if p.held)


def _halted(job: InferenceJob, pods: list[AttemptPod], recorded: frozenset[str]) -> bool:
    """A pod that was stopped as its job was suspended is no failure, also where the job is resumed meanwhile."""
    if job.spec is None:
        return False
    before = job.status.condition("Suspended")
    stopping = any(pod.deleting and pod.uid not in recorded for pod in pods)
    return job.spec.suspend or (before is not None and before.status and stopping)


def _take(seen: _Seen, job: InferenceJob, pod: AttemptPod, sight: Sight, now_us: int) -> None:
    known = seen.attempts.get(pod.index)
    is_same = known is not None and known.uid == pod.uid
    if not is_same and (job.status.ended if known is None else known.end is not None):
        seen.strays.add(pod.uid)
        seen.doomed.add(pod.uid)
        return
    if known is None or not is_same:
        known = _attempt(pod)
    end = known.end or _end_of(pod, sight, now_us)
    if end is None and not pod.node and not seen.halted:
        seen.look_us = _late_us(pod)
    if known.end is None and end is not None and seen.halted and pod.deleting and end.reason != "Completed":
        end = End("Suspended", "the job was suspended")
    if end is not None or seen.halted:
        seen.doomed.add(pod.uid)
    seen.attempts[pod.index] = replace(known, end=end, node=pod.aim or known.node)


def _attempt(pod: AttemptPod) -> Attempt:
    record = pod.decision or DecisionRecord("", "", "", 0, 0, 0, "")
    finish = format_time_us(record.finish_us) if record.finish_us is not None else ""
    return Attempt(
        pod.index,
        pod.name,
        pod.uid,
        pod.aim,
        record.hardware,
        record.configuration,
        record.decided_by,
        finish,
    )


def _late_us(pod: AttemptPod) -> int:
    """When it should be bound."""
    return pod.created_us + round((NOMINATED_S if pod.nominated else UNSCHEDULED_S) * SECOND_US)


def _unscheduled(pod: AttemptPod) -> End:
    why = f"its scheduler did not bind it to {pod.aim or 'a node'} in time"
    why = f"{why}: {pod.unscheduled}" if pod.unscheduled else why
    return End(UNSCHEDULED, why[:LONGEST_MESSAGE], format_time_us(_late_us(pod)))


def _end_of(pod: AttemptPod, sight: Sight, now_us: int) -> End | None:
    if pod.end is not None:
        return pod.end
    spoiled = dict(sight.spoiled).get(pod.uid)
    if spoiled:
        return End("ChangedByAdmission", spoiled)
    if pod.uid in sight.lost:
        return End("NodeLost", f"node {pod.node} is gone or silent")
    if pod.stuck is not None:
        return pod.stuck
    if not pod.node and now_us >= _late_us(pod):
        return _unscheduled(pod)  # also where we delete it for that already
    if pod.deleting and not pod.node:
        return End("Deleted", "the pod was deleted before it was bound")
    return None


def _kept(attempts: list[Attempt], pods: set[str]) -> tuple[Attempt, ...]:
    """Without the oldest of those on which nothing has run, of which there may be any number."""
    idle = [a.index for a in attempts if a.end is not None and a.end.reason in _OURS and a.pod not in pods]
    most = min(MOST_UNSCHEDULED, MOST_ATTEMPTS - len(attempts) + len(idle))
    dropped = idle[: max(len(idle) - most, 0)]
    return tuple(a for a in attempts if a.index not in dropped)


def _avoid(attempts: tuple[Attempt, ...], now_us: int) -> tuple[frozenset[tuple[str, str]], int | None]:
    """Devices, and the server time at which there are fewer."""
    ended = [(a, a.end) for a in attempts if a.end is not None and a.node and a.hardware]
    until = [(a, _until_us(end, now_us)) for a, end in ended if end.reason not in _UNAVOIDABLE]
    avoided = [(a, until_us) for a, until_us in until if until_us is None or until_us > now_us]
    devices = frozenset((a.node, a.hardware) for a, _ in avoided)
    return devices, min((until_us for _, until_us in avoided if until_us is not None), default=None)


def _until_us(end: End, now_us: int) -> int | None:
    """Until when an end is held against its device; None: for good."""
    if end.reason != UNSCHEDULED:
        return None
    return _time_us(end.finished_at, now_us) + round(AVOIDED_S * SECOND_US)


def _status(
    job: InferenceJob,
    attempts: tuple[Attempt, ...],
    halted: bool,
    pods: list[AttemptPod],
    busy: list[AttemptPod],
    sight: Sight,
    now_us: int,
) -> JobStatus:
    before, spec = job.status, job.spec
    last = attempts[-1] if attempts else None
    if before.ended:  # that is final; what ends later is noted
        return replace(before, attempts=attempts)
    draft = replace(
        before,
        observed=job.generation,
        attempts=attempts,
        deadline=format_time_us(at_us) if (at_us := deadline_us(job, sight.speed)) is not None else "",
        node=last.node if last else "",
        configuration=last.configuration if last else "",
    )
    if spec is None:
        return _failed(draft, "InvalidSpec", job.problem, now_us)
    done = next((a for a in attempts if a.end is not None and a.end.reason == "Completed"), None)
    failures = [a for a in attempts if a.end is not None and a.end.reason not in _OURS]
    if done is not None and done.end is not None:
        return _complete(draft, done.end, now_us)
    if len(failures) > spec.backoff_limit:
        return _failed(draft, "BackoffLimitExceeded", _last_words(failures, spec), now_us)
    if last is not None and last.end is None:
        running = any(pod.running and pod.uid == last.uid for pod in pods)
        placed = Condition("Placed", True, "PodCreated")
        return replace(_underway(draft, halted, placed, now_us), phase="Running" if running else "Pending")
    placed = _unplaced(draft, busy, sight)
    return replace(_underway(draft, halted, placed, now_us), phase="Suspended" if halted else "Pending")


def _unplaced(draft: JobStatus, busy: list[AttemptPod], sight: Sight) -> Condition | None:
    """None while there is nothing to say: it waits its turn, and never was placed."""
    if busy:
        return Condition("Placed", False, "Terminating", f"pod {busy[0].name} is not over yet")
    if sight.waiting[0]:
        return Condition("Placed", False, *sight.waiting)
    return Condition("Placed", False, "Queued") if draft.condition("Placed") else None


def _last_words(failures: list[Attempt], spec: JobSpec) -> str:
    last = failures[-1]
    assert last.end is not None, "a failure is an end"
    why = f"{last.end.reason}: {last.end.message}" if last.end.message else last.end.reason
    count = f"{len(failures)} attempts failed, spec.backoffLimit is {spec.backoff_limit}"
    return f"{count}; the last, on {last.node or 'no node'}: {why}"


def _underway(draft: JobStatus, halted: bool, placed: Condition | None, now_us: int) -> JobStatus:
    status = draft
    if halted or draft.condition("Suspended"):
        reason = "JobSuspended" if halted else "JobResumed"
        status = _with(status, Condition("Suspended", halted, reason), now_us)
    return status if placed is None else _with(status, placed, now_us)


def _complete(draft: JobStatus, end: End, now_us: int) -> JobStatus:
    status = _with(draft, Condition("Complete", True, "Completed"), now_us)
    if status.deadline:
        late_us = max(_time_us(end.finished_at, now_us) - _time_us(status.deadline, now_us), 0)
        excess = f"{late_us / SECOND_US:.3f}s" if late_us else ""
        reason = "DeadlineExceeded" if late_us else "DeadlineMet"
        status = _with(replace(status, excess=excess), Condition("DeadlineMet", not late_us, reason), now_us)
    return replace(status, phase="Succeeded")


def _failed(draft: JobStatus, reason: str, message: str, now_us: int) -> JobStatus:
    status = _with(draft, Condition("Failed", True, reason, message), now_us)
    if status.deadline:
        status = _with(status, Condition("DeadlineMet", False, reason), now_us)
    return replace(status, phase="Failed")


def _with(status: JobStatus, new: Condition, now_us: int) -> JobStatus:
    """The time of a condition is that of its last change of status."""
    old = status.condition(new.type)
    since = old.since if old is not None and old.status == new.status else _second(now_us)
    new = replace(new, since=since)
    kept = [new if c.type == new.type else c for c in status.conditions]
    return replace(status, conditions=tuple(kept if old is not None else [*kept, new]))


def _second(at_us: int) -> str:
    return format_time_us(at_us - at_us % SECOND_US).replace(".000000", "")


def deadline_us(job: InferenceJob, speed: float = 1.0) -> int | None:
    """Server time; None for best effort, or where the spec cannot be read."""
    if job.spec is None:
        return None
    if job.spec.deadline_after_us is not None:
        return job.created_us + round(job.spec.deadline_after_us / speed)
    return job.spec.deadline_at_us


def expires_us(job: InferenceJob, now_us: int) -> int | None:
    """By what is recorded: nothing is deleted whose end nobody could have read."""
    if job.spec is None or job.spec.ttl_s is None or not job.status.ended:
        return None
    ends = [c.since for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status]
    return _time_us(ends[0], now_us) + job.spec.ttl_s * SECOND_US


def _time_us(text: str, otherwise_us: int) -> int:
    try:
        return parse_time_us(text)
    except (ValueError, OverflowError):
        return otherwise_us
