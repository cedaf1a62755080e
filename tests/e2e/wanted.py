"""An InferenceJob, and runtimes for it, where a bridge is tried."""

from synergai.k8s_bridge.inference.job import KIND, PATH, job_path
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, PLURALS
from synergai.k8s_bridge.inference.runtime import KIND as RUNTIME
from synergai.offline_profiles.table import ProfileTable
from tests.contract.refused import SERVED
from tests.e2e.ground import Ground
from tests.kube_api import Json

MODEL, HARDWARE = "resnet50", "nvidia-t4"


def runtime(name: str = "ort", kind: str = RUNTIME) -> Json:
    """For what one hardware class of `replayed.yaml` is profiled with."""
    rows = [{"name": profile.configuration} for profile in ProfileTable.default().of(MODEL, HARDWARE)]
    template = {"spec": {"containers": [{"name": "runner", "image": "registry.example/ort:1"}]}}
    variant = {"name": "t4", "hardware": [HARDWARE], "configurations": rows, "template": template}
    spec = {"models": [{"name": MODEL}], "variants": [variant]}
    return {"apiVersion": SERVED, "kind": kind, "metadata": {"name": name}, "spec": spec}


def job(name: str = "wanted", **spec: object) -> Json:
    wanted = {"model": {"name": MODEL}, "input": {"samples": 2000}, **spec}
    return {"apiVersion": SERVED, "kind": KIND, "metadata": {"name": name}, "spec": wanted}


async def want(here: Ground) -> None:
    """One job, which is deleted as soon as it has ended, and a runtime of either kind."""
    await here.client.post(f"{PATH}/namespaces/{here.name}/{PLURALS[RUNTIME]}", runtime())
    await here.client.post(f"{PATH}/{PLURALS[CLUSTER_KIND]}", runtime(here.name, CLUSTER_KIND))
    await here.client.post(job_path(here.name), job(ttlSecondsAfterFinished=0))


async def unwant(here: Ground) -> None:
    """What belongs to no namespace."""
    await here.client.request("DELETE", f"{PATH}/{PLURALS[CLUSTER_KIND]}/{here.name}")
