"""Carries decisions out: POST pods/binding with uid and decision, and finds out what a lost reply did."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import Enum

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.backoff import Backoff
from synergai.k8s_bridge.client import ApiClient, ApiError, Permit, Withheld
from synergai.k8s_bridge.clock import elapsed_s
from synergai.k8s_bridge.pods import Json

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
    TAKEN = "taken"
    """Bound, but by another decision: `BindResult.pod` says where."""
    GONE = "gone"
    """The pod is deleted, being deleted, or another of the same name."""
    FAILED = "failed"
    """Not bound; may be tried again."""
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

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    def body(self) -> Json:
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
            log.info("dry run: would bind %s to %s: %s", order.key, order.node, order.record.to_json())
            self._deliver(BindResult(order, Outcome.DRY))
            return
        self._deliver(await self.bind(order))

    async def bind(self, order: BindOrder) -> BindResult:
        """One bind to its certain end, as far as the server can be reached."""
        try:
            return await self._bind(order)
        except Withheld:
            return BindResult(order, Outcome.WITHHELD)
        except asyncio.CancelledError:
            self._lost_s = self._elapsed_s()
            raise

    async def _bind(self, order: BindOrder) -> BindResult:
        """While nobody knows what became of it the same is sent again: whichever arrives first binds the pod, and to
        the node whose room is held. Were that given away, one that arrives late would take it a second time."""
        began_s, lost = self._elapsed_s(), False
        backoff = Backoff(FIRST_DELAY_S, LAST_DELAY_S)
        while True:
            async with self._room:
                result = await self._send(order)
            lost |= result.doubtful
            if result.outcome is not Outcome.FAILED or not lost:
                return result
            if self._elapsed_s() - began_s > ASSUMED_S:
                log.warning("nobody knows what became of the bind of %s to %s", order.key, order.node)
                return result
            await self._sleep(backoff.next_s())

    async def _send(self, order: BindOrder) -> BindResult:
        path = f"/api/v1/namespaces/{order.namespace}/pods/{order.name}/binding"
        try:
            await self._client.post(path, order.body(), timeout_s=self._timeout_s, permit=self._permit)
        except ApiError as error:
            if not error.status:
                self._lost_s = self._elapsed_s()
            return await self._resolve(order, error)
        return BindResult(order, Outcome.BOUND)

    async def _resolve(self, order: BindOrder, error: ApiError) -> BindResult:
        """A conflict and a lost reply look alike, and a server that is starting knows no path: what the pod says now
        decides."""
        if error.status and error.status not in (404, 409) and error.status < 500:
            return BindResult(order, Outcome.FAILED, str(error))
        try:
            pod = await self._client.get(
                f"/api/v1/namespaces/{order.namespace}/pods/{order.name}", timeout_s=2 * self._timeout_s
            )
        except ApiError as unknown:
            if unknown.status == 404:
                return BindResult(order, Outcome.GONE, unknown.message)
            return BindResult(order, Outcome.FAILED, f"{error}; then {unknown}", doubtful=True)
        found = _compare(order, pod, str(error))
        return replace(found, doubtful=not error.status or error.status >= 500)


def _compare(order: BindOrder, pod: Json, message: str) -> BindResult:
    metadata = pod["metadata"]
    if metadata.get("uid") != order.uid:
        return BindResult(order, Outcome.GONE, "another pod has the name now")
    if pod.get("spec", {}).get("nodeName"):
        written = read_decision(metadata.get("annotations") or {})
        ours = written is not None and written.id == order.record.id
        return BindResult(order, Outcome.BOUND if ours else Outcome.TAKEN, message, pod)
    if "deletionTimestamp" in metadata:
        return BindResult(order, Outcome.GONE, "it is being deleted")
    return BindResult(order, Outcome.FAILED, message)
