"""Patches over HTTP: the kinds of patch, what they make of an object, and what is refused."""

import pytest

from tests.kube_api import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, invalid


@pytest.fixture
async def path(space) -> str:
    """A config map with some data."""
    body = {"metadata": {"name": "c", "labels": {"x": "1"}}, "data": {"a": "1", "b": "2"}}
    await space.made(space.config_maps, body)
    return f"{space.config_maps}/c"


async def test_a_merge_patch_sets_and_removes(space, path):
    reply = await space.api.merge(path, {"data": {"a": None, "c": "3"}})
    assert (reply.status, reply.json["data"]) == (200, {"b": "2", "c": "3"})


async def test_a_strategic_patch_sets_and_removes(space, path):
    reply = await space.api.strategic(path, {"data": {"a": None, "c": "3"}})
    assert (reply.status, reply.json["data"]) == (200, {"b": "2", "c": "3"})


async def test_a_json_patch_does_its_steps(space, path):
    reply = await space.api.steps(
        path,
        {"op": "test", "path": "/data/a", "value": "1"},
        {"op": "remove", "path": "/data/a"},
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "replace", "path": "/data/b", "value": "4"},
        {"op": "copy", "from": "/data/b", "path": "/data/d"},
        {"op": "move", "from": "/data/d", "path": "/data/e"},
    )
    assert (reply.status, reply.json["data"]) == (200, {"b": "4", "c": "3", "e": "4"})


async def test_a_step_of_a_json_patch_escapes_slashes(space, path):
    await space.api.merge(path, {"metadata": {"annotations": {"synergai.dev/x": "1"}}})
    step = {"op": "replace", "path": "/metadata/annotations/synergai.dev~1x", "value": "2"}
    changed = (await space.api.steps(path, step)).json
    assert changed["metadata"]["annotations"] == {"synergai.dev/x": "2"}


@pytest.mark.parametrize(
    "step",
    [
        {"op": "test", "path": "/data/a", "value": "9"},
        {"op": "remove", "path": "/data/none"},
        {"op": "add", "path": "/none/a", "value": "1"},
        {"op": "explode", "path": "/data/a"},
    ],
)
async def test_a_json_patch_that_does_not_fit_is_invalid(space, path, step):
    assert (await space.api.steps(path, step)).refusal == (422, "Invalid", {})


async def test_a_replacement_of_what_is_not_there_adds_it(space, path):
    reply = await space.api.steps(path, {"op": "replace", "path": "/data/none", "value": "1"})
    assert (reply.status, reply.json["data"]["none"]) == (200, "1")


async def test_a_step_without_a_value_sets_null(space, path):
    reply = await space.api.steps(path, {"op": "add", "path": "/data/c"})
    assert (reply.status, reply.json["data"]["c"]) == (200, "")


async def test_a_json_patch_that_does_not_fit_changes_nothing(space, path):
    before = (await space.api.get(path)).json
    await space.api.steps(
        path,
        {"op": "add", "path": "/data/c", "value": "3"},
        {"op": "test", "path": "/data/a", "value": "9"},
    )
    assert (await space.api.get(path)).json == before


@pytest.mark.parametrize(
    ("media_type", "raw"),
    [
        (JSON_PATCH, b"{}"),
        (JSON_PATCH, b'["a"]'),
        (JSON_PATCH, b'[{"op": "add", "path": 5, "value": "1"}]'),
        (JSON_PATCH, b"{"),
        (MERGE_PATCH, b"[]"),
        (MERGE_PATCH, b"{"),
        (STRATEGIC_PATCH, b'"a"'),
        (STRATEGIC_PATCH, b"{"),
    ],
)
async def test_what_is_no_patch_is_a_bad_request(space, path, media_type, raw):
    reply = await space.api.call("PATCH", path, raw, media_type=media_type)
    assert reply.refusal == (400, "BadRequest", {})


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", "application/nonsense+json"])
async def test_a_patch_of_another_kind_is_an_unsupported_media_type(space, path, media_type):
    reply = await space.api.call("PATCH", path, b"{}", media_type=media_type)
    assert reply.refusal == (415, "UnsupportedMediaType", {})


@pytest.mark.parametrize("patch", [{"data": {"a": 1}}, {"data": []}, {"metadata": {"labels": {"a": True}}}])
async def test_a_patch_to_another_type_is_invalid(space, path, patch):
    for reply in (await space.api.merge(path, patch), await space.api.strategic(path, patch)):
        assert reply.refusal == invalid("", "", ("FieldValueInvalid", "patch"))


