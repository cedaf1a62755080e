"""Creating, changing and deleting objects of any kind."""

import re

import pytest

from tests.kube_api import MERGE_PATCH, invalid, pod

CONFLICT = (409, "Conflict", {"name": "c", "kind": "configmaps"})


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
    assert reply.refusal == (409, "AlreadyExists", {"name": "c", "kind": "configmaps"})
    assert reply.message == 'configmaps "c" already exists'


async def test_a_missing_object_is_not_found(space):
    reply = await space.api.get(f"{space.config_maps}/none")
    assert reply.refusal == (404, "NotFound", {"name": "none", "kind": "configmaps"})
    assert reply.message == 'configmaps "none" not found'


async def test_a_missing_object_of_a_group_says_its_group(space):
    reply = await space.api.get(f"{space.leases}/none")
    details = {"name": "none", "group": "coordination.k8s.io", "kind": "leases"}
    assert reply.refusal == (404, "NotFound", details)


async def test_a_missing_namespace_takes_no_objects(api):
    reply = await api.post("/api/v1/namespaces/no-such-place/pods", pod())
    assert reply.refusal == (404, "NotFound", {"name": "no-such-place", "kind": "namespaces"})
    assert reply.message == 'namespaces "no-such-place" not found'


@pytest.mark.parametrize(
    ("metadata", "causes"),
    [
        ({"name": "Upper"}, [("FieldValueInvalid", "metadata.name")]),
        ({"name": "under_score"}, [("FieldValueInvalid", "metadata.name")]),
        ({"name": "-a"}, [("FieldValueInvalid", "metadata.name")]),
        ({"name": "a" * 254}, [("FieldValueInvalid", "metadata.name")]),
        ({}, [("FieldValueRequired", "metadata.name")]),
        ({"name": "c", "labels": {"a b": "c"}}, [("FieldValueInvalid", "metadata.labels")]),
        ({"name": "c", "labels": {"a": "not a value"}}, [("FieldValueInvalid", "metadata.labels")]),
        ({"name": "c", "labels": {"a": "x" * 64}}, [("FieldValueInvalid", "metadata.labels")]),
        (
            {"name": "c", "annotations": {"no/two/slashes": ""}},
            [("FieldValueInvalid", "metadata.annotations")],
        ),
        (
            {"name": "c", "annotations": {"a": "x" * (256 * 1024 + 1)}},
            [("FieldValueTooLong", "metadata.annotations")],
        ),
        ({"name": "c", "finalizers": ["noslash"]}, [("FieldValueInvalid", "metadata.finalizers[0]")]),
        ({"name": "c", "finalizers": ["a/b c"]}, [("FieldValueInvalid", "metadata.finalizers")]),
        (
            {"name": "c", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a"}]},
            [("FieldValueInvalid", "metadata.ownerReferences.uid")],
        ),
    ],
)
async def test_bad_metadata_is_invalid(space, metadata, causes):
    reply = await space.api.post(space.config_maps, {"metadata": metadata})
    assert reply.refusal == invalid("ConfigMap", metadata.get("name", ""), *causes)


async def test_a_namespace_with_a_dot_is_invalid(api):
    assert (await api.post("/api/v1/namespaces", {"metadata": {"name": "a.b"}})).status == 422


async def test_annotations_of_256_kib_are_taken(space):
    await space.config_map("c", annotations={"a": "x" * (256 * 1024 - 1)})


@pytest.mark.parametrize("annotations", [{"a": 1}, {"a": {"b": "c"}}, ["a"], "a"])
async def test_annotations_that_are_no_texts_are_a_bad_request(space, annotations):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c", "annotations": annotations}})
    assert reply.refusal == (400, "BadRequest", {})


async def test_an_object_of_another_namespace_is_a_bad_request(space):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c", "namespace": "default"}})
    assert reply.refusal == (400, "BadRequest", {})
    assert "does not match the namespace" in reply.message


async def test_an_object_of_another_kind_is_a_bad_request(space):
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "c"}}
    assert (await space.api.post(space.config_maps, body)).refusal == (400, "BadRequest", {})


async def test_an_object_with_a_version_cannot_be_created(space):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c", "resourceVersion": "1"}})
    assert reply.refusal == (500, "", {})
    assert reply.message == "resourceVersion should not be set on objects to be created"


