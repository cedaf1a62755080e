"""Writes down what became of jobs, and acts on their pods: each thing once, as far as one bridge knows."""

import logging
from collections.abc import Callable, Iterable

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.inference import actions
from synergai.k8s_bridge.inference.held import Held
from synergai.k8s_bridge.inference.job import InferenceJob, JobStatus
from synergai.k8s_bridge.inference.writer import Writer
from synergai.k8s_bridge.pods import Owner
from synergai.k8s_bridge.reports.report import Report

log = logging.getLogger(__name__)

DELAY_S, FIRST_DELAY_S = 1.0, 5.0
"""What a status says of a job that goes on is written at most so often; and that nothing is to be said of one, later:
most have been placed by then."""


class Records:
    """Requests under keys, of which each is sent once; statuses, of which the newest is."""

    def __init__(self, writer: Writer, report: Report, acts: Callable[[], bool]) -> None:
        """While `acts` says no, nothing is written."""
        self.writer = writer
        self._report = report
        self._acts = acts
        self._sent: set[str] = set()

    def put(self, *writes: Iterable[actions.Keyed]) -> None:
        """Send each that was not sent yet."""
        if not self._acts():
            return
        for key, write in (keyed for group in writes for keyed in group):
            if key not in self._sent:
                self._sent.add(key)
                self.writer.put(key, write)

    def forget(self, *keys: str) -> None:
        """What they are about is gone, or they have to be sent again."""
        self._sent.difference_update(keys)

    def begin(self) -> None:
        """What another sent counts for nothing."""
        self._sent.clear()

    def write(self, held: Held, status: JobStatus) -> None:
        """Have the API server hold this status, unless it does or is about to."""
        recorded, job = held.job.status, held.job
        if held.written is None:
            done = status == recorded
        else:
            done = status == held.written and (held.upon == job.version or status == recorded)
        if done or not self._acts():
            return
        held.written, held.upon = status, job.version
        self.writer.put(*actions.record(job, status), _delay_s(status, recorded))
        if status.ended and not recorded.ended and not held.end_told:
            held.end_told = True
            self._tell_end(job, status)

    def refused(self, key: str, error: ApiError) -> None:
        """What the server did not take is sent again when somebody asks for it."""
        if error.status not in (404, 409):  # which the watch explains sooner or later
            log.warning("%s: %s", key, error)
            self._report.metrics.job_write_failures.labels(key.partition(" ")[0]).inc()
        self.forget(key)

    def _tell_end(self, job: InferenceJob, status: JobStatus) -> None:
        met = status.condition("DeadlineMet")
        end = next(c for c in status.conditions if c.type in ("Complete", "Failed") and c.status)
        self._report.job_ended(
            job.namespace,
            Owner(job.name, job.uid),
            end.type == "Complete",
            end.reason,
            end.message or _how(status),
            met.status if met else None,
        )


def _how(status: JobStatus) -> str:
    """Of a job that is complete."""
    last = status.attempts[-1]
    took = (
        f" in {last.end.run_ms / 1000:.1f} s" if last.end is not None and last.end.run_ms is not None else ""
    )
    late = (
        f", {status.excess} after its deadline" if status.excess else ", in time" if status.deadline else ""
    )
    return f"attempt {last.index} ran on {last.node} as {last.configuration}{took}{late}"


def _delay_s(status: JobStatus, recorded: JobStatus) -> float:
    if _milestones(status) != _milestones(recorded):
        return 0.0
    return DELAY_S if status.attempts or status.conditions else FIRST_DELAY_S


def _milestones(status: JobStatus) -> tuple[object, ...]:
    """What is written at once: the end of an attempt, for which its pod and the next one wait, and all that is asked
    about later."""
    suspended = status.condition("Suspended")
    ends = sum(attempt.end is not None for attempt in status.attempts)
    return status.ended, ends, suspended is not None and suspended.status
