"""From a runtime's template to a pod: for one attempt of a job, or to ask the API server whether it takes such pods."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.requests import Requests, pod_requests
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.inference.attempts import attempt_name
from synergai.k8s_bridge.inference.job import KIND, InferenceJob, JobSpec
from synergai.k8s_bridge.inference.runtime import Configuration, Runtime, Variant
from synergai.k8s_bridge.pods import Json, Pod, read_pod, unsupported
from synergai.offline_profiles.profile import Hardware, Profile

API_VERSION = f"{keys.PREFIX}/{keys.API_VERSION}"
PROBE = "synergai-check"
"""Always the same name, so that the server says the same about the same."""
EVICTED_AFTER_S = 10
"""How long a pod stays on a node that nobody hears of; Kubernetes' own 300 s is longer than any deadline here."""
_HEALTH_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_ENVIRONMENT = "SYNERGAI_"
_OURS = ("schedulerName", "nodeName", "priority", "restartPolicy")


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """One configuration of one runtime on one hardware class."""

    runtime: Runtime
    variant: Variant
    configuration: Configuration
    hardware: Hardware
    profile: Profile

    def resources(self) -> dict[str, str]:
        """What its container requests: as the configuration says, else the template, else the profile."""
        found = {"cpu": f"{self.profile.cpu_milli}m", "memory": f"{self.profile.memory_mib}Mi"}
        if self.hardware.resource and self.profile.device_units:
            found[self.hardware.resource] = str(self.profile.device_units)
        given = _container(self.variant).get("resources") or {}
        for asked in (given.get("limits"), given.get("requests"), dict(self.configuration.resources)):
            found |= asked or {}
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What the API server makes of a template in a namespace."""

    problem: str = ""
    """Why no pod can be made of it there; empty where one can."""
    spec: Json | None = None
    """As admission leaves it: with injected containers and defaults."""
    pod: Pod | None = None

    def same(self, other: "Checked") -> bool:
        """Whether it makes no difference which of the two is believed."""
        mine, theirs = (
            (c.pod.demand, c.pod.relations, c.pod.priority) if c.pod else None for c in (self, other)
        )
        return (self.problem, mine) == (other.problem, theirs)

    def requests(self, way: Way) -> Requests:
        """Of a whole pod that runs this way."""
        assert self.spec is not None, "a template that was refused is not used"
        return pod_requests(_sized(self.spec, way.variant.container, way.resources()))


def refusal(variant: Variant, delegated: bool = False) -> str:
    """What in a template we would not respect, whatever the API server says; empty where there is nothing. Whoever
    binds a `delegated` pod respects more."""
    spec = variant.template.get("spec") or {}
    found = [f"spec.{name} is the bridge's to set" for name in _OURS[:3] if spec.get(name) is not None]
    if spec.get("restartPolicy", "Never") != "Never":
        found.append("spec.restartPolicy must be Never: attempts are counted by the job")
    if spec.get("resources"):
        found.append("spec.resources, for the whole pod, is not supported: write them in the configuration")
    found += [f"{what} is not supported" for what in unsupported(spec, delegated)]
    try:
        pod = read_pod({"metadata": {"name": "-", "namespace": "-"}, "spec": spec})
        if pod.relations.any and not delegated:
            found.append("affinity to pods, spread and host ports are not supported")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        found.append(f"spec cannot be read: {error!r}")
    return "; ".join(f"template.{one}" for one in found)


def probe_pod(way: Way, namespace: str, priority_class: str) -> Json:
    """For a dry run: a pod as attempts have it, with their resources, but for what is decided."""
    ours = {keys.ANNOTATION_SCHEMA: keys.SCHEMA, keys.ANNOTATION_DECISION: "{}"}
    metadata = _metadata(way.variant, {}, ours) | {
        "name": PROBE,
        "namespace": namespace,
        "ownerReferences": [_owner("check", way.runtime.uid)],
        "finalizers": [keys.FINALIZER_OUTCOME],
    }
    spec = _spec(way.variant, priority_class)
    return _pod(metadata, _sized(spec, way.variant.container, way.resources()))


def attempt_pod(
    job: InferenceJob,
    index: int,
    way: Way,
    node: str,
    record: DecisionRecord,
    explanation: str,
    deadline_us: int | None,
) -> Json:
    """The pod of one attempt, on its node. `deadline_us` is server time."""
    spec = job.spec
    assert spec is not None, "a job that cannot be read is not placed"
    annotations = {
        keys.ANNOTATION_SCHEMA: keys.SCHEMA,
        keys.ANNOTATION_MODEL: spec.model,
        keys.ANNOTATION_SAMPLES: str(spec.samples),
        keys.ANNOTATION_ATTEMPT: str(index),
        keys.ANNOTATION_DECISION: record.to_json(),
        **job.simulated,
    }
    optional = {
        keys.ANNOTATION_DEADLINE: format_time_us(deadline_us) if deadline_us is not None else "",
        keys.ANNOTATION_ORIGIN_SITE: spec.site,
        keys.ANNOTATION_EXPLANATION: explanation,
    }
    annotations |= {name: value for name, value in optional.items() if value}
    metadata = _metadata(way.variant, {keys.LABEL_JOB: job.uid}, annotations) | {
        "name": attempt_name(job.name, job.uid, index),
        "namespace": job.namespace,
        "ownerReferences": [_owner(job.name, job.uid) | {"blockOwnerDeletion": False}],
        "finalizers": [keys.FINALIZER_OUTCOME],
    }
    body = _sized(_spec(way.variant, spec.priority_class), way.variant.container, way.resources())
    body = _told(body, way.variant.container, _environment(job, index, way, annotations))
    selector = {**(body.get("nodeSelector") or {}), **dict(spec.selector)}
    return _pod(metadata, body | ({"nodeSelector": selector} if selector else {}) | {"nodeName": node})


def _owner(name: str, uid: str) -> Json:
    return {"apiVersion": API_VERSION, "kind": KIND, "name": name, "uid": uid, "controller": True}


def _pod(metadata: Json, spec: Json) -> Json:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _metadata(variant: Variant, labels: Mapping[str, str], annotations: Mapping[str, str]) -> Json:
    """The template's labels and annotations, without any of ours, and these."""
    given = variant.template.get("metadata") or {}
    merged = {
        "labels": _foreign(given.get("labels")) | dict(labels),
        "annotations": _foreign(given.get("annotations")) | dict(annotations),
    }
    return {name: value for name, value in merged.items() if value}


