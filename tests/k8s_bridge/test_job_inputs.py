"""InferenceJobs and runtimes that cannot be used: each is told what to do, and no other is delayed."""

import asyncio
from typing import Any

import pytest
import yaml
from bridge_e2e import TABLE, World, daemon_in_process, world
from bridge_jobs import GROUP, runtimes_of
from job_cluster import CRDS, DEFINITIONS, Cluster, install

from synergai.k8s_bridge.inference.writer import MERGE_PATCH

pytestmark = pytest.mark.e2e

T4 = {"hardware": ["nvidia-t4"]}
RUNTIMES = f"{GROUP}/clusterinferenceruntimes"


async def define(w: World, strict: bool = True) -> None:
    """Without `strict` as an older version may have defined them, which refuses nothing."""
    for file in sorted(CRDS.glob("*.yaml")):
        made = yaml.safe_load(file.read_text(encoding="utf-8"))
        for version in made["spec"]["versions"] if not strict else ():
            version["schema"] = {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            }
        await w.client.post(DEFINITIONS, made)


def t4(model: str = "resnet50") -> dict[str, Any]:
    (made,) = runtimes_of(TABLE, [model], ["nvidia-t4"])
    return made


BAD: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "unknown": ({"model": "no-such-net"}, "Placed", "UnknownModel", "write one of them, or add profiles"),
    "nowhere": (
        {"placement": {"hardware": ["nvidia-h100-sxm"]}}, "Placed", "NoRuntime", "create an InferenceRuntime",
    ),
    "unnamed": (
        {"runtimeRef": {"kind": "InferenceRuntime", "name": "gone"}}, "Placed", "NoRuntime", "or leave runtimeRef out",
    ),
    "nothing": ({"samples": 0}, "Failed", "InvalidSpec", "write a whole number from 1 to"),
    "too-much": ({"samples": 10**12}, "Failed", "InvalidSpec", "write a whole number from 1 to"),
    "refused": (
        {"model": "bert-99"}, "Placed", "TemplateRefused", "variant only: ",
    ),
    "ambiguous": ({"model": "retinanet"}, "Placed", "AmbiguousRuntime", "give one a higher spec.priority"),
    "no-class": ({"priorityClassName": "no-such"}, "Placed", "TemplateRefused", "no PriorityClass with name no-such"),
}  # fmt: skip


async def test_whatever_is_wrong_is_said_in_the_status_and_by_an_event_and_delays_no_other():
    async with world() as w:
        c = Cluster(w)
        await define(w, strict=False)
        refused = t4("bert-99")
        refused["spec"]["variants"][0]["template"] = {"spec": {"containers": [{"name": "runner"}]}}
        twice = [t4("retinanet"), {**t4("retinanet"), "metadata": {"name": "rival"}}]
        for made in (t4(), refused, *twice):
            await w.client.post(RUNTIMES, made)
        async with daemon_in_process(w):
            for name, (spec, *_) in BAD.items():
                await c.create(name, **spec)
            await c.create("late", deadline={"at": "2020-01-01T00:00:00Z"})
            for n in range(6):
                await c.create(f"good-{n}")
            await c.until_phase("Succeeded", "late", *(f"good-{n}" for n in range(6)))
            for name, (_, kind, reason, remedy) in BAD.items():
                await c.until_reason(reason, name, kind=kind)
                assert remedy in (await c.condition(name, kind))[1], name
                assert remedy in await c.until_told(name, reason), name
            assert "create it anew with another" in await c.until_told("late", "DeadlineInThePast")
            assert (await c.condition("late", "DeadlineMet"))[0] == "DeadlineExceeded"
            for name in (twice[0]["metadata"]["name"], "rival"):
                assert "give one a higher spec.priority" in await c.until_told(name, "SamePriority")
                conditions = (await w.client.get(f"{RUNTIMES}/{name}"))["status"]["conditions"]
                assert {"Ambiguous": "True"}.items() <= {x["type"]: x["status"] for x in conditions}.items()


async def test_a_template_that_stays_refused_is_told_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synergai.k8s_bridge.inference.checks.DOUBT_S", 0.1)
    async with world() as w, daemon_in_process(w):
        c = Cluster(w)
        await define(w)
        made = t4()
        containers = [{"name": "runner", "image": "example.org/ort:1"}]
        made["spec"]["variants"][0]["template"] = {
            "spec": {"runtimeClassName": "no-such", "containers": containers}
        }
        await w.client.post(RUNTIMES, made)
        await c.create("a")
        await c.until_reason("TemplateRefused", "a")
        version = (await w.client.get(f"{RUNTIMES}/{made['metadata']['name']}"))["metadata"][
            "resourceVersion"
        ]
        await asyncio.sleep(1.0)
        assert (await w.client.get(f"{RUNTIMES}/{made['metadata']['name']}"))["metadata"][
            "resourceVersion"
        ] == version


async def test_jobs_wait_for_a_runtime_that_was_deleted_and_go_on_when_it_is_there_again():
    async with world() as w:
        c = Cluster(w)
        await define(w)
        await w.client.post(RUNTIMES, t4())
        async with daemon_in_process(w):
            names = [f"job-{n}" for n in range(6)]
            for name in names:
                await c.create(name, samples=100_000)
            await c.until_pods(2)
            await c.delete(f"{RUNTIMES}/{t4()['metadata']['name']}")
            owners = [pod["metadata"]["ownerReferences"][0]["name"] for pod in await c.pods()]
            await c.until_phase("Succeeded", *owners)
            await c.until_reason("NoRuntime", *(set(names) - set(owners)))
            await w.client.post(RUNTIMES, t4())
            await c.until_phase("Succeeded", *names)


async def test_two_runtimes_for_one_configuration_are_none_until_one_has_priority():
    async with world() as w:
        c = Cluster(w)
        await define(w)
        rival = {**t4(), "metadata": {"name": "rival"}}
        for made in (t4(), rival):
            await w.client.post(RUNTIMES, made)
        async with daemon_in_process(w):
            await c.create("a")
            await c.until_reason("AmbiguousRuntime", "a")
            await w.client.request(
                "PATCH", f"{RUNTIMES}/rival", body={"spec": {"priority": 5}}, media_type=MERGE_PATCH
            )
            await c.until_phase("Succeeded", "a")


async def test_definitions_that_come_later_are_seen_soon():
    async with world() as w, daemon_in_process(w) as daemon:
        await daemon.synced.wait()
        await install(w.client)
        c = Cluster(w)
        await c.create("a")
        await c.until_phase("Succeeded", "a")


async def test_definitions_that_go_take_the_jobs_with_them_and_nothing_else():
    async with world() as w:
        c = Cluster(w)
        await install(w.client)
        async with daemon_in_process(w):
            await c.create("a", samples=4_000_000, placement=T4)
            await c.until_phase("Running", "a")
            for file in sorted(CRDS.glob("*.yaml")):
                await c.delete(f"{DEFINITIONS}/{yaml.safe_load(file.read_text())['metadata']['name']}")
            await c.until_pods(0)
            await install(w.client)
            await c.create("b")
            await c.until_phase("Succeeded", "b")
