"""Pods that depend on each other, as they are placed, deleted and refused."""

from typing import Any

import pytest
from bridge_fakes import raw_node, raw_pod, table
from bridge_world import World, bound, ended

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.api.watch import CLAIMS, NAMESPACES, NOMINATED, VOLUMES, WatchEvent
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.entries import Stage

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WEB = {"topologyKey": "host", "labelSelector": {"matchLabels": {"app": "web"}}}
APART = {"affinity": {"podAntiAffinity": {REQUIRED: [WEB]}}}
TOGETHER = {"affinity": {"podAffinity": {REQUIRED: [WEB]}}}
EVEN = {"topologySpreadConstraints": [{"maxSkew": 1, **WEB}]}
PORT = {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}
DISK = {"containers": [{"name": "c", "resources": {"requests": {"ephemeral-storage": "6Gi"}}}]}
ANYWHERE = [{"operator": "Exists"}]


def world(nodes: int = 3, cluster: Any = None) -> World:
    made = World(slots=9, nodes=0, cluster=cluster)
    for n in range(nodes):
        made.node(node(f"n{n}"))
    return made


def node(name: str, **spec: Any) -> Json:
    raw = raw_node(name, **spec)
    raw["metadata"]["labels"]["host"] = name
    raw["status"]["allocatable"]["ephemeral-storage"] = "10Gi"
    return raw


def web(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> Json:
    raw = raw_pod(name, annotations, **spec)
    raw["metadata"]["labels"] = {"app": "web"}
    return raw


def places(made: World) -> list[str]:
    return sorted(order.node for order in made.round())


@pytest.mark.parametrize("annotations", [None, {}], ids=["with a profile", "without"])
@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("apart", APART, ["n0", "n1", "n2"]),
        ("a port each", PORT, ["n0", "n1", "n2"]),
        ("room for one of what nobody books", DISK, ["n0", "n1", "n2"]),
        ("even", EVEN, ["n0", "n0", "n1", "n1", "n2"]),
        ("together", TOGETHER, ["n0"] * 5),
    ],
)
def test_pods_of_one_round_see_each_other(name, spec, expected, annotations):
    made = world()
    for n in range(5):
        made.pod(web(f"p{n}", annotations, **spec))
    assert places(made) == expected, name


def test_pods_of_one_round_see_each_other_in_the_real_cluster():
    made = world(cluster=Cluster(table()))
    made.scheduler = make("sjf_feasible")
    for n in range(5):
        made.pod(web(f"p{n}", **APART))
    assert places(made) == ["n0", "n1", "n2"]
    assert made.cluster.queued() == 0
    assert [made.stage(f"default/p{n}") for n in range(5)].count(Stage.PARKED) == 2


def test_who_keeps_others_away_keeps_away_those_that_were_queued_before():
    made = world(1)
    made.pod(web("a", **APART))
    made.pod(web("b"))
    assert [order.key for order in made.round()] == ["default/a"]
    assert made.stage("default/b") is Stage.PARKED


def test_a_pod_that_waits_is_not_told_of_each_count():
    made = world(3)
    made.pod(web("a", affinity={"podAffinity": {REQUIRED: [WEB | {"topologyKey": "rack"}]}}))
    for n in range(3):
        made.node(node(f"more{n}"))
    assert made.reasons() == ["FailedScheduling"]
    assert made.pods.entries["default/a"].told["FailedScheduling"].startswith("0/6 nodes")


def test_a_pod_that_was_kept_away_comes_when_the_other_ends():
    made = world(1)
    first, second = web("a", **APART), web("b", **APART)
    made.pod(first)
    made.pod(second)
    (order,) = made.round()
    made.pod(ended(bound(first, "n0", order.record)), "MODIFIED")
    assert [order.key for order in made.round()] == ["default/b"]


def test_a_bind_that_fails_makes_way():
    made = world(1)
    made.pod(web("a", **APART))
    made.pod(web("b", **APART))
    (order,) = made.round()
    made.settle(order, Outcome.FAILED)
    assert [order.key for order in made.round()] == ["default/b"]


def test_pods_found_bound_after_a_restart_keep_others_away():
    made = world(2)
    made.pod(bound(web("a", **APART), "n0"))
    made.pod(web("b"))
    assert places(made) == ["n1"]


def test_pods_of_other_schedulers_keep_ours_away_and_let_them_in():
    made = world(1)
    other = bound(web("x", schedulerName="other", **APART), "n0")
    made.other(other)
    made.pod(web("b"))
    assert made.stage("default/b") is Stage.PARKED
    made.other(other, "DELETED")
    assert places(made) == ["n0"]


def test_a_label_that_is_taken_off_a_bound_pod_lets_others_in():
    made = world(1)
    here = bound(web("a"), "n0")
    made.pod(here)
    made.pod(web("b", **APART))
    assert made.stage("default/b") is Stage.PARKED
    here["metadata"]["labels"] = {}
    made.pod(here, "MODIFIED")
    assert places(made) == ["n0"]


