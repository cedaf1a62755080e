"""How the commands put an InferenceJob's state into words. Times are the server's."""

from synergai.k8s_bridge.annotations import parse_duration_us
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.explain.words import clean, duration, when
from synergai.k8s_bridge.inference.job import Attempt, Condition, InferenceJob

_SHORT = 60
"""Characters of a message in a table."""


def time_us(text: str) -> int | None:
    """None for what is empty or no time."""
    try:
        return parse_time_us(text)
    except (ValueError, OverflowError):
        return None


def deadline_us(job: InferenceJob) -> int | None:
    """As the bridge says; before that by the spec."""
    told = time_us(job.status.deadline)
    if told is not None or job.spec is None:
        return told
    if job.spec.deadline_after_us is not None:
        return job.created_us + job.spec.deadline_after_us
    return job.spec.deadline_at_us


def ended_us(job: InferenceJob) -> int | None:
    """When its last attempt ended; where nobody knows, when that was noticed. None while it goes on."""
    if not job.status.ended:
        return None
    ends = [time_us(a.end.finished_at) for a in job.status.attempts if a.end is not None]
    if ends and ends[-1] is not None:
        return ends[-1]
    final = [c for c in job.status.conditions if c.type in ("Complete", "Failed") and c.status]
    return time_us(final[0].since)


def seen(job: InferenceJob) -> bool:
    """Whether a bridge has looked at it; where there is a default, a job is Pending before that."""
    return bool(job.status.observed or job.status.conditions or job.status.attempts)


def phase(job: InferenceJob) -> str:
    """`Running`; `Unseen` where no bridge has looked at it."""
    known = clean(job.status.phase) if seen(job) else "Unseen"
    return f"{known}, deleting" if job.deleting else known


def outcome(job: InferenceJob) -> str:
    """Of a job that has ended: `in time by 3.2 s`, `late by 1.3 s`, `failed`; empty without a deadline."""
    met, at_us, end_us = job.status.condition("DeadlineMet"), deadline_us(job), ended_us(job)
    failed = job.status.condition("Failed")
    if failed is not None and failed.status:
        return "failed"
    if met is None or at_us is None:
        return ""
    spare = f" by {duration(abs(at_us - end_us))}" if end_us is not None else ""
    if met.status:
        return f"in time{spare}"
    try:
        return f"late by {duration(parse_duration_us(job.status.excess))}"
    except ValueError:
        return f"late{spare}"


def deadline(job: InferenceJob, now_us: int) -> str:
    """`10:00:00.250 (in 3.2 s)`, and of a job that has ended how it went."""
    at_us = deadline_us(job)
    if at_us is None:
        return "-"
    text = when(at_us, now_us)
    return f"{text.partition(' (')[0]} ({outcome(job)})" if outcome(job) else text


def waits(job: InferenceJob) -> bool:
    """Whether it is to be placed and nothing runs for it."""
    suspended = job.spec is not None and job.spec.suspend
    is_open = any(attempt.end is None for attempt in job.status.attempts)
    return not (job.status.ended or job.deleting or suspended or is_open)


def news(job: InferenceJob) -> Condition | None:
    """The condition that changed last."""
    return max(reversed(job.status.conditions), key=lambda c: c.since, default=None)


def why(job: InferenceJob, most: int = _SHORT) -> str:
    """Why it is not running or failed: reason and message; empty where there is nothing to say."""
    if job.status.phase in ("Running", "Succeeded"):
        return ""
    if not seen(job):
        return job.problem or "no bridge has looked at it"
    failed, last = job.status.condition("Failed"), news(job)
    told = failed if failed is not None and failed.status else last
    if told is None or (told.type == "Placed" and told.status):
        return ""
    text = clean(f"{told.reason}: {told.message}" if told.message else told.reason)
    return text if len(text) <= most else text[: most - 1] + "…"


def where(job: InferenceJob) -> str:
    """`on orin-7 (jetson-agx-orin-maxn) as trt-int8-b8`; empty while nothing is decided."""
    last = job.status.attempts[-1] if job.status.attempts else None
    return place(last) if last is not None else ""


def place(attempt: Attempt) -> str:
    parts = [
        f"on {attempt.node}" if attempt.node else "",
        f"({attempt.hardware})" if attempt.hardware else "",
        f"as {attempt.configuration}" if attempt.configuration else "",
    ]
    return clean(" ".join(part for part in parts if part))


def how(attempt: Attempt) -> str:
    """`jetson-agx-orin-maxn/trt-int8-b8`."""
    return clean("/".join(part for part in (attempt.hardware, attempt.configuration) if part)) or "-"
