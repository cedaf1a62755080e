"""Waits for a Job's end and reads its log."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.explain.api import AskError, problem
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.profiling.jobs import CONTAINER

POLL_S = 2.0
STUCK = frozenset({"CreateContainerConfigError", "ErrImageNeverPull", "InvalidImageName"})
"""Reasons that do not pass by themselves."""
PULLING = frozenset({"ErrImagePull", "ImagePullBackOff"})
PULLING_S = 120.0
"""How long an image may be refused, as registries have bad minutes."""
JOBS, PODS = "/apis/batch/v1/namespaces/{}/jobs", "/api/v1/namespaces/{}/pods"
Sleep = Callable[[float], Awaitable[object]]


class Failed(Exception):
    """This class could not be measured; one line that says why."""


async def run_job(client: ApiClient, job: Json, *, sleep: Sleep = asyncio.sleep) -> str:
    """The log of a Job that is created now and gone at the end, however that comes. Failed says what went wrong."""
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    path = JOBS.format(quote(namespace, safe=""))
    try:
        try:
            await client.post(path, job)
            await _ended(client, namespace, name, sleep)
            return await _log(client, namespace, name)
        finally:
            await asyncio.shield(_delete(client, f"{path}/{name}"))
    except ApiError as error:
        if error.status == 0:
            raise AskError(problem(error)) from error
        raise Failed(problem(error)) from error


async def _ended(client: ApiClient, namespace: str, name: str, sleep: Sleep) -> None:
    refused_s = 0.0
    while True:
        job = await client.get(f"{JOBS.format(quote(namespace, safe=''))}/{name}")
        conditions = (job.get("status") or {}).get("conditions") or ()
        ended = {c["type"]: c for c in conditions if c.get("status") == "True"}
        if "Complete" in ended:
            return
        pod = await _pod(client, namespace, name)
        if "Failed" in ended:
            log = await _last_words(client, pod)
            condition = ended["Failed"]
            raise Failed(
                _death(pod) or log or condition.get("message") or condition.get("reason") or "it failed"
            )
        waiting = _waiting(pod)
        refused_s = refused_s + POLL_S if waiting.get("reason") in PULLING else 0.0
        if waiting.get("reason") in STUCK or refused_s > PULLING_S:
            raise Failed(f"{waiting['reason']}: {' '.join(str(waiting.get('message', '')).split())[:300]}")
        await sleep(POLL_S)


async def _log(client: ApiClient, namespace: str, name: str) -> str:
    pod = await _pod(client, namespace, name)
    if pod is None:
        raise Failed("its pod is gone, and its log with it")
    return await client.text(_log_path(pod), {"container": CONTAINER})


async def _last_words(client: ApiClient, pod: Json | None) -> str:
    """The last line that a failed run said."""
    if pod is None:
        return ""
    try:
        said = (await client.text(_log_path(pod), {"container": CONTAINER})).strip().splitlines()
    except ApiError:
        return ""
    return said[-1].removeprefix("synergai profile run: ")[:500] if said else ""


async def _pod(client: ApiClient, namespace: str, name: str) -> Json | None:
    selector = {"labelSelector": f"batch.kubernetes.io/job-name={name}"}
    found = (await client.get(PODS.format(quote(namespace, safe="")), selector)).get("items") or []
    return found[-1] if found else None


def _log_path(pod: Json) -> str:
    metadata = pod["metadata"]
    return f"{PODS.format(quote(metadata['namespace'], safe=''))}/{quote(metadata['name'], safe='')}/log"


def _state(pod: Json | None) -> Json:
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    return next((s.get("state") or {} for s in statuses if s.get("name") == CONTAINER), {})


def _waiting(pod: Json | None) -> Json:
    return _state(pod).get("waiting") or {}


def _death(pod: Json | None) -> str:
    """What the log does not say: the kubelet refused the pod, or memory ran out."""
    status = (pod or {}).get("status") or {}
    ended = _state(pod).get("terminated") or {}
    if ended.get("reason") == "OOMKilled":
        return "OOMKilled: it needs more memory than its limit"
    if not ended and status.get("reason"):
        return f"{status['reason']}: {' '.join(str(status.get('message', '')).split())[:300]}"
    return ""


async def _delete(client: ApiClient, path: str) -> None:
    """Where it fails, the Job goes by itself some time after its end."""
    with suppress(ApiError):
        await client.request("DELETE", path, params={"propagationPolicy": "Background"})
