"""Pods are reduced to requests, constraints and what is not supported."""

import pytest
from bridge_fakes import raw_pod

from synergai.k8s_bridge.admission.requests import Requests, pod_requests
from synergai.k8s_bridge.pods import read_pod


def container(cpu: str, memory: str = "0", **more: object) -> dict[str, object]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


@pytest.mark.parametrize(
    ("name", "spec", "cpu_milli"),
    [
        ("containers add up", {"containers": [container("1"), container("2")]}, 3000),
        (
            "a big init container wins",
            {"containers": [container("1")], "initContainers": [container("5")]},
            5000,
        ),
        ("a small one does not", {"containers": [container("3")], "initContainers": [container("2")]}, 3000),
        (
            "init containers do not add up",
            {"containers": [], "initContainers": [container("2"), container("3")]},
            3000,
        ),
        (
            "a sidecar adds to the containers",
            {"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]},
            3000,
        ),
        (
            "a sidecar adds to init containers after it",
            {
                "containers": [container("1")],
                "initContainers": [container("1", restartPolicy="Always"), container("4")],
            },
            5000,
        ),
        ("overhead comes on top", {"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
        ("a limit alone is a request", {"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, 2000),
        ("nothing asked", {"containers": [{"name": "c"}]}, 0),
    ],
)
def test_requests_are_counted_as_kube_scheduler_does(name, spec, cpu_milli):
    assert pod_requests(spec).cpu_milli == cpu_milli, name


def test_extended_resources_are_kept_by_name():
    spec = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    assert pod_requests(spec) == Requests(0, 0, (("nvidia.com/gpu", 1),))


BAD_TERM = {"matchExpressions": [{"key": "a", "operator": "Near"}]}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (
            {
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [BAD_TERM]}
                    }
                }
            },
            "the operator 'Near'",
        ),
        ({"topologySpreadConstraints": [{"maxSkew": 1, "labelSelector": BAD_TERM}]}, "the operator 'Near'"),
        ({"volumes": [{"name": "data", "iscsi": {}}]}, "data"),
        ({"resourceClaims": [{"name": "gpu"}]}, "resourceClaims"),
        ({"schedulingGroup": {"podGroupName": "g"}}, "schedulingGroup"),
        ({"containers": [container("lots")]}, "lots"),
    ],
)
def test_what_constrains_placement_and_is_not_respected_is_named(spec, named):
    (text,) = read_pod(raw_pod("a", **spec)).unsupported
    assert named in text


PREFERRED = [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone"}}]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"affinity": {}},
        {"affinity": {"nodeAffinity": {}}},
        {"affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": PREFERRED}}},
        {
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
            ]
        },
        {
            "volumes": [
                {"name": "a", "emptyDir": {}},
                {"name": "b", "projected": {}},
                {"name": "c", "configMap": {}},
            ]
        },
        {"containers": [{"name": "c", "ports": [{"containerPort": 80}]}]},
        {"nodeSelector": {"a": "b"}, "tolerations": [{"operator": "Exists"}]},
    ],
)
def test_what_only_ranks_nodes_or_is_harmless_constrains_nothing(spec):
    pod = read_pod(raw_pod("a", **spec))
    assert (pod.unsupported, pod.relations.any, pod.demand.claims) == ((), False, ())


def test_a_gated_pod_is_seen():
    assert read_pod(raw_pod("a", schedulingGates=[{"name": "x"}])).gated


def test_a_tombstone_is_enough_to_name_a_pod():
    assert read_pod({"metadata": {"name": "a", "namespace": "n", "uid": "u"}}).key == "n/a"
