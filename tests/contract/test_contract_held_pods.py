"""Pods as attempts of a job: tried dry, made on their node, and kept by a finalizer until their end is known."""

import pytest

from tests.kube_api import Json, pod

FINALIZER = "example.com/wait"


def requesting(**resources: object) -> list[dict]:
    return [{"name": "c", "image": "i", "resources": {"requests": resources}}]


async def test_a_dry_run_shows_the_pod_as_it_would_be_and_keeps_nothing(space):
    reply = await space.api.post(space.pods, pod(containers=requesting(cpu="1000m")), dryRun="All")
    assert reply.status == 201
    assert reply.json["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}
    assert reply.json["spec"]["priority"] == 0
    assert reply.json["status"] == {"phase": "Pending", "qosClass": "Burstable"}
    assert "resourceVersion" not in reply.json["metadata"]
    assert (await space.api.get(space.pods)).names == []


async def test_a_dry_run_of_a_name_that_is_taken_conflicts(space):
    await space.pod()
    assert (await space.api.post(space.pods, pod(), dryRun="All")).refusal[:2] == (409, "AlreadyExists")


@pytest.mark.parametrize(
    ("spec", "code"),
    [({"containers": []}, 422), ({"priorityClassName": "none"}, 403), ({"nodeName": 5}, 400)],
)
async def test_a_dry_run_is_refused_like_the_real_one(space, spec, code):
    wet, dry = (
        await space.api.post(space.pods, pod(**spec)),
        await space.api.post(space.pods, pod(**spec), dryRun="All"),
    )
    assert (dry.status, dry.message) == (code, wet.message)


async def test_a_pod_made_on_a_node_is_there_whether_the_node_is_or_not(space):
    made = await space.pod(nodeName=space.node)
    assert (made["spec"]["nodeName"], made["status"]) == (
        space.node,
        {"phase": "Pending", "qosClass": "BestEffort"},
    )
    assert (await space.bind("a", "n")).status == 409


OWNER = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "name": "c",
    "uid": "u",
    "controller": True,
    "blockOwnerDeletion": False,
}
HELD: Json = {"finalizers": [FINALIZER, "example.com/other"], "labels": {"a": "b"}}


@pytest.mark.parametrize("way", ["merge", "strategic", "steps"])
async def test_one_of_two_finalizers_is_taken_off_through_the_status(space, way):
    await space.pod(metadata=HELD)
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    path = f"{space.pods}/a/status"
    match way:
        case "merge":
            reply = await space.api.merge(path, {"metadata": {"finalizers": HELD["finalizers"][1:]}})
        case "strategic":
            patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}}
            reply = await space.api.strategic(path, patch)
        case _:
            test = {"op": "test", "path": "/metadata/finalizers/0", "value": FINALIZER}
            reply = await space.api.steps(path, test, {"op": "remove", "path": "/metadata/finalizers/0"})
    assert reply.json["metadata"]["finalizers"] == ["example.com/other"]
    await space.api.merge(path, {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_strategic_list_of_finalizers_takes_none_off(space):
    await space.pod(metadata=HELD)
    patch = {"metadata": {"finalizers": ["example.com/other"]}}
    assert (await space.api.strategic(f"{space.pods}/a/status", patch)).json["metadata"][
        "finalizers"
    ] == HELD["finalizers"]
    await space.api.merge(f"{space.pods}/a", {"metadata": {"finalizers": None}})


async def test_a_held_pod_goes_when_both_its_kubelet_and_its_finalizers_have_let_go(space):
    await space.pod(metadata=HELD)
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a")
    await space.api.merge(f"{space.pods}/a/status", {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{space.pods}/a")).status == 200
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_held_pod_keeps_its_labels_and_owners_and_takes_a_status(space):
    await space.pod(metadata=HELD | {"ownerReferences": [OWNER]}, nodeName=space.node)
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    patch = {"status": {"phase": "Failed"}}
    kept = (await space.api.strategic(f"{space.pods}/a/status", patch)).json
    assert (kept["metadata"]["labels"], kept["metadata"]["ownerReferences"]) == ({"a": "b"}, [OWNER])
    assert (kept["status"]["phase"], kept["metadata"]["generation"]) == ("Failed", 2)
    await space.api.merge(f"{space.pods}/a/status", {"metadata": {"finalizers": None}})


async def test_no_finalizer_is_added_to_a_pod_that_goes(space):
    await space.pod(metadata=HELD)
    await space.api.delete(f"{space.pods}/a")
    patch = {"metadata": {"finalizers": [*HELD["finalizers"], "example.com/late"]}}
    reply = await space.api.merge(f"{space.pods}/a/status", patch)
    assert reply.refusal[2]["causes"] == [("FieldValueForbidden", "metadata.finalizers")]
    await space.api.merge(f"{space.pods}/a/status", {"metadata": {"finalizers": None}})
