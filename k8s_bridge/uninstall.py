"""Takes what SynergAI holds off a cluster, with or without a bridge.

A pod of an InferenceJob keeps a finalizer until the bridge has written down how it ended; once there is no bridge it
would keep the pod, and with it a namespace that is being deleted, for ever.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import SECOND_US, parse_time_us
from synergai.k8s_bridge.explain.api import problem
from synergai.k8s_bridge.inference import job, runtime
from synergai.k8s_bridge.inference.actions import STRATEGIC, release
from synergai.k8s_bridge.pods import Json

PLURALS = {job.KIND: job.PLURAL, **runtime.PLURALS}
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PAGE = "500"
_AT_ONCE = 16


class UninstallError(Exception):
    """What could not be done; one line."""


async def refuse_while_one_runs(client: ApiClient, namespace: str) -> None:
    """UninstallError where a bridge holds its lease there: it would go on making pods with a finalizer."""
    try:
        path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{keys.SCHEDULER_NAME}"
        spec = (await client.get(path)).get("spec") or {}
    except ApiError as error:
        if error.status in (403, 404):  # nobody can tell, or there is none
            return
        raise UninstallError(problem(error)) from error
    holder = spec.get("holderIdentity")
    if holder and client.now_us() < _ends_us(spec):
        raise UninstallError(
            f"a bridge runs, {holder}: stop it first, such as with 'kubectl scale deployment synergai-bridge "
            f"--replicas 0 -n {namespace}', and try again"
        )


def _ends_us(lease: Json) -> int:
    try:
        return parse_time_us(lease["renewTime"]) + int(lease["leaseDurationSeconds"]) * SECOND_US
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0


async def release_pods(client: ApiClient) -> Counter[str]:
    """Take our finalizer off every pod that an InferenceJob made; how many were released, by namespace."""
    released: Counter[str] = Counter()
    try:
        async for pods in _held_pods(client):
            for start in range(0, len(pods), _AT_ONCE):
                chunk = pods[start : start + _AT_ONCE]
                done = await asyncio.gather(
                    *(release_pod(client, pod) for pod in chunk), return_exceptions=True
                )
                released.update(pod["namespace"] for pod, was in zip(chunk, done) if was is True)
                for failure in done:
                    if isinstance(failure, BaseException):
                        raise failure
    except ApiError as error:
        before = f" ({released_text(released)} before)" if released else ""
        raise UninstallError(f"{problem(error)}{before}") from error
    return released


async def _held_pods(client: ApiClient) -> AsyncIterator[list[Json]]:
    """Metadata of pods with our finalizer, by pages; a list that has grown too old is begun anew."""
    start = {"labelSelector": keys.LABEL_JOB, "limit": _PAGE}
    where = start
    while True:
        try:
            page = await client.get("/api/v1/pods", where)
        except ApiError as error:
            if error.status != 410:
                raise
            where = start
            continue
        found = [item["metadata"] for item in page["items"]]
        yield [one for one in found if keys.FINALIZER_OUTCOME in one.get("finalizers", ())]
        if not page["metadata"].get("continue"):
            return
        where = start | {"continue": page["metadata"]["continue"]}


async def release_pod(client: ApiClient, pod: Json) -> bool:
    """By its metadata, through its status as the bridge does it; False where the pod is gone by now."""
    path = f"/api/v1/namespaces/{pod['namespace']}/pods/{pod['name']}/status"
    try:
        await client.request("PATCH", path, body=release(pod["uid"]), media_type=STRATEGIC)
    except ApiError as error:
        if error.status in (404, 409):  # or another pod has the name by now
            return False
        raise
    return True


def released_text(released: Counter[str]) -> str:
    """How many pods, and where."""
    if not released:
        return f"no pod carries the finalizer {keys.FINALIZER_OUTCOME}"
    places = ", ".join(f"{released[namespace]} in {namespace}" for namespace in sorted(released))
    return f"released {_count(released.total(), 'pod')}: {places}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


async def count_objects(client: ApiClient) -> dict[str, int]:
    """How many objects there are of each kind that is defined."""
    found = {}
    for kind, plural in PLURALS.items():
        try:
            await client.get(f"{_DEFINITIONS}/{plural}.{keys.PREFIX}")
            page = await client.get(f"{job.PATH}/{plural}", {"limit": "1"})
            found[kind] = len(page["items"]) + (page["metadata"].get("remainingItemCount") or 0)
        except ApiError as error:
            if error.status != 404:
                raise UninstallError(problem(error)) from error
    return found


def question(objects: dict[str, int]) -> str:
    """Before the definitions are deleted."""
    listed = ", ".join(_count(number, kind) for kind, number in objects.items())
    return (
        f"Delete the definitions of {', '.join(objects)}, and every object of them in the cluster: {listed}?"
    )


async def delete_definitions(client: ApiClient, kinds: list[str]) -> None:
    """The API server deletes the objects with them, and their pods follow."""
    for kind in kinds:
        try:
            await client.request("DELETE", f"{_DEFINITIONS}/{PLURALS[kind]}.{keys.PREFIX}")
        except ApiError as error:
            if error.status != 404:
                raise UninstallError(problem(error)) from error