def _foreign(named: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (named or {}).items() if not name.startswith(f"{keys.PREFIX}/")}


def _spec(variant: Variant, priority_class: str) -> Json:
    spec = dict(variant.template.get("spec") or {})
    spec["schedulerName"] = keys.SCHEDULER_NAME
    spec["restartPolicy"] = "Never"
    spec.setdefault("automountServiceAccountToken", False)
    if priority_class:
        spec["priorityClassName"] = priority_class
    given: list[Json] = spec.get("tolerations") or []
    spec["tolerations"] = [*given, *_tolerations(given)]
    return spec


def _tolerations(given: list[Json]) -> list[Json]:
    """What every attempt tolerates, unless its template says something about it."""
    named = {one.get("key") for one in given}
    found = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": EVICTED_AFTER_S}
        for key in _HEALTH_TAINTS
    ]
    found.append({"key": keys.TAINT_DEDICATED, "operator": "Exists", "effect": "NoSchedule"})
    return [one for one in found if one["key"] not in named]


def _container(variant: Variant) -> Json:
    containers = (variant.template.get("spec") or {}).get("containers") or ()
    return next((c for c in containers if c.get("name") == variant.container), {})


def _sized(spec: Json, name: str, wanted: Mapping[str, str]) -> Json:
    """With other requests of one container; limits that are there follow, and a device's has to be there."""

    def size(container: Json) -> Json:
        limits = (container.get("resources") or {}).get("limits") or {}
        kept = {r: wanted.get(r, q) for r, q in limits.items()}
        devices = {r: q for r, q in wanted.items() if "/" in r}
        resources = {"requests": dict(wanted), **({"limits": kept | devices} if kept or devices else {})}
        return {**container, "resources": {**(container.get("resources") or {}), **resources}}

    return _with_container(spec, name, size)


def _told(spec: Json, name: str, environment: Mapping[str, str]) -> Json:
    """With more environment in one container; ours wins."""

    def tell(container: Json) -> Json:
        own = [one for one in container.get("env") or () if one.get("name") not in environment]
        return {**container, "env": [*own, *({"name": n, "value": v} for n, v in environment.items())]}

    return _with_container(spec, name, tell)


def _with_container(spec: Json, name: str, change: Callable[[Json], Json]) -> Json:
    containers = [change(c) if c.get("name") == name else c for c in spec.get("containers") or ()]
    return {**spec, "containers": containers}


def _environment(job: InferenceJob, index: int, way: Way, annotations: Mapping[str, str]) -> dict[str, str]:
    spec: JobSpec | None = job.spec
    assert spec is not None, "a job that cannot be read is not placed"
    values = {
        "JOB": job.key,
        "ATTEMPT": str(index),
        "MODEL": spec.model,
        "SAMPLES": str(spec.samples),
        "DEADLINE": annotations.get(keys.ANNOTATION_DEADLINE, ""),
        "HARDWARE": way.hardware.name,
        "CONFIGURATION": way.configuration.name,
        "INPUT_URI": spec.input_uri,
        "OUTPUT_URI": spec.output_uri,
    }
    parameters = {f"PARAMETER_{_variable(name)}": value for name, value in way.configuration.parameters}
    return {f"{_ENVIRONMENT}{name}": value for name, value in (values | parameters).items() if value}


def _variable(name: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper()
