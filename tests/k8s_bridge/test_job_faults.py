"""InferenceJobs while things fail, on an embedded cluster: each runs once to its end, and none holds up another."""

import asyncio
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from bridge_e2e import World, daemon_as_process, daemon_in_process, until, world
from bridge_jobs import GROUP
from job_cluster import Cluster, install
from test_bridge_faults import LEASE, LossyClient

from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded import errors
from synergai.k8s_bridge.embedded.controllers import Controllers
from synergai.k8s_bridge.embedded.server import Call

pytestmark = pytest.mark.e2e

MODELS = ("resnet50", "bert-99", "retinanet", "mobilenet-v1")


async def submitted(c: Cluster, count: int) -> list[str]:
    names = [f"job-{n:02}" for n in range(count)]
    for n, name in enumerate(names):
        await c.create(name, MODELS[n % 4], samples=2000, deadline={"after": "10m"})
    return names


async def ran_once(c: Cluster, names: list[str]) -> None:
    """Each has one pod that completed, and no trace of another; in the end nobody holds any."""
    pods = await c.pods()
    assert Counter(p["metadata"]["ownerReferences"][0]["name"] for p in pods) == Counter(names)
    for name, made in (await c.jobs()).items():
        (attempt,) = made["status"]["attempts"]
        assert attempt["end"]["reason"] == "Completed", name

    async def released() -> bool:
        return not any(p["metadata"].get("finalizers") for p in await c.pods())

    await until(released, 30)


async def test_the_leader_of_two_is_killed_in_the_middle_of_sixty_jobs(tmp_path: Path):
    async with world() as w, daemon_as_process(w, tmp_path) as first:
        c = Cluster(w)
        await install(w.client)
        seen: Counter[str] = Counter()

        async def count(call: Call) -> None:
            if call.target.name == "synergai":
                seen[call.verb] += 1

        w.server.before = count
        await until(lambda: _so(seen["update"] > 0), 120)
        leader = (await w.client.get(LEASE))["spec"]["holderIdentity"]
        async with daemon_as_process(w, tmp_path) as second:
            await until(lambda: _so(seen["get"] > 2), 120)
            names = await submitted(c, 60)
            await until(lambda: _so(len(w.binds) >= 8), 60)
            await first.end(signal.SIGKILL)
            assert len(w.binds) < 60, "all were placed before the kill: it proves nothing"
            await c.until_phase("Succeeded", *names)
            await ran_once(c, names)
            assert w.kubelets.rejected == 0
            assert (await w.client.get(LEASE))["spec"]["holderIdentity"] != leader
            assert await second.end(signal.SIGTERM) == 0


async def _so(fact: bool) -> bool:
    return fact


