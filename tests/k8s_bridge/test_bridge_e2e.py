"""Everything together, as a user meets it."""

import asyncio
import json
import signal
from pathlib import Path

import numpy as np
import pytest
from bridge_e2e import SPEED, TABLE, daemon_as_process, daemon_in_process, requests, until, world
from safetensors.numpy import save_file

from synergai.agents import learned, scorer
from synergai.agents.guard import Guarded
from synergai.envs.features import schema_hash
from synergai.envs.types import Decision
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.embedded.server import Call
from synergai.k8s_bridge.startup import load_scheduler
from synergai.k8s_bridge.submit import PodRequest, submit

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("scheduler", ["sjf_feasible", "synergai", "least_allocated"])
async def test_every_pod_runs_to_its_end_and_no_kubelet_refuses_one(scheduler):
    async with world() as w, daemon_in_process(w, scheduler):
        await submit(w.client, [*requests(40), PodRequest("odd", "no-such-model", 5)], speed=SPEED)
        await until(w.all_done, 120)
        assert w.kubelets.rejected == 0
        assert await w.phases() == ["Succeeded"] * 41


def untrained(folder: Path) -> str:
    """A checkpoint of random weights: valid, and no better than chance."""
    random_weights = np.random.default_rng(1)
    tensors = {
        name: random_weights.normal(size=shape).astype(np.float32) for name, shape in scorer.shapes(8).items()
    }
    save_file(tensors, folder / learned.WEIGHTS_FILE)
    card = {"format": learned.FORMAT, "features": schema_hash()}
    (folder / learned.CARD_FILE).write_text(json.dumps(card))
    return str(folder)


@pytest.mark.parametrize("policy", ["net", "net+plan"])
async def test_a_checkpoint_schedules_behind_the_guard(tmp_path, policy):
    policy = load_scheduler(Settings(checkpoint=untrained(tmp_path), policy=policy))
    async with world() as w, daemon_in_process(w, policy):
        await submit(w.client, requests(20), speed=SPEED)
        await until(w.all_done, 120)
        assert w.kubelets.rejected == 0


class Broken:
    """A policy that has no answer."""

    name = "broken"

    def decide(self, state: object, candidates: object) -> Decision:
        raise ArithmeticError("injected")


async def test_a_policy_that_fails_is_replaced_by_the_fallback_and_its_pods_are_told():
    async with world() as w, daemon_in_process(w, Guarded(Broken())) as daemon:
        await submit(w.client, requests(10), speed=SPEED)
        await until(w.all_done, 120)
        reasons = {event["reason"] for event in (await w.client.get("/api/v1/events"))["items"]}
        assert "DecisionFallback" in reasons
        assert b'synergai_fallbacks_total{cause="error: ArithmeticError"}' in daemon.render_metrics()


async def test_every_decision_is_a_configuration_that_was_measured():
    async with world() as w, daemon_in_process(w):
        await submit(w.client, requests(20), speed=SPEED)
        await until(w.all_done, 120)
        for pod in await w.pods():
            annotations = pod["metadata"]["annotations"]
            decision = json.loads(annotations[keys.ANNOTATION_DECISION])
            TABLE.find(annotations[keys.ANNOTATION_MODEL], decision["hardware"], decision["configuration"])


async def test_a_node_that_goes_and_comes_back_loses_no_waiting_pod():
    async with world() as w, daemon_in_process(w) as daemon:
        await submit(w.client, requests(20), speed=SPEED)
        node = await w.client.get("/api/v1/nodes/orin-0")
        await w.client.request("DELETE", "/api/v1/nodes/orin-0")
        await asyncio.sleep(0.3)
        for name in ("resourceVersion", "uid", "creationTimestamp"):
            node["metadata"].pop(name, None)
        await w.client.post("/api/v1/nodes", node)
        await until(w.all_done, 120)
        assert daemon.pods.counts()["queued"] == 0


async def test_sigterm_ends_the_process_with_0(tmp_path):
    async with world() as w, daemon_as_process(w, tmp_path) as daemon:
        await submit(w.client, requests(1), speed=SPEED)
        await until(w.all_done, 120)
        assert await daemon.end(signal.SIGTERM) == 0


async def test_once_binds_what_waits_and_ends_with_0(tmp_path):
    async with world() as w:
        await submit(w.client, requests(3), speed=1000.0)
        async with daemon_as_process(w, tmp_path, "--once") as daemon:
            assert await asyncio.wait_for(daemon.process.wait(), 120) == 0
        assert all(pod["spec"].get("nodeName") for pod in await w.pods())
        assert (await w.client.get("/apis/coordination.k8s.io/v1/namespaces/default/leases"))["items"] == []


async def test_once_in_a_dry_run_writes_nothing(tmp_path):
    async with world() as w:
        await submit(w.client, [*requests(3), PodRequest("odd", "no-such-model", 1)], speed=1000.0)
        writes: list[str] = []

        async def note(call: Call) -> None:
            writes.extend([call.verb] if call.verb not in ("get", "list", "watch", "patch") else [])

        w.server.before = note
        async with daemon_as_process(w, tmp_path, "--once", "--dry-run") as daemon:
            assert await asyncio.wait_for(daemon.process.wait(), 120) == 0
        assert writes == []
