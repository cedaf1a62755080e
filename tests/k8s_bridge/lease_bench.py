"""An embedded API server, one clock that is moved by hand, and leases under any names."""

from collections.abc import Callable
from typing import Any

from lease_time import HandClock

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded.server import Call, Server
from synergai.k8s_bridge.lease import Lease, LeaseTimes

TIMES = LeaseTimes(duration_s=6, renew_deadline_s=4.0, retry_s=1.0, bind_timeout_s=1.0)
PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/synergai"


class Bench:
    """A server, one hand clock for all, and leases under any names."""

    def __init__(self, server: Server, client: ApiClient) -> None:
        self.server = server
        self.client = client
        self.clock = HandClock()

    def lossy(self) -> "LossyClient":
        """To be entered."""
        return LossyClient(Credentials(self.server.url))

    def lease(self, identity: str, times: LeaseTimes = TIMES, client: ApiClient | None = None) -> Lease:
        chosen = client or self.client
        return Lease(
            chosen,
            "default",
            "synergai",
            times,
            identity=identity,
            elapsed_s=self.clock.elapsed_s,
            sleep=self.clock.sleep,
        )

    async def object(self) -> dict[str, Any]:
        return await self.client.get(PATH)

    async def spec(self) -> dict[str, Any]:
        return (await self.object())["spec"]

    async def after(self, duration_s: float, *leases: Lease) -> None:
        """That much later each takes a step."""
        self.clock.advance(duration_s)
        for lease in leases:
            await lease.step()

    def when(self, verb: str, act: Callable[[], object]) -> None:
        """Before the server carries out a request of that verb."""

        async def before(call: Call) -> None:
            if call.verb == verb and call.target.resource.plural == "leases":
                act()

        self.server.before = before


class LossyClient(ApiClient):
    """The replies to PUTs are lost after the server has done its work."""

    lose = False

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        reply = await super().request(method, path, **options)
        if self.lose and method == "PUT":
            raise ApiError(0, "Timeout", "injected")
        return reply
