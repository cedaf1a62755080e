"""The real kube-scheduler as a judge of which nodes may take a pod.

Its last filter is an extender that is here: it hears which nodes have passed all others, and admits none, so that
nothing is ever bound.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import load
from tests.e2e.cluster.control_plane import NEEDED, Part, control_plane
from tests.e2e.cluster.source import Unavailable, programs

SCHEDULER = "kube-scheduler"
PROFILE = "judge"
POLL_S = 0.3
TIMEOUT_S = 60.0
OF_PROFILE = {"fieldSelector": f"spec.schedulerName={PROFILE}"}
Json = dict[str, Any]


class Judge:
    """`judge` creates pods and says where each may go."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self._heard: dict[str, frozenset[str]] = {}

    async def hear(self, request: web.Request) -> web.Response:
        """A pod, and the names of the nodes that have passed."""
        asked = await request.json()
        metadata = asked["Pod"]["metadata"]
        key = f"{metadata['namespace']}/{metadata['name']}"
        self._heard[key] = frozenset(asked["NodeNames"] or ())
        return web.json_response({"NodeNames": [], "FailedNodes": {}, "Error": ""})

    async def judge(self, pods: list[Json]) -> dict[str, tuple[Json, frozenset[str]]]:
        """Each pod as the API server has it, and the nodes that pass; all of them are deleted again."""
        made = await asyncio.gather(*(self._create(pod) for pod in pods))
        keys = {f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": pod for pod in made}
        async with asyncio.timeout(TIMEOUT_S):
            while not await self._all_judged(keys.keys()):  # noqa: ASYNC110 - the API server rings no bell here
                await asyncio.sleep(POLL_S)
        # a pod for which nothing passes never comes here
        found = {key: (pod, self._heard.pop(key, frozenset())) for key, pod in keys.items()}
        await asyncio.gather(*(self._empty(name) for name in {pod["metadata"]["namespace"] for pod in made}))
        return found

    async def _create(self, pod: Json) -> Json:
        pod["spec"]["schedulerName"] = PROFILE
        return await self.client.post(f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods", pod)

    async def _empty(self, namespace: str) -> None:
        path, now = f"/api/v1/namespaces/{namespace}/pods", {"gracePeriodSeconds": 0}
        await self.client.request("DELETE", path, params=OF_PROFILE, body=now)

    async def _all_judged(self, keys: Set[str]) -> bool:
        return keys <= self._heard.keys() or keys <= await self._judged()

    async def _judged(self) -> set[str]:
        items = (await self.client.get("/api/v1/pods", OF_PROFILE))["items"]
        return {f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in items if _is_judged(p)}


def _is_judged(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "PodScheduled" and c["status"] == "False" for c in conditions)


@asynccontextmanager
async def judge(folder: Path) -> AsyncIterator[Judge]:
    """A control plane of its own, as nobody else may touch its nodes; Unavailable without a kube-scheduler."""
    where = programs()
    if not os.access(where / SCHEDULER, os.X_OK):
        raise Unavailable(f"{where} has no {SCHEDULER}; run 'tests/e2e/cluster/build.sh {SCHEDULER}'")
    with control_plane(_without_controllers(where, folder)) as kubeconfig:
        async with ApiClient(load(str(kubeconfig))) as client:
            made = Judge(client)
            async with _served(made) as port:
                with _scheduler(where / SCHEDULER, kubeconfig, port, folder):
                    yield made


def _without_controllers(where: Path, folder: Path) -> Path:
    """Controllers would taint nodes whose kubelet is silent, and collect their pods."""
    links = folder / "programs"
    links.mkdir()
    for name in NEEDED:
        (links / name).symlink_to(where / name)
    return links


@asynccontextmanager
async def _served(made: Judge) -> AsyncIterator[int]:
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/filter", made.hear)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextmanager
def _scheduler(program: Path, kubeconfig: Path, port: int, folder: Path) -> Iterator[None]:
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": 2000, "burst": 4000},
        "podInitialBackoffSeconds": 30,
        "podMaxBackoffSeconds": 30,
        "profiles": [
            {
                "schedulerName": PROFILE,
                "percentageOfNodesToScore": 100,
                "plugins": {"postFilter": {"disabled": [{"name": "*"}]}},
            }
        ],
        "extenders": [
            {
                "urlPrefix": f"http://127.0.0.1:{port}",
                "filterVerb": "filter",
                "nodeCacheCapable": True,
                "httpTimeout": "30s",
            }
        ],
    }
    path = folder / "scheduler.json"
    path.write_text(json.dumps(config))
    part = Part(program, [f"--config={path}", "--secure-port=0"], folder)
    try:
        yield
    finally:
        part.kill()
