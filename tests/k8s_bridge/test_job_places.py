"""Where the pods of InferenceJobs are admitted: a device, by all the kinds of pods that may run on it."""

from dataclasses import replace
from typing import Any

from bridge_fakes import profile, raw_node
from bridge_jobs import job, runtime, stored
from bridge_world import World

from synergai.k8s_bridge.api.watch import CLUSTER_RUNTIMES, JOBS, WatchEvent
from synergai.k8s_bridge.entries import Stage

GPU_TAINT = {"key": "gpu", "value": "", "effect": "NoSchedule"}
TOLERATES = [{"key": "gpu", "operator": "Exists"}]


def template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "runner", "image": "example.org/a:1"}], **spec}}


def world(*runtimes: dict[str, Any], nodes: list[dict[str, Any]]) -> World:
    w = World(nodes=0)
    for node in nodes:
        w.node(node)
    for n, raw in enumerate(runtimes):
        raw["metadata"] |= {"uid": f"r{n}", "generation": 1, "resourceVersion": "1"}
        w.snapshot.apply([WatchEvent(CLUSTER_RUNTIMES, "ADDED", raw)], w.now_us)
    w.snapshot.apply([WatchEvent(JOBS, "ADDED", stored(job(model="net")))], w.now_us)
    w.jobs.reconcile(w.now_us)
    return w


def reach(w: World) -> tuple[frozenset[str] | None, frozenset[tuple[str, str]]]:
    (entry,) = w.pods.entries.values()
    assert entry.stage is Stage.QUEUED, entry.told
    return entry.reach


def test_a_device_whose_template_does_not_tolerate_the_node_is_barred_and_the_other_is_not():
    tainted = raw_node("both", {"gpu-a": "2", "xeon": "1"}, taints=[GPU_TAINT])
    gpu = runtime("gpu", ["net"], ["gpu-a"], template=template(tolerations=TOLERATES))
    cpu = runtime("cpu", ["net"], ["xeon"], template=template())
    nodes, barred = reach(world(gpu, cpu, nodes=[tainted, raw_node("plain", {"xeon": "1"})]))
    assert nodes == {"both", "plain"}
    assert barred == {("both", "xeon")}


def test_where_all_templates_agree_no_device_is_barred():
    gpu, cpu = runtime("gpu", ["net"], ["gpu-a"]), runtime("cpu", ["net"], ["xeon"])
    assert reach(world(gpu, cpu, nodes=[raw_node("both", {"gpu-a": "2", "xeon": "1"})])) == (
        None,
        frozenset(),
    )


def two_on_one(first: dict[str, Any], second: dict[str, Any], nodes: list[dict[str, Any]]) -> World:
    """Two runtimes of the same hardware, each with a configuration of its own."""
    w = World(nodes=0)
    known = w.jobs.offers.base
    more = known.beside([replace(profile("net", "gpu-a"), configuration="ort-b9")])
    w.jobs.rebase(more)
    for node in nodes:
        w.node(node)
    for name, made in (("ort-b8", first), ("ort-b9", second)):
        raw = runtime(name, ["net"], ["gpu-a"], [{"name": name}], template=made)
        raw["metadata"] |= {"uid": name, "generation": 1, "resourceVersion": "1"}
        w.snapshot.apply([WatchEvent(CLUSTER_RUNTIMES, "ADDED", raw)], w.now_us)
    w.snapshot.apply([WatchEvent(JOBS, "ADDED", stored(job(model="net")))], w.now_us)
    w.jobs.reconcile(w.now_us)
    return w


def test_a_device_that_two_runtimes_may_use_is_admitted_where_both_are():
    nodes = [raw_node("tainted", {"gpu-a": "2"}, taints=[GPU_TAINT]), raw_node("plain", {"gpu-a": "2"})]
    w = two_on_one(template(tolerations=TOLERATES), template(), nodes)
    assert reach(w)[0] == {"plain"}


def test_where_no_device_admits_all_its_runtimes_the_job_says_which_refuses():
    w = two_on_one(
        template(tolerations=TOLERATES), template(), [raw_node("t", {"gpu-a": "2"}, taints=[GPU_TAINT])]
    )
    (entry,) = w.pods.entries.values()
    assert entry.stage is Stage.PARKED
    assert "untolerated taint {gpu: }" in entry.told["FailedScheduling"]
