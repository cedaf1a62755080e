"""What a pod's main container is resized to, and how what its owner asked for is found again afterwards."""

from typing import Any

import pytest

from synergai.k8s_bridge.pods import read_pod
from synergai.k8s_bridge.sizes import Main, Sizes, read_main

ASKED = {"requests": {"cpu": "100m", "memory": "64Mi"}}
EQUAL = {"cpu": "1", "memory": "1Gi"}


def pod(own: Any = ASKED, *others: Any, metadata: Any = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "resources": own}, *others]
    return {"metadata": {"name": "a", **(metadata or {})}, "spec": {"containers": containers, **spec}}


def resized(raw: dict[str, Any], resources: Any, manager: str, *owned: str) -> dict[str, Any]:
    """As the API server shows it after a resize that set `owned`, such as `requests.cpu`."""
    fields: dict[str, Any] = {}
    for part, name in (text.split(".") for text in owned):
        fields.setdefault(f"f:{part}", {})[f"f:{name}"] = {}
    inside = {"f:spec": {"f:containers": {'k:{"name":"c"}': {"f:resources": fields}}}}
    entry = {"manager": manager, "operation": "Update", "subresource": "resize", "fieldsV1": inside}
    entries = [*raw["metadata"].get("managedFields", []), entry]
    first, *others = raw["spec"]["containers"]
    return {
        "metadata": {**raw["metadata"], "managedFields": entries},
        "spec": {**raw["spec"], "containers": [{**first, "resources": resources}, *others]},
    }


def main(raw: dict[str, Any]) -> Main:
    found = read_main(raw)
    assert found is not None
    return found


def new(raw: dict[str, Any], cpu: int, memory: int) -> dict[str, Any] | None:
    """The container's resources after a resize to so much more; None where there is none to be done."""
    change = main(raw).resize(cpu, memory)
    return change.sizes.resources() if change else None


@pytest.mark.parametrize(
    ("resources", "cpu", "memory", "expected"),
    [
        (ASKED, 1900, 960, {"requests": {"cpu": "2000m", "memory": "1024Mi"}}),
        (ASKED, 1900, 0, {"requests": {"cpu": "2000m", "memory": "64Mi"}}),
        (ASKED, 0, 0, None),
        (ASKED, -5, -5, None),
        (
            {"requests": {"cpu": "1"}},
            500,
            100,
            {"requests": {"cpu": "1500m", "memory": "100Mi"}},
        ),
        (
            {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
            500,
            0,
            {"requests": {"cpu": "1500m"}, "limits": {"cpu": "2"}},
        ),
        (
            {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}},
            1500,
            0,
            {"requests": {"cpu": "2500m"}, "limits": {"cpu": "2500m"}},
        ),
        (
            {"limits": EQUAL},
            1000,
            1024,
            {part: {"cpu": "2000m", "memory": "2048Mi"} for part in ("requests", "limits")},
        ),
        (
            {"requests": EQUAL, "limits": {"cpu": "2", "memory": "1Gi"}},
            1000,
            0,
            {"requests": {"cpu": "2000m", "memory": "1Gi"}, "limits": {"cpu": "2001m", "memory": "1Gi"}},
        ),
        (
            {"requests": {"memory": "100M"}},
            0,
            4,
            {"requests": {"memory": "100Mi"}},
        ),
    ],
    ids=[
        "both",
        "one",
        "as it is",
        "less is not given",
        "a request is added",
        "below its limit",
        "a limit is raised",
        "Guaranteed stays so",
        "Burstable stays so",
        "whole MiB",
    ],
)
def test_requests_grow_and_limits_and_class_follow(resources, cpu, memory, expected):
    assert new(pod(resources), cpu, memory) == expected


def test_what_grows_leaves_the_other_containers_their_share():
    side = {"name": "side", "resources": {"requests": {"cpu": "300m", "memory": "100Mi"}}}
    raw = pod(ASKED, side)
    change = main(raw).resize(2000 - 400, 0)
    assert change is not None
    grown = pod(change.sizes.resources(), side)
    assert read_pod(grown).demand.requests.cpu_milli == 2000


def test_the_main_container_of_several_can_be_named():
    side = {"name": "side", "resources": ASKED}
    named = {"annotations": {"kubectl.kubernetes.io/default-container": "side"}}
    assert main(pod(ASKED, side)).container == "c"
    assert main(pod(ASKED, side, metadata=named)).container == "side"


