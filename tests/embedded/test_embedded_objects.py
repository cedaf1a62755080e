"""Contract: creating, changing and deleting objects."""

import asyncio
import re

import pytest


async def test_a_new_object_has_what_only_the_server_gives(space):
    made = (await space.config_map())["metadata"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["creationTimestamp"])
    assert made["resourceVersion"].isdecimal()


async def test_a_reply_carries_kind_and_version(space):
    made = await space.config_map()
    assert (made["kind"], made["apiVersion"]) == ("ConfigMap", "v1")


async def test_a_reply_carries_a_date(api):
    assert (await api.get("/version")).headers["Date"].endswith("GMT")


async def test_a_generated_name_begins_with_its_base(space):
    made = await space.made(space.config_maps, {"metadata": {"generateName": "base-"}})
    assert re.fullmatch(r"base-[a-z0-9]{5}", made["metadata"]["name"])


async def test_a_second_object_of_a_name_already_exists(space):
    await space.config_map("c")
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c"}})
    assert (reply.status, reply.json["reason"]) == (409, "AlreadyExists")
    assert reply.message == 'configmaps "c" already exists'


async def test_a_missing_object_is_not_found(space):
    reply = await space.api.get(f"{space.config_maps}/none")
    assert (reply.status, reply.json["reason"], reply.message) == (
        404,
        "NotFound",
        'configmaps "none" not found',
    )


async def test_a_missing_namespace_takes_no_objects(api, make_pod):
    reply = await api.post("/api/v1/namespaces/no-such-place/pods", make_pod())
    assert (reply.status, reply.message) == (404, 'namespaces "no-such-place" not found')


@pytest.mark.parametrize(
    "metadata",
    [
        {"name": "Upper"},
        {"name": "under_score"},
        {"name": "-a"},
        {"name": "a" * 254},
        {},
        {"name": "c", "labels": {"a b": "c"}},
        {"name": "c", "labels": {"a": "not a value"}},
        {"name": "c", "labels": {"a": "x" * 64}},
        {"name": "c", "annotations": {"no/two/slashes": ""}},
        {"name": "c", "annotations": {"a": "x" * (256 * 1024 + 1)}},
    ],
)
async def test_bad_metadata_is_invalid(space, metadata):
    reply = await space.api.post(space.config_maps, {"metadata": metadata})
    assert (reply.status, reply.json["reason"]) == (422, "Invalid")
    assert reply.json["details"]["causes"]


async def test_a_namespace_with_a_dot_is_invalid(api):
    assert (await api.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}})).status == 422


async def test_annotations_of_256_kib_are_taken(space):
    await space.config_map("c", annotations={"a": "x" * (256 * 1024 - 1)})


@pytest.mark.parametrize("annotations", [{"a": 1}, {"a": {"b": "c"}}, ["a"], "a"])
async def test_annotations_that_are_no_texts_are_a_bad_request(space, annotations):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c", "annotations": annotations}})
    assert (reply.status, reply.json["reason"]) == (400, "BadRequest")


async def test_an_object_of_another_namespace_is_a_bad_request(space):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c", "namespace": "default"}})
    assert reply.status == 400
    assert "does not match the namespace" in reply.message


async def test_an_object_of_another_kind_is_a_bad_request(space):
    reply = await space.api.post(space.config_maps, {"kind": "Pod", "metadata": {"name": "c"}})
    assert reply.status == 400


