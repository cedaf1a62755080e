"""An InferenceJob as the API server sends it: what is wanted, and what its status says became of it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import MAX_SAMPLES, parse_duration_us
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.inference.fields import NAME, Fields, SpecError
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.table import address

KIND = "InferenceJob"
PLURAL = "inferencejobs"
PATH = f"/apis/{keys.PREFIX}/{keys.API_VERSION}"
BACKOFF_LIMIT = 2
MOST_ATTEMPTS = 100
LONGEST_TTL_S = 10 * 366 * 86_400
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,126}", re.ASCII)
MODEL_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
HARDWARE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_SIMULATED = f"sim.{keys.PREFIX}/"
_AFTER = "a duration from creation such as 30s, 1.5m, 250ms or 2h"
_AT = "a time such as 2026-11-22T10:00:00.250000Z"


@dataclass(frozen=True, slots=True)
class RuntimeRef:
    """The one runtime that a job wants."""

    kind: str
    """`InferenceRuntime` or `ClusterInferenceRuntime`."""
    name: str


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What is wanted. It never changes, but for `suspend`."""

    model: str
    """Its address: the name, with `:version` unless that is 1."""
    samples: int
    input_uri: str = ""
    output_uri: str = ""
    deadline_after_us: int | None = None
    """Scenario time from creation."""
    deadline_at_us: int | None = None
    """Server time."""
    hardware: frozenset[str] | None = None
    site: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    """Labels of its node."""
    priority_class: str = ""
    runtime: RuntimeRef | None = None
    backoff_limit: int = BACKOFF_LIMIT
    """How many attempts may fail before the job does."""
    suspend: bool = False
    ttl_s: int | None = None
    """Seconds from its end until it is deleted; None: it stays."""


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended."""

    reason: str
    """`Completed`, or why it did not: `OOMKilled`, `Evicted`, `NodeLost`, `ImagePullBackOff`, `Deleted`, `Error`..."""
    message: str = ""
    finished_at: str = ""
    """Server time, by the runner's own clock where it said."""
    run_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One pod of a job."""

    index: int
    pod: str
    uid: str
    node: str = ""
    hardware: str = ""
    configuration: str = ""
    decided_by: str = ""
    predicted_finish: str = ""
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """As Kubernetes has them."""

    type: str
    status: bool
    reason: str
    message: str = ""
    since: str = ""
    """Server time of the last change of `status`."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What became of it. Times are RFC 3339."""

    phase: str = ""
    """`Pending`, `Suspended`, `Running`, `Succeeded` or `Failed`; empty: nobody has looked at it."""
    observed: int = 0
    """The generation that it is about."""
    deadline: str = ""
    excess: str = ""
    """By how much it missed its deadline, as a duration; of a job that has ended."""
    node: str = ""
    """Of the last attempt, as the next one."""
    configuration: str = ""
    conditions: tuple[Condition, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    def condition(self, kind: str) -> Condition | None:
        return next((c for c in self.conditions if c.type == kind), None)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, one way or the other."""
        return any(c.type in ("Complete", "Failed") and c.status for c in self.conditions)


@dataclass(frozen=True, slots=True)
class InferenceJob:
    """One request."""

    name: str
    namespace: str
    uid: str
    created_us: int
    """Server time, whole seconds."""
    version: str
    """resourceVersion."""
    generation: int
    deleting: bool
    spec: JobSpec | None
    """None where it cannot be used: `problem` says why."""
    problem: str
    status: JobStatus
    simulated: dict[str, str] = field(default_factory=dict)
    """Annotations of simulated worlds, which its pods get too."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        return job_path(self.namespace, self.name)


def job_path(namespace: str, name: str = "") -> str:
    """Of one job, or of all of a namespace."""
    return f"{PATH}/namespaces/{namespace}/{PLURAL}" + (f"/{name}" if name else "")


def read_job(raw: Json, before: InferenceJob | None = None) -> InferenceJob:
    """What we keep of a job; a spec that cannot be used is None, never an exception. `before`: the same job as it was
    known, whose spec is of its generation."""
    metadata = raw["metadata"]
    generation = int(metadata.get("generation") or 0)
    spec, problem = None, ""
    if before is not None and before.generation == generation > 0:
        spec, problem = before.spec, before.problem
    else:
        try:
            spec = read_spec(raw.get("spec"))
        except SpecError as error:
            problem = str(error)
    return InferenceJob(
        name=metadata["name"],
        namespace=metadata.get("namespace", "default"),
        uid=metadata.get("uid", ""),
        created_us=_time_us(metadata.get("creationTimestamp")),
        version=metadata.get("resourceVersion", ""),
        generation=generation,
        deleting="deletionTimestamp" in metadata,
        spec=spec,
        problem=problem,
        status=read_status(raw.get("status")),
        simulated={k: v for k, v in (metadata.get("annotations") or {}).items() if k.startswith(_SIMULATED)},
    )


def read_spec(raw: object) -> JobSpec:
    """SpecError names every field that cannot be used."""
    problems: list[str] = []
    given = Fields(raw, "spec", problems)
    model, data, deadline = given.inner("model"), given.inner("input"), given.inner("deadline")
    placement = given.inner("placement")
    name = model.text("name", "the model's name, such as resnet50", MODEL_NAME)
    version = model.text("version", 'its version in quotes, such as "1"', MODEL_VERSION, "1")
    if given.has("deadline") and deadline.has("after") == deadline.has("at"):
        problems.append("spec.deadline has both or none of `after` and `at`; write one of them")
    hardware = placement.texts("hardware", "hardware classes such as nvidia-t4", HARDWARE)
    spec = JobSpec(
        model=address(name, version),
        samples=data.whole("samples", 1, MAX_SAMPLES),
        input_uri=data.text("uri", "where the input is", default=""),
        output_uri=given.inner("output").text("uri", "where the output goes", default=""),
        deadline_after_us=deadline.parsed("after", parse_duration_us, _AFTER),
        deadline_at_us=deadline.parsed("at", parse_time_us, _AT),
        hardware=frozenset(hardware) or None,
        site=placement.text("originSite", f"a site as in the node label {keys.LABEL_SITE}", HARDWARE, ""),
        selector=placement.mapping("nodeSelector"),
        priority_class=given.text("priorityClassName", "the name of a PriorityClass", NAME, ""),
        runtime=_runtime(given.inner("runtimeRef")) if given.has("runtimeRef") else None,
        backoff_limit=given.whole("backoffLimit", 0, MOST_ATTEMPTS - 1, BACKOFF_LIMIT),
        suspend=given.flag("suspend"),
        ttl_s=given.whole("ttlSecondsAfterFinished", 0, LONGEST_TTL_S, -1),
    )
    if problems:
        raise SpecError("; ".join(problems))
    return replace(spec, ttl_s=None) if spec.ttl_s == -1 else spec


def _runtime(given: Fields) -> RuntimeRef:
    kinds = re.compile("(Cluster)?InferenceRuntime")
    kind = given.text("kind", "InferenceRuntime or ClusterInferenceRuntime", kinds, "InferenceRuntime")
    return RuntimeRef(kind, given.text("name", "the name of a runtime", NAME))


def _time_us(text: object) -> int:
    try:
        return parse_time_us(text) if isinstance(text, str) else 0
    except (ValueError, OverflowError):
        return 0


def read_status(raw: object) -> JobStatus:
    """Leniently: we alone write it, and an older or a newer bridge may have written it otherwise."""
    given = raw if isinstance(raw, dict) else {}
    return JobStatus(
        phase=str(given.get("phase") or ""),
        observed=int(given.get("observedGeneration") or 0),
        deadline=str(given.get("deadlineTime") or ""),
        excess=str(given.get("excess") or ""),
        node=str(given.get("node") or ""),
        configuration=str(given.get("configuration") or ""),
        conditions=tuple(read_condition(one) for one in _objects(given.get("conditions"))),
        attempts=tuple(
            sorted((_attempt(one) for one in _objects(given.get("attempts"))), key=lambda a: a.index)
        ),
    )


def _objects(value: object) -> Iterable[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def read_condition(raw: Json) -> Condition:
    return Condition(
        type=str(raw.get("type", "")),
        status=raw.get("status") == "True",
        reason=str(raw.get("reason", "")),
        message=str(raw.get("message", "")),
        since=str(raw.get("lastTransitionTime", "")),
    )


def _attempt(raw: Json) -> Attempt:
    pod, end = raw.get("podRef") or {}, raw.get("end")
    return Attempt(
        index=int(raw.get("index") or 0),
        pod=str(pod.get("name", "")),
        uid=str(pod.get("uid", "")),
        node=str(raw.get("node", "")),
        hardware=str(raw.get("hardware", "")),
        configuration=str(raw.get("configuration", "")),
        decided_by=str(raw.get("decidedBy", "")),
        predicted_finish=str(raw.get("predictedFinish", "")),
        end=_end(end) if isinstance(end, dict) else None,
    )


def _end(raw: Json) -> End:
    return End(
        reason=str(raw.get("reason", "")),
        message=str(raw.get("message", "")),
        finished_at=str(raw.get("finishedAt", "")),
        run_ms=raw.get("runMilliseconds"),
    )


def status_body(status: JobStatus) -> Json:
    """As it is written: every field, so that a merge patch leaves nothing of before."""
    return {
        "phase": status.phase,
        "observedGeneration": status.observed,
        "deadlineTime": status.deadline or None,
        "excess": status.excess or None,
        "node": status.node or None,
        "configuration": status.configuration or None,
        "conditions": [condition_body(c) for c in status.conditions],
        "attempts": [_attempt_body(a) for a in status.attempts],
    }


def condition_body(condition: Condition) -> Json:
    """As the API server has conditions."""
    return {
        "type": condition.type,
        "status": "True" if condition.status else "False",
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.since,
    }


def _attempt_body(attempt: Attempt) -> Json:
    texts = {
        "node": attempt.node,
        "hardware": attempt.hardware,
        "configuration": attempt.configuration,
        "decidedBy": attempt.decided_by,
        "predictedFinish": attempt.predicted_finish,
    }
    body: Json = {"index": attempt.index, "podRef": {"name": attempt.pod, "uid": attempt.uid}}
    body |= {name: value for name, value in texts.items() if value}
    if attempt.end is not None:
        end = {"reason": attempt.end.reason, "message": attempt.end.message}
        end |= {"finishedAt": attempt.end.finished_at} if attempt.end.finished_at else {}
        body["end"] = end | ({} if attempt.end.run_ms is None else {"runMilliseconds": attempt.end.run_ms})
    return body