async def test_a_patch_to_a_bad_label_is_invalid(space, path):
    reply = await space.api.merge(path, {"metadata": {"labels": {"x": "not a value"}}})
    assert reply.refusal == invalid("ConfigMap", "c", ("FieldValueInvalid", "metadata.labels"))


async def test_a_patch_of_a_missing_object_is_not_found(space):
    reply = await space.api.merge(f"{space.config_maps}/none", {"data": {}})
    assert reply.refusal == (404, "NotFound", {"name": "none", "kind": "configmaps"})


async def test_a_patch_without_a_version_is_applied_to_what_is_there(space, path):
    await space.api.merge(path, {"data": {"a": "2"}})
    assert (await space.api.merge(path, {"data": {"b": "3"}})).json["data"] == {"a": "2", "b": "3"}


async def test_a_patch_of_an_old_version_conflicts(space, path):
    old = (await space.api.get(path)).version
    await space.api.merge(path, {"data": {"a": "2"}})
    reply = await space.api.merge(path, {"metadata": {"resourceVersion": old}, "data": {"a": "3"}})
    assert reply.refusal == (409, "Conflict", {"name": "c", "kind": "configmaps"})


async def test_a_patch_of_the_right_version_is_applied(space, path):
    version = (await space.api.get(path)).version
    reply = await space.api.merge(path, {"metadata": {"resourceVersion": version}, "data": {"a": "3"}})
    assert reply.status == 200


async def test_a_patch_to_another_uid_is_invalid(space, path):
    reply = await space.api.merge(path, {"metadata": {"uid": "another"}, "data": {"a": "3"}})
    assert reply.refusal == invalid("ConfigMap", "c", ("FieldValueInvalid", "metadata.uid"))


async def test_a_patch_to_another_name_is_a_bad_request(space, path):
    assert (await space.api.merge(path, {"metadata": {"name": "d"}})).refusal == (400, "BadRequest", {})


@pytest.mark.parametrize("verb", ["merge", "strategic"])
async def test_a_patch_that_changes_nothing_keeps_the_version(space, path, verb):
    before = (await space.api.get(path)).version
    assert (await getattr(space.api, verb)(path, {"data": {"a": "1"}})).version == before


async def test_finalizers_are_joined_by_a_strategic_patch(space, path):
    await space.api.strategic(path, {"metadata": {"finalizers": ["example.com/a"]}})
    changed = (await space.api.strategic(path, {"metadata": {"finalizers": ["example.com/b"]}})).json
    assert sorted(changed["metadata"]["finalizers"]) == ["example.com/a", "example.com/b"]
    removed = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a", "example.com/b"]}}
    assert "finalizers" not in (await space.api.strategic(path, removed)).json["metadata"]


async def test_a_map_is_replaced_by_a_strategic_patch_that_says_so(space, path):
    changed = (await space.api.strategic(path, {"data": {"$patch": "replace", "c": "3"}})).json
    assert changed["data"] == {"c": "3"}


async def test_containers_are_merged_by_their_name(space):
    await space.pod(containers=[{"name": "c", "image": "i:1"}, {"name": "d", "image": "i:1"}])
    patch = {"spec": {"containers": [{"name": "d", "image": "i:2"}]}}
    changed = (await space.api.strategic(f"{space.pods}/a", patch)).json
    assert [item["image"] for item in changed["spec"]["containers"]] == ["i:1", "i:2"]


async def test_tolerations_are_replaced_by_a_strategic_patch(space):
    old = (await space.pod())["spec"]["tolerations"]
    added = {"key": "example.com/x", "operator": "Exists"}
    patch = {"spec": {"tolerations": [*old, added]}}
    changed = (await space.api.strategic(f"{space.pods}/a", patch)).json
    assert changed["spec"]["tolerations"] == [*old, added]


async def test_a_gate_is_taken_off_by_a_strategic_patch_that_deletes_it(space):
    await space.pod(schedulingGates=[{"name": "example.com/a"}, {"name": "example.com/b"}])
    patch = {"spec": {"schedulingGates": [{"name": "example.com/a", "$patch": "delete"}]}}
    changed = (await space.api.strategic(f"{space.pods}/a", patch)).json
    assert changed["spec"]["schedulingGates"] == [{"name": "example.com/b"}]


async def test_an_element_without_its_merge_key_is_an_error_without_a_reason(space):
    await space.pod()
    await space.bind("a")
    reply = await space.api.strategic(
        f"{space.pods}/a/status", {"status": {"conditions": [{"status": "True"}]}}
    )
    assert reply.refusal == (500, "", {})
