"""Simulated kubelets: one object that plays any number of nodes against any API server.

async with Kubelets(Credentials(server.url), nodes, {"nvidia-t4": "nvidia.com/gpu"}, lambda run: 2.0):
    ...
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from synergai.envs.types import Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded import pod_status
from synergai.k8s_bridge.embedded.api import Api, Event, Refused
from synergai.k8s_bridge.embedded.clock import parse_s
from synergai.k8s_bridge.embedded.fates import NO_IMAGE, Fate, Fates, annotated
from synergai.k8s_bridge.embedded.machine import Machine, Refusal, chosen
from synergai.k8s_bridge.embedded.node_reports import NodeReports
from synergai.k8s_bridge.embedded.objects import Json, at, metadata
from synergai.k8s_bridge.embedded.pod_status import whole

log = logging.getLogger(__name__)

PULL_AGAIN_S = 1.0
"""Real seconds from an image that is not found to `ImagePullBackOff`."""
BOUND = {"fieldSelector": "spec.nodeName!="}


@dataclass(frozen=True, slots=True)
class PodRun:
    """What the run time of a pod may depend on."""

    job: int | None
    """Its index on a tape; None outside of simulated worlds."""
    seed: int | None
    model: str
    samples: int
    hardware: str
    configuration: str
    node: str
    at_s: float
    """Scenario seconds from the kubelets' start to the pod's."""
    pod: str = ""
    """`namespace/name`."""


RunTime = Callable[[PodRun], float]
"""Scenario seconds that a pod with a decision runs."""


@dataclass(frozen=True, slots=True)
class KubeletSettings:
    """Times are scenario seconds unless said otherwise; `speed` of them pass in a real one."""

    speed: float = 1.0
    default_run_s: float = 1.0
    """Of a pod without a decision."""
    pod_start_s: float = 0.0
    """From the bind to Running."""
    release_s: float = 0.0
    """From the end of the run to the phase Succeeded; the room stays taken."""
    renew_s: float = 10.0
    """Real seconds between renewals of the node Leases."""
    lease_s: int = 40
    """Real seconds that a Lease is good for."""
    dedicated: bool = True
    """The nodes carry the taint that keeps other pods away."""

    def __post_init__(self) -> None:
        if not self.speed > 0:
            raise ValueError(f"speed {self.speed} is not above 0")


class Kubelets:
    """Registers the nodes, keeps their Leases, and runs, rejects and ends the pods bound to them."""

    def __init__(
        self,
        credentials: Credentials,
        nodes: Sequence[Node],
        resources: Mapping[str, str],
        run_time_s: RunTime,
        settings: KubeletSettings | None = None,
        arm: Collection[str] = (),
        fate: Fates = annotated,
    ) -> None:
        """`resources`: the extended resource of each device class; `arm`: those classes that sit in arm64;
        `fate`: how a pod ends."""
        self.settings = settings or KubeletSettings()
        self.finished = 0
        self.rejected = 0
        self._credentials = credentials
        self._machines = {node.name: Machine(node, resources) for node in nodes}
        self._run_time_s = run_time_s
        self._arm = arm
        self._fate = fate
        self._missed: dict[str, dict[str, Event]] = {}
        """By node that is cut off: the last news of each of its pods, which it has not heard."""
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ended: set[str] = set()
        """Pods whose end we wrote and have not seen yet: their older events are stale."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._started_s = 0.0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Returns when all nodes are registered; Refused where that is not allowed."""
        self._api = Api(self._credentials)
        self._reports = NodeReports(self._api, self._machines, self._arm, self.settings.lease_s)
        self._started_s = time.monotonic()
        try:
            await self._reports.register(self.settings.dedicated)
        except BaseException:
            await self._api.close()
            raise
        self._spawn(self._reports.keep_leases(self.settings.renew_s))
        self._spawn(self._follow_pods())

    async def stop(self) -> None:
        """The nodes fall silent; their pods are left as they are."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._api.close()

    def silence(self, name: str) -> None:
        """The node is cut off: it renews no lease, writes no status and hears of nothing. Its pods go on."""
        self._reports.silence(name)
        self._missed.setdefault(name, {})

    async def wake(self, name: str) -> None:
        """The node is back: it says that it is ready, and hears and says what became of its pods."""
        await self._reports.wake(name)
        for event in self._missed.pop(name).values():
            self._see(event)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a simulated kubelet stopped", exc_info=task.exception())

    # pods ------------------------------------------------------------------------------------------------

    async def _follow_pods(self) -> None:
        async for event in self._api.follow("/api/v1/pods", BOUND):
            self._see(event)

    def _see(self, event: Event) -> None:
        uid = metadata(event.object)["uid"]
        node = at(event.object, ("spec", "nodeName")) or ""
        if node in self._missed:
            self._missed[node][uid] = event
            return
        if event.kind == "DELETED":
            self._forget(uid)
            return
        machine = self._machines.get(node)
        if machine is None:
            return
        if at(event.object, ("status", "phase")) in ("Succeeded", "Failed"):
            self._forget(uid)
            if "deletionTimestamp" in metadata(event.object):
                self._spawn(self._remove(event.object))
        elif uid in self._ended:
            return
        elif "deletionTimestamp" in metadata(event.object):
            self._end(uid, machine, event.object)
        elif uid not in self._running:
            self._admit(uid, machine, event.object)

    def _forget(self, uid: str) -> None:
        self._ended.discard(uid)
        task = self._running.pop(uid, None)
        if task is not None:
            task.cancel()

    def _admit(self, uid: str, machine: Machine, pod: Json) -> None:
        fate = self._fate(pod)
        if fate is not None and fate.refused:
            refusal = Refusal(fate.reason, fate.message or f"Pod was rejected: {fate.reason}")
        else:
            refusal = machine.take(uid, pod)
        if refusal is None:
            self._running[uid] = self._spawn(self._run(uid, machine, pod, fate))
            return
        self.rejected += 1
        self._ended.add(uid)
        self._spawn(self._write_status(pod, pod_status.rejected(refusal, time.time())))

    def _end(self, uid: str, machine: Machine, pod: Json) -> None:
        """The pod is to be deleted: stop it and say so; it is let go when its end is seen."""
        self._forget(uid)
        machine.free(uid)
        self._ended.add(uid)
        now_s = time.time()
        started_s = parse_s(at(pod, ("status", "startTime")) or "") or now_s
        self._spawn(self._write_status(pod, pod_status.killed(pod, started_s, now_s)))

    async def _run(self, uid: str, machine: Machine, pod: Json, fate: Fate | None) -> None:
        try:
            await self._sleep(self.settings.pod_start_s)
            if fate is not None and fate.reason == NO_IMAGE:
                await self._pull_in_vain(pod)
            started_s = time.time()
            run_s = self._seconds(machine.node.name, pod) * (1.0 if fate is None else fate.share)
            due = time.monotonic() + run_s / self.settings.speed
            await self._write_status(pod, pod_status.running(pod, started_s))
            await asyncio.sleep(due - time.monotonic())
            finished_s = time.time()
            await self._sleep(self.settings.release_s)
        finally:
            machine.free(uid)
        self._running.pop(uid, None)
        self._ended.add(uid)
        self.finished += 1
        if fate is not None:
            await self._write_status(pod, pod_status.failed(pod, fate, started_s, finished_s))
            return
        message = pod_status.report(pod, run_s, started_s, finished_s)
        await self._write_status(pod, pod_status.succeeded(pod, started_s, finished_s, message))

    async def _pull_in_vain(self, pod: Json) -> None:
        """Until somebody deletes the pod."""
        await self._write_status(pod, pod_status.without_image(pod, NO_IMAGE, time.time()))
        await asyncio.sleep(PULL_AGAIN_S)
        await self._write_status(pod, pod_status.without_image(pod, "ImagePullBackOff", time.time()))
        await asyncio.Event().wait()

    async def _sleep(self, scenario_s: float) -> None:
        if scenario_s:
            await asyncio.sleep(scenario_s / self.settings.speed)

    def _seconds(self, node: str, pod: Json) -> float:
        """Scenario seconds that the pod runs."""
        decision = chosen(pod)
        if not decision.configuration:
            return self.settings.default_run_s
        given = metadata(pod).get("annotations") or {}
        return self._run_time_s(
            PodRun(
                job=whole(given.get(keys.ANNOTATION_SIM_JOB)),
                seed=whole(given.get(keys.ANNOTATION_SIM_SEED)),
                model=given.get(keys.ANNOTATION_MODEL, ""),
                samples=whole(given.get(keys.ANNOTATION_SAMPLES)) or 0,
                hardware=decision.hardware,
                configuration=decision.configuration,
                node=node,
                at_s=(time.monotonic() - self._started_s) * self.settings.speed,
                pod=f"{metadata(pod).get('namespace', '')}/{metadata(pod)['name']}",
            )
        )

    async def _write_status(self, pod: Json, status: Json) -> None:
        """Nothing happens if the pod is gone, or is another one of the same name by now."""
        await self._reports.heard(pod["spec"]["nodeName"])
        body = {"metadata": {"uid": metadata(pod)["uid"]}, "status": status}
        await self._tolerant(self._api.patch(f"{_path(pod)}/status", body))

    async def _remove(self, pod: Json) -> None:
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": metadata(pod)["uid"]},
        }
        await self._reports.heard(pod["spec"]["nodeName"])
        await self._tolerant(self._api.request("DELETE", _path(pod), options))

    async def _tolerant(self, request: Coroutine[Any, Any, Json]) -> None:
        try:
            await request
        except Refused as error:
            if error.status not in (404, 409):
                raise


def _path(pod: Json) -> str:
    given = metadata(pod)
    return f"/api/v1/namespaces/{given['namespace']}/pods/{given['name']}"
