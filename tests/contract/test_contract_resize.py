"""The cpu and memory of containers are changed on a path of their own, also before a pod is bound; nothing else is."""

import pytest

from tests.contract.space import Space
from tests.kube_api import STRATEGIC_PATCH, Json, Reply, invalid

ASKED = {"requests": {"cpu": "100m", "memory": "64Mi"}}
MORE = {"requests": {"cpu": "2", "memory": "1Gi"}}
EQUAL = {"cpu": "1", "memory": "1Gi"}
WHERE = "spec.containers[0].resources"


async def made(space: Space, resources: Json | None = None, name: str = "a", **spec: object) -> Json:
    container = {"name": "c", "image": "registry.example/none:1", "resources": resources or ASKED}
    return await space.pod(name, containers=[container], **spec)


async def resize(
    space: Space, resources: Json, metadata: Json | None = None, name: str = "a", **query: str
) -> Reply:
    body = {"metadata": metadata or {}, "spec": {"containers": [{"name": "c", "resources": resources}]}}
    return await patch(space, body, name, **query)


async def patch(space: Space, body: Json, name: str = "a", **query: str) -> Reply:
    return await space.api.call(
        "PATCH", f"{space.pods}/{name}/resize", body, media_type=STRATEGIC_PATCH, **query
    )


def resources(pod: Json) -> Json:
    return pod["spec"]["containers"][0]["resources"]


def forbidden(field: str) -> tuple[int, str, Json]:
    return invalid("Pod", "a", ("FieldValueForbidden", field))


QOS = invalid("Pod", "a", ("FieldValueInvalid", "spec"))


async def test_a_pending_pod_is_resized_and_that_is_a_new_generation(space):
    await made(space)
    reply = await resize(space, MORE)
    assert (reply.status, resources(reply.json)) == (200, MORE)
    assert (reply.json["metadata"]["generation"], reply.json["status"]["phase"]) == (2, "Pending")


async def test_the_reply_has_the_version_that_a_bind_may_ask_for(space):
    first = (await made(space))["metadata"]
    version = (await resize(space, MORE)).version
    assert (await space.bind("a", uid=first["uid"], resourceVersion=first["resourceVersion"])).status == 409
    assert (await space.bind("a", uid=first["uid"], resourceVersion=version)).status == 201


async def test_a_quantity_that_is_left_out_stays(space):
    await made(space)
    reply = await resize(space, {"requests": {"cpu": "2"}})
    assert resources(reply.json) == {"requests": {"cpu": "2", "memory": "64Mi"}}


async def test_a_request_and_a_limit_can_be_added(space):
    await made(space, {"requests": {"cpu": "1"}})
    reply = await resize(space, {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}})
    added = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert (reply.status, resources(reply.json)) == (200, added)


async def test_a_guaranteed_pod_can_be_made_larger_and_smaller(space):
    await made(space, {"limits": EQUAL})
    for cpu, memory in (("2", "2Gi"), ("500m", "512Mi")):
        size = {"cpu": cpu, "memory": memory}
        reply = await resize(space, {"requests": size, "limits": size})
        assert (reply.status, reply.json["status"]["qosClass"]) == (200, "Guaranteed")


async def test_a_gated_pod_is_resized_too(space):
    await made(space, schedulingGates=[{"name": "example.com/wait"}])
    assert (await resize(space, MORE)).status == 200


async def test_metadata_and_status_sent_along_are_dropped(space):
    await made(space)
    body = {
        "metadata": {"annotations": {"x": "1"}, "labels": {"x": "1"}, "finalizers": ["example.com/x"]},
        "spec": {"containers": [{"name": "c", "resources": MORE}]},
        "status": {"phase": "Failed"},
    }
    changed = (await patch(space, body)).json
    assert not {"annotations", "labels", "finalizers"} & changed["metadata"].keys()
    assert (resources(changed), changed["status"]["phase"]) == (MORE, "Pending")


async def test_the_rest_of_the_spec_is_left_alone(space):
    first = await made(space)
    body = {"spec": {"priority": 7, "containers": [{"name": "c", "image": "another:1"}]}}
    reply = await patch(space, body)
    assert (reply.status, reply.json["spec"]) == (200, first["spec"])


async def test_a_resize_that_changes_nothing_keeps_the_version(space):
    first = await made(space)
    assert (await resize(space, ASKED)).version == first["metadata"]["resourceVersion"]


async def test_a_dry_resize_changes_nothing(space):
    first = await made(space)
    assert resources((await resize(space, MORE, dryRun="All")).json) == MORE
    assert (await space.api.get(f"{space.pods}/a")).json["spec"] == first["spec"]


@pytest.mark.parametrize(
    ("precondition", "code"),
    [
        ({"resourceVersion": "1"}, 409),
        ({"uid": "another"}, 422),
        ({"uid": "another", "resourceVersion": "1"}, 409),
        ({"name": "b"}, 400),
    ],
)
async def test_a_resize_of_another_object_or_version_is_refused(space, precondition, code):
    await made(space)
    assert (await resize(space, MORE, precondition)).status == code
    assert resources((await space.api.get(f"{space.pods}/a")).json) == ASKED


async def test_a_stale_resize_is_a_conflict_of_the_pod(space):
    await made(space)
    reply = await resize(space, MORE, {"resourceVersion": "1"})
    assert reply.refusal == (409, "Conflict", {"name": "a", "kind": "pods"})


