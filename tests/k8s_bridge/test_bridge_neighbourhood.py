"""What other pods keep a pod from, by kube-scheduler's documentation and tests."""

from typing import Any

import pytest
from bridge_fakes import FakeCluster, raw_node, raw_pod, table

from synergai.k8s_bridge.admission.filters import Wish
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pods import read_pod

Json = dict[str, Any]
ZONES = {"a1": "z1", "a2": "z1", "b1": "z2", "b2": "z2"}


def named(app: str) -> Json:
    return {"labelSelector": {"matchLabels": {"app": app}}}


def near(*terms: Json) -> Json:
    return {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def far(*terms: Json) -> Json:
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": list(terms)}}}


def on(topology: str, app: str = "web", **more: Any) -> Json:
    return {"topologyKey": topology, **named(app), **more}


def pod(name: str, app: str = "", namespace: str = "default", **spec: Any) -> Json:
    raw = raw_pod(name, **spec)
    raw["metadata"] |= {"namespace": namespace, "labels": {"app": app, "rev": "1"} if app else {}}
    return raw


def there(node: str, app: str = "web", namespace: str = "default", **spec: Any) -> Json:
    return pod(f"{app}-{node}", app, namespace, nodeName=node, schedulerName="other", **spec)


def leaving(raw: Json) -> Json:
    raw["metadata"]["deletionTimestamp"] = "2026-11-22T04:08:56Z"
    return raw


def port(number: int, **more: Any) -> Json:
    return {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": number, **more}]}]}


def book(pods: list[Json], zones: dict[str, str] = ZONES) -> NodeBook:
    made = NodeBook(FakeCluster(), table().hardware)
    for name, zone in zones.items():
        raw = raw_node(name)
        raw["metadata"]["labels"] |= {"host": name} | ({"zone": zone} if zone else {})
        made.set(raw)
    made.layout.set_namespace("default", {"team": "red"})
    made.layout.set_namespace("far", {"team": "blue"})
    for raw in pods:
        made.set_other(raw)
    return made


def admitted(made: NodeBook, raw: Json) -> str:
    asking = read_pod(raw)
    assert not asking.unsupported
    return " ".join(sorted(made.admit(Wish(asking.demand), asking.relations).nodes))


ALL = "a1 a2 b1 b2"
BLUE = {"namespaceSelector": {"matchLabels": {"team": "blue"}}}


@pytest.mark.parametrize(
    ("name", "there", "asks", "expected"),
    [
        ("nobody there", [], near(on("zone")), ""),
        ("beside", [there("a1")], near(on("zone")), "a1 a2"),
        ("on the very node", [there("a1")], near(on("host")), "a1"),
        ("another app", [there("a1", "db")], near(on("zone")), ""),
        ("another namespace", [there("a1", namespace="far")], near(on("zone")), ""),
        ("a namespace by name", [there("a1", namespace="far")], near(on("zone", namespaces=["far"])), "a1 a2"),
        ("only that namespace", [there("a1")], near(on("zone", namespaces=["far"])), ""),
        ("a namespace by label", [there("a1", namespace="far")], near(on("zone", **BLUE)), "a1 a2"),
        ("only namespaces of the label", [there("a1")], near(on("zone", **BLUE)), ""),
        ("all namespaces", [there("b1", namespace="far")], near(on("zone", namespaceSelector={})), "b1 b2"),
        ("two terms want one pod that is in both", [there("a1", "db"), there("b1")],
         near(on("zone"), on("zone", "db")), ""),
        ("two terms of one pod", [there("a1")], near(on("zone"), on("host")), "a1"),
        ("a label that no node has", [there("a1")], near(on("room")), ""),
        ("a pod that is being deleted counts", [leaving(there("a1"))], near(on("zone")), "a1 a2"),
        ("no selector is nobody", [there("a1")], near({"topologyKey": "zone"}), ""),
        ("an empty selector is everybody", [there("a1", "db")], near({"topologyKey": "zone", "labelSelector": {}}),
         "a1 a2"),
        ("of the same revision", [there("a1")], near(on("zone", matchLabelKeys=["rev"])), "a1 a2"),
        ("of another revision", [there("a1")], near(on("zone", mismatchLabelKeys=["rev"])), ""),
    ],
)  # fmt: skip
def test_affinity_goes_where_the_others_are(name, there, asks, expected):
    assert admitted(book(there), pod("new", "new", **asks)) == expected, name


@pytest.mark.parametrize(
    ("name", "there", "zones", "expected"),
    [
        ("the first of a series goes anywhere", [], ZONES, ALL),
        ("but only where the label is", [], ZONES | {"b1": ""}, "a1 a2 b2"),
        ("the second joins the first", [there("b1")], ZONES, "b1 b2"),
        ("one where the label is missing is none", [there("b1")], ZONES | {"b1": ""}, "a1 a2 b2"),
    ],
)
def test_a_pod_that_wants_its_own_kind_may_be_the_first(name, there, zones, expected):
    assert admitted(book(there, zones), pod("new", "web", **near(on("zone")))) == expected, name


@pytest.mark.parametrize(
    ("name", "there", "asks", "expected"),
    [
        ("nobody there", [], far(on("zone")), ALL),
        ("not beside", [there("a1")], far(on("zone")), "b1 b2"),
        ("not on the node", [there("a1")], far(on("host")), "a2 b1 b2"),
        ("another app", [there("a1", "db")], far(on("zone")), ALL),
        ("any of two terms", [there("a1", "db"), there("b1")], far(on("zone", "db"), on("host")), "b2"),
        ("another namespace", [there("a1", namespace="far")], far(on("zone")), ALL),
        ("a namespace by label", [there("a1", namespace="far")], far(on("zone", **BLUE)), "b1 b2"),
        ("a selector that holds for no labels is every namespace", [there("a1"), there("b1", namespace="far")],
         far(on("host", namespaceSelector={"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]})),
         "a2 b2"),
        ("a label that no node has keeps from nothing", [there("a1")], far(on("room")), ALL),
        ("a pod that is being deleted counts", [leaving(there("a1"))], far(on("zone")), "b1 b2"),
        ("one that has finished does not", [there("a1") | {"status": {"phase": "Succeeded"}}], far(on("zone")), ALL),
    ],
)  # fmt: skip
def test_anti_affinity_keeps_away_from_others(name, there, asks, expected):
    assert admitted(book(there), pod("new", "new", **asks)) == expected, name


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [
        ("it asks for distance from the new one", [there("a1", "db", **far(on("zone", "new")))], "b1 b2"),
        ("from its node alone", [there("a1", "db", **far(on("host", "new")))], "a2 b1 b2"),
        ("from others", [there("a1", "db", **far(on("zone", "web")))], ALL),
        ("from another namespace's", [there("a1", "db", "far", **far(on("zone", "new")))], ALL),
        ("from ours by name", [there("a1", "db", "far", **far(on("zone", "new", namespaces=["default"])))], "b1 b2"),
        ("from ours by label",
         [there("a1", "db", "far", **far(on("zone", "new", namespaceSelector={"matchLabels": {"team": "red"}})))],
         "b1 b2"),
        ("from the blue alone", [there("a1", "db", "far", **far(on("zone", "new", **BLUE)))], ALL),
    ],
)  # fmt: skip
def test_who_is_there_keeps_others_away_too(name, there, expected):
    assert admitted(book(there), pod("new", "new")) == expected, name


def test_namespaces_that_cannot_be_read_are_taken_for_those_that_are_kept_away():
    made = book([there("a1", "db", "far", **far(on("zone", "new", **BLUE)))])
    made.layout.miss("namespaces cannot be read")
    assert admitted(made, pod("new", "new")) == "b1 b2"


def test_a_pod_that_selects_namespaces_is_told_that_they_cannot_be_read():
    made = book([])
    made.layout.miss("namespaces cannot be read: it takes the right to list and watch them")
    asking = read_pod(pod("new", "new", **far(on("zone", **BLUE))))
    said = made.admit(Wish(asking.demand), asking.relations).explain()
    assert said == (
        "0/4 nodes are available: namespaces cannot be read: it takes the right to list and watch them."
    )


def spread(**more: Any) -> Json:
    return {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", **named("web"), **more}]}


SSD = {"nodeSelector": {"host": "a1"}}
ONE_EACH = [there("a1"), there("b1")]


@pytest.mark.parametrize(
    ("name", "there", "zones", "asks", "expected"),
    [
        ("even", [], ZONES, spread(), ALL),
        ("one ahead", [there("a1")], ZONES, spread(), "b1 b2"),
        ("a skew of two", [there("a1")], ZONES, spread(maxSkew=2), ALL),
        ("by node", [there("a1")], ZONES, spread(topologyKey="host"), "a2 b1 b2"),
        ("another namespace's do not count", [there("a1", namespace="far")], ZONES, spread(), ALL),
        ("one that is being deleted does not count", [leaving(there("a1"))], ZONES, spread(), ALL),
        ("an empty selector counts nobody", [there("a1")], ZONES, spread(labelSelector={}), ALL),
        ("a node without the label", [], ZONES | {"b2": ""}, spread(), "a1 a2 b1"),
        ("what is on a node without the label is not counted", [there("b2")], ZONES | {"b2": ""}, spread(),
         "a1 a2 b1"),
        ("too few domains count as an empty one", ONE_EACH, ZONES, spread(minDomains=3), ""),
        ("enough domains", ONE_EACH, ZONES, spread(minDomains=2), ALL),
        ("nodes that the pod does not select are not counted", [there("b1")], ZONES, spread() | SSD, "a1"),
        ("the least is taken over what it selects", [there("a1")], ZONES, spread() | SSD, "a1"),
        ("unless its affinity is ignored", [there("a1")], ZONES,
         spread(nodeAffinityPolicy="Ignore") | SSD, ""),
        ("of the same revision", [there("a1")], ZONES, spread(matchLabelKeys=["rev"]), "b1 b2"),
        ("one that need not be kept", [there("a1")], ZONES, spread(whenUnsatisfiable="ScheduleAnyway"), ALL),
    ],
)  # fmt: skip
def test_spread_keeps_the_domains_even(name, there, zones, asks, expected):
    assert admitted(book(there, zones), pod("new", "web", **asks)) == expected, name


@pytest.mark.parametrize(("policy", "expected"), [("Honor", "a1 a2"), ("Ignore", "")])
def test_tainted_nodes_are_domains_unless_taints_are_honored(policy, expected):
    made = book([there("a1")])
    for name in ("b1", "b2"):
        raw = raw_node(name, taints=[{"key": "own", "value": "", "effect": "NoSchedule"}])
        raw["metadata"]["labels"] |= {"host": name, "zone": "z2"}
        made.set(raw)
    assert admitted(made, pod("new", "web", **spread(nodeTaintsPolicy=policy))) == expected


@pytest.mark.parametrize(
    ("name", "held", "asked", "expected"),
    [
        ("free", port(8080), port(8081), ALL),
        ("taken", port(8080), port(8080), "a2 b1 b2"),
        ("another protocol", port(8080, protocol="UDP"), port(8080), ALL),
        ("another address", port(8080, hostIP="10.0.0.1"), port(8080, hostIP="10.0.0.2"), ALL),
        ("the same address", port(8080, hostIP="10.0.0.1"), port(8080, hostIP="10.0.0.1"), "a2 b1 b2"),
        ("all addresses hold each", port(8080), port(8080, hostIP="10.0.0.1"), "a2 b1 b2"),
        ("one address holds all", port(8080, hostIP="10.0.0.1"), port(8080), "a2 b1 b2"),
        ("a port of the container alone", port(0), port(8080), ALL),
        ("an init container's is free again", {"initContainers": port(8080)["containers"]}, port(8080), ALL),
        ("a sidecar's is not", {"initContainers": [port(8080)["containers"][0] | {"restartPolicy": "Always"}]},
         port(8080), "a2 b1 b2"),
    ],
)  # fmt: skip
def test_a_port_of_the_host_is_held_by_one(name, held, asked, expected):
    assert admitted(book([there("a1", **held)]), pod("new", **asked)) == expected, name


def test_each_refusal_says_why():
    made = book([there("a1"), there("a2", "db", **far(on("host", "new"))), there("b1", "x", **port(8080))])
    asking = read_pod(pod("new", "new", **far(on("host")), **port(8080)))
    said = made.admit(Wish(asking.demand), asking.relations).explain()
    assert said == (
        "1/4 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, "
        "1 node(s) didn't match pod anti-affinity rules, "
        "1 node(s) didn't satisfy existing pods anti-affinity rules."
    )


def test_who_goes_no_longer_keeps_anybody_away():
    made = book([there("a1", "db", **far(on("zone", "new")))])
    made.remove_other("uid-db-a1")
    assert admitted(made, pod("new", "new")) == ALL
