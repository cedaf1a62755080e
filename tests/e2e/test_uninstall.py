"""`synergai uninstall` on a real control plane, whose controllers empty namespaces and collect what has no owner."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.inference.job import KIND, job_path
from tests.contract.refused import JOB, SERVED
from tests.e2e.cluster.control_plane import CONTROLLERS, Plane
from tests.e2e.definitions import CRDS, defined
from tests.kube_api import Api, client, eventually, pod

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Here:
    """A cluster with our definitions, and no bridge."""

    api: Api
    kubeconfig: str

    async def run(self, *args: str) -> str:
        """What the command prints."""
        command = [sys.executable, "-m", "synergai", "uninstall", "--kubeconfig", self.kubeconfig, *args]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def attempt(self, namespace: str) -> str:
        """A namespace with a job and a pod as the bridge makes it; the pod's path."""
        await self.made("/api/v1/namespaces", {"metadata": {"name": namespace}})
        account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
        await eventually(lambda: self.is_there(account))
        job = await self.made(job_path(namespace), JOB)
        uid = job["metadata"]["uid"]
        owner = {"apiVersion": SERVED, "kind": KIND, "name": "a", "uid": uid, "controller": True}
        metadata = {"labels": {keys.LABEL_JOB: uid}, "finalizers": [keys.FINALIZER_OUTCOME]}
        path = f"/api/v1/namespaces/{namespace}/pods"
        await self.made(path, pod("a-0", metadata | {"ownerReferences": [owner]}))
        return f"{path}/a-0"

    async def made(self, path: str, body: dict) -> dict:
        reply = await self.api.post(path, body)
        assert reply.status == 201, reply.raw
        return reply.json

    async def is_there(self, path: str) -> bool:
        return (await self.api.get(path)).status == 200

    async def is_gone(self, path: str) -> bool:
        return (await self.api.get(path)).status == 404


@pytest.fixture
async def here(plane: Plane) -> AsyncIterator[Here]:
    if CONTROLLERS not in plane.parts:
        pytest.skip("this cluster has no controllers")
    async with defined(str(plane.kubeconfig)), client(load(str(plane.kubeconfig))) as api:
        yield Here(api, str(plane.kubeconfig))


async def test_a_namespace_that_hangs_on_a_pod_of_ours_goes(here: Here) -> None:
    path = await here.attempt("hangs")
    await here.api.delete("/api/v1/namespaces/hangs")

    async def pod_hangs() -> bool:
        return "deletionTimestamp" in (await here.api.get(path)).json["metadata"]

    await eventually(pod_hangs)  # the rest of a namespace is deleted when its pods are gone
    assert await here.run() == "released 1 pod: 1 in hangs\n"
    await eventually(lambda: here.is_gone("/api/v1/namespaces/hangs"))
    assert "no pod carries" in await here.run()


async def test_with_the_definitions_go_the_jobs_and_nothing_holds_their_pods(here: Here) -> None:
    path = await here.attempt("stays")
    said = await here.run("--delete-crds", "--yes")
    assert "released 1 pod: 1 in stays" in said
    await eventually(lambda: here.is_gone(f"{CRDS}/inferencejobs.{keys.PREFIX}"))
    left = await here.api.get(path)  # which the collector deletes as soon as it knows of jobs, every 30 s
    assert left.status == 404 or "finalizers" not in left.json["metadata"]
    assert await here.is_there("/api/v1/namespaces/stays")
    assert "no definition is left" in await here.run("--delete-crds")
