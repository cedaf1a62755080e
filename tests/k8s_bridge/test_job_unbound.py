"""Attempts that wait for kube-scheduler on an embedded cluster, where this test is kube-scheduler."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bridge_e2e import SPEED, TABLE, World, until, world
from bridge_jobs import GROUP, job
from test_bridge_job_e2e import install, jobs

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.inference import plan
from synergai.k8s_bridge.pods import read_pod

pytestmark = pytest.mark.e2e


@asynccontextmanager
async def bridge(w: World) -> AsyncIterator[Daemon]:
    settings = Settings(speed=SPEED, metrics_port=None, replay_every_s=0, binder="kube-scheduler")
    daemon = Daemon(settings, w.client, make("sjf_feasible"), Cluster(TABLE))
    stop = asyncio.Event()
    task = asyncio.create_task(daemon.run(stop))
    yield daemon
    stop.set()
    await asyncio.wait_for(task, 5)


async def bind_all(w: World) -> None:
    for raw in await w.pods():
        pod = read_pod(raw)
        if not pod.node:
            path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/binding"
            await w.client.post(
                path, {"metadata": {"name": pod.name}, "target": {"kind": "Node", "name": pod.aim}}
            )


async def test_what_one_bridge_created_and_nobody_bound_holds_its_room_with_the_next(monkeypatch):
    monkeypatch.setattr(plan, "UNSCHEDULED_S", 3600.0)
    async with world() as w:
        await install(w.client)
        for n in range(3):
            await w.client.post(f"{GROUP}/namespaces/default/inferencejobs", job(f"job-{n}", "resnet50"))
        async with bridge(w) as first:

            async def are_created() -> bool:
                return len(await w.pods()) == 3

            await until(are_created, 60)
            assert first._cluster.running() == 3
        assert not any(read_pod(raw).node for raw in await w.pods())
        async with bridge(w) as second:
            await asyncio.wait_for(second.synced.wait(), 30)
            assert (second._cluster.running(), second._cluster.queued()) == (3, 0)
            await bind_all(w)

            async def have_run() -> bool:
                return {j.get("status", {}).get("phase") for j in await jobs(w.client)} == {"Succeeded"}

            await until(have_run, 60)

            async def are_forgotten() -> bool:
                return (second._cluster.running(), second.pods.entries) == (0, {})

            await until(are_forgotten, 10)
            assert len(await w.pods()) == 3
            assert w.kubelets.rejected == 0


async def test_one_that_nobody_binds_is_deleted_and_made_anew_until_somebody_does():
    async with world() as w:
        await install(w.client)
        await w.client.post(f"{GROUP}/namespaces/default/inferencejobs", job("a", "resnet50", backoffLimit=0))
        async with bridge(w):

            async def is_tried_again() -> bool:
                (found,) = await jobs(w.client)
                ends = [a.get("end", {}).get("reason") for a in found.get("status", {}).get("attempts", ())]
                return ends == ["Unscheduled", None] and len(await w.pods()) == 1

            await until(is_tried_again, 60)
            (left,) = await w.pods()
            assert left["metadata"]["name"].endswith("-1")
            await bind_all(w)

            async def has_run() -> bool:
                (found,) = await jobs(w.client)
                return found["status"]["phase"] == "Succeeded"

            await until(has_run, 60)
