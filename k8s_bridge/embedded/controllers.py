"""The little of kube-controller-manager that an embedded cluster has, on request.

async with Server() as server, Controllers(server):
    ...
"""

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Self

from synergai.k8s_bridge.embedded.node_lifecycle import LifecycleSettings, NodeLifecycle
from synergai.k8s_bridge.embedded.owners import collect_orphans
from synergai.k8s_bridge.embedded.server import Server

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """How often, and how patiently."""

    every_s: float = 1.0
    """Real seconds between two looks."""
    lifecycle: LifecycleSettings = field(default_factory=LifecycleSettings)


class Controllers:
    """Taints silent nodes, deletes the pods of lost ones, and pods whose owners are gone."""

    def __init__(self, server: Server, settings: ControllerSettings | None = None) -> None:
        self._server = server
        self._settings = settings or ControllerSettings()
        lifecycle = self._settings.lifecycle
        self._nodes = NodeLifecycle(server.store, server.writer, server.clock, lifecycle)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.every_s)
            try:
                self.look()
            except Exception:  # one object that nobody foresaw must not end the look after all others
                log.exception("the controllers stumbled")

    def look(self) -> None:
        """Once, now."""
        self._nodes.look()
        collect_orphans(self._server.store, self._server.registry, self._server.writer)
