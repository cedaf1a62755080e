"""Beside another scheduler: its choices compared with ours, and nothing written."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from bridge_bench import Bench, api_object, bench, until
from bridge_fakes import ANNOTATIONS, NOW_US, raw_node, raw_pod, table

from synergai.agents.heuristics import Rule
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.watch import NODES, OTHER_PODS, WatchEvent
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.config import ConfigError, load_settings
from synergai.k8s_bridge.control.shadow import Shadow, pods_of
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Journal

OTHER = "default-scheduler"
SHADOWED = pods_of(OTHER)


class Beside:
    """A shadow without a loop and without a server."""

    def __init__(self, journal: Journal | None = None, speaks: bool = True, rule: Any = None) -> None:
        self.cluster = Cluster(table())
        self.metrics = Metrics()
        scheduler = rule or Rule("edf")
        self.shadow = Shadow(
            self.cluster, ScenarioClock(), lambda: scheduler, self.metrics, journal, lambda: speaks
        )
        self.now_us = NOW_US

    def hears(self, resource: Any, raw: dict[str, Any], kind: Any = "ADDED") -> None:
        self.now_us += 1000
        self.shadow.apply([WatchEvent(resource, kind, raw)], self.now_us)

    def node(self, name: str, hardware: str = "gpu-a", count: str = "1") -> None:
        self.hears(NODES, raw_node(name, {hardware: count}))

    def pod(self, name: str, node: str = "", kind: Any = "ADDED", **annotations: str) -> dict[str, Any]:
        raw = raw_pod(name, {**ANNOTATIONS, **annotations}, schedulerName=OTHER)
        if node:
            raw["spec"]["nodeName"] = node
        self.hears(SHADOWED, raw, kind)
        return raw

    def count(self, result: str) -> float:
        return self.metrics.shadow_agreement.labels(result)._value.get()

    def agreed(self) -> dict[str, float]:
        results = ("node", "hardware", "different", "undecided")
        return {result: count for result in results if (count := self.count(result))}


def test_the_same_node_is_agreement():
    b = Beside()
    b.node("n0")
    b.pod("a")
    b.pod("a", node="n0")
    assert b.agreed() == {"node": 1}


def test_another_node_of_the_class_is_told_apart_from_another_class():
    b = Beside()
    b.node("n0")
    b.node("n1")
    b.node("x", "jetson")
    b.pod("a")
    ours = b.shadow._pods["default/a"].choice
    assert ours is not None
    b.pod("a", node=next(name for name in ("n0", "n1") if name != ours.node))
    b.pod("b")
    choice = b.shadow._pods["default/b"].choice
    assert choice is not None
    b.pod("b", node="x" if choice.hardware == "gpu-a" else ours.node)
    assert b.agreed() == {"hardware": 1, "different": 1}


def test_what_the_other_has_bound_takes_its_room_and_what_we_chose_does_not():
    b = Beside()
    b.node("n0")
    b.pod("a")
    assert b.cluster.running() == 0
    b.pod("a", node="n0")
    b.pod("b")
    assert b.cluster.running() == 1
    b.pod("b", node="n0")
    assert b.agreed() == {"node": 1, "undecided": 1}


def test_a_pod_that_has_ended_gives_its_room_back():
    b = Beside()
    b.node("n0")
    b.pod("a")
    raw = copy.deepcopy(b.pod("a", node="n0"))
    raw["status"] = {"phase": "Succeeded"}
    b.hears(SHADOWED, raw, "MODIFIED")
    assert b.cluster.running() == 0
    b.pod("b")
    b.pod("b", node="n0")
    assert b.agreed() == {"node": 2}


@pytest.mark.parametrize("when", ["waiting", "decided", "bound"])
def test_a_pod_that_is_deleted_is_forgotten(when: str):
    b = Beside()
    if when != "waiting":
        b.node("n0")
    raw = b.pod("a", node="n0" if when == "bound" else "")
    b.hears(SHADOWED, {"metadata": raw["metadata"]}, "DELETED")
    assert (b.cluster.running(), b.cluster.queued(), b.shadow._pods) == (0, 0, {})


def test_a_pod_that_ran_before_the_shadow_began_is_booked_and_not_compared():
    b = Beside()
    b.node("n0")
    b.pod("a", node="n0")
    assert b.cluster.running() == 1
    assert b.agreed() == {}


def test_a_pod_without_our_annotations_is_room_that_others_take():
    b = Beside()
    b.node("n0")
    raw = raw_pod("big", {}, schedulerName=OTHER, nodeName="n0")
    raw["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "7900m"
    b.hears(OTHER_PODS, raw)
    b.hears(SHADOWED, raw)
    b.pod("a")
    b.pod("a", node="n0")
    assert b.agreed() == {"undecided": 1}


def test_a_pod_that_two_watches_tell_of_is_booked_once():
    b = Beside()
    b.node("n0", count="2")
    b.pod("a")
    raw = b.pod("a", node="n0")
    free = b.cluster.state.nodes[0]["pods_free"]
    b.hears(OTHER_PODS, raw)
    assert b.cluster.state.nodes[0]["pods_free"] == free


def test_the_gain_is_by_how_much_earlier_the_pod_would_end_with_us(tmp_path: Path):
    with Journal(tmp_path / "log") as journal:
        b = Beside(journal)
        b.node("n0")
        b.pod("a", **{keys.ANNOTATION_DEADLINE: "3s"})
        b.now_us += 60_000_000
        b.pod("a", node="n0")
    told = json.loads((tmp_path / "log").read_text())
    assert (told["kind"], told["result"], told["pod"], told["ourNode"]) == (
        "shadow",
        "node",
        "default/a",
        "n0",
    )
    assert 59 < (told["theirsUs"] - told["oursUs"]) / 1e6 < 62
    page = b.metrics.render().decode()
    assert 'synergai_shadow_deadlines_total{by="ours",result="met"} 1.0' in page
    assert 'synergai_shadow_deadlines_total{by="theirs",result="missed"} 1.0' in page
    assert 'synergai_shadow_gain_seconds_bucket{le="30.0"} 0.0' in page


def test_a_follower_keeps_its_picture_and_counts_nothing():
    b = Beside(speaks=False)
    b.node("n0")
    b.pod("a")
    b.pod("a", node="n0")
    assert b.agreed() == {}
    assert b.cluster.running() == 1


def test_a_node_that_goes_takes_its_pods_along_and_may_come_back():
    b = Beside()
    b.node("n0")
    b.pod("a")
    raw = b.pod("a", node="n0")
    b.hears(NODES, raw_node("n0"), "DELETED")
    assert b.cluster.running() == 0
    b.node("n0")
    b.hears(SHADOWED, raw, "MODIFIED")
    assert b.cluster.running() == 1


class Breaks:
    """A policy with a fault."""

    name = "breaks"

    def decide(self, state: object, candidates: object) -> None:
        raise RuntimeError("no answer")


def test_a_fault_in_the_shadow_is_logged_and_ends_nothing(caplog: pytest.LogCaptureFixture):
    b = Beside(rule=Breaks())
    b.node("n0")
    b.node("n1", "jetson")
    b.pod("a")
    assert "the shadow of another scheduler has failed" in caplog.text


def test_a_bridge_cannot_be_the_shadow_of_itself(tmp_path: Path):
    path = tmp_path / "bridge.yaml"
    path.write_text("shadow_of: synergai", encoding="utf-8")
    with pytest.raises(ConfigError, match="shadow_of"):
        load_settings(str(path))


async def test_a_bridge_compares_itself_and_writes_nothing_on_the_others_pods():
    async with bench() as b:
        b.cluster = Cluster(table())  # type: ignore[assignment] - a real one, as the shadow's is
        b.scheduler = Rule("edf")
        await b.node()
        await b.start(shadow_of=OTHER, mode="shadow")
        await b.daemon.synced.wait()
        made = api_object("Pod", raw_pod("theirs", schedulerName=OTHER))
        await b.client.post("/api/v1/namespaces/default/pods", made)
        await until(lambda: seen(b))
        target = {"apiVersion": "v1", "kind": "Node", "name": "n0"}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "theirs"}, "target": target}
        await b.client.post("/api/v1/namespaces/default/pods/theirs/binding", binding)
        await until(lambda: compared(b))
        annotations = (await b.pods())["theirs"]["metadata"]["annotations"]
        assert keys.ANNOTATION_DECISION not in annotations
        assert await b.reasons() == set()


async def seen(b: Bench) -> bool:
    assert b.daemon._shadow is not None
    return "default/theirs" in b.daemon._shadow._pods


async def compared(b: Bench) -> bool:
    return b'synergai_shadow_agreement_total{result="node"} 1.0' in b.daemon.render_metrics()
