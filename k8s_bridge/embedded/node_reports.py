"""Simulated nodes as the API server hears of them: they register, renew their Leases, and fall silent when told to."""

import asyncio
import time
from collections.abc import Collection, Mapping

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.embedded.api import Api, Refused
from synergai.k8s_bridge.embedded.clock import micros_text
from synergai.k8s_bridge.embedded.machine import Machine
from synergai.k8s_bridge.embedded.objects import Json

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


class NodeReports:
    """What the nodes say of themselves. `arm`: the device classes that sit in arm64."""

    def __init__(self, api: Api, machines: Mapping[str, Machine], arm: Collection[str], lease_s: int) -> None:
        self._api = api
        self._machines = machines
        self._arm = arm
        self._lease_s = lease_s
        self._silent: dict[str, asyncio.Event] = {}
        """Nodes that are cut off, until their event is set."""

    async def register(self, dedicated: bool) -> None:
        """All nodes; `dedicated` ones carry the taint that keeps other pods away."""
        await asyncio.gather(*(self._register(machine, dedicated) for machine in self._machines.values()))
        await self.renew()

    async def keep_leases(self, renew_s: float) -> None:
        while True:
            await asyncio.sleep(renew_s)
            await self.renew()

    async def renew(self) -> None:
        await asyncio.gather(*(self._renew(name) for name in self._machines if name not in self._silent))

    def silence(self, name: str) -> None:
        self._silent.setdefault(name, asyncio.Event())

    async def wake(self, name: str) -> None:
        """The node is back, and says that it is ready."""
        self._silent.pop(name).set()
        await self._renew(name)
        await self._report(self._machines[name])

    async def heard(self, name: str) -> None:
        """Wait while the node is cut off."""
        while name in self._silent:
            await self._silent[name].wait()

    async def _register(self, machine: Machine, dedicated: bool) -> None:
        taints = [{"key": keys.TAINT_DEDICATED, "value": "true", "effect": "NoSchedule"}]
        node: Json = {
            "metadata": {"name": machine.node.name, "labels": machine.labels(self._arm)},
            "spec": {"taints": taints} if dedicated else {},
        }
        try:
            created = {"kind": "Node", "apiVersion": "v1", **node, "status": self._status(machine)}
            await self._api.request("POST", "/api/v1/nodes", created)
        except Refused as error:
            if error.status != 409:
                raise
            await self._api.patch(f"/api/v1/nodes/{machine.node.name}", node)
            await self._report(machine)

    async def _report(self, machine: Machine) -> None:
        path = f"/api/v1/nodes/{machine.node.name}/status"
        await self._api.patch(path, {"status": self._status(machine)})

    def _status(self, machine: Machine) -> Json:
        return machine.status(time.time(), machine.labels(self._arm)["kubernetes.io/arch"])

    async def _renew(self, name: str) -> None:
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": self._lease_s,
            "renewTime": micros_text(time.time()),
        }
        try:
            await self._api.patch(f"{LEASES}/{name}", {"spec": spec})
        except Refused as error:
            if error.status != 404:
                raise
            lease = {"kind": "Lease", "apiVersion": "coordination.k8s.io/v1"}
            await self._api.request("POST", LEASES, {**lease, "metadata": {"name": name}, "spec": spec})
