"""Carries decisions out: a resize where one is due, then a Binding with the decision, each of exactly the version of
the pod that was decided on; and finds out what a lost reply did."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum

from synergai.k8s_bridge import keys, resizer
from synergai.k8s_bridge.admission.requests import pod_requests
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.api.client import ApiClient, ApiError, Permit, Withheld
from synergai.k8s_bridge.clock import elapsed_s
from synergai.k8s_bridge.pods import Json, read_owner, read_pod
from synergai.k8s_bridge.reports.logs import about
from synergai.k8s_bridge.sizes import Resize

log = logging.getLogger(__name__)

CONCURRENCY = 16
ASSUMED_S = 60.0
"""How long room is held for a bind of which nobody knows what became: the API server's own limit for a request,
https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/ (--request-timeout)."""
FIRST_DELAY_S, LAST_DELAY_S = 0.25, 5.0
"""Before such a bind is sent again."""


class Outcome(Enum):
    """How a bind ended."""

    BOUND = "bound"
    CREATED = "created"
    """Its pod is there, and another scheduler is to bind it."""
    TAKEN = "taken"
    """Bound, but by another decision: `BindResult.pod` says where."""
    GONE = "gone"
    """The pod is deleted, being deleted, or another of the same name."""
    FAILED = "failed"
    """Not bound; may be tried again."""
    CHANGED = "changed"
    """Not bound: the pod is not what was decided on any more. `BindResult.pod` is what it is now."""
    UNRESIZED = "unresized"
    """Not bound: the server does not let the pod have the size that was decided."""
    REFUSED = "refused"
    """Not created: a quota, a policy or the pod's own form is against it."""
    SPOILED = "spoiled"
    """Created, but admission made more of it than was decided. `BindResult.pod` is what it is."""
    WITHHELD = "withheld"
    """Not sent: the lease had run out, or another has it."""
    DRY = "dry_run"


@dataclass(frozen=True, slots=True)
class BindOrder:
    """One pod, one node, one decision."""

    namespace: str
    name: str
    uid: str
    node: str
    record: DecisionRecord
    explanation: str = ""
    """That annotation's value; empty for none."""
    version: str = ""
    """Of the pod that was decided on; empty for any."""
    resize: Resize | None = None
    """To be done first."""
    create: Json | None = None
    """The pod, of an attempt of a job: it is created on its node or for it, instead of a Binding."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """Of the pod."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    def body(self, version: str = "") -> Json:
        """https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/binding-v1/"""
        annotations = {
            keys.ANNOTATION_SCHEMA: keys.SCHEMA,
            keys.ANNOTATION_DECISION: self.record.to_json(),
        }
        if self.explanation:
            annotations[keys.ANNOTATION_EXPLANATION] = self.explanation
        return {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {
                "name": self.name,
                "namespace": self.namespace,
                "uid": self.uid,
                **({"resourceVersion": version} if version else {}),
                "annotations": annotations,
            },
            "target": {"apiVersion": "v1", "kind": "Node", "name": self.node},
        }


@dataclass(frozen=True, slots=True)
class BindResult:
    """What became of an order."""

    order: BindOrder
    outcome: Outcome
    message: str = ""
    pod: Json | None = None
    no_right: bool = False
    """Of UNRESIZED: no pod of the namespace may be resized."""
    doubtful: bool = False
    """Of FAILED: what was sent may still be carried out, or may have been."""


