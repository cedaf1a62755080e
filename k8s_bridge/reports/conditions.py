"""The condition PodScheduled of pods that nothing can ever fit: what cluster autoscalers read. A pod that only waits
for its turn has none, or they would add nodes for it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from synergai.k8s_bridge.api.client import ApiClient, ApiError, Permit, Withheld
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.pods import Json, Pod

log = logging.getLogger(__name__)

EVERY_S = 0.1
"""Between two writes; of a pod whose message changes meanwhile the last one is written."""
ATTEMPTS = 3
"""Where the pod changes meanwhile."""
_LONGEST_MESSAGE = 1024
_NO_RIGHT = 'cannot patch resource "pods/status"'
WAITS = "nodes admit the pod; it waits for its turn"


class Conditions:
    """Takes what a pod's condition should be at once, and writes it through pods/status when it can."""

    def __init__(
        self,
        client: ApiClient,
        *,
        permit: Permit | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """What waits while `permit` says no is dropped."""
        self._client = client
        self._permit = permit
        self._sleep = sleep
        self._due: dict[str, tuple[Pod, str]] = {}
        self._bell = asyncio.Event()
        self._denied: set[str] = set()

    def __call__(self, pod: Pod, message: str) -> None:
        """The pod fits nowhere because of `message`; empty: it does now."""
        message = message[:_LONGEST_MESSAGE]
        if pod.unschedulable == message or pod.namespace in self._denied:
            self._due.pop(pod.key, None)
            return
        self._due[pod.key] = (pod, message)
        self._bell.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._bell.wait()
            self._bell.clear()
            while self._due:
                await self._write(*self._due.pop(next(iter(self._due))))
                await self._sleep(EVERY_S)

    async def _write(self, pod: Pod, message: str) -> None:
        path, version = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", pod.version
        try:
            for _ in range(ATTEMPTS):
                try:
                    await self._patch(path, _body(pod, version, message, self._client.now_us()))
                    return
                except ApiError as error:
                    if error.status != 409:
                        raise
                raw = await self._client.get(path)
                if raw["metadata"].get("uid") != pod.uid or raw.get("spec", {}).get("nodeName"):
                    return
                version = raw["metadata"]["resourceVersion"]
        except Withheld:
            pass  # who leads now tells it
        except ApiError as error:
            self._explain(pod, error)

    async def _patch(self, path: str, body: Json) -> None:
        await self._client.request(
            "PATCH",
            f"{path}/status",
            body=body,
            media_type="application/strategic-merge-patch+json",
            retry="throttled",
            permit=self._permit,
        )

    def _explain(self, pod: Pod, error: ApiError) -> None:
        if error.status != 403 or _NO_RIGHT not in error.message:
            log.debug("the condition of %s was not written: %s", pod.key, error)
        elif pod.namespace not in self._denied:
            self._denied.add(pod.namespace)
            log.warning("autoscalers are told nothing of pods of %s: %s", pod.namespace, error.message)


def _body(pod: Pod, version: str, message: str, now_us: int) -> Json:
    """Of exactly this version: a pod that was bound meanwhile is left alone."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable" if message else "Queued",
        "message": message or WAITS,
    }
    if not pod.unschedulable:  # else the status stays what it was, and so does the time since when
        condition["lastTransitionTime"] = format_time_us(now_us)[:19] + "Z"
    preconditions = {"uid": pod.uid, **({"resourceVersion": version} if version else {})}
    return {"metadata": preconditions, "status": {"conditions": [condition]}}
