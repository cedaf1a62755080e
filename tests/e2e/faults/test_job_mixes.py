"""InferenceJobs while faults by the dozen, drawn by seed, are between the bridge and an embedded API server: each job
has one pod, which runs to its end and is let go."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from synergai import k8s_bridge
from synergai.k8s_bridge.api import watch
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.inference import checks
from synergai.k8s_bridge.inference.job import PATH, PLURAL, job_path
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, PLURALS
from tests.e2e.cluster.control_plane import Plane
from tests.e2e.faults.kinds import KINDS
from tests.e2e.faults.proxy import Fault, Proxy
from tests.e2e.faults.test_fault_mixes import mix, side_by_side
from tests.e2e.faults.world import (
    MODELS,
    NODES,
    TABLE,
    Bridge,
    Site,
    _clear,
    calm,
    embedded_site,
    overbooked,
    real_site,
)

pytestmark = pytest.mark.e2e
JOBS, MIXES, MIXES_REAL, LASTS_S = 16, 30, 6, 0.8
CRDS = Path(k8s_bridge.__path__[0]) / "manifests" / "crds"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API = PATH.removeprefix("/apis/")


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SERVER_TIMEOUT_S", 3)
    monkeypatch.setattr(watch, "IDLE_S", 4.0)
    monkeypatch.setattr(checks, "DOUBT_S", 2.0)


async def define(site: Site) -> None:
    for file in sorted(CRDS.glob("*.yaml")):
        await site.admin.post(DEFINITIONS, yaml.safe_load(file.read_text(encoding="utf-8")))
    for kind in (PLURAL, *PLURALS.values()):
        await served(site, f"{PATH}/{kind}")
    for hardware in {device.hardware for node in NODES for device in node.devices}:
        for model in MODELS:
            rows = [{"name": profile.configuration} for profile in TABLE.of(model, hardware)]
            if rows:
                await site.admin.post(f"{PATH}/{PLURALS[CLUSTER_KIND]}", runtime(model, hardware, rows))


async def served(site: Site, path: str) -> None:
    """A real server takes a moment."""
    async with asyncio.timeout(30):
        while True:
            try:
                await site.admin.get(path)
            except ApiError as error:
                if error.status != 404:
                    raise
                await asyncio.sleep(0.1)
            else:
                return


def runtime(model: str, hardware: str, rows: list[dict[str, str]]) -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "runner", "image": "example.org/ort:1"}]}}
    variant = {"name": "only", "hardware": [hardware], "configurations": rows, "template": template}
    return {
        "apiVersion": API,
        "kind": CLUSTER_KIND,
        "metadata": {"name": f"{model}-{hardware}"},
        "spec": {"models": [{"name": model}], "variants": [variant]},
    }


async def create(site: Site, first: int, count: int) -> None:
    for n in range(first, first + count):
        spec = {"model": {"name": MODELS[n % 4]}, "input": {"samples": 500}, "deadline": {"after": "60s"}}
        meta = {"name": f"{site.prefix}{n:03}"}
        made = {"apiVersion": API, "kind": "InferenceJob", "metadata": meta, "spec": spec}
        await site.admin.post(job_path(site.namespace), made)


async def jobs(site: Site) -> list[dict[str, Any]]:
    return (await site.admin.get(job_path(site.namespace)))["items"]


async def trial(site: Site, faults: list[Fault], seed: int, met: Counter[str]) -> list[str]:
    site.trials += 1
    try:
        async with (
            Proxy(site.bridge, seed).serve() as proxy,
            Bridge(site.kubeconfig(proxy, None), site.namespace) as bridge,
        ):
            proxy.on_new_token = (site.folder / "token").write_text
            await bridge.until(bridge.leads, "leads")
            first = JOBS if any(fault.halts_all for fault in faults) else JOBS // 2
            await create(site, 0, first)
            await bridge.until(lambda: len(site.bound) >= 3, "the first pods")
            async with proxy.during(*faults):
                await create(site, first, JOBS - first)
                await asyncio.sleep(LASTS_S)
            await bridge.until(lambda: len(site.ended) >= JOBS, "all ended")
            await told(site, bridge)
            met.update(proxy.met)
            left = bridge.cluster.queued() + bridge.cluster.running()
            found = [] if left == 0 else [f"{left} left in the books"]
            found += [] if proxy.busiest() <= calm(2 * JOBS) else [f"{proxy.busiest()} requests in a second"]
            return found + await problems(site)
    finally:
        for made in await jobs(site):
            await site.admin.request("DELETE", job_path(site.namespace, made["metadata"]["name"]))
        await _clear(site)


async def told(site: Site, bridge: Bridge) -> None:
    """Until every job says that it has ended, and every pod is let go."""
    pods = f"/api/v1/namespaces/{site.namespace}/pods"
    open_ones = [""]

    async def look() -> None:
        while open_ones:
            over = {"Succeeded", "Failed"}
            open_ones[:] = [
                j["metadata"]["name"] for j in await jobs(site) if j["status"].get("phase") not in over
            ]
            held = [p["metadata"]["name"] for p in (await site.admin.get(pods))["items"] if finalizers(p)]
            open_ones.extend(held)
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    try:
        await bridge.until(looking.done, "all told and let go")
    finally:
        looking.cancel()


def finalizers(pod: dict[str, Any]) -> list[str]:
    return pod["metadata"].get("finalizers") or []


async def problems(site: Site) -> list[str]:
    made = await jobs(site)
    owners = {p["metadata"]["uid"]: p["metadata"]["ownerReferences"][0]["name"] for p in site.history}
    found = [f"{name} has {count} pods" for name, count in Counter(owners.values()).items() if count != 1]
    phases = Counter(j["status"]["phase"] for j in made)
    found += [] if phases == {"Succeeded": JOBS} else [f"ended as {dict(phases)}"]
    found += [
        f"{j['metadata']['name']}: {j['status']['attempts']}"
        for j in made
        if len(j["status"]["attempts"]) != 1
    ]
    return found + overbooked(site, site.history)


async def trials(site: Site, seeds: Iterable[int], found: list[str], met: Counter[str]) -> None:
    await define(site)
    for seed in seeds:
        faults = mix(seed)
        wrong = await trial(site, faults, seed, met)
        found += [f"mix {seed}, {[f.name for f in faults]}: {each}" for each in wrong]


async def worker(folder: Path, seeds: Iterator[int], found: list[str], met: Counter[str]) -> None:
    async with embedded_site(folder) as site:
        await trials(site, seeds, found, met)


def test_in_thirty_mixes_every_job_has_one_pod_and_no_room_is_given_twice(tmp_path: Path) -> None:
    found: list[str] = []
    met: Counter[str] = Counter()
    seeds = iter(range(MIXES))
    side_by_side(tmp_path, lambda own: worker(own, seeds, found, met))
    assert found == []
    assert len(met) > len(KINDS) / 2, f"of {len(KINDS)} kinds of faults struck only {met}"


def test_in_six_mixes_the_same_is_true_of_a_real_server(plane: Plane, tmp_path: Path) -> None:
    found: list[str] = []

    async def all_of_them() -> None:
        async with real_site(str(plane.kubeconfig), tmp_path) as site:
            await trials(site, range(MIXES_REAL), found, Counter())

    asyncio.run(all_of_them())
    assert found == []
