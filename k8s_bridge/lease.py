"""The Lease (coordination.k8s.io/v1) that lets one of several bridges bind, held and taken as client-go does.

What counts is this machine's own clock: how long ago a renewal of ours was sent, and how long we have seen no renewal
of another's. The times in the object are for people.
"""

import asyncio
import logging
import math
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import elapsed_s, format_time_us
from synergai.k8s_bridge.pods import Json

log = logging.getLogger(__name__)

Renewal = Literal["renewed", "conflict", "failed"]
_CONFLICTS = (409, 422)
"""422: it was made by another since we saw none (a PUT without a version)."""
_NOT_YET = (0, 401, 408, 429, 500, 502, 503, 504)
"""What passes by itself."""


def new_identity() -> str:
    """Of this process and no other."""
    return f"{socket.gethostname()}_{uuid4().hex[:12]}"


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """In seconds; `duration_s` is at least `renew_deadline_s` plus twice `bind_timeout_s` (the settings see to it)."""

    duration_s: int
    """Another waits for so long after the last renewal it saw."""
    renew_deadline_s: float
    """No bind is started later than this after the last renewal that succeeded was sent."""
    retry_s: float
    """Between renewals, and between looks at another's lease."""
    bind_timeout_s: float
    """A lease taken from one who did not give it up is used when this has passed too."""


class Lease:
    """One bridge's part in the contest for one Lease."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        name: str,
        times: LeaseTimes,
        *,
        identity: str = "",
        elapsed_s: Callable[[], float] = elapsed_s,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        on_renewal: Callable[[Renewal], None] = lambda renewal: None,
    ) -> None:
        self.identity = identity or new_identity()
        self.term = 0
        """Counts the times that the lease was got, or got back after it had run out."""
        self.on_turn: Callable[[], None] = lambda: None
        """Called after each turn of `run`."""
        self._client = client
        self._namespace, self._name = namespace, name
        self._times = times
        self._elapsed_s = elapsed_s
        self._sleep = sleep
        self._on_renewal = on_renewal
        self._object: Json = {}  # as last seen or written
        self._seen_s = -math.inf  # when that was seen first
        self._mine = False
        self._from_s = self._until_s = -math.inf
        self._answered = False
        self._told = ""
        """What went wrong last: the same is not said each second."""

    @property
    def _path(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases/{self._name}"

    def valid(self) -> bool:
        """Whether a bind may be started at this moment."""
        return self._from_s <= self._elapsed_s() < self._until_s

    async def run(self) -> None:
        """Until cancelled; a first request that is refused for good raises ApiError."""
        while True:
            await self._turn()
            self.on_turn()
            await self._sleep(self._pause_s())

    async def _turn(self) -> None:
        try:
            await self.step()
            self._answered, self._told = True, ""
        except ApiError as error:
            if not self._answered and error.status not in _NOT_YET:
                raise
            self._on_renewal("failed")
            level = logging.DEBUG if self._told == str(error) else logging.WARNING
            log.log(level, "lease %s/%s: %s", self._namespace, self._name, error)
            self._told = str(error)

    def _pause_s(self) -> float:
        """Not later than what is due next: the begin of our time, or the end of another's."""
        ahead_s = (self._from_s if self._mine else self._free_at_s()) - self._elapsed_s()
        return min(ahead_s, self._times.retry_s) if ahead_s > 0 else self._times.retry_s

    async def step(self) -> None:
        """Renew the lease, or take it if it can be had; ApiError where the server does not answer well."""
        for _ in range(2):  # a conflict says that another has written, or that a reply to us was lost
            if not self._mine:
                await self._look()
            if not (self._mine or self._elapsed_s() >= self._free_at_s()) or await self._take():
                return

    async def _look(self) -> None:
        try:
            found = await self._request("GET")
        except ApiError as error:
            if error.status != 404:
                raise
            self._object = _unmade(self._object)  # whoever held it may not know: its time still counts
            self._mine, self._until_s = False, -math.inf
            return
        if _holder(found) not in (_holder(self._object), self.identity, ""):
            log.info("lease %s/%s: %s leads", self._namespace, self._name, _holder(found))
        if _version(found) != _version(self._object):
            self._object, self._seen_s = found, self._elapsed_s()
        self._mine = _holder(found) == self.identity
        if not self._mine:
            self._until_s = -math.inf

    def _free_at_s(self) -> float:
        """When the lease can be taken; the time that another has not renewed it counts from when we saw it."""
        if not _holder(self._object):
            return -math.inf
        theirs_s = self._object["spec"].get("leaseDurationSeconds") or 0
        return self._seen_s + max(theirs_s, self._times.duration_s)

    async def _take(self) -> bool:
        """Write ourselves into what we have seen last; whether nobody else has written since."""
        sent_s = self._elapsed_s()
        if not self._mine and _holder(self._object):
            self._from_s = sent_s + self._times.bind_timeout_s
        try:
            written = await self._request("PUT", self._body(self.identity))
        except ApiError as error:
            if error.status not in _CONFLICTS:
                raise
            self._mine = False
            self._on_renewal("conflict")
            log.info("lease %s/%s: %s", self._namespace, self._name, error.message)
            return False
        self._on_renewal("renewed")
        if self._elapsed_s() >= self._until_s:
            self.term += 1
        self._object, self._mine = written, True
        self._until_s = sent_s + self._times.renew_deadline_s
        return True

    async def release(self) -> None:
        """Give the lease up, so that nobody has to wait for its end; only when no bind is under way."""
        self._from_s = self._until_s = -math.inf
        try:
            for _ in range(2):  # the reply to our last renewal may be lost
                if not self._mine:
                    return
                try:
                    self._object = await self._request("PUT", self._body(""))
                    self._mine = False
                except ApiError as error:
                    if error.status not in _CONFLICTS:
                        raise
                    await self._look()
        except ApiError as error:
            log.warning("lease %s/%s was not given up: %s", self._namespace, self._name, error)

    async def _request(self, method: str, body: Json | None = None) -> Json:
        timeout_s = self._times.renew_deadline_s / 2
        return await self._client.request(method, self._path, body=body, retry="never", timeout_s=timeout_s)

    def _body(self, holder: str) -> Json:
        """What others keep in the object stays there."""
        before = self._object.get("spec") or {}
        now = format_time_us(self._client.now_us())
        spec = {"leaseTransitions": 0, **before, "holderIdentity": holder, "renewTime": now}
        spec["leaseDurationSeconds"] = self._times.duration_s
        if holder and not self._mine:
            spec["acquireTime"] = now
            spec["leaseTransitions"] += bool(before)
        metadata = {**self._object.get("metadata", {}), "name": self._name, "namespace": self._namespace}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }


def _holder(lease: Json) -> str:
    return (lease.get("spec") or {}).get("holderIdentity") or ""


def _version(lease: Json) -> str:
    return lease.get("metadata", {}).get("resourceVersion", "")


def _unmade(lease: Json) -> Json:
    """As it must be to make it again."""
    return {"spec": lease["spec"]} if lease.get("spec") else {}
