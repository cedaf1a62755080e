"""What resizing does to the books: the floor, the record, a pod that cannot be resized, nodes that others use too."""

import copy
from typing import Any

import pytest
from bridge_fakes import raw_node, raw_pod
from bridge_world import World

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.binder import BindOrder, Outcome
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.placing import MOST_CHANGES

BIG = {"requests": {"cpu": "2", "memory": "2Gi"}}


def sized(resources: Any, name: str = "a", version: str = "1", **spec: Any) -> dict[str, Any]:
    raw = raw_pod(name, **spec)
    raw["spec"]["containers"] = [{"name": "runner", "resources": resources}]
    raw["metadata"] = raw["metadata"] | {"resourceVersion": version}
    return raw


def after(raw: dict[str, Any], order: BindOrder, version: str = "2") -> dict[str, Any]:
    """The pod as the API server shows it after the order's resize."""
    assert order.resize is not None
    raw = copy.deepcopy(raw)
    raw["spec"]["containers"][0]["resources"] = order.resize.sizes.resources()
    owned = {"f:requests": {"f:cpu": {}, "f:memory": {}}, "f:limits": {"f:cpu": {}, "f:memory": {}}}
    fields = {"f:spec": {"f:containers": {'k:{"name":"runner"}': {"f:resources": owned}}}}
    entry = {"manager": order.resize.manager, "subresource": "resize", "fieldsV1": fields}
    raw["metadata"] |= {"resourceVersion": version, "managedFields": [entry]}
    return raw


def dedicated(name: str, *, shared: bool = False, **devices: str) -> dict[str, Any]:
    node = raw_node(name, {kind.replace("_", "-"): count for kind, count in devices.items()} or None)
    if shared:
        del node["metadata"]["labels"][keys.LABEL_DEDICATED]
    return node


def test_an_order_gives_the_pod_what_its_configuration_needs():
    world = World(resize=True)
    world.pod(raw_pod("a") | {"metadata": raw_pod("a")["metadata"] | {"resourceVersion": "5"}})
    (order,) = world.round()
    assert order.resize is not None
    assert order.resize.sizes.resources() == {"requests": {"cpu": "1000m", "memory": "1024Mi"}}
    assert (order.version, order.record.resized) == ("5", True)


def test_without_resizing_the_bridge_books_what_the_pod_does_not_request():
    world = World()
    world.pod(raw_pod("a"))
    (order,) = world.round()
    assert (order.resize, order.record.resized, order.record.cpu_milli) == (None, False, 1000)


def test_a_pod_that_asks_for_as_much_is_left_alone():
    world = World(resize=True)
    world.pod(sized({"requests": {"cpu": "1", "memory": "1Gi"}}))
    (order,) = world.round()
    assert (order.resize, order.record.resized) == (None, False)


def test_the_watch_of_a_resize_is_no_new_pod():
    world = World(resize=True)
    raw = raw_pod("a")
    world.pod(raw)
    (order,) = world.round()
    assert not world.pod(after(raw, order), "MODIFIED")
    assert world.stage() is Stage.BINDING


def test_a_pod_that_was_resized_and_not_bound_asks_for_what_it_asked_at_first():
    """As the next leader finds it."""
    first = World(resize=True)
    raw = raw_pod("a")
    first.pod(raw)
    (order,) = first.round()
    second = World(resize=True)
    second.pod(after(raw, order))
    job = second.cluster.jobs["default/a"]
    assert (job.cpu_milli, job.memory_mib) == (100, 64)
    (again,) = second.round()
    assert (again.resize, again.record.resized, again.version) == (
        None,
        True,
        "2",
    )  # it has that size already


def test_who_does_not_resize_takes_a_resized_pod_as_it_is():
    first = World(resize=True)
    raw = raw_pod("a")
    first.pod(raw)
    (order,) = first.round()
    second = World()
    second.pod(after(raw, order))
    assert second.cluster.jobs["default/a"].cpu_milli == 1000


def test_a_pod_without_a_profile_goes_back_to_what_it_asked_for():
    world = World(resize=True)
    raw = raw_pod("a")
    world.pod(raw)
    (order,) = world.round()
    plain = after(raw, order)
    plain["metadata"]["annotations"] = {}
    other = World(resize=True)
    other.pod(plain)
    (again,) = other.round()
    assert again.resize is not None
    assert again.resize.sizes.resources() == {"requests": {"cpu": "100m", "memory": "64Mi"}}
    assert (again.record.cpu_milli, again.record.resized) == (100, False)