class Binder:
    """Sends up to `concurrency` binds at once; each result is handed to `deliver`."""

    def __init__(
        self,
        client: ApiClient,
        deliver: Callable[[BindResult], None],
        *,
        concurrency: int = CONCURRENCY,
        timeout_s: float = 1.0,
        dry_run: bool = False,
        permit: Permit | None = None,
        elapsed_s: Callable[[], float] = elapsed_s,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """No bind is started while `permit` says no, nor tried again."""
        self._client = client
        self._deliver = deliver
        self._room = asyncio.Semaphore(concurrency)
        self._timeout_s = timeout_s
        self._dry_run = dry_run
        self._permit = permit
        self._elapsed_s = elapsed_s
        self._sleep = sleep
        self._lost_s = -math.inf
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, order: BindOrder) -> None:
        """Bind in the background."""
        task = asyncio.get_running_loop().create_task(self._carry_out(order))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def quiet(self) -> bool:
        """Whether no bind waits or is under way, or was given up so lately that the server may still carry it out."""
        return not self._tasks and self._elapsed_s() - self._lost_s >= 2 * self._timeout_s

    async def drain(self) -> None:
        """Until no bind is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def _carry_out(self, order: BindOrder) -> None:
        if self._dry_run:
            extra = about(pod=order.key, node=order.node, decision=order.record.id)
            log.info(
                "dry run: would bind %s to %s: %s", order.key, order.node, order.record.to_json(), extra=extra
            )
            self._deliver(BindResult(order, Outcome.DRY))
            return
        self._deliver(await self.bind(order))

    async def bind(self, order: BindOrder) -> BindResult:
        """One bind to its certain end, as far as the server can be reached."""
        try:
            version = order.version
            if order.resize is not None:
                async with self._room:
                    resized = await self._resize(order, order.resize)
                if isinstance(resized, BindResult):
                    return resized
                version = resized
            return await self._bind(order, version)
        except Withheld:
            return BindResult(order, Outcome.WITHHELD)
        except asyncio.CancelledError:
            self._lost_s = self._elapsed_s()
            raise

    async def _resize(self, order: BindOrder, resize: Resize) -> BindResult | str:
        """The version of the resized pod, or why it is not bound."""
        try:
            pod = await resizer.patch(
                self._client, order.path, resize, order.uid, order.version, self._timeout_s, self._permit
            )
        except ApiError as error:
            return await self._resolve_resize(order, error)
        if not resize.done(pod):
            why = "the API server, or a webhook, gave it another size than was asked for"
            return BindResult(order, Outcome.UNRESIZED, why, pod)
        return pod["metadata"]["resourceVersion"]

    async def _resolve_resize(self, order: BindOrder, error: ApiError) -> BindResult:
        """A resize takes no room, so one that got no reply is found out by the version that the pod has now."""
        if error.status in (401, 429):
            return BindResult(order, Outcome.FAILED, str(error))
        found = await self._look(order, error)
        if found.outcome is not Outcome.FAILED or found.pod is None:
            return found
        if found.pod["metadata"].get("resourceVersion") != order.version:
            return BindResult(order, Outcome.CHANGED, found.message, found.pod)
        if error.status == 409 or not 400 <= error.status < 500:
            return found  # a conflict over something else, a quota: it is waited out
        return BindResult(
            order, Outcome.UNRESIZED, error.message, found.pod, no_right=resizer.lacks_right(error)
        )

    async def _bind(self, order: BindOrder, version: str) -> BindResult:
        """While nobody knows what became of it the same is sent again: whichever arrives first binds the pod, and to
        the node whose room is held. Were that given away, one that arrives late would take it a second time."""
        began_s, lost = self._elapsed_s(), False
        backoff = Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        while True:
            async with self._room:
                result = await self._send(order, version)
            lost |= result.doubtful
            if result.outcome is not Outcome.FAILED or not lost:
                return result
            if self._elapsed_s() - began_s > ASSUMED_S:
                log.warning("nobody knows what became of the bind of %s to %s", order.key, order.node)
                return result
            await self._sleep(backoff.next_s())

    async def _send(self, order: BindOrder, version: str) -> BindResult:
        try:
            if order.create is not None:
                return await self._create(order, order.create)
            await self._client.post(
                f"{order.path}/binding", order.body(version), timeout_s=self._timeout_s, permit=self._permit
            )
        except ApiError as error:
            if not error.status:
                self._lost_s = self._elapsed_s()
            return await self._resolve(order, version, error)
        return BindResult(order, Outcome.BOUND)

    async def _create(self, order: BindOrder, pod: Json) -> BindResult:
        """Its name is that of one attempt, so that it is created once, whatever is sent twice."""
        path = order.path.rpartition("/")[0]
        try:
            made = await self._client.post(path, pod, timeout_s=self._timeout_s, permit=self._permit)
        except ApiError as error:
            if error.status in (400, 403, 404, 413, 422):
                return BindResult(order, Outcome.REFUSED, error.message)
            raise
        return _made(order, made)

    async def _resolve(self, order: BindOrder, version: str, error: ApiError) -> BindResult:
        """A conflict and a lost reply look alike, and a server that is starting knows no path: what the pod says now
        decides."""
        if error.status and error.status not in (404, 409) and error.status < 500:
            return BindResult(order, Outcome.FAILED, str(error))
        found = await self._look(order, error)
        if found.outcome is not Outcome.FAILED or found.pod is None or error.status != 409:
            return found
        if found.pod["metadata"].get("resourceVersion") != version:
            return BindResult(order, Outcome.CHANGED, found.message, found.pod)
        return found

    async def _look(self, order: BindOrder, error: ApiError) -> BindResult:
        """By the pod as it is now: bound, gone, changed, or not bound (FAILED)."""
        try:
            pod = await self._client.get(order.path, timeout_s=2 * self._timeout_s)
        except ApiError as unknown:
            if unknown.status == 404 and order.create is not None:
                return BindResult(
                    order, Outcome.FAILED, str(error), doubtful=not error.status or error.status >= 500
                )
            if unknown.status == 404:
                return BindResult(order, Outcome.GONE, unknown.message)
            return BindResult(order, Outcome.FAILED, f"{error}; then {unknown}", doubtful=True)
        found = _compare(order, pod, str(error))
        return replace(found, doubtful=not error.status or error.status >= 500)


def _made(order: BindOrder, pod: Json) -> BindResult:
    """A pod of an attempt, as it was created."""
    why = _grown(order, (order.create or {}).get("spec") or {}, pod.get("spec") or {})
    if why:
        return BindResult(order, Outcome.SPOILED, why, pod)
    if pod.get("spec", {}).get("nodeName") == order.node:
        return BindResult(order, Outcome.BOUND, pod=pod)
    if read_pod(pod).aim != order.node:
        return BindResult(order, Outcome.SPOILED, "admission took its node away", pod)
    return BindResult(order, Outcome.CREATED, pod=pod)


def _grown(order: BindOrder, sent: Json, found: Json) -> str:
    """In which way admission made more of a pod than was decided; empty where it did not."""
    if _sizes(sent) == _sizes(found):
        return ""
    asked, made, record = pod_requests(sent), pod_requests(found), order.record
    cpu, memory = max(record.cpu_milli, asked.cpu_milli), max(record.memory_mib, asked.memory_mib)
    if made.cpu_milli <= cpu and made.memory_mib <= memory and made.extended == asked.extended:
        return ""
    return (
        f"admission made its requests {made.cpu_milli}m cpu and {made.memory_mib}Mi memory, "
        f"where {cpu}m and {memory}Mi were decided"
    )


def _sizes(spec: Json) -> list[object]:
    """All that its requests come from, as it is written."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [spec.get("overhead"), spec.get("resources"), *(c.get("resources") for c in containers)]


