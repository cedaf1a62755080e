"""The status of a pod is written on its own path, and what is not meant there is left alone."""

import pytest

from tests.kube_api import pod


def conditions(shown: dict) -> dict[str, str]:
    return {item["type"]: item["status"] for item in shown["status"].get("conditions") or []}


async def test_a_pod_patch_leaves_the_status_alone(space):
    await space.pod()
    reply = await space.api.merge(f"{space.pods}/a", {"status": {"phase": "Failed"}})
    assert (reply.status, reply.json["status"]["phase"]) == (200, "Pending")


async def test_a_pod_put_leaves_the_status_alone(space):
    made = await space.pod()
    reply = await space.api.put(f"{space.pods}/a", made | {"status": {"phase": "Failed"}})
    assert (reply.status, reply.json["status"]) == (200, made["status"])


async def test_a_status_patch_leaves_the_spec_alone(space):
    await space.pod()
    patch = {"spec": {"nodeName": "n"}, "status": {"phase": "Running"}}
    reply = await space.api.merge(f"{space.pods}/a/status", patch)
    assert (reply.status, reply.json["status"]["phase"]) == (200, "Running")
    assert "nodeName" not in reply.json["spec"]


async def test_a_status_put_leaves_the_spec_alone(space):
    made = await space.pod()
    changed = {**made, "spec": {**made["spec"], "nodeName": "n"}, "status": {"phase": "Running"}}
    reply = await space.api.put(f"{space.pods}/a/status", changed)
    assert (reply.status, reply.json["spec"]) == (200, made["spec"])


async def test_a_status_can_be_read_on_its_path(space):
    made = await space.pod()
    assert (await space.api.get(f"{space.pods}/a/status")).json == made


async def test_annotations_and_finalizers_can_be_changed_through_the_status(space):
    await space.pod(metadata={"finalizers": ["example.com/wait"]})
    patch = {"metadata": {"annotations": {"a": "b"}, "finalizers": None}}
    changed = (await space.api.merge(f"{space.pods}/a/status", patch)).json["metadata"]
    assert changed["annotations"] == {"a": "b"}
    assert "finalizers" not in changed


async def test_owners_cannot_be_changed_through_the_status(space):
    await space.pod()
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}
    changed = await space.api.merge(f"{space.pods}/a/status", {"metadata": {"ownerReferences": [owner]}})
    assert "ownerReferences" not in changed.json["metadata"]


async def test_conditions_are_merged_by_their_type(space):
    await space.pod()
    await space.bind("a")
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    changed = (await space.api.strategic(f"{space.pods}/a/status", patch)).json
    assert conditions(changed) == {"PodScheduled": "True", "Ready": "False"}


async def test_a_merge_patch_replaces_all_conditions(space):
    await space.pod()
    await space.bind("a")
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    changed = (await space.api.merge(f"{space.pods}/a/status", patch)).json
    assert conditions(changed) == {"Ready": "False"}


async def test_a_time_in_a_status_keeps_whole_seconds(space):
    await space.pod()
    patch = {"status": {"startTime": "2026-01-01T00:00:00.75Z"}}
    changed = (await space.api.merge(f"{space.pods}/a/status", patch)).json
    assert changed["status"]["startTime"] == "2026-01-01T00:00:00Z"


async def test_a_status_patch_that_changes_nothing_keeps_the_version(space):
    made = await space.pod()
    reply = await space.api.merge(f"{space.pods}/a/status", {"status": {"phase": "Pending"}})
    assert reply.version == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("precondition", "code"),
    [({"resourceVersion": "1"}, 409), ({"uid": "another"}, 422), ({"name": "b"}, 400)],
)
async def test_a_status_patch_of_another_object_is_refused(space, precondition, code):
    await space.pod()
    patch = {"metadata": precondition, "status": {"phase": "Running"}}
    assert (await space.api.merge(f"{space.pods}/a/status", patch)).status == code


async def test_a_status_put_of_an_old_version_conflicts(space):
    old = await space.pod()
    await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "1"}}})
    reply = await space.api.put(f"{space.pods}/a/status", old | {"status": {"phase": "Running"}})
    assert reply.refusal == (409, "Conflict", {"name": "a", "kind": "pods"})


async def test_a_status_cannot_be_created(space):
    await space.pod()
    assert (await space.api.post(f"{space.pods}/a/status", pod())).refusal == (405, "MethodNotAllowed", {})


async def test_a_status_of_a_missing_pod_is_not_found(space):
    reply = await space.api.merge(f"{space.pods}/none/status", {"status": {"phase": "Running"}})
    assert reply.refusal == (404, "NotFound", {"name": "none", "kind": "pods"})


async def test_a_status_patch_is_no_new_generation(space):
    await space.pod()
    reply = await space.api.merge(f"{space.pods}/a/status", {"status": {"phase": "Running"}})
    assert reply.json["metadata"]["generation"] == 1