async def test_a_put_of_an_old_version_conflicts(space):
    old = await space.config_map()
    await space.api.put(f"{space.config_maps}/c", {**old, "data": {"a": "1"}})
    reply = await space.api.put(f"{space.config_maps}/c", {**old, "data": {"a": "2"}})
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert reply.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_put_without_a_version_overwrites(space):
    await space.config_map()
    reply = await space.api.put(f"{space.config_maps}/c", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    assert (reply.status, reply.json["data"]) == (200, {"a": "1"})


async def test_a_put_to_nothing_is_not_found(space):
    reply = await space.api.put(f"{space.leases}/none", {"metadata": {"name": "none"}, "spec": {}})
    assert reply.status == 404


async def test_a_put_that_changes_nothing_keeps_the_version(space):
    made = await space.config_map()
    reply = await space.api.put(f"{space.config_maps}/c", made)
    assert reply.json["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


async def test_a_put_cannot_change_what_the_server_gave(space):
    made = await space.config_map()
    changed = {**made, "metadata": {**made["metadata"], "creationTimestamp": "2001-01-01T00:00:00Z"}}
    reply = await space.api.put(f"{space.config_maps}/c", changed)
    assert reply.json["metadata"]["creationTimestamp"] == made["metadata"]["creationTimestamp"]


async def test_a_put_with_another_uid_conflicts(space):
    made = await space.config_map()
    body = {**made, "metadata": {**made["metadata"], "uid": "another"}}
    assert (await space.api.put(f"{space.config_maps}/c", body)).status == 409


async def test_a_put_under_another_name_is_a_bad_request(space):
    await space.config_map()
    assert (await space.api.put(f"{space.config_maps}/c", {"metadata": {"name": "d"}})).status == 400


async def test_a_dry_run_changes_nothing(space):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c"}}, dryRun="All")
    assert reply.status == 201
    assert (await space.api.get(f"{space.config_maps}/c")).status == 404


async def test_a_deleted_object_is_gone(space):
    made = await space.config_map()
    reply = await space.api.delete(f"{space.config_maps}/c")
    assert (reply.status, reply.json["status"]) == (200, "Success")
    assert reply.json["details"]["uid"] == made["metadata"]["uid"]
    assert (await space.api.get(f"{space.config_maps}/c")).status == 404


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resourceVersion": "1"}])
async def test_a_delete_with_a_wrong_precondition_conflicts(space, precondition):
    await space.config_map()
    reply = await space.api.delete(f"{space.config_maps}/c", {"preconditions": precondition})
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert "in the precondition" in reply.message


async def test_a_finalizer_keeps_a_deleted_object(space):
    await space.config_map(finalizers=["example.com/wait"])
    await space.api.delete(f"{space.config_maps}/c")
    kept = await space.api.get(f"{space.config_maps}/c")
    assert "deletionTimestamp" in kept.json["metadata"]


async def test_taking_the_last_finalizer_off_ends_a_deleted_object(space):
    await space.config_map(finalizers=["example.com/wait"])
    await space.api.delete(f"{space.config_maps}/c")
    await space.api.merge(f"{space.config_maps}/c", {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{space.config_maps}/c")).status == 404


async def test_a_deleted_object_gets_no_new_finalizer(space):
    await space.config_map(finalizers=["example.com/wait"])
    await space.api.delete(f"{space.config_maps}/c")
    more = {"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}}
    assert (await space.api.merge(f"{space.config_maps}/c", more)).status == 422


async def test_a_collection_is_deleted_by_selector(space):
    await space.config_map("keep")
    await space.config_map("drop", labels={"a": "b"})
    assert (await space.api.delete(space.config_maps, labelSelector="a=b")).status == 200
    assert (await space.api.get(f"{space.config_maps}/drop")).status == 404
    assert (await space.api.get(f"{space.config_maps}/keep")).status == 200


async def test_a_deleted_namespace_takes_its_objects_along(space):
    await space.config_map()
    await space.api.delete(f"/api/v1/namespaces/{space.name}")
    await space.gone(f"{space.config_maps}/c", within_s=20)


# leases --------------------------------------------------------------------------------------------------

LEASE = {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-01T00:00:00.000001Z"}}


async def test_a_lease_keeps_its_microseconds(space):
    made = await space.made(space.leases, LEASE)
    assert made["spec"]["renewTime"] == "2026-01-01T00:00:00.000001Z"


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "now", 5])
async def test_a_lease_without_microseconds_is_refused(space, text):
    reply = await space.api.post(space.leases, {"metadata": {"name": "l"}, "spec": {"renewTime": text}})
    assert reply.status in (400, 422)


async def test_a_lease_patched_without_microseconds_is_invalid(space):
    await space.made(space.leases, LEASE)
    reply = await space.api.merge(f"{space.leases}/l", {"spec": {"renewTime": "2026-01-01T00:00:00Z"}})
    assert reply.status == 422


async def test_a_lease_put_needs_a_version(space):
    await space.made(space.leases, LEASE)
    reply = await space.api.put(f"{space.leases}/l", LEASE)
    assert reply.status == 422
    assert "must be specified for an update" in reply.message


async def test_of_two_holders_that_put_a_lease_one_conflicts(space):
    made = await space.made(space.leases, LEASE)
    bodies = [{**made, "spec": {**made["spec"], "holderIdentity": name}} for name in "ab"]
    replies = await asyncio.gather(*(space.api.put(f"{space.leases}/l", body) for body in bodies))
    assert sorted(reply.status for reply in replies) == [200, 409]


# events --------------------------------------------------------------------------------------------------


def an_event(space, **fields: object) -> dict:
    about = {"kind": "Pod", "namespace": space.name, "name": "a", "uid": "u"}
    return {"metadata": {"name": "a.1"}, "involvedObject": about, **fields}


async def test_an_event_is_found_by_what_it_is_about(space):
    await space.made(space.events, an_event(space, reason="Scheduled", type="Normal"))
    found = await space.api.get(space.events, fieldSelector="involvedObject.uid=u,reason=Scheduled")
    assert [item["reason"] for item in found.json["items"]] == ["Scheduled"]


async def test_a_core_event_is_an_events_k8s_io_event_too(space):
    await space.made(space.events, an_event(space, reason="R", message="m"))
    path = f"/apis/events.k8s.io/v1/namespaces/{space.name}/events/a.1"
    shown = (await space.api.get(path)).json
    assert (shown["apiVersion"], shown["note"], shown["regarding"]["uid"]) == ("events.k8s.io/v1", "m", "u")


async def test_an_event_about_another_namespace_is_invalid(space):
    event = an_event(space) | {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"}}
    assert (await space.api.post(space.events, event)).status == 422
