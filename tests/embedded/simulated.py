"""What tests of simulated kubelets work with: pods put on a node, and waiting for what becomes of them."""

import json

from synergai.k8s_bridge import keys
from tests.kube_api import Api, Json, eventually, pod

PODS = "/api/v1/namespaces/default/pods"


class Ground:
    """The pods of one embedded server."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def put(self, name: str, node: str, metadata: Json | None = None, **spec: object) -> Json:
        """Create a pod on a node."""
        made = await self.api.post(PODS, pod(name, metadata, nodeName=node, **spec))
        assert made.status == 201, made.raw
        return made.json

    async def pod(self, name: str) -> Json:
        """The pod; empty where there is none."""
        reply = await self.api.get(f"{PODS}/{name}")
        return reply.json if reply.status == 200 else {}

    async def until(self, name: str, *phases: str) -> Json:
        """The pod in one of these phases."""

        async def is_reached() -> bool:
            return (await self.pod(name))["status"].get("phase") in phases

        await eventually(is_reached)
        return await self.pod(name)

    async def gone(self, name: str) -> None:
        async def is_gone() -> bool:
            return not await self.pod(name)

        await eventually(is_gone)

    async def release(self, name: str) -> None:
        """Take the finalizers off."""
        await self.api.merge(f"{PODS}/{name}/status", {"metadata": {"finalizers": None}})


def decided(hardware: str, **annotations: str) -> Json:
    """Metadata of a pod that the bridge has decided on."""
    decision = {"id": "d", "hardware": hardware, "configuration": "trt-b8", "deviceUnits": 1}
    return {"annotations": {keys.ANNOTATION_DECISION: json.dumps(decision), **annotations}}


def state(shown: Json) -> Json:
    """Of its one container."""
    (status,) = shown["status"]["containerStatuses"]
    return status["state"]


def conditions(shown: Json) -> dict[str, str]:
    return {found["type"]: found["status"] for found in shown["status"]["conditions"]}
