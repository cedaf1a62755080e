"""Nodes: what a kubelet registers and reports."""

from collections.abc import AsyncIterator

import pytest

from tests.kube_api import Json, invalid

NODES = "/api/v1/nodes"
CAPACITY = {"cpu": "4", "memory": "8Gi", "pods": "10", "nvidia.com/gpu": "1"}


@pytest.fixture
async def node(space) -> AsyncIterator[Json]:
    """A node named after the test's namespace."""
    status = {"capacity": CAPACITY, "conditions": [{"type": "Ready", "status": "True"}]}
    made = await space.made(NODES, {"metadata": {"name": space.name}, "status": status})
    yield made
    await space.api.delete(f"{NODES}/{space.name}")


def path(node: Json) -> str:
    return f"{NODES}/{node['metadata']['name']}"


async def test_a_new_node_keeps_the_status_it_claims(node):
    assert node["status"]["capacity"] == CAPACITY
    assert node["status"]["conditions"][0]["type"] == "Ready"


async def test_what_a_node_has_is_what_it_gives_unless_it_says_so(node):
    assert node["status"]["allocatable"] == CAPACITY


async def test_a_node_takes_labels_and_taints(space, node):
    taint = {"key": "example.com/x", "value": "1", "effect": "NoSchedule"}
    patch = {"metadata": {"labels": {"a": "b"}}, "spec": {"taints": [taint]}}
    changed = (await space.api.strategic(path(node), patch)).json
    assert changed["metadata"]["labels"]["a"] == "b"
    assert taint in changed["spec"]["taints"]


async def test_a_status_is_patched_by_its_conditions(space, node):
    patch = {"status": {"conditions": [{"type": "DiskPressure", "status": "False"}]}}
    changed = (await space.api.strategic(f"{path(node)}/status", patch)).json
    assert {item["type"] for item in changed["status"]["conditions"]} >= {"Ready", "DiskPressure"}


async def test_capacity_is_patched_by_resource(space, node):
    patch = {"status": {"capacity": {"example.com/fpga": "2"}}}
    changed = (await space.api.strategic(f"{path(node)}/status", patch)).json
    assert changed["status"]["capacity"] == CAPACITY | {"example.com/fpga": "2"}


async def test_a_node_patch_leaves_the_status_alone(space, node):
    changed = await space.api.strategic(path(node), {"status": {"capacity": {"cpu": "64"}}})
    assert changed.json["status"]["capacity"]["cpu"] == "4"


async def test_a_status_patch_leaves_the_spec_alone(space, node):
    changed = await space.api.strategic(f"{path(node)}/status", {"spec": {"unschedulable": True}})
    assert "unschedulable" not in changed.json["spec"]


async def test_a_cordoned_node_is_found_by_its_field(space, node):
    await space.api.strategic(path(node), {"spec": {"unschedulable": True}})
    selector = f"spec.unschedulable=true,metadata.name={space.name}"
    assert (await space.api.get(NODES, fieldSelector=selector)).names == [space.name]


@pytest.mark.parametrize(
    ("taint", "cause"),
    [
        ({"key": "a", "effect": "Perhaps"}, ("FieldValueNotSupported", "metadata.taints[0].effect")),
        ({"key": "a"}, ("FieldValueRequired", "metadata.taints[0].effect")),
        ({"key": "a b", "effect": "NoSchedule"}, ("FieldValueInvalid", "metadata.taints[0].key")),
    ],
)
async def test_a_bad_taint_is_invalid(space, taint, cause):
    reply = await space.api.post(NODES, {"metadata": {"name": space.name}, "spec": {"taints": [taint]}})
    assert reply.refusal == invalid("Node", space.name, cause)


async def test_a_deleted_node_is_gone(space, node):
    reply = await space.api.delete(path(node))
    assert (reply.status, reply.json["status"]) == (200, "Success")
    assert (await space.api.get(path(node))).status == 404


async def test_a_pod_stays_bound_to_a_deleted_node(space, node):
    await space.pod()
    await space.bind("a", space.name)
    await space.api.delete(path(node))
    assert (await space.api.get(f"{space.pods}/a")).json["spec"]["nodeName"] == space.name