def _find_made(order: BindOrder, pod: Json, message: str) -> BindResult:
    """What is there under the name of an attempt."""
    owner, ours = read_owner(pod["metadata"]), read_owner((order.create or {})["metadata"])
    if owner != ours:
        return BindResult(
            order, Outcome.REFUSED, f"there is a pod {order.key} already, which is not the job's"
        )
    written = read_decision(pod["metadata"].get("annotations") or {})
    if written is not None and written.id == order.record.id:
        return _made(order, pod)
    return BindResult(order, Outcome.TAKEN, message, pod)


def _compare(order: BindOrder, pod: Json, message: str) -> BindResult:
    metadata = pod["metadata"]
    if order.create is not None:
        return _find_made(order, pod, message)
    if metadata.get("uid") != order.uid:
        return BindResult(order, Outcome.GONE, "another pod has the name now")
    if pod.get("spec", {}).get("nodeName"):
        written = read_decision(metadata.get("annotations") or {})
        ours = written is not None and written.id == order.record.id
        return BindResult(order, Outcome.BOUND if ours else Outcome.TAKEN, message, pod)
    if "deletionTimestamp" in metadata:
        return BindResult(order, Outcome.GONE, "it is being deleted")
    return BindResult(order, Outcome.FAILED, message, pod)
