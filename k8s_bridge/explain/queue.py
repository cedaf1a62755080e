"""The queue as a person reads it."""

from synergai.k8s_bridge.explain.api import Queue
from synergai.k8s_bridge.explain.words import clean, duration, span, table, when
from synergai.k8s_bridge.reports.lines import Line

HEAD = ("#", "POD", "MODEL", "DEADLINE", "SLACK", "STATE")

MEANING = {
    "heuristic": "the fallback rule decides",
    "shadow": "what is decided is not carried out",
    "paused": "nothing is decided",
}


def queue_text(queue: Queue, now_us: int) -> str:
    """A line of sums, then a line per pod."""
    total = sum(queue.totals.values())
    stages = ", ".join(f"{count} {clean(stage)}" for stage, count in queue.totals.items())
    waiting = f"{total} pod{' waits' if total == 1 else 's wait'}"
    head = f"{waiting}, as of {duration(max(now_us - queue.updated_us, 0))} ago" + (
        f": {stages}" if stages else ""
    )
    if queue.mode not in ("", "active"):
        head += f"\nmode {clean(queue.mode)}: {MEANING.get(queue.mode, 'not known to this command')}"
    if not queue.lines:
        return head
    rows = [HEAD, *(_row(n, line, now_us) for n, line in enumerate(queue.lines, 1))]
    more = total - len(queue.lines)
    return "\n".join([head, *table(rows), *([f"and {more} more"] if more > 0 else [])])


def _row(n: int, line: Line, now_us: int) -> tuple[str, ...]:
    deadline = when(line.deadline_us, now_us) if line.deadline_us is not None else "-"
    number = str(n) if line.stage == "queued" else "-"
    return (
        number,
        clean(line.pod),
        clean(line.model) or "-",
        deadline,
        slack(line, now_us),
        state(line, now_us),
    )


def slack(line: Line, now_us: int) -> str:
    """Until the latest start that is in time; below 0 the job is late whatever is done."""
    return "-" if line.latest_start_us is None else duration(line.latest_start_us - now_us)


def state(line: Line, now_us: int) -> str:
    """Held for what and until when, or why it is not in the queue."""
    if line.held_for and line.until_us is not None:
        over = line.until_us < now_us  # the bridge has decided since, and will tell
        return f"{'was ' if over else ''}held for {clean(line.held_for)} until {span(line.until_us - now_us)}"
    return clean(": ".join(part for part in (line.stage, line.why) if part))
