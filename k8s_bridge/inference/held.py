"""What is kept of one InferenceJob: as it is until it is over, then as little as its deletion takes."""

from dataclasses import dataclass, field
from typing import NamedTuple

from synergai.k8s_bridge.entries import Entry, Stage
from synergai.k8s_bridge.inference.job import InferenceJob, JobStatus
from synergai.k8s_bridge.inference.offers import Lack

SENT = (Stage.BINDING, Stage.BOUND)
"""Of an attempt whose pod is there, or may be."""
SETTLED = (*SENT, Stage.BACKOFF, Stage.DRY)
"""What is offered makes no difference to entries that stand there, or it is asked for anew when they leave."""


@dataclass(slots=True)
class Held:
    """One job that is not over yet."""

    job: InferenceJob
    entry: Entry | None = None
    """Its next attempt, as long as no pod shows it."""
    lack: Lack | None = None
    """Why it cannot even wait for a decision."""
    avoid: frozenset[tuple[str, str]] = frozenset()
    spoiled: dict[str, str] = field(default_factory=dict)
    """Pods by uid that are not what was decided, and why."""
    stale: bool = False
    """What it was offered may not hold any more."""
    written: JobStatus | None = None
    """What is being written and has no reply yet."""
    upon: str = ""
    """The version of the job that it is written upon."""
    end_told: bool = False
    """Whether its owner was told of its end."""
    told: tuple[str, str] = ("", "")
    """What its owner was told last."""
    waited: tuple[str, str] = ("", "")
    """Why it was not placed when it was looked at last."""

    def waiting(self) -> tuple[str, str]:
        """Why it is not placed, reason and message; empty where it only waits its turn."""
        if self.lack is not None:
            return self.lack.reason, self.lack.message
        entry = self.entry
        if entry is None:
            return "", ""
        if entry.stage is Stage.PARKED:
            return "FailedScheduling", entry.told.get("FailedScheduling", "")
        if "FailedCreate" in entry.told:
            return "FailedCreate", entry.told["FailedCreate"]
        if entry.stage is Stage.QUEUED and "Held" in entry.told:
            return "Held", f"it waits for {entry.told['Held']}"
        return "", ""

    def is_after(self, job: InferenceJob) -> bool:
        """Whether that is what the job was before."""
        old, new = job.version, self.job.version
        return new.isdecimal() and old.isdecimal() and int(old) < int(new)


class Over(NamedTuple):
    """A job of which all is recorded."""

    namespace: str
    name: str
    expires_us: int | None
    """Server time at which it is deleted; None: never."""
