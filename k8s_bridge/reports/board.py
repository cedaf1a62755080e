"""What waits, written into a ConfigMap now and then for people who look: bounded, and never in a decision's way."""

import asyncio
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from synergai.envs.cluster import Cluster
from synergai.envs.waiting import Waiting
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import ScenarioClock, format_time_us
from synergai.k8s_bridge.entries import Entry, Stage
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.reports.explanations import clip
from synergai.k8s_bridge.reports.lines import Line
from synergai.offline_profiles.table import base_address

log = logging.getLogger(__name__)

MOST = 200
"""Pods on the board; how many there are in all is told beside them."""
MAX_BYTES = 128 * 1024
HEARTBEAT_S = 20.0
"""A board that has not changed is written again after so long, which shows that the bridge lives."""
_LONGEST_REASON = 240
_AFTER_QUEUED = (Stage.IN_LINE, Stage.BACKOFF, Stage.PLAIN, Stage.PARKED, Stage.WAITING)


class Board:
    """Reads the books between two of the daemon's turns, and writes what it read."""

    def __init__(
        self,
        client: ApiClient,
        cluster: Cluster,
        clock: ScenarioClock,
        pods: PodBook,
        namespace: str = keys.BRIDGE_NAMESPACE,
        *,
        active: Callable[[], bool] = lambda: True,
        mode: Callable[[], str] = lambda: "active",
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`active` says whether this bridge is the one that decides."""
        self._client = client
        self._cluster = cluster
        self._clock = clock
        self._pods = pods
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"
        self._where = f"{namespace}/{keys.QUEUE_CONFIGMAP}"
        self._instance = f"{socket.gethostname()}-{os.getpid()}"[:128]
        self._active = active
        self._mode = mode
        self._sleep = sleep
        self._told = ""

    async def run(self, every_s: float) -> None:
        """Until cancelled."""
        last, last_s = None, 0.0
        while True:
            await self._sleep(every_s)
            if not self._active():
                last = None
                continue
            try:
                queue, now_s = self.content(), time.monotonic()
            except Exception:  # pods are bound, whether or not anybody can see the queue
                log.exception("the queue cannot be shown")
                continue
            if (queue != last or now_s - last_s > HEARTBEAT_S) and await self.write(queue):
                last, last_s = queue, now_s

    def content(self) -> Json:
        """How many pods wait, and the first MOST of them in order."""
        counts = self._pods.counts()
        stages = (Stage.QUEUED, *_AFTER_QUEUED)
        totals = {stage.value: counts[stage.value] for stage in stages if counts[stage.value]}
        lines, room = [], MAX_BYTES
        for line in self._lines():
            fields = line.fields()
            room -= len(json.dumps(fields)) + 2
            if room < 0 or len(lines) == MOST:
                break
            lines.append(fields)
        return {"schema": keys.SCHEMA, "mode": self._mode(), "totals": totals, "pods": lines}

    def _lines(self) -> Iterator[Line]:
        for waiting in self._cluster.in_order(MOST):
            yield self._queued(waiting)
        for stage in _AFTER_QUEUED:
            entries = (entry for entry in self._pods.entries.values() if entry.stage is stage)
            for entry in sorted(entries, key=lambda entry: (entry.pod.created_us, entry.pod.key)):
                yield Line(entry.pod.key, stage.value, why=clip(_why(entry), _LONGEST_REASON))

    def _queued(self, waiting: Waiting) -> Line:
        job = waiting.job
        line = Line(job.key, Stage.QUEUED.value, base_address(job.model))
        if job.deadline_us is not None:
            line = replace(
                line,
                deadline_us=self._clock.to_server(job.deadline_us),
                latest_start_us=self._clock.to_server(waiting.latest_start_us),
            )
        if not waiting.hardware:
            return line
        until_us = self._clock.to_server(waiting.until_us)
        return replace(
            line, held_for=waiting.hardware, configuration=waiting.configuration, until_us=until_us
        )

    async def write(self, queue: Json) -> bool:
        """Whether it is on the API server now; what is wrong is logged once and tried again."""
        updated = {"updatedAt": format_time_us(self._client.now_us()), "instance": self._instance}
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": keys.QUEUE_CONFIGMAP},
            "data": {"queue": json.dumps({**updated, **queue}, separators=(",", ":"))},
        }
        try:
            try:
                await self._client.request("PUT", f"{self._path}/{keys.QUEUE_CONFIGMAP}", body=body)
            except ApiError as error:
                if error.status != 404:
                    raise
                await self._client.post(self._path, body)
        except ApiError as error:
            if self._told != str(error):
                self._told = str(error)
                log.warning("`synergai queue` will show nothing: cannot write %s: %s", self._where, error)
            return False
        self._told = ""
        return True


def _why(entry: Entry) -> str:
    """Why a pod that waits is not in the queue."""
    match entry.stage:
        case Stage.BACKOFF:
            return "its bind failed; it is tried again"
        case Stage.PARKED:
            return entry.told.get("FailedScheduling", "")
        case Stage.IN_LINE:
            return "others that depend on each other as it does are decided first"
        case Stage.PLAIN:
            reason = entry.ask.message if entry.ask else ""
            return f"{reason}; placed by its own requests when there is room"
    if entry.pod.deleting:
        return "it is being deleted"
    if entry.pod.gated:
        return "it has scheduling gates"
    if entry.pod.unsupported:
        return f"not supported: {', '.join(entry.pod.unsupported)}"
    return ""
