"""The requests by which the bridge acts on jobs, runtimes and their pods, each under a key: `KIND UID`."""

from collections.abc import Iterable, Iterator

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.inference.attempts import AttemptPod
from synergai.k8s_bridge.inference.job import (
    Condition,
    InferenceJob,
    JobStatus,
    condition_body,
    job_path,
    status_body,
)
from synergai.k8s_bridge.inference.runtime import Runtime
from synergai.k8s_bridge.inference.writer import Write

Keyed = tuple[str, Write]
STATUS, DELETE, RELEASE, EXPIRE, RUNTIME = "status", "delete", "release", "expire", "runtime"
JSON, STRATEGIC = "application/json", "application/strategic-merge-patch+json"


def delete_key(pod_uid: str) -> str:
    return f"{DELETE} {pod_uid}"


def release_key(pod_uid: str) -> str:
    return f"{RELEASE} {pod_uid}"


def expire_key(job_uid: str) -> str:
    return f"{EXPIRE} {job_uid}"


def deletes(pods: Iterable[AttemptPod]) -> Iterator[Keyed]:
    """Stop pods, each as long as its template says that it may take."""
    for pod in pods:
        yield delete_key(pod.uid), Write("DELETE", pod.path, _exactly(pod.uid), JSON)


def releases(pods: Iterable[AttemptPod]) -> Iterator[Keyed]:
    """Take our finalizer off pods: through their status, which takes no right to change what runs."""
    for pod in pods:
        yield release_key(pod.uid), Write("PATCH", f"{pod.path}/status", release(pod.uid), STRATEGIC)


def release(pod_uid: str) -> dict[str, object]:
    """Whatever else is changed meanwhile; a second time it does nothing."""
    return {"metadata": {"uid": pod_uid, "$deleteFromPrimitiveList/finalizers": [keys.FINALIZER_OUTCOME]}}


def record(job: InferenceJob, status: JobStatus) -> Keyed:
    """Write a job's status, unless it was written since: one who led before may not change what is recorded."""
    metadata = {"uid": job.uid, **({"resourceVersion": job.version} if job.version else {})}
    body = {"metadata": metadata, "status": status_body(status)}
    return f"{STATUS} {job.uid}", Write("PATCH", f"{job.path}/status", body)


def expire(namespace: str, name: str, uid: str) -> Keyed:
    """Delete a job that has ended, and its pods with it."""
    return expire_key(uid), Write("DELETE", job_path(namespace, name), _exactly(uid), JSON)


def tell_runtime(runtime: Runtime, conditions: Iterable[Condition]) -> Keyed:
    """Write a runtime's status."""
    status = {"observedGeneration": runtime.generation, "conditions": [condition_body(c) for c in conditions]}
    body = {"metadata": {"uid": runtime.uid}, "status": status}
    return f"{RUNTIME} {runtime.uid}", Write("PATCH", f"{runtime.path}/status", body)


def _exactly(uid: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": uid},
        "propagationPolicy": "Background",
    }