def test_a_pod_that_changed_is_decided_anew_at_once_by_what_it_is_now():
    world = World(resize=True)
    raw = raw_pod("a")
    world.pod(raw)
    (order,) = world.round()
    assert world.settle(order, Outcome.CHANGED, sized(BIG, version="3"))
    assert (world.stage(), world.cluster.placed) == (Stage.QUEUED, {})
    (again,) = world.round()
    assert (again.version, again.record.id) == ("3", "id-1")
    assert world.cluster.jobs["default/a"].cpu_milli == 2000


def test_a_pod_that_changed_to_a_gated_one_waits():
    world = World(resize=True)
    world.pod(raw_pod("a"))
    (order,) = world.round()
    world.settle(order, Outcome.CHANGED, raw_pod("a", schedulingGates=[{"name": "x"}]))
    assert (world.stage(), world.cluster.waiting) == (Stage.WAITING, {})


def test_a_pod_that_changes_again_and_again_backs_off():
    world = World(resize=True)
    world.pod(raw_pod("a"))
    for n in range(MOST_CHANGES):
        (order,) = world.round()
        world.settle(order, Outcome.CHANGED, sized(BIG, version=str(n)))
        assert world.stage() is Stage.QUEUED
    (order,) = world.round()
    world.settle(order, Outcome.CHANGED, sized(BIG, version="9"))
    assert (world.stage(), world.reasons()) == (Stage.BACKOFF, ["FailedScheduling"])


def test_a_refused_resize_is_told_and_the_pod_placed_with_its_own_requests():
    world = World(resize=True)
    raw = raw_pod("a")
    world.pod(raw)
    (order,) = world.round()
    assert world.settle(order, Outcome.UNRESIZED, raw)
    assert world.reasons() == ["NotResized"]
    assert "1000m cpu and 1024Mi memory: why" in world.notices[0].message
    (again,) = world.round()
    assert (again.resize, again.record.resized) == (None, False)
    world.pod(raw, "MODIFIED")
    assert world.stage() is Stage.BINDING


def test_a_missing_right_ends_resizing_in_the_namespace_and_nowhere_else():
    world = World(resize=True, slots=9)
    here, there = raw_pod("a"), raw_pod("b")
    there["metadata"] = there["metadata"] | {"namespace": "other"}
    world.pod(here)
    (order,) = world.round()
    world.cluster.hold_all = True
    world.pod(raw_pod("c"))
    world.pod(there)
    world.settle(order, Outcome.UNRESIZED, here, no_right=True)
    world.cluster.hold_all = False
    orders = {order.key: order.resize is not None for order in world.round()}
    assert orders == {"default/a": False, "default/c": False, "other/b": True}
    assert "NotResized" not in world.reasons()


@pytest.mark.parametrize(("resize", "nodes"), [(True, {"n0", "s0"}), (False, {"n0"})])
def test_on_a_node_of_others_a_configuration_must_fit_or_be_given(resize, nodes):
    world = World(nodes=0, resize=resize, shared_nodes=True)
    world.node(dedicated("n0", jetson="1"))
    world.node(dedicated("s0", shared=True, jetson="1"))
    world.pod(raw_pod("a"))
    found = world.pods.entries["default/a"].reach[0]
    assert (found or world.nodes.usable) == nodes


def test_a_device_of_others_must_be_requested():
    world = World(nodes=0, resize=True, shared_nodes=True)
    world.node(dedicated("n0", jetson="1"))
    world.node(dedicated("s0", shared=True, gpu_a="1"))
    world.pod(raw_pod("a"))
    gpu = {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "1"}
    world.pod(sized({"requests": gpu, "limits": {"nvidia.com/gpu": "1"}}, "b"))
    assert world.pods.entries["default/a"].reach[0] == {"n0"}
    assert world.pods.entries["default/b"].reach[0] == {"s0"}
    assert world.cluster.jobs["default/b"].hardware == {"gpu-a"}


def test_where_no_configuration_fits_the_fallback_places_the_pod_with_a_warning():
    world = World(nodes=0, shared_nodes=True)
    world.node(dedicated("s0", shared=True, jetson="1"))
    world.pod(raw_pod("a"))
    assert (world.stage(), world.reasons()) == (Stage.PLAIN, ["RequestsTooSmall"])
    (order,) = world.round()
    assert (order.node, order.record.decided_by, order.record.cpu_milli) == ("s0", "least_allocated", 100)


def test_a_dedicated_node_that_turns_up_gives_such_a_pod_its_configuration():
    world = World(nodes=0, shared_nodes=True, slots=0)
    world.node(dedicated("s0", shared=True, jetson="1"))
    world.pod(raw_pod("a"))
    world.node(dedicated("n0", jetson="1"))
    assert (world.stage(), world.pods.entries["default/a"].reach[0]) == (Stage.QUEUED, {"n0"})