@pytest.mark.parametrize(
    "raw",
    [
        pod({}),
        pod(ASKED, resources={"requests": {"cpu": "1"}}),
        pod(ASKED, metadata={"labels": {"kueue.x-k8s.io/queue-name": "q"}}),
        pod(ASKED, metadata={"labels": {"kueue.x-k8s.io/managed": "true"}}),
        pod(ASKED, initContainers=[{"name": "i", "resources": {"requests": {"cpu": "2"}}}]),
        pod({"requests": {"cpu": "much"}}),
        pod(ASKED, nodeName="n"),
        pod({"requests": {"cpu": "0" * 60 + "1", "memory": "0" * 60 + "1"}}),
        {"metadata": {"name": "a"}, "spec": {}},
    ],
    ids=[
        "BestEffort",
        "pod level",
        "Kueue",
        "Kueue's",
        "init",
        "bad",
        "bound",
        "too long to record",
        "empty",
    ],
)
def test_some_pods_are_not_resized(raw):
    assert read_pod(raw).main is None


def test_a_sidecar_or_a_smaller_init_container_is_no_hindrance():
    sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "2"}}}
    small = {"name": "i", "resources": {"requests": {"cpu": "50m"}}}
    assert read_pod(pod(ASKED, initContainers=[sidecar, small])).main is not None


def test_a_pod_with_the_requests_of_a_sidecar_alone_is_resized():
    assert new(pod({}, {"name": "side", "resources": ASKED}), 500, 0) == {"requests": {"cpu": "500m"}}


def test_the_manager_of_a_resize_says_what_was_asked():
    change = main(pod({"requests": {"cpu": "1"}, "limits": {"cpu": "2"}})).resize(100, 0)
    assert change is not None
    assert change.manager == "synergai:cpu=1/2,memory=/"


def test_after_a_resize_the_pod_asks_for_what_it_asked_before():
    before = pod(ASKED)
    change = main(before).resize(1900, 960)
    assert change is not None
    after = resized(before, change.sizes.resources(), change.manager, "requests.cpu", "requests.memory")
    assert read_pod(after).demand == read_pod(before).demand
    assert read_pod(after).asks_the_same(read_pod(before))
    shown = read_pod(after).as_shown().demand.requests
    assert (shown.cpu_milli, shown.memory_mib) == (2000, 1024)


def test_many_resizes_do_not_ratchet_the_floor_up():
    raw = pod({"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}})
    for more in (1900, 3900, 900, 7900):
        change = main(raw).resize(more, 0)
        assert change is not None
        raw = resized(raw, change.sizes.resources(), change.manager, "requests.cpu", "limits.cpu")
    assert read_pod(raw).demand.requests.cpu_milli == 100
    assert new(raw, 400, 0) == {"requests": {"cpu": "500m"}, "limits": {"cpu": "1"}}
    assert new(raw, 0, 0) == {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}


def test_a_request_that_was_added_goes_back_to_nothing():
    raw = resized(
        pod({"requests": {"cpu": "1"}}),
        {"requests": {"cpu": "1", "memory": "1Gi"}},
        "synergai:cpu=1/,memory=/",
        "requests.memory",
    )
    assert read_pod(raw).demand.requests.memory_mib == 0
    assert new(raw, 0, 0) == {"requests": {"cpu": "1", "memory": "0"}}


def test_a_resize_by_another_is_what_is_asked_from_then_on():
    ours = resized(
        pod(ASKED),
        {"requests": {"cpu": "2", "memory": "1Gi"}},
        "synergai:cpu=100m/,memory=64Mi/",
        "requests.memory",
    )
    theirs = resized(ours, {"requests": {"cpu": "3", "memory": "1Gi"}}, "vpa", "requests.cpu")
    requests = read_pod(theirs).demand.requests
    assert (requests.cpu_milli, requests.memory_mib) == (3000, 64)


@pytest.mark.parametrize(
    "manager",
    ["synergai", "synergai:", "synergai:cpu=1,memory=1", "kubectl", "synergai:cpu=x/,memory=64Mi/", ""],
)
def test_a_record_that_says_nothing_is_not_believed(manager):
    raw = resized(pod(ASKED), {"requests": {"cpu": "2"}}, manager, "requests.cpu")
    assert read_pod(raw).demand.requests.cpu_milli == 2000


def test_once_bound_what_the_pod_has_is_what_counts():
    raw = resized(
        pod(ASKED, nodeName="n"),
        {"requests": {"cpu": "2"}},
        "synergai:cpu=100m/,memory=64Mi/",
        "requests.cpu",
    )
    assert read_pod(raw).demand.requests.cpu_milli == 2000


def test_sizes_are_compared_as_numbers():
    one, other = main(pod({"requests": {"cpu": "1"}})).now, main(pod({"requests": {"cpu": "1000m"}})).now
    assert one.equals(other)
    assert not one.equals(Sizes(one.cpu._replace(limit="1"), one.memory))
