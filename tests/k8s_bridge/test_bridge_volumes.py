"""Where claims let a pod go, and why they do not."""

from typing import Any

import pytest

from synergai.k8s_bridge.admission.volumes import AFFINITY, ZONE, Volumes
from synergai.k8s_bridge.pods import Claim

Json = dict[str, Any]
ZONE_LABEL = "topology.kubernetes.io/zone"
OLD_LABEL = "failure-domain.beta.kubernetes.io/zone"


def claim(metadata: Json | None = None, status: Json | None = None, **spec: Any) -> Json:
    done = {"pv.kubernetes.io/bind-completed": "yes"}
    metadata = {"name": "c", "namespace": "n", "annotations": done, **(metadata or {})}
    return {
        "metadata": metadata,
        "spec": {"volumeName": "pv", **spec},
        "status": status or {"phase": "Bound"},
    }


def volume(labels: Json | None = None, *terms: Json) -> Json:
    spec = {"nodeAffinity": {"required": {"nodeSelectorTerms": list(terms)}}} if terms else {}
    return {"metadata": {"name": "pv", "labels": labels or {}}, "spec": spec}


def found(bound: Json | None, there: Json | None, owner: str = "") -> tuple[Any, str]:
    volumes = Volumes()
    if bound:
        volumes.set_claim(bound)
    if there:
        volumes.set_volume(there)
    return volumes.find((Claim("n", "c", owner),))


@pytest.mark.parametrize(
    ("name", "bound", "there", "owner", "said"),
    [
        ("bound", claim(), volume(), "", ""),
        ("no such claim", None, None, "", "not found"),
        ("no such claim yet", None, None, "u", "waiting for ephemeral volume controller"),
        ("no such volume", claim(), None, "", 'persistentvolume "pv" not found'),
        ("not bound", claim(volumeName=""), volume(), "", "is not bound"),
        ("half bound", claim({"annotations": {}}), volume(), "", "is not bound"),
        ("lost", claim(status={"phase": "Lost"}), volume(), "", "non-existent"),
        ("going", claim({"deletionTimestamp": "2026-11-22T04:08:56Z"}), volume(), "", "is being deleted"),
        ("for one pod at a time", claim(accessModes=["ReadWriteOncePod"]), volume(), "", "ReadWriteOncePod"),
        ("made for the pod", claim({"ownerReferences": [{"uid": "u"}]}), volume(), "u", ""),
        ("made for another", claim({"ownerReferences": [{"uid": "v"}]}), volume(), "u", "not created for this pod"),
        ("an operator that is none", claim(),
         volume({}, {"matchExpressions": [{"key": "a", "operator": "Near"}]}), "", "'Near'"),
    ],
)  # fmt: skip
def test_a_claim_can_be_used_or_says_why_not(name, bound, there, owner, said):
    problem = found(bound, there, owner)[1]
    assert said in problem, name
    assert bool(problem) is bool(said), name


HERE = {"matchExpressions": [{"key": "host", "operator": "In", "values": ["a"]}]}


@pytest.mark.parametrize(
    ("name", "labels", "terms", "node", "refusal"),
    [
        ("anywhere", {}, (), {}, ""),
        ("its node", {}, (HERE,), {"host": "a"}, ""),
        ("another node", {}, (HERE,), {"host": "b"}, AFFINITY),
        ("one of two terms", {}, ({"matchExpressions": [{"key": "x", "operator": "Exists"}]}, HERE), {"host": "a"}, ""),
        ("its zone", {ZONE_LABEL: "z1"}, (), {ZONE_LABEL: "z1"}, ""),
        ("another zone", {ZONE_LABEL: "z1"}, (), {ZONE_LABEL: "z2"}, ZONE),
        ("one of its zones", {ZONE_LABEL: "z1__z2"}, (), {ZONE_LABEL: "z2"}, ""),
        ("a node that says nothing of zones", {ZONE_LABEL: "z1"}, (), {"host": "a"}, ""),
        ("a node that says its region alone", {ZONE_LABEL: "z1"}, (), {"topology.kubernetes.io/region": "r"}, ZONE),
        ("the old label", {OLD_LABEL: "z1"}, (), {ZONE_LABEL: "z1"}, ""),
        ("the old label, another zone", {OLD_LABEL: "z1"}, (), {ZONE_LABEL: "z2"}, ZONE),
        ("a label that is no list", {ZONE_LABEL: "z1__"}, (), {ZONE_LABEL: "z9"}, ""),
    ],
)  # fmt: skip
def test_a_volume_keeps_pods_near(name, labels, terms, node, refusal):
    ((there,), _) = found(claim(), volume(labels, *terms))
    assert there.refusal("a", node) == refusal, name


def test_only_what_was_asked_for_is_news():
    volumes = Volumes()
    assert not volumes.set_claim(claim())
    volumes.find((Claim("n", "c"),))
    assert volumes.set_volume(volume())
    assert not volumes.set_volume(volume())
    assert volumes.remove_claim(claim())
    assert not volumes.remove_claim(claim())