class Trouble:
    """What may become of the bridge's writes, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()

    async def __call__(self, call: Call) -> None:
        """For `Server.before`; kubelets write the status of pods alone, and people create jobs."""
        if (call.target.resource.plural, call.verb) not in {("pods", "create"), ("inferencejobs", "patch")}:
            return
        kind = self._random.choices(
            ("none", "throttled", "failed", "slow", "conflict"), (60, 10, 10, 10, 10)
        )[0]
        self.counts[kind] += 1
        if kind == "throttled":
            raise errors.ApiError(429, "TooManyRequests", "busy", headers={"Retry-After": "0"})
        if kind == "failed":
            raise errors.internal("injected")
        if kind == "conflict":
            raise errors.ApiError(409, "Conflict", "injected")
        if kind == "slow":
            await asyncio.sleep(0.3)


async def test_throttling_and_errors_lose_no_job_and_run_none_twice():
    async with world() as w, daemon_in_process(w, bind_timeout_s=0.2) as daemon:
        c = Cluster(w)
        await install(w.client)
        await daemon.synced.wait()
        trouble = w.server.before = Trouble(seed=7)
        names = await submitted(c, 20)
        await c.until_phase("Succeeded", *names)
        await ran_once(c, names)
        assert min(trouble.counts[kind] for kind in ("throttled", "failed", "slow", "conflict")) > 0


async def test_replies_that_are_lost_after_a_pod_was_made_make_no_second_one():
    async with world() as w, LossyClient(Credentials(w.server.url)) as lossy:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w, client=lossy):
            names = await submitted(c, 20)
            await c.until_phase("Succeeded", *names)
            await ran_once(c, names)
            assert lossy.posts > 20


async def test_jobs_run_where_a_quota_wants_every_pod_to_request():
    async with world() as w, daemon_in_process(w):
        c = Cluster(w)
        quota = {
            "metadata": {"name": "all"},
            "spec": {"hard": {"requests.cpu": "500", "requests.memory": "2Ti"}},
        }
        await w.client.post("/api/v1/namespaces/default/resourcequotas", quota)
        await install(w.client)
        await c.create("a", "resnet50", samples=500)
        await c.until_phase("Succeeded", "a")


async def test_a_full_namespace_keeps_its_own_jobs_waiting_and_no_others():
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        await team(w, "team-a")
        quota = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}}
        await w.client.post("/api/v1/namespaces/team-a/resourcequotas", quota)
        async with daemon_in_process(w):
            full = [f"full-{n}" for n in range(4)]
            for name in full:
                await c.create(name, namespace="team-a")
            await c.until_reason("FailedCreate", *full)
            names = await submitted(c, 8)
            await c.until_phase("Succeeded", *names)
            assert {(await c.phases())[name] for name in full} == {"Pending"}
            assert "exceeded quota: small" in (await c.condition(full[0]))[1]
            assert "exceeded quota: small" in await c.until_told(full[0], "FailedCreate")
            await c.delete("/api/v1/namespaces/team-a/resourcequotas/small")
            await c.until_phase("Succeeded", *full)


async def team(w: World, name: str) -> None:
    await w.client.post("/api/v1/namespaces", {"metadata": {"name": name}})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    for _ in range(100):  # somebody makes it a moment later, or the server at once
        try:
            await w.client.get(account)
        except Exception:
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.parametrize(
    ("fate", "reason"),
    [
        ("ErrImagePull", "ImagePullBackOff"),
        ("OOMKilled", "OOMKilled"),
        ("Evicted", "Evicted"),
        ("OutOfcpu", "OutOfcpu"),
    ],
)
async def test_what_fails_everywhere_is_tried_on_other_devices_and_given_up(fate: str, reason: str):
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w):
            await c.create("bad", backoffLimit=1, fate=fate)
            await c.create("good")
            await c.until_phase("Succeeded", "good")
            await c.until_phase("Failed", "bad")
            one, two = (await c.status("bad"))["attempts"]
            assert {one["end"]["reason"], two["end"]["reason"]} == {reason}
            assert (one["node"], one["hardware"]) != (two["node"], two["hardware"])
            assert (await c.condition("bad", "Failed"))[0] == "BackoffLimitExceeded"


async def test_a_pod_that_a_person_deletes_is_run_again():
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w):
            await c.create("a", samples=4_000_000)
            await c.until_reason("PodCreated", "a")
            (pod,) = await c.pods()
            await c.delete(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}")

            async def again() -> bool:
                return len((await c.status("a")).get("attempts", ())) == 2

            await until(again, 30)
            assert (await c.status("a"))["attempts"][0]["end"]["reason"] == "Deleted"


async def test_suspending_stops_a_pod_and_resuming_starts_another_that_counts_as_the_first():
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w):
            await c.create("a", samples=4_000_000, backoffLimit=0)
            await c.until_reason("PodCreated", "a")
            path = f"{GROUP}/namespaces/default/inferencejobs/a"
            merge = "application/merge-patch+json"
            await w.client.request("PATCH", path, body={"spec": {"suspend": True}}, media_type=merge)
            await c.until_phase("Suspended", "a")
            await c.until_pods(0)
            await w.client.request("PATCH", path, body={"spec": {"suspend": False}}, media_type=merge)
            await c.until_pods(1)
            assert (await c.status("a"))["attempts"][0]["end"]["reason"] == "Suspended"


@pytest.mark.parametrize("collects", [False, True])
async def test_deleting_a_job_stops_its_pod_and_makes_room(collects: bool):
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w):
            long = [f"long-{n}" for n in range(2)]
            for name in long:
                await c.create(name, samples=4_000_000, placement={"hardware": ["nvidia-t4"]})
            await c.until_reason("PodCreated", *long)
            await c.create("next", placement={"hardware": ["nvidia-t4"]})
            controllers = Controllers(w.server)
            for name in long:
                await c.delete(f"{GROUP}/namespaces/default/inferencejobs/{name}")
            if collects:
                controllers.look()
            await c.until_phase("Succeeded", "next")
            await c.until_pods(1)


async def test_a_namespace_that_is_deleted_with_jobs_running_and_waiting_goes():
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        await team(w, "team-a")
        async with daemon_in_process(w):
            for n in range(4):
                await c.create(
                    f"long-{n}", namespace="team-a", samples=4_000_000, placement={"hardware": ["nvidia-t4"]}
                )
            await c.until_pods(2, "team-a")
            await c.delete("/api/v1/namespaces/team-a")

            async def gone() -> bool:
                return "team-a" not in {
                    n["metadata"]["name"] for n in (await w.client.get("/api/v1/namespaces"))["items"]
                }

            await until(gone, 30)
            await c.create("a")
            await c.until_phase("Succeeded", "a")


async def test_a_job_is_gone_a_while_after_its_end():
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w):
            await c.create("a", ttlSecondsAfterFinished=1)

            async def gone() -> bool:
                return not await c.jobs() and not await c.pods()

            await until(gone, 30)
