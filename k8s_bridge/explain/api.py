"""What the two verbs read, with the rights of whoever asks; each problem is one line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import SECOND_US, parse_time_us
from synergai.k8s_bridge.inference.job import PLURAL, Attempt, job_path
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.reports.lines import Line, read_line

NO_JOBS = (
    f"this cluster does not know InferenceJobs: their definitions ({PLURAL}.{keys.PREFIX} and others) are not "
    "installed. An administrator does that with `kubectl apply -k k8s_bridge/manifests`; `synergai cluster` has them"
)
STALE_S = 60.0
"""The bridge writes three times as often."""


class AskError(Exception):
    """There is no answer; one line that says why."""


class UnknownJob(AskError):
    """There is no InferenceJob of that name."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What the bridge says waits, most urgent first."""

    updated_us: int
    """Server time."""
    totals: Mapping[str, int]
    """Pods by stage, also those that have no line."""
    lines: tuple[Line, ...]
    mode: str = ""
    """In which the bridge is; empty where it does not say."""


async def fetch_pod(client: ApiClient, namespace: str, name: str) -> Json:
    """A pod of ours; AskError if there is none, or it is another scheduler's."""
    try:
        pod = await client.get(f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}")
    except ApiError as error:
        if error.status == 404:
            raise AskError(f"there is no pod {name} in namespace {namespace}") from error
        raise AskError(problem(error)) from error
    scheduler = pod.get("spec", {}).get("schedulerName", "")
    if scheduler != keys.SCHEDULER_NAME:
        raise AskError(
            f"pod {namespace}/{name} is scheduled by {scheduler or 'nobody'}, not by {keys.SCHEDULER_NAME}"
        )
    return pod


async def fetch_job(client: ApiClient, namespace: str, name: str) -> Json:
    """UnknownJob where there is none."""
    try:
        return await client.get(job_path(quote(namespace, safe=""), quote(name, safe="")))
    except ApiError as error:
        if error.status == 404 and not unserved(error):
            raise UnknownJob(f"there is no InferenceJob {name} in namespace {namespace}") from error
        raise


async def fetch_attempt(client: ApiClient, namespace: str, attempt: Attempt) -> Json | None:
    """The pod of an attempt; None where it is gone, is another one, or may not be read."""
    try:
        pod = await client.get(
            f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(attempt.pod, safe='')}"
        )
    except ApiError as error:
        if error.status in (403, 404):
            return None
        raise
    return pod if attempt.uid in ("", pod["metadata"].get("uid")) else None


async def fetch_events(client: ApiClient, pod: Json) -> list[Json]:
    """What we said of the pod, oldest first; nothing where that may not be read."""
    metadata = pod["metadata"]
    selector = {"fieldSelector": f"involvedObject.uid={metadata.get('uid', '')}"}
    try:
        found = await client.get(f"/api/v1/namespaces/{metadata['namespace']}/events", selector)
    except ApiError:
        return []
    ours = [e for e in found.get("items", ()) if e.get("reportingComponent") == keys.SCHEDULER_NAME]
    return sorted(ours, key=lambda event: event.get("eventTime") or event.get("lastTimestamp") or "")


async def fetch_queue(client: ApiClient, namespace: str) -> Queue:
    """What the bridge wrote last; AskError if no bridge writes."""
    where = f"ConfigMap {namespace}/{keys.QUEUE_CONFIGMAP}"
    try:
        found = await client.get(
            f"/api/v1/namespaces/{quote(namespace, safe='')}/configmaps/{keys.QUEUE_CONFIGMAP}"
        )
    except ApiError as error:
        if error.status == 404:
            raise AskError(
                f"no bridge has written its queue: there is no {where}; start one, or name its --bridge-namespace"
            ) from error
        raise AskError(problem(error)) from error
    queue = read_queue(found, where)
    age_s = (client.now_us() - queue.updated_us) / SECOND_US
    if age_s > STALE_S:
        raise AskError(f"no bridge is running: {where} was written {age_s:.0f} s ago")
    return queue


def read_queue(configmap: Json, where: str) -> Queue:
    """AskError if it is damaged."""
    try:
        value = json.loads(configmap["data"]["queue"])
        return Queue(
            parse_time_us(value["updatedAt"]),
            {str(stage): int(count) for stage, count in value["totals"].items()},
            tuple(read_line(line) for line in value["pods"]),
            str(value.get("mode", "")),
        )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise AskError(
            f"{where} cannot be read: {type(error).__name__}; the bridge writes it anew soon"
        ) from error


def unserved(error: ApiError) -> bool:
    """Whether a 404 is about the kind, as no definition of it is installed, and not about an object."""
    return error.status == 404 and '" not found' not in error.message


def problem(error: ApiError) -> str:
    """An API error in one line."""
    if error.status == 403 and " cannot " in error.message:
        return f"no permission: {error.message}"
    if error.status in (400, 403, 409, 422):
        return f"refused: {error.message}"
    if error.status == 401:
        return f"the API server refused the credentials: {error.message}"
    if unserved(error):
        return NO_JOBS
    if error.status == 404:
        return error.message
    if error.status == 0:
        return f"no cluster: {error.message}; name another with --kubeconfig FILE"
    return f"the API server failed: {error}"
