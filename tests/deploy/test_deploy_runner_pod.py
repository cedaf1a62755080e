"""The runner's pod on the embedded cluster, with a bridge that decides."""

import asyncio

import pytest
import yaml

from synergai.k8s_bridge.annotations import read_decision
from tests.deploy.rendered import DEPLOY
from tests.k8s_bridge.bridge_e2e import daemon_in_process, until, world

pytestmark = pytest.mark.e2e


async def test_the_pod_is_placed_on_the_class_that_it_names_and_runs_to_its_end() -> None:
    pod = yaml.safe_load((DEPLOY / "runner" / "pod.yaml").read_text(encoding="utf-8"))
    async with asyncio.timeout(300), world() as w, daemon_in_process(w, "sjf_feasible"):
        await w.client.post("/api/v1/namespaces/default/pods", pod)
        await until(w.all_done, 120)
        (placed,) = await w.pods()
    decision = read_decision(placed["metadata"]["annotations"])
    assert decision is not None
    assert (placed["status"]["phase"], decision.hardware) == ("Succeeded", "intel-xeon-platinum-8380-2s")
    (container,) = placed["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == str(decision.cpu_milli // 1000)
