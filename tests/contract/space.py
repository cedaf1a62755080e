"""What tests of the contract work with: a namespace of their own on the server they are run against."""

from tests.kube_api import Api, Json, Reply, eventually, pod


class Space:
    """A namespace of one test."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name
        self.node = f"node-{name}"
        """Not there, and no other test's: a real cluster collects the pods of a node that is missing for long."""
        self.path = f"/api/v1/namespaces/{name}"
        self.pods = f"{self.path}/pods"
        self.accounts = f"{self.path}/serviceaccounts"
        self.config_maps = f"{self.path}/configmaps"
        self.events = f"{self.path}/events"
        self.new_events = f"/apis/events.k8s.io/v1/namespaces/{name}/events"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{name}/leases"

    async def made(self, path: str, body: Json) -> Json:
        """Create an object; the reply's object."""
        reply = await self.api.post(path, body)
        assert reply.status == 201, reply.raw
        return reply.json

    async def pod(self, name: str = "a", metadata: Json | None = None, **spec: object) -> Json:
        return await self.made(self.pods, pod(name, metadata, **spec))

    async def config_map(self, name: str = "c", **metadata: object) -> Json:
        return await self.made(self.config_maps, {"metadata": {"name": name, **metadata}})

    async def bind(self, name: str, node: str = "", **metadata: object) -> Reply:
        """Bind; if that is done, wait until the server's cache has it.

        kube-apiserver looks there first as it deletes, and what it takes for unbound is gone at once, without grace.
        """
        target = {"kind": "Node", "name": node or self.node}
        body = {"metadata": {"name": name, **metadata}, "target": target}
        reply = await self.api.post(f"{self.pods}/{name}/binding", body)

        async def is_known() -> bool:
            cached = await self.api.get(f"{self.pods}/{name}", resourceVersion="0")
            return cached.status == 200 and "nodeName" in cached.json["spec"]

        if reply.status == 201:
            await eventually(is_known)
        return reply

    async def gone(self, path: str) -> None:
        """Wait until there is nothing at the path."""

        async def is_gone() -> bool:
            return (await self.api.get(path)).status == 404

        await eventually(is_gone)
