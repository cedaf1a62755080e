"""What became of one InferenceJob and why, as a person reads it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.explain import phrases
from synergai.k8s_bridge.explain.api import Queue
from synergai.k8s_bridge.explain.pod import decided, in_queue, page, said
from synergai.k8s_bridge.explain.words import duration, span, when
from synergai.k8s_bridge.inference.attempts import attempt_name
from synergai.k8s_bridge.inference.job import Attempt, InferenceJob, JobSpec
from synergai.k8s_bridge.pods import Json, read_pod

Rows = Iterator[tuple[str, str]]
REMEDIES = {
    "OOMKilled": "give the configuration more memory in its runtime (`resources.memory`)",
    "Evicted": "the node ran short of what nobody had requested: raise the requests in the runtime's configuration",
    "ImagePullBackOff": "see that the runtime's image exists and the node may pull it",
    "ErrImageNeverPull": "see that the runtime's image is on the node, or let it be pulled",
    "InvalidImageName": "correct the image in the runtime's template",
    "CreateContainerConfigError": "see that the ConfigMaps and Secrets of the runtime's template exist here",
    "ChangedByAdmission": "a webhook or a LimitRange changes the pods of this namespace: exempt them, or ask for what "
    "it gives in the runtime",
    "Unscheduled": "kube-scheduler found no room where there was some: `kubectl describe` the pod's node",
    "DeadlineExceeded": "allow faster hardware, or submit it earlier",
    "InvalidSpec": "a spec cannot be changed: cancel it and submit what is right",
}
"""What may be done about an end or a condition."""


@dataclass(frozen=True, slots=True)
class Known:
    """What there is beside the job; whatever may not be read is missing."""

    pods: Mapping[int, Json | None]
    """Of each attempt."""
    events: Sequence[Json]
    queue: Queue | None
    problem: str
    """Why there is no queue."""


def job_text(job: InferenceJob, known: Known, now_us: int) -> str:
    """A page: wish, attempts, conditions, queue, events, and what may be done."""
    rows = [*_wish(job, now_us)]
    for attempt in job.status.attempts:
        rows += _attempt(job, attempt, known.pods.get(attempt.index), now_us)
    rows += _conditions(job, now_us)
    if phrases.waits(job):
        rows += _waiting(job, known, now_us)
    rows += said(known.events, now_us)
    rows += _remedies(job, known)
    return page(f"{job.key} is {_state(job)}, created {span(job.created_us - now_us)}", rows)


def _state(job: InferenceJob) -> str:
    if not phrases.seen(job):
        return "not seen by any bridge yet"
    words = phrases.outcome(job)
    return phrases.phase(job) + (f", {words}" if words not in ("", "failed") else "")


def _wish(job: InferenceJob, now_us: int) -> Rows:
    spec = job.spec
    if spec is None:
        yield "asks for", f"what cannot be used: {job.problem}"
        return
    at_us = phrases.deadline_us(job)
    by = f", deadline {when(at_us, now_us)}" if at_us is not None else ", at no particular time"
    yield "asks for", f"{spec.model}, {spec.samples} samples{by}"
    yield "only on", ", ".join(_limits(spec))
    data = [
        f"input {spec.input_uri}" if spec.input_uri else "",
        f"output {spec.output_uri}" if spec.output_uri else "",
    ]
    yield "data", ", ".join(part for part in data if part)
    extras = [
        f"priority class {spec.priority_class}" if spec.priority_class else "",
        f"from site {spec.site}" if spec.site else "",
        f"{spec.backoff_limit} failures allowed",
        f"deleted {duration(spec.ttl_s * 1_000_000)} after its end" if spec.ttl_s is not None else "",
    ]
    yield "besides", ", ".join(part for part in extras if part)


def _limits(spec: JobSpec) -> list[str]:
    """What narrows down where it may run."""
    found = [f"hardware {' or '.join(sorted(spec.hardware))}"] if spec.hardware else []
    found += [f"nodes with {label}={value}" for label, value in spec.selector]
    return found + ([f"{spec.runtime.kind} {spec.runtime.name}"] if spec.runtime else [])


def _attempt(job: InferenceJob, attempt: Attempt, raw: Json | None, now_us: int) -> Rows:
    by = f", decided by {attempt.decided_by}" if attempt.decided_by else ""
    yield f"attempt {attempt.index}", f"{phrases.place(attempt) or 'on no node yet'}{by}; pod {attempt.pod}"
    record = read_decision(read_pod(raw).annotations) if raw is not None else None
    if raw is not None and record is not None:
        yield from decided(record, read_pod(raw), now_us)
    else:
        finish_us = phrases.time_us(attempt.predicted_finish)
        yield "predicted", f"to end {when(finish_us, now_us)}" if finish_us is not None else ""
        gone = "its pod is gone, or may not be read"
        yield "why", gone if raw is None else f"annotation {keys.ANNOTATION_DECISION} cannot be read"
    yield "end", _end(job, attempt, now_us)


def _end(job: InferenceJob, attempt: Attempt, now_us: int) -> str:
    """How it ended and what came of that."""
    end = attempt.end
    if end is None:
        return "" if job.status.ended else "not yet"
    at_us = phrases.time_us(end.finished_at)
    ran = f" after {end.run_ms / 1e3:.3f} s" if end.run_ms is not None else ""
    text = f"{end.reason}{ran}{f', {when(at_us, now_us)}' if at_us is not None else ''}"
    text += f": {end.message}" if end.message else ""
    if end.reason == "Completed":
        return text
    return f"{text}; then {_then(job, attempt)}"


def _then(job: InferenceJob, attempt: Attempt) -> str:
    if any(later.index > attempt.index for later in job.status.attempts):
        return f"attempt {attempt.index + 1}"
    if job.status.ended:
        return "the job was given up"
    return (
        "it was suspended" if job.spec is not None and job.spec.suspend else "it waits for the next attempt"
    )


def _conditions(job: InferenceJob, now_us: int) -> Rows:
    for n, condition in enumerate(job.status.conditions):
        since_us = phrases.time_us(condition.since)
        head = f"{condition.type} is {condition.status}: {condition.reason}"
        since = f" ({span(since_us - now_us)})" if since_us is not None else ""
        yield (
            "" if n else "status",
            f"{head}{f': {condition.message}' if condition.message else ''}{since}",
        )


def _waiting(job: InferenceJob, known: Known, now_us: int) -> Rows:
    """Under the name that the pod of its next attempt will have."""
    if known.queue is None:
        yield "queue", known.problem
        return
    index = job.status.attempts[-1].index + 1 if job.status.attempts else 0
    yield from in_queue(f"{job.namespace}/{attempt_name(job.name, job.uid, index)}", known.queue, now_us)


def _remedies(job: InferenceJob, known: Known) -> Rows:
    for n, text in enumerate(dict.fromkeys(_advice(job, known))):
        yield "" if n else "you could", text


def _advice(job: InferenceJob, known: Known) -> Iterator[str]:
    where = f"{job.name} -n {job.namespace}"
    causes = [a.end.reason for a in job.status.attempts if a.end is not None]
    causes += [c.reason for c in job.status.conditions if c.type in ("Failed", "DeadlineMet", "Placed")]
    for attempt in job.status.attempts:
        if (
            attempt.end is not None
            and attempt.end.reason in ("Error", "OOMKilled")
            and known.pods.get(attempt.index)
        ):
            yield f"read what the runner said: `kubectl logs {attempt.pod} -n {job.namespace}`"
    yield from (REMEDIES[cause] for cause in causes if cause in REMEDIES)
    if job.spec is not None and job.spec.suspend and not job.status.ended:
        patch = """--type merge -p '{"spec":{"suspend":false}}'"""
        yield f"let it go on: `kubectl patch inferencejob {where} {patch}`"
    if phrases.waits(job) and known.queue is None and not phrases.seen(job):
        yield "see that a bridge runs that serves this namespace: `synergai queue`"
    if phrases.waits(job) and job.spec is not None and _limits(job.spec):
        yield f"allow more than {', '.join(_limits(job.spec))}: submit it anew without"
    if not job.status.ended:
        yield f"give it up: `synergai cancel {where}`"