async def test_what_only_the_server_gives_is_passed_over(space):
    given = {
        "uid": "u",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
    }
    made = (await space.config_map(**given))["metadata"]
    assert made["uid"] != "u"
    assert made["creationTimestamp"] != "2001-01-01T00:00:00Z"
    assert "deletionTimestamp" not in made


async def test_a_field_of_null_is_absent(space):
    made = await space.made(space.config_maps, {"metadata": {"name": "c", "labels": None}, "data": None})
    assert "labels" not in made["metadata"]
    assert "data" not in made


async def test_a_put_of_an_old_version_conflicts(space):
    old = await space.config_map()
    await space.api.put(f"{space.config_maps}/c", {**old, "data": {"a": "1"}})
    reply = await space.api.put(f"{space.config_maps}/c", {**old, "data": {"a": "2"}})
    assert reply.refusal == CONFLICT
    assert reply.message == (
        'Operation cannot be fulfilled on configmaps "c": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


async def test_a_put_without_a_version_overwrites(space):
    await space.config_map()
    reply = await space.api.put(f"{space.config_maps}/c", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    assert (reply.status, reply.json["data"]) == (200, {"a": "1"})


async def test_a_put_to_nothing_is_not_found(space):
    reply = await space.api.put(f"{space.pods}/a", pod())
    assert reply.refusal == (404, "NotFound", {"name": "a", "kind": "pods"})


async def test_a_put_of_what_is_no_version_is_an_error_without_a_reason(space):
    made = await space.config_map()
    body = {**made, "metadata": {**made["metadata"], "resourceVersion": "x"}}
    assert (await space.api.put(f"{space.config_maps}/c", body)).refusal == (500, "", {})


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
    assert (await space.api.put(f"{space.config_maps}/c", body)).refusal == CONFLICT


async def test_a_put_under_another_name_is_a_bad_request(space):
    await space.config_map()
    reply = await space.api.put(f"{space.config_maps}/c", {"metadata": {"name": "d"}})
    assert reply.refusal == (400, "BadRequest", {})


async def test_a_dry_creation_creates_nothing(space):
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c"}}, dryRun="All")
    assert (reply.status, bool(reply.json["metadata"]["uid"])) == (201, True)
    assert (await space.api.get(f"{space.config_maps}/c")).status == 404


async def test_a_dry_patch_changes_nothing(space):
    made = await space.config_map()
    reply = await space.api.merge(f"{space.config_maps}/c", {"data": {"a": "1"}}, dryRun="All")
    assert reply.json["data"] == {"a": "1"}
    assert (await space.api.get(f"{space.config_maps}/c")).json == made


async def test_a_dry_delete_deletes_nothing(space):
    await space.config_map()
    assert (await space.api.delete(f"{space.config_maps}/c", dryRun="All")).status == 200
    assert (await space.api.get(f"{space.config_maps}/c")).status == 200


@pytest.mark.parametrize("query", [{"dryRun": "Some"}, {"fieldValidation": "Some"}])
@pytest.mark.parametrize(
    ("method", "kind"), [("POST", "CreateOptions"), ("PUT", "UpdateOptions"), ("PATCH", "PatchOptions")]
)
async def test_an_option_of_a_write_that_there_is_not_is_invalid(space, method, kind, query):
    await space.config_map()
    path = space.config_maps if method == "POST" else f"{space.config_maps}/c"
    media_type = MERGE_PATCH if method == "PATCH" else "application/json"
    reply = await space.api.call(method, path, {"metadata": {"name": "c"}}, media_type=media_type, **query)
    cause = ("FieldValueNotSupported", *query)
    assert reply.refusal == invalid(kind, "", cause, group="meta.k8s.io")


@pytest.mark.parametrize(
    ("options", "field"),
    [({"dryRun": ["Some"]}, "dryRun"), ({"propagationPolicy": "Odd"}, "propagationPolicy")],
)
async def test_an_option_of_a_delete_that_there_is_not_is_invalid(space, options, field):
    await space.config_map()
    reply = await space.api.delete(f"{space.config_maps}/c", options)
    assert reply.refusal[:2] == (422, "Invalid")
    assert reply.refusal[2]["causes"] == [("FieldValueNotSupported", field)]


async def test_a_deleted_object_is_gone(space):
    made = await space.config_map()
    reply = await space.api.delete(f"{space.config_maps}/c")
    assert (reply.status, reply.json["status"]) == (200, "Success")
    assert reply.json["details"] == {"name": "c", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    assert (await space.api.get(f"{space.config_maps}/c")).status == 404


async def test_a_missing_object_cannot_be_deleted(space):
    reply = await space.api.delete(f"{space.config_maps}/c")
    assert reply.refusal == (404, "NotFound", {"name": "c", "kind": "configmaps"})


async def test_a_delete_with_the_right_preconditions_deletes(space):
    made = (await space.config_map())["metadata"]
    options = {"preconditions": {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}}
    assert (await space.api.delete(f"{space.config_maps}/c", options)).status == 200


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resourceVersion": "1"}])
async def test_a_delete_with_a_wrong_precondition_conflicts(space, precondition):
    await space.config_map()
    reply = await space.api.delete(f"{space.config_maps}/c", {"preconditions": precondition})
    assert reply.refusal == (409, "Conflict", {"name": "c", "kind": "ConfigMap"})
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
    reply = await space.api.merge(f"{space.config_maps}/c", more)
    assert reply.refusal == invalid("ConfigMap", "c", ("FieldValueForbidden", "metadata.finalizers"))


async def test_an_object_that_waits_for_a_finalizer_is_shown_when_deleted(space):
    await space.config_map(finalizers=["example.com/wait"])
    reply = await space.api.delete(f"{space.config_maps}/c")
    assert (reply.status, reply.json["kind"]) == (200, "ConfigMap")
    assert reply.json["metadata"]["deletionGracePeriodSeconds"] == 0


async def test_a_deleted_object_that_waits_cannot_be_created_again(space):
    await space.config_map(finalizers=["example.com/wait"])
    await space.api.delete(f"{space.config_maps}/c")
    reply = await space.api.post(space.config_maps, {"metadata": {"name": "c"}})
    assert reply.refusal == (409, "AlreadyExists", {"name": "c", "kind": "configmaps"})


async def test_a_collection_is_deleted_by_selector(space):
    await space.config_map("keep")
    await space.config_map("drop", labels={"a": "b"})
    assert (await space.api.delete(space.config_maps, labelSelector="a=b")).status == 200
    assert (await space.api.get(f"{space.config_maps}/drop")).status == 404
    assert (await space.api.get(f"{space.config_maps}/keep")).status == 200


async def test_a_deleted_collection_is_shown(space):
    for name in "ab":
        await space.config_map(name, labels={"a": "b"})
    reply = await space.api.delete(space.config_maps, labelSelector="a=b")
    assert (reply.json["kind"], sorted(reply.names)) == ("ConfigMapList", ["a", "b"])


async def test_an_immutable_config_map_cannot_be_changed(space):
    body = {"metadata": {"name": "c"}, "data": {"a": "1"}, "immutable": True}
    await space.made(space.config_maps, body)
    reply = await space.api.merge(f"{space.config_maps}/c", {"data": {"a": "2"}})
    assert reply.refusal == invalid("ConfigMap", "c", ("FieldValueForbidden", "data"))


async def test_an_immutable_config_map_stays_so(space):
    await space.made(space.config_maps, {"metadata": {"name": "c"}, "immutable": True})
    reply = await space.api.merge(f"{space.config_maps}/c", {"immutable": False})
    assert reply.refusal == invalid("ConfigMap", "c", ("FieldValueForbidden", "immutable"))


async def test_every_write_has_a_higher_version(space):
    first = await space.config_map("a")
    second = await space.config_map("b")
    third = await space.api.merge(f"{space.config_maps}/a", {"data": {"a": "1"}})
    versions = [int(first["metadata"]["resourceVersion"]), int(second["metadata"]["resourceVersion"])]
    assert versions[0] < versions[1] < int(third.version)


async def test_a_list_is_as_new_as_the_last_write(space):
    made = await space.config_map()
    listed = await space.api.get(space.config_maps)
    assert int(listed.version) >= int(made["metadata"]["resourceVersion"])
