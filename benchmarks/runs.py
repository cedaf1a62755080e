"""Says of every pod that is on a node that it runs: all that a figure needs of kubelets."""

import asyncio
import sys
from datetime import UTC, datetime

from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.watch import Reflector, Resource, WatchEvent
from synergai.k8s_bridge.pods import Json

PLACED = Resource("placed", "/api/v1/pods", "spec.nodeName!=,status.phase=Pending")
PATCH = "application/strategic-merge-patch+json"
AT_ONCE = 16


def runs_command(kubeconfig: str) -> list[str]:
    """What Python is to be called with."""
    return ["-m", "synergai.benchmarks.runs", kubeconfig]


def running(pod: Json) -> Json:
    """The status of a pod whose containers have started."""
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    containers = [
        {
            "name": container["name"], "image": container["image"], "imageID": "", "ready": True, "started": True,
            "restartCount": 0, "state": {"running": {"startedAt": now}},
        }
        for container in pod["spec"]["containers"]
    ]  # fmt: skip
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now}
        for kind in ("Initialized", "ContainersReady", "Ready")
    ]
    status = {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers}
    return {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}


async def run_all(kubeconfig: str) -> None:
    """Until it is ended."""
    room, tasks = asyncio.Semaphore(AT_ONCE), set[asyncio.Task[None]]()
    async with ApiClient(credentials.load(kubeconfig)) as client:

        async def start(pod: Json) -> None:
            metadata = pod["metadata"]
            path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
            async with room:
                try:
                    await client.request("PATCH", path, body=running(pod), media_type=PATCH)
                except ApiError as error:
                    if error.status not in (404, 409):
                        raise

        def see(event: WatchEvent) -> None:
            if event.kind == "ADDED":
                task = asyncio.create_task(start(event.object))
                tasks.add(task)
                task.add_done_callback(tasks.discard)

        await Reflector(client, PLACED, see, on_listed=lambda: print("listed", flush=True)).run()


if __name__ == "__main__":
    asyncio.run(run_all(sys.argv[1]))