async def test_the_right_preconditions_let_it_pass(space):
    first = (await made(space))["metadata"]
    held = {"uid": first["uid"], "resourceVersion": first["resourceVersion"]}
    assert (await resize(space, MORE, held)).status == 200


async def test_a_missing_pod_is_not_found(space):
    assert (await resize(space, MORE, name="none")).refusal == (
        404,
        "NotFound",
        {"name": "none", "kind": "pods"},
    )


async def test_best_effort_cannot_become_another_class(space):
    await space.pod()
    assert (await resize(space, MORE)).refusal == QOS


async def test_guaranteed_cannot_become_burstable(space):
    await made(space, {"limits": EQUAL})
    assert (await resize(space, {"limits": {"cpu": "2"}})).refusal == QOS


async def test_burstable_cannot_become_guaranteed(space):
    await made(space, {"requests": EQUAL, "limits": {"cpu": "2", "memory": "1Gi"}})
    assert (await resize(space, {"requests": {"cpu": "2"}})).refusal == QOS


@pytest.mark.parametrize("part", ["requests", "limits"])
async def test_a_quantity_cannot_be_taken_away(space, part):
    await made(space, {"requests": ASKED["requests"], "limits": {"memory": "1Gi"}})
    taken = {"requests": {"cpu": None}, "limits": {"memory": None}}[part]
    assert (await resize(space, {part: taken})).refusal == forbidden(f"{WHERE}.{part}")


@pytest.mark.parametrize("name", ["nvidia.com/gpu", "ephemeral-storage"])
async def test_only_cpu_and_memory_can_be_resized(space, name):
    await made(space)
    assert (await resize(space, {part: {name: "1"} for part in ("requests", "limits")})).refusal == forbidden(
        "spec"
    )


async def test_a_request_above_its_limit_is_invalid(space):
    await made(space, {"requests": ASKED["requests"], "limits": {"cpu": "1"}})
    refusal = (await resize(space, {"requests": {"cpu": "2"}})).refusal
    assert refusal == invalid("Pod", "a", ("FieldValueInvalid", f"{WHERE}.requests"))


async def test_a_container_cannot_be_added(space):
    await made(space)
    body = {"spec": {"containers": [{"name": "d", "image": "registry.example/none:1"}]}}
    assert (await patch(space, body)).refusal == forbidden("spec.containers")


async def test_a_resize_is_read_and_put_and_not_created(space):
    first = await made(space)
    path = f"{space.pods}/a/resize"
    assert (await space.api.get(path)).json == first
    assert (await space.api.put(path, first)).status == 200
    assert (await space.api.post(path, first)).refusal == (405, "MethodNotAllowed", {})


async def since_1_36(space: Space) -> None:
    """1.34 takes any resize of a bound pod, and the kubelet calls it infeasible."""
    if int((await space.api.get("/version")).json["minor"].rstrip("+")) < 36:
        pytest.skip("the server is older than 1.36")


async def test_a_bound_pod_may_ask_for_no_more_than_its_node_has(space):
    await since_1_36(space)
    node, room = f"{space.name}-n", {"cpu": "4", "memory": "4Gi", "pods": "10"}
    await space.made(
        "/api/v1/nodes", {"metadata": {"name": node}, "status": {"capacity": room, "allocatable": room}}
    )
    try:
        await made(space)
        await space.bind("a", node)
        refused = (403, "Forbidden", {"name": "a", "kind": "pods", "causes": [("NodeCapacity", None)]})
        assert (await resize(space, {"requests": {"cpu": "5"}})).refusal == refused
        assert (await resize(space, {"requests": {"cpu": "4"}})).status == 200
    finally:
        await space.api.delete(f"/api/v1/nodes/{node}")


async def test_a_pod_on_a_missing_node_is_not_resized(space):
    await since_1_36(space)
    await made(space)
    await space.bind("a", "no-such-node")
    assert (await resize(space, MORE)).refusal == (403, "Forbidden", {"name": "a", "kind": "pods"})


def owned(pod: Json) -> dict[str, Json]:
    """What each manager set by a resize, of the container's resources."""
    entries = [e for e in pod["metadata"].get("managedFields") or [] if e.get("subresource") == "resize"]
    inside = ("f:spec", "f:containers", 'k:{"name":"c"}', "f:resources")
    found = {}
    for entry in entries:
        fields = entry["fieldsV1"]
        for part in inside:
            fields = fields[part]
        found[entry["manager"]] = fields
    return found


async def test_the_field_manager_of_a_resize_is_kept_with_what_it_set(space):
    await made(space)
    who = "synergai:cpu=100m/,memory=64Mi/"
    reply = await resize(space, MORE, fieldManager=who)
    assert owned(reply.json) == {who: {"f:requests": {"f:cpu": {}, "f:memory": {}}}}


async def test_who_sets_a_quantity_next_takes_it_over(space):
    await made(space)
    await resize(space, MORE, fieldManager="first")
    reply = await resize(space, {"requests": {"cpu": "3"}}, fieldManager="second")
    assert owned(reply.json) == {
        "first": {"f:requests": {"f:memory": {}}},
        "second": {"f:requests": {"f:cpu": {}}},
    }


async def test_a_bind_and_a_status_keep_what_is_known_of_a_resize(space):
    await made(space)
    before = owned((await resize(space, MORE, fieldManager="first")).json)
    await space.api.merge(f"{space.pods}/a/status", {"status": {"phase": "Running"}})
    await space.bind("a", annotations={"x": "1"})
    assert owned((await space.api.get(f"{space.pods}/a")).json) == before != {}
