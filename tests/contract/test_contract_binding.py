"""A pod is bound once, to a name; what refuses a bind, and in which words."""

import pytest

from tests.kube_api import JSON_PATCH

GATE = {"name": "example.com/wait"}


def conflict(name: str = "a") -> tuple[int, str, dict]:
    return 409, "Conflict", {"name": name, "kind": "pods/binding"}


async def test_a_binding_is_created(space):
    await space.pod()
    reply = await space.bind("a")
    assert (reply.status, reply.json["kind"], reply.json["status"]) == (201, "Status", "Success")


async def test_a_bound_pod_has_the_node_and_is_scheduled(space):
    await space.pod()
    await space.bind("a")
    bound = (await space.api.get(f"{space.pods}/a")).json
    (condition,) = bound["status"]["conditions"]
    assert bound["spec"]["nodeName"] == space.node
    assert (condition["type"], condition["status"]) == ("PodScheduled", "True")


async def test_a_bind_is_a_new_version_and_no_new_generation(space):
    made = (await space.pod())["metadata"]
    await space.bind("a")
    bound = (await space.api.get(f"{space.pods}/a")).json["metadata"]
    assert int(bound["resourceVersion"]) > int(made["resourceVersion"])
    assert (made["generation"], bound["generation"]) == (1, 1)


async def test_the_collection_of_bindings_binds_too(space):
    await space.pod()
    body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    assert (await space.api.post(f"{space.path}/bindings", body)).status == 201


async def test_the_annotations_of_a_binding_are_merged_into_those_of_the_pod(space):
    await space.pod(metadata={"annotations": {"old": "1", "both": "1"}})
    await space.bind("a", annotations={"new": "2", "both": "2"})
    bound = (await space.api.get(f"{space.pods}/a")).json
    assert bound["metadata"]["annotations"] == {"old": "1", "new": "2", "both": "2"}


async def since_1_36(space) -> None:
    """Skip on an older real server: the embedded one says what 1.36 says."""
    if int((await space.api.get("/version")).json["minor"].rstrip("+")) < 36:
        pytest.skip("this server is older than 1.36")


async def test_the_labels_of_a_binding_are_copied_to_the_pod(space):
    await since_1_36(space)
    await space.pod()
    await space.bind("a", labels={"x": "1"})
    assert (await space.api.get(f"{space.pods}/a")).json["metadata"]["labels"]["x"] == "1"


async def test_a_bind_clears_the_nomination(space):
    await since_1_36(space)
    await space.pod()
    await space.api.merge(f"{space.pods}/a/status", {"status": {"nominatedNodeName": "n"}})
    await space.bind("a")
    assert "nominatedNodeName" not in (await space.api.get(f"{space.pods}/a")).json["status"]


async def test_a_node_that_does_not_exist_can_be_bound_to(space):
    await space.pod()
    assert (await space.bind("a", "no-such-node")).status == 201


@pytest.mark.parametrize("node", ["", "another"])
async def test_a_pod_is_bound_once(space, node):
    await space.pod()
    await space.bind("a")
    reply = await space.bind("a", node)
    assert reply.refusal == conflict()
    assert reply.message == (
        f'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "{space.node}"'
    )


async def test_a_second_bind_leaves_the_annotations_of_the_first(space):
    await space.pod()
    await space.bind("a", annotations={"x": "1"})
    await space.bind("a", annotations={"x": "2"})
    assert (await space.api.get(f"{space.pods}/a")).json["metadata"]["annotations"] == {"x": "1"}


async def test_a_gated_pod_cannot_be_bound(space):
    await space.pod(schedulingGates=[GATE])
    reply = await space.bind("a")
    assert reply.refusal == conflict()
    assert reply.message.endswith("pod a has non-empty .spec.schedulingGates")


async def test_a_gate_can_be_taken_off_and_then_the_pod_binds(space):
    await space.pod(schedulingGates=[GATE])
    await space.api.merge(f"{space.pods}/a", {"spec": {"schedulingGates": []}})
    assert (await space.bind("a")).status == 201


async def test_a_pod_being_deleted_cannot_be_bound(space):
    await space.pod(metadata={"finalizers": ["example.com/wait"]})
    await space.api.delete(f"{space.pods}/a")
    reply = await space.bind("a")
    assert reply.refusal == conflict()
    assert reply.message.endswith("pod a is being deleted, cannot be assigned to a host")


async def test_a_missing_pod_cannot_be_bound(space):
    assert (await space.bind("none")).refusal == (404, "NotFound", {"name": "none", "kind": "pods"})


async def test_a_pod_of_a_missing_namespace_cannot_be_bound(api):
    body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    reply = await api.post("/api/v1/namespaces/no-such-place/pods/a/binding", body)
    assert reply.refusal == (404, "NotFound", {"name": "no-such-place", "kind": "namespaces"})


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resourceVersion": "1"}])
async def test_a_binding_with_a_wrong_precondition_conflicts_and_binds_nothing(space, precondition):
    await space.pod()
    reply = await space.bind("a", **precondition)
    assert reply.refusal == (409, "Conflict", {"name": "a", "kind": "pods"})
    assert "Precondition failed" in reply.message
    assert "nodeName" not in (await space.api.get(f"{space.pods}/a")).json["spec"]


async def test_a_binding_with_the_right_preconditions_binds(space):
    made = (await space.pod())["metadata"]
    reply = await space.bind("a", uid=made["uid"], resourceVersion=made["resourceVersion"])
    assert reply.status == 201


@pytest.mark.parametrize("target", [{}, {"kind": "Node"}, {"kind": "Service", "name": "n"}])
async def test_a_binding_to_no_node_is_an_error_without_a_reason(space, target):
    await space.pod()
    reply = await space.api.post(f"{space.pods}/a/binding", {"metadata": {"name": "a"}, "target": target})
    assert reply.refusal == (500, "", {})


async def test_the_name_of_a_node_is_not_looked_at(space):
    await space.pod()
    assert (await space.bind("a", "Not A Node")).status == 201


async def test_a_binding_without_a_name_is_a_bad_request(space):
    await space.pod()
    reply = await space.api.post(f"{space.pods}/a/binding", {"target": {"kind": "Node", "name": "n"}})
    assert reply.refusal == (400, "BadRequest", {})


async def test_a_binding_of_another_namespace_is_a_bad_request(space):
    await space.pod()
    assert (await space.bind("a", namespace="default")).refusal == (400, "BadRequest", {})


async def test_a_binding_of_another_name_than_its_path_is_a_bad_request(space):
    await space.pod()
    body = {"metadata": {"name": "b"}, "target": {"kind": "Node", "name": "n"}}
    assert (await space.api.post(f"{space.pods}/a/binding", body)).refusal == (400, "BadRequest", {})


async def test_a_dry_bind_binds_nothing(space):
    await space.pod()
    body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    assert (await space.api.post(f"{space.pods}/a/binding", body, dryRun="All")).status == 201
    assert "nodeName" not in (await space.api.get(f"{space.pods}/a")).json["spec"]


async def test_a_node_name_cannot_be_patched_in(space):
    await space.pod()
    patch = [{"op": "add", "path": "/spec/nodeName", "value": "n"}]
    reply = await space.api.call("PATCH", f"{space.pods}/a", patch, media_type=JSON_PATCH)
    assert reply.status == 422
