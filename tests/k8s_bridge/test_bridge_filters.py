"""Each filter, and what it says of a node that it refuses."""

import pytest
from bridge_fakes import raw_node, table

from synergai.k8s_bridge.admission.filters import Place, Wish, admit
from synergai.k8s_bridge.admission.requests import Requests
from synergai.k8s_bridge.admission.taints import Taint, Toleration, tolerates
from synergai.k8s_bridge.nodes import free_extended, read_node, to_node
from synergai.k8s_bridge.pods import Demand
from synergai.offline_profiles.table import Need

HARDWARE = table().hardware


def place(raw) -> Place:
    facts = read_node(raw, HARDWARE)
    return Place(facts, to_node(facts, HARDWARE), free_extended(facts))


def labelled(name: str, **labels: str):
    raw = raw_node(name)
    raw["metadata"]["labels"] |= labels
    return raw


TOO_SMALL = "node(s) were too small for every configuration of the model"
ANYTHING = Toleration("", True, "", "")
UNREACHABLE = raw_node("a", taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}])
TAINTED = raw_node("a", taints=[{"key": "mine", "value": "x", "effect": "NoSchedule"}])


@pytest.mark.parametrize(
    ("wish", "raw", "reason"),
    [
        (Wish(Demand()), raw_node("a"), ""),
        (Wish(Demand()), TAINTED, "node(s) had untolerated taint {mine: x}"),
        (Wish(Demand(tolerations=(Toleration("mine", False, "x", "NoSchedule"),))), TAINTED, ""),
        (
            Wish(Demand(selector=(("zone", "b"),))),
            raw_node("a"),
            "node(s) didn't match Pod's node affinity/selector",
        ),
        (Wish(Demand(selector=(("zone", "b"),))), labelled("a", zone="b"), ""),
        (Wish(Demand(Requests(9000))), raw_node("a"), "Insufficient cpu"),
        (Wish(Demand(Requests(0, 20_000))), raw_node("a"), "Insufficient memory"),
        (Wish(Demand(Requests(0, 0, (("nvidia.com/gpu", 2),)))), raw_node("a"), ""),
        (
            Wish(Demand(Requests(0, 0, (("nvidia.com/gpu", 3),)))),
            raw_node("a"),
            "Insufficient nvidia.com/gpu",
        ),
        (
            Wish(Demand(Requests(0, 0, (("nvidia.com/gpu", 1),)))),
            raw_node("a", {"jetson": "1"}),
            "Insufficient nvidia.com/gpu",
        ),
        (
            Wish(Demand(Requests(0, 0, (("example.com/foo", 1),)))),
            raw_node("a"),
            "Insufficient example.com/foo",
        ),
        (
            Wish(Demand(), frozenset({"xeon"})),
            raw_node("a"),
            "node(s) had none of the hardware that may serve the pod",
        ),
        (Wish(Demand(), frozenset({"gpu-a"})), raw_node("a"), ""),
        (Wish(Demand(), needs=(("gpu-a", Need(9000, 1024, 1)),)), raw_node("a"), TOO_SMALL),
        (Wish(Demand(), needs=(("gpu-a", Need(1000, 90_000, 1)),)), raw_node("a"), TOO_SMALL),
        (Wish(Demand(), needs=(("gpu-a", Need(1000, 1024, 3)),)), raw_node("a"), TOO_SMALL),
        (Wish(Demand(), needs=(("xeon", Need(1000, 1024, 0)),)), raw_node("a"), TOO_SMALL),
        (
            Wish(Demand(), needs=(("gpu-a", Need(9000, 1024, 1)), ("gpu-a", Need(1000, 2048, 1)))),
            raw_node("a"),
            "",
        ),
        (Wish(Demand()), raw_node("a", {"tpu": "1"}), "node(s) weren't usable by SynergAI"),
        (Wish(Demand()), raw_node("a", unschedulable=True), "node(s) were unschedulable"),
        (Wish(Demand(tolerations=(ANYTHING,))), raw_node("a", unschedulable=True), ""),
        (Wish(Demand()), UNREACHABLE, "node(s) had untolerated taint {node.kubernetes.io/unreachable: }"),
        (Wish(Demand(tolerations=(ANYTHING,))), UNREACHABLE, ""),
    ],
)
def test_a_node_is_refused_with_its_reason(wish, raw, reason):
    reasons = admit(wish, [place(raw)], HARDWARE).reasons
    assert reasons == (((reason, 1),) if reason else ())


def test_reasons_are_counted_over_the_nodes():
    places = [
        place(raw_node("a")),
        place(raw_node("b")),
        place(TAINTED | {"metadata": raw_node("c")["metadata"]}),
    ]
    explained = admit(Wish(Demand(Requests(9000))), places, HARDWARE).explain()
    assert (
        explained == "0/3 nodes are available: 2 Insufficient cpu, 1 node(s) had untolerated taint {mine: x}."
    )


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration("k", False, "v", "NoSchedule"), True),
        (Toleration("k", False, "v", ""), True),
        (Toleration("k", True, "", ""), True),
        (Toleration("", True, "", ""), True),
        (Toleration("k", False, "w", ""), False),
        (Toleration("l", True, "", ""), False),
        (Toleration("k", True, "", "NoExecute"), False),
        (Toleration("", False, "", ""), False),
    ],
)
def test_a_toleration_matches_as_in_kubernetes(toleration, expected):
    assert tolerates(toleration, Taint("k", "v", "NoSchedule")) is expected
