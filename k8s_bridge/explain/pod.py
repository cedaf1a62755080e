"""Why one pod is where it is, or why it waits, as a person reads it."""

from collections.abc import Iterator, Sequence

from synergai.agents.explanation import Choice, Explanation
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision, read_request
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.explain.api import AskError, Queue
from synergai.k8s_bridge.explain.queue import state
from synergai.k8s_bridge.explain.words import clean, duration, span, when
from synergai.k8s_bridge.pods import Json, Pod, read_pod
from synergai.k8s_bridge.reports.explanations import (
    against,
    closed_in_words,
    read_explanation,
    rule_in_words,
    what,
    who,
)

LATEST_EVENTS = 5


def is_bound(pod: Json) -> bool:
    return bool(pod["spec"].get("nodeName"))


def bound_text(raw: Json, now_us: int) -> str:
    """What was decided and why; AskError where the decision cannot be read."""
    pod = read_pod(raw)
    record = read_decision(pod.annotations)
    if record is None:
        broken = "cannot be read" if keys.ANNOTATION_DECISION in pod.annotations else "is missing"
        raise AskError(
            f"pod {pod.key} is on {pod.node}, but its annotation {keys.ANNOTATION_DECISION} {broken}: "
            "it was bound by another, or changed since"
        )
    rows = [("asks for", _wish(pod, now_us)), *decided(record, pod, now_us)]
    return page(f"{pod.key} is on {pod.node} ({pod.phase})", rows)


def decided(record: DecisionRecord, pod: Pod, now_us: int) -> Iterator[tuple[str, str]]:
    """What was decided for a pod, by whom and why."""
    explanation = read_explanation(pod.annotations)
    by = who(explanation) if explanation else record.decided_by
    yield "decided", f"{when(record.decided_us, now_us)} by {by}"
    device = f"{record.device_units} x {record.hardware}" if record.device_units else record.hardware
    booked = [part for part in (device, f"{record.cpu_milli} m cpu", f"{record.memory_mib} MiB") if part]
    yield "booked", f"{', '.join(booked)}{f', as {record.configuration}' if record.configuration else ''}"
    if record.finish_us is not None:
        deadline_us = explanation.deadline_us if explanation else None
        spare = f", {against(record.finish_us, deadline_us)}" if deadline_us is not None else ""
        yield "predicted", f"to end {when(record.finish_us, now_us)}{spare}"
    if explanation:
        yield from _reasons(explanation, record.decided_us)
    elif keys.ANNOTATION_EXPLANATION in pod.annotations:
        yield "why", f"annotation {keys.ANNOTATION_EXPLANATION} cannot be read"
    elif not record.configuration:
        yield "why", "no profile tells how long it runs, so its own requests decided"
    else:
        yield "why", "no explanation was written"


def _reasons(explanation: Explanation, decided_us: int) -> Iterator[tuple[str, str]]:
    for n, choice in enumerate(explanation.choices):
        yield "" if n else "options", _option(choice, decided_us)
    yield "rule", rule_in_words(explanation)
    if explanation.closed:
        yield "closed", closed_in_words(explanation)
    if explanation.held:
        yield "held", f"{explanation.held} other pods were on hold"


def _option(choice: Choice, decided_us: int) -> str:
    chance = "" if choice.chance is None else f"p {choice.chance:.3f}  "
    after = (
        "" if choice.finish_us is None else f", to end {(choice.finish_us - decided_us) / 1e6:.1f} s later"
    )
    return f"{chance}{what(choice)}{after}{'  <- taken' if choice.taken else ''}"


def pending_text(raw: Json, events: Sequence[Json], queue: Queue | None, now_us: int) -> str:
    """Why it waits, as far as is known; `queue` is None where no bridge tells."""
    pod = read_pod(raw)
    rows = [("asks for", _wish(pod, now_us))]
    if queue is not None:
        rows += list(in_queue(pod.key, queue, now_us))
    rows += said(events, now_us)
    return page(f"{pod.key} waits, {span(pod.created_us - now_us).replace(' ago', '')} so far", rows)


def in_queue(key: str, queue: Queue, now_us: int) -> Iterator[tuple[str, str]]:
    """Where a pod stands, and what it waits for; `key` is `namespace/name`."""
    found = next(((n, line) for n, line in enumerate(queue.lines, 1) if line.pod == key), None)
    total = queue.totals.get("queued", 0)
    if found is None:
        hidden = sum(queue.totals.values()) > len(queue.lines)
        yield (
            "queue",
            f"beyond the first {len(queue.lines)}" if hidden else "not seen by the bridge yet, or bound now",
        )
        return
    n, line = found
    if line.stage == "queued":
        yield "queue", f"number {n} of {total}"
    if line.latest_start_us is not None:
        late_us = now_us - line.latest_start_us
        spare = f"{duration(-late_us)} until it must start to be in time"
        yield (
            "slack",
            spare if late_us <= 0 else f"none: it should have started {span(-late_us)} to be in time",
        )
    if line.stage != "queued" or line.held_for:
        yield "state", state(line, now_us)


def said(events: Sequence[Json], now_us: int) -> list[tuple[str, str]]:
    """The latest events, newest first."""
    told = reversed(events[-LATEST_EVENTS:])
    return [("" if n else "events", _event(event, now_us)) for n, event in enumerate(told)]


def _wish(pod: Pod, now_us: int) -> str:
    request = read_request(pod.annotations)
    parts = [request.model or "", f"{request.samples} samples" if request.samples else ""]
    if request.deadline_at_us is not None:
        parts.append(f"deadline {when(request.deadline_at_us, now_us)}")
    elif request.deadline_after_us is not None:
        parts.append(f"deadline {pod.annotations[keys.ANNOTATION_DEADLINE]} from its creation")
    return "; ".join([", ".join(part for part in parts if part), *request.problems]).strip("; ")


def _event(event: Json, now_us: int) -> str:
    text = f"{event.get('reason', '')}: {event.get('message', '')}"
    try:
        at_us = parse_time_us(event.get("eventTime") or event.get("lastTimestamp") or "")
    except ValueError:
        return text
    return f"{text} ({span(at_us - now_us)})"


def page(head: str, rows: Sequence[tuple[str, str]]) -> str:
    """A line, and one for each row that has a text."""
    return "\n".join([clean(head), *(f"  {label:<10}{clean(text)}" for label, text in rows if text)])
