"""InferenceJobs as they are at this moment, by the API's watch."""

import asyncio
import time
from contextlib import suppress
from typing import Self

from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.watch import Reflector, Resource, WatchEvent
from synergai.k8s_bridge.inference.job import PATH, PLURAL, InferenceJob, job_path, read_job

TICK_S = 0.5
LOST_S = 15.0
"""A server that is lost is asked again more often than that."""


class Book:
    """Follows one job, those of a namespace, or all, while it is entered."""

    def __init__(self, client: ApiClient, namespace: str = "", name: str = "") -> None:
        path = job_path(namespace) if namespace else f"{PATH}/{PLURAL}"
        one = f"metadata.name={name}" if name else ""
        self.jobs: dict[str, InferenceJob] = {}
        """By uid."""
        self.gone: dict[str, InferenceJob] = {}
        """As they were last, by uid."""
        self._bell = asyncio.Event()
        self._lost_s = -LOST_S
        self._reflector = Reflector(
            client,
            Resource(PLURAL, path, one),
            self._take,
            on_listed=self._bell.set,
            on_restart=self._restarted,
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._reflector.run())
        self._task.add_done_callback(lambda _: self._bell.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)  # what ended it was told by `tick`

    @property
    def listed(self) -> bool:
        return self._reflector.synced.is_set()

    @property
    def lost(self) -> bool:
        """Whether the API server has not answered of late."""
        return time.monotonic() - self._lost_s < LOST_S

    async def tick(self, most_s: float = TICK_S) -> None:
        """Until something has changed, or so long has passed; ApiError where the jobs cannot be followed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._bell.wait()
        self._bell.clear()
        if self._task.done():
            self._task.result()

    def _take(self, event: WatchEvent) -> None:
        uid = event.object["metadata"].get("uid", "")
        if event.kind in ("ADDED", "MODIFIED"):
            self.jobs[uid] = read_job(event.object)
            self._lost_s = -LOST_S
        elif event.kind == "DELETED":
            known = self.jobs.pop(uid, None)
            told = "spec" in event.object or known is None  # else it is missing in a new list
            self.gone[uid] = read_job(event.object) if told or known is None else known
        self._bell.set()

    def _restarted(self, _: str, cause: str) -> None:
        if cause == "error":
            self._lost_s = time.monotonic()
            self._bell.set()
