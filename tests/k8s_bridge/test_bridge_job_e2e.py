"""InferenceJobs on an embedded cluster: wanted, decided, run, told."""

from pathlib import Path

import pytest
import yaml
from bridge_e2e import NODES, TABLE, daemon_in_process, until, world
from bridge_jobs import GROUP, job, runtimes_of

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient

pytestmark = pytest.mark.e2e

CRDS = Path(__file__).parents[2] / "k8s_bridge" / "manifests" / "crds"
MODELS = ("resnet50", "bert-99", "retinanet", "mobilenet-v1")
HARDWARE = sorted({device.hardware for node in NODES for device in node.devices})


async def install(client: ApiClient) -> None:
    for file in sorted(CRDS.glob("*.yaml")):
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        await client.post(path, yaml.safe_load(file.read_text(encoding="utf-8")))
    for made in runtimes_of(TABLE, MODELS, HARDWARE):
        await client.post(f"{GROUP}/clusterinferenceruntimes", made)


async def jobs(client: ApiClient) -> list[dict]:
    return (await client.get(f"{GROUP}/inferencejobs"))["items"]


async def test_jobs_of_all_models_run_to_their_end_and_say_so():
    async with world() as w:
        await install(w.client)
        async with daemon_in_process(w):
            for n in range(20):
                made = job(f"job-{n}", MODELS[n % 4], deadline={"after": "10m"})
                await w.client.post(f"{GROUP}/namespaces/default/inferencejobs", made)

            async def ended() -> bool:
                return {j.get("status", {}).get("phase") for j in await jobs(w.client)} == {"Succeeded"}

            await until(ended, 60)
            pods = await w.pods()
            assert len(pods) == 20
            assert w.kubelets.rejected == 0

            async def released() -> bool:
                return not any(pod["metadata"].get("finalizers") for pod in await w.pods())

            await until(released, 10)
            for pod in pods:
                assert pod["metadata"]["annotations"][keys.ANNOTATION_ATTEMPT] == "0"
