"""What the tests of InferenceJobs on an embedded cluster ask of it."""

from typing import Any

from bridge_e2e import World, until
from bridge_jobs import GROUP, job
from test_bridge_job_e2e import CRDS, install, jobs

__all__ = ["CRDS", "Cluster", "install"]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Cluster:
    """A world with jobs in it."""

    def __init__(self, world: World) -> None:
        self.world, self.client = world, world.client

    async def create(
        self, name: str, model: str = "resnet50", namespace: str = "default", **spec: Any
    ) -> None:
        fate = spec.pop("fate", "")
        made = job(name, model, **spec)
        made["metadata"] |= {"namespace": namespace}
        if fate:
            made["metadata"]["annotations"] = {"sim.synergai.dev/fate": fate}
        await self.client.post(f"{GROUP}/namespaces/{namespace}/inferencejobs", made)

    async def jobs(self) -> dict[str, dict[str, Any]]:
        return {made["metadata"]["name"]: made for made in await jobs(self.client)}

    async def phases(self) -> dict[str, str]:
        return {name: made.get("status", {}).get("phase", "") for name, made in (await self.jobs()).items()}

    async def status(self, name: str) -> dict[str, Any]:
        return (await self.jobs())[name].get("status", {})

    async def condition(self, name: str, kind: str = "Placed") -> tuple[str, str]:
        """Reason and message."""
        found = (c for c in (await self.status(name)).get("conditions", ()) if c["type"] == kind)
        return next(((c["reason"], c["message"]) for c in found), ("", ""))

    async def until_phase(self, phase: str, *names: str) -> None:
        async def so() -> bool:
            phases = await self.phases()
            return {phases.get(name) for name in names} == {phase}

        await until(so, 60)

    async def until_reason(self, reason: str, *names: str, kind: str = "Placed") -> None:
        async def so() -> bool:
            return {(await self.condition(name, kind))[0] for name in names} == {reason}

        await until(so, 60)

    async def until_told(self, name: str, reason: str) -> str:
        """The message of an event."""
        found: list[str] = []

        async def so() -> bool:
            events = (await self.client.get("/api/v1/events"))["items"]
            found[:] = [
                e["message"] for e in events if (e["involvedObject"]["name"], e["reason"]) == (name, reason)
            ]
            return bool(found)

        await until(so, 60)
        return found[0]

    async def pods(self, namespace: str = "default") -> list[dict[str, Any]]:
        return (await self.client.get(f"/api/v1/namespaces/{namespace}/pods"))["items"]

    async def until_pods(self, count: int, namespace: str = "default") -> None:
        async def so() -> bool:
            return len(await self.pods(namespace)) == count

        await until(so, 60)

    async def delete(self, path: str) -> None:
        await self.client.request("DELETE", path)
