"""A pod that is an attempt of an InferenceJob: what it is called, and what the API server says became of it."""

from dataclasses import dataclass, replace

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.clock import format_time_us, parse_time_us
from synergai.k8s_bridge.inference.job import End
from synergai.k8s_bridge.outcomes import SHORTEST_BY_POD_US, read_report, refusal
from synergai.k8s_bridge.pods import FINISHED_PHASES, Json, Pod, read_owner, read_pod

STUCK = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
    }
)
"""Why a container waits that will not start by waiting: https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/kubelet/images/types.go"""
_STOPPED = frozenset({128 + 9, 128 + 15})
"""Exit codes of what a kubelet stops, by SIGKILL and SIGTERM."""
LONGEST_MESSAGE = 512


@dataclass(frozen=True, slots=True)
class AttemptPod:
    """One of them."""

    index: int
    name: str
    namespace: str
    uid: str
    job_uid: str
    """Empty for one that was an attempt until somebody took its owner away."""
    created_us: int
    node: str = ""
    aim: str = ""
    """Where it is, or the node that it is made for."""
    nominated: bool = False
    """Whether its scheduler makes room for it there."""
    unscheduled: str = ""
    """Why its scheduler does not bind it, in that one's words."""
    running: bool = False
    deleting: bool = False
    held: bool = False
    """Whether it carries our finalizer."""
    decision: DecisionRecord | None = None
    end: End | None = None
    """Of a pod that is over."""
    stuck: End | None = None
    """Of one that will never start: as it ends when it is deleted for that."""

    def as_record(self) -> "AttemptPod":
        """What is needed of one whose job is over, as is all that is said of it: there may be tens of thousands."""
        if self.end is None or self.held:
            return self
        return replace(self, aim="", unscheduled="", decision=None, end=_ENDED, stuck=None)

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"


_ENDED = End("Ended")


def attempt_name(job_name: str, uid: str, index: int) -> str:
    """Of the pod of one attempt, by which the API server sees to it that there is one at most."""
    return f"{job_name[:45].rstrip('-.')}-{uid[:8]}-{index}"


def read_attempt(raw: Json, pod: Pod | None = None) -> AttemptPod | None:
    """None for a pod that is of no job. Which attempt it is its name says, which nobody can change. `pod`: the same,
    where it was read already."""
    metadata, status = raw["metadata"], raw.get("status") or {}
    held = keys.FINALIZER_OUTCOME in (metadata.get("finalizers") or ())
    if not held and read_owner(metadata) is None:
        return None
    pod = pod or read_pod(raw)
    number = pod.name.rpartition("-")[2]
    index = int(number) if number.isascii() and number.isdigit() else -1
    named = pod.owner is not None and pod.name == attempt_name(pod.owner.name, pod.owner.uid, index)
    if not (named or held):
        return None
    return AttemptPod(
        index=index,
        name=pod.name,
        namespace=pod.namespace,
        uid=pod.uid,
        job_uid=pod.owner.uid if pod.owner is not None and named else "",
        created_us=pod.created_us,
        node=pod.node,
        aim=pod.aim,
        nominated=bool(status.get("nominatedNodeName")),
        unscheduled=pod.unschedulable,
        running=pod.phase == "Running",
        deleting=pod.deleting,
        held=held,
        decision=read_decision(pod.annotations),
        end=_end(pod, status) if pod.phase in FINISHED_PHASES else None,
        stuck=_stuck(status),
    )


def _containers(status: Json) -> list[Json]:
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _stuck(status: Json) -> End | None:
    for container in _containers(status):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in STUCK:
            why = f"container {container.get('name', '')}: {waiting.get('message', '')}"
            return End(waiting["reason"], why[:LONGEST_MESSAGE])
    return None


def _end(pod: Pod, status: Json) -> End:
    report = read_report(pod)
    finished_at = format_time_us(report.finished_us) if report and report.finished_us else _last(status)
    run_ms = round(report.run_s * 1000) if report else None
    if run_ms is None and pod.ran_us is not None and pod.ran_us > SHORTEST_BY_POD_US:
        run_ms = pod.ran_us // 1000
    if pod.phase == "Succeeded":
        return End("Completed", "", finished_at, run_ms)
    reason, message = _failure(pod, status)
    return End(reason, message[:LONGEST_MESSAGE], finished_at)


def _failure(pod: Pod, status: Json) -> tuple[str, str]:
    if pod.reason:
        return pod.reason, status.get("message", "")
    for container in _containers(status):
        ended = (container.get("state") or {}).get("terminated") or {}
        code = ended.get("exitCode", 0)
        if code in _STOPPED and pod.deleting and ended.get("reason", "Error") == "Error":
            break
        if code:
            said = refusal(ended.get("message", "")).strip()
            why = f"container {container.get('name', '')} ended with exit code {code}"
            return ended.get("reason") or "Error", f"{why}: {said}" if said else why
    return ("Deleted", "the pod was deleted") if pod.deleting else ("Error", status.get("message", ""))


def _last(status: Json) -> str:
    """When the last container ended; of whole seconds."""
    ends = [(c.get("state") or {}).get("terminated") or {} for c in status.get("containerStatuses") or ()]
    times = []
    for end in ends:
        try:
            times.append(parse_time_us(end.get("finishedAt") or ""))
        except (ValueError, OverflowError):
            continue
    return format_time_us(max(times)) if times else ""
