"""Which nodes nobody hears of: their Leases are listed now and then, as a watch would bring each renewal of each node.

A kubelet that is silent is tainted by the API server's controllers after 40 s or more; its Lease tells sooner.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from synergai.k8s_bridge.admission.requests import Json
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.watch import PAGE, REFUSED_S, Resource, WatchEvent
from synergai.k8s_bridge.clock import parse_time_us

log = logging.getLogger(__name__)

NODE_LEASES = Resource("node leases", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases")
EVERY_S = 10.0
SHORTEST_S = 15.0
DEFAULT_DURATION_S = 40


class NodeLeases:
    """Tells `sink` which nodes are silent, each time that this changes.

    A Lease is old when its renewal has not been seen to change for max(15 s, half its duration): what was seen is
    measured by this process's clock, and only the first look has to believe the node's.
    """

    def __init__(
        self,
        client: ApiClient,
        sink: Callable[[WatchEvent], None],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._sink = sink
        self._sleep = sleep
        self._monotonic = monotonic
        self._seen: dict[str, tuple[str, float]] = {}  # name -> (renewTime, when that came)
        self._stale: frozenset[str] = frozenset()
        self._refused = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._sleep(await self.look())

    async def look(self) -> float:
        """Once; returns after how many seconds to look again."""
        try:
            leases = await self._list()
        except ApiError as error:
            return self._go_without(error)
        self._refused = False
        self._seen = {name: self._renewed(name, lease) for name, lease in leases.items()}
        now_s = self._monotonic()
        self._tell(frozenset(n for n, x in leases.items() if now_s - self._seen[n][1] > _limit_s(x)))
        return EVERY_S

    def _go_without(self, error: ApiError) -> float:
        """Nothing is known of the nodes: what was said last stands, unless there is no right to ask."""
        if error.status not in (403, 404):
            log.debug("node leases: %s", error)
            return EVERY_S
        if not self._refused:
            log.warning("nodes that are silent are not noticed before they are tainted: %s", error)
        self._refused = True
        self._tell(frozenset())
        return REFUSED_S

    def _renewed(self, name: str, lease: Json) -> tuple[str, float]:
        renewed = str(lease.get("renewTime") or "")
        known = self._seen.get(name)
        if known is not None and known[0] == renewed:
            return known
        return renewed, self._monotonic() - (0.0 if known else self._age_s(renewed))

    def _age_s(self, renewed: str) -> float:
        try:
            return max((self._client.now_us() - parse_time_us(renewed)) * 1e-6, 0.0)
        except (ValueError, OverflowError):
            return 0.0  # not renewed yet

    def _tell(self, stale: frozenset[str]) -> None:
        if stale != self._stale:
            self._stale = stale
            self._sink(WatchEvent(NODE_LEASES, "MODIFIED", {"metadata": {}, "stale": sorted(stale)}))

    async def _list(self) -> dict[str, Json]:
        """By node, as old as the server's cache."""
        params, found = {"limit": str(PAGE), "resourceVersion": "0"}, dict[str, Json]()
        while True:
            reply = await self._client.get(NODE_LEASES.path, params)
            for item in reply.get("items") or ():
                found[item["metadata"]["name"]] = item.get("spec") or {}
            more = (reply.get("metadata") or {}).get("continue")
            if not more:
                return found
            params = {"limit": str(PAGE), "continue": more}


def _limit_s(lease: Json) -> float:
    duration_s = lease.get("leaseDurationSeconds") or DEFAULT_DURATION_S
    return max(SHORTEST_S, duration_s / 2)