def test_pods_that_depend_on_nobody_are_left_in_the_queue():
    made = world(2)
    for n in range(3):
        made.pod(raw_pod(f"plain{n}"))
    before = dict(made.cluster.waiting)
    made.pod(web("a", **APART))
    made.round()
    assert all(made.cluster.jobs[key] is job for key, job in before.items())


def test_a_job_that_is_admitted_anew_has_arrived_once():
    made = world(cluster=Cluster(table()))
    made.scheduler = make("sjf_feasible")
    for n in range(3):
        made.pod(web(f"p{n}", **APART))
    made.round()
    assert made.cluster.state.models["seen"].sum() == 3


CORDONED = {"unschedulable": True}


def test_a_pod_that_tolerates_it_goes_to_a_cordoned_node_and_others_do_not():
    made = world(0)
    made.node(node("n0", **CORDONED))
    made.pod(raw_pod("a"))
    made.pod(raw_pod("b", tolerations=ANYWHERE))
    assert [order.key for order in made.round()] == ["default/b"]
    assert made.stage("default/a") is Stage.PARKED


def test_a_node_that_comes_back_takes_who_waited():
    made = world(0)
    made.node(node("n0", **CORDONED))
    made.pod(raw_pod("a"))
    made.node(node("n0"), "MODIFIED")
    assert places(made) == ["n0"]


def test_a_node_that_goes_and_comes_leaves_the_queued_jobs_as_they_are():
    made = world(2)
    made.pod(raw_pod("a"))
    job = made.cluster.jobs["default/a"]
    made.node(node("n0", **CORDONED), "MODIFIED")
    made.node(node("n0"), "MODIFIED")
    assert made.cluster.jobs["default/a"] is job


def test_a_node_that_is_not_ready_counts_for_nobody_until_one_who_tolerates_it_comes():
    made = world(1)
    made.node(node("n0", **CORDONED), "MODIFIED")
    assert not made.cluster.nodes["n0"].ready
    made.pod(raw_pod("b", tolerations=ANYWHERE))
    assert made.cluster.nodes["n0"].ready


def test_a_silent_node_gets_nothing_however_tolerant_the_pod():
    made = world(1)
    made.nodes.set_stale(frozenset({"n0", "unknown"}))
    made.pod(raw_pod("a", tolerations=ANYWHERE))
    assert made.stage() is Stage.PARKED
    assert "kube-node-lease" in made.pods.entries["default/a"].told["FailedScheduling"]


def apply(made: World, resource: Any, raw: Json, kind: Any = "ADDED") -> None:
    made.snapshot.apply([WatchEvent(resource, kind, raw)], made.now_us)


CLAIM = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}


def claim(**metadata: Any) -> Json:
    done = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
    return {
        "metadata": {"name": "c", "namespace": "default", **done, **metadata},
        "spec": {"volumeName": "pv"},
    }


def volume(*hosts: str) -> Json:
    term = {"matchExpressions": [{"key": "host", "operator": "In", "values": list(hosts)}]}
    spec = {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}}
    return {"metadata": {"name": "pv", "uid": "pv"}, "spec": spec}


def test_a_pod_waits_for_its_claim_and_goes_where_the_volume_is():
    made = world()
    made.pod(raw_pod("a", **CLAIM))
    said = made.pods.entries["default/a"].told["FailedScheduling"]
    assert said == '0/3 nodes are available: persistentvolumeclaim "c" not found.'
    apply(made, VOLUMES, volume("n1"))
    apply(made, CLAIMS, claim())
    assert places(made) == ["n1"]


def test_without_the_right_to_read_claims_the_pod_is_told_so_until_it_is_given():
    made = world()
    apply(made, CLAIMS, {"metadata": {}, "why": "persistentvolumeclaims cannot be read"}, "REFUSED")
    made.pod(raw_pod("a", **CLAIM))
    assert "persistentvolumeclaims cannot be read" in made.pods.entries["default/a"].told["FailedScheduling"]
    apply(made, CLAIMS, {"metadata": {}, "why": ""}, "REFUSED")
    apply(made, VOLUMES, volume("n2"))
    apply(made, CLAIMS, claim())
    assert places(made) == ["n2"]


def test_labels_of_a_namespace_that_change_let_a_pod_in():
    made = world(1)
    term = WEB | {"namespaceSelector": {"matchLabels": {"team": "red"}}}
    made.other(bound(web("x", schedulerName="other"), "n0"))
    made.pod(web("a", affinity={"podAffinity": {REQUIRED: [term]}}))
    # the first of its kind would be let in anywhere, were it in such a namespace itself
    assert made.stage() is Stage.PARKED
    apply(made, NAMESPACES, {"metadata": {"name": "default", "labels": {"team": "red"}}})
    assert places(made) == ["n0"]


def test_room_is_held_for_a_pod_that_another_scheduler_has_nominated():
    made = world(1)
    nominated = raw_pod("x", containers=[{"name": "c", "resources": {"requests": {"cpu": "8"}}}])
    nominated["status"] = {"nominatedNodeName": "n0"}
    apply(made, NOMINATED, nominated)
    made.pod(raw_pod("a"))
    assert made.stage() is Stage.PARKED
    apply(made, NOMINATED, nominated, "DELETED")
    assert places(made) == ["n0"]
