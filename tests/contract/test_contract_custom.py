"""Custom resources, from their definition to their end."""

import pytest

from tests.contract.things import CRDS, definition, new_things, shared_things
from tests.kube_api import TABLE, invalid


@pytest.fixture
async def things(space) -> str:
    return await shared_things(space)


def thing(path: str, **fields: object) -> dict:
    group = path.split("/")[2]
    return {
        "apiVersion": f"{group}/v1",
        "kind": "Thing",
        "metadata": {"name": "t"},
        "spec": {"x": 1},
        **fields,
    }


async def test_a_definition_is_served(space, things):
    made = await space.made(things, thing(things))
    assert (made["kind"], made["metadata"]["generation"]) == ("Thing", 1)


async def test_a_new_object_has_no_status(space, things):
    assert "status" not in await space.made(things, thing(things, status={"phase": "Done"}))


async def test_list_items_carry_their_kind(space, things):
    await space.made(things, thing(things))
    listed = (await space.api.get(things)).json
    assert (listed["kind"], listed["items"][0]["kind"]) == ("ThingList", "Thing")


async def test_a_change_of_the_spec_is_a_new_generation(space, things):
    await space.made(things, thing(things))
    changed = await space.api.merge(f"{things}/t", {"spec": {"x": 2}})
    assert changed.json["metadata"]["generation"] == 2


async def test_a_change_of_the_status_is_no_new_generation(space, things):
    await space.made(things, thing(things))
    changed = await space.api.merge(f"{things}/t/status", {"status": {"phase": "Done"}, "spec": {"x": 3}})
    assert changed.json["metadata"]["generation"] == 1
    assert (changed.json["status"], changed.json["spec"]) == ({"phase": "Done"}, {"x": 1})


async def test_a_change_of_the_object_leaves_its_status(space, things):
    await space.made(things, thing(things))
    await space.api.merge(f"{things}/t/status", {"status": {"phase": "Done"}})
    changed = await space.api.merge(f"{things}/t", {"status": {"phase": "Open"}, "spec": {"x": 3}})
    assert (changed.json["status"], changed.json["spec"]) == ({"phase": "Done"}, {"x": 3})


async def test_labels_cannot_be_changed_through_the_status(space, things):
    await space.made(things, thing(things))
    patch = {"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Done"}}
    changed = await space.api.merge(f"{things}/t/status", patch)
    assert "labels" not in changed.json["metadata"]


async def test_a_strategic_patch_is_not_served(space, things):
    await space.made(things, thing(things))
    reply = await space.api.strategic(f"{things}/t", {"spec": {"x": 2}})
    assert reply.refusal == (415, "UnsupportedMediaType", {})


async def test_a_put_needs_a_version(space, things):
    await space.made(things, thing(things))
    reply = await space.api.put(f"{things}/t", thing(things))
    group = things.split("/")[2]
    causes = [("FieldValueInvalid", "metadata.resourceVersion")]
    assert reply.refusal == invalid("things", "t", *causes, group=group)


async def test_an_object_of_another_kind_is_invalid(space, things):
    reply = await space.api.post(things, thing(things) | {"kind": "Other"})
    group = things.split("/")[2]
    assert reply.refusal == invalid("Other", "t", ("FieldValueInvalid", "kind"), group=group)


async def test_an_object_without_a_version_is_a_bad_request(space, things):
    body = thing(things)
    del body["apiVersion"]
    assert (await space.api.post(things, body)).refusal == (400, "BadRequest", {})


async def test_an_object_without_a_kind_is_a_bad_request(space, things):
    reply = await space.api.post(things, {"metadata": {"name": "t"}})
    assert reply.refusal == (400, "BadRequest", {})


async def test_a_definition_names_its_columns(space, things):
    await space.made(things, thing(things))
    shown = (await space.api.show(things, TABLE)).json
    assert [column["name"] for column in shown["columnDefinitions"]] == ["Name", "X"]
    assert shown["rows"][0]["cells"][:2] == ["t", 1]


async def test_a_definition_says_that_it_is_established(space, things):
    group = things.split("/")[2]
    status = (await space.api.get(f"{CRDS}/things.{group}")).json["status"]
    found = {item["type"]: item["status"] for item in status["conditions"]}
    assert (found["Established"], found["NamesAccepted"]) == ("True", "True")
    assert status["storedVersions"] == ["v1"]


async def test_a_kind_that_is_not_defined_is_told_in_a_text(space, things):
    assert (await space.api.get(things.replace("/things", "/others"))).raw == b"404 page not found\n"


async def test_a_withdrawn_definition_takes_its_objects_along(space):
    async with new_things(space) as path:
        await space.made(path, thing(path))
    await space.gone(path)
    await space.gone(f"{CRDS}/things.{path.split('/')[2]}")
    async with new_things(space) as path:
        assert (await space.api.get(path)).names == []


async def test_a_definition_under_another_name_is_invalid(api):
    body = definition("example.com") | {"metadata": {"name": "others.example.com"}}
    assert (await api.post(CRDS, body)).status == 422


@pytest.mark.parametrize("body", [{}, {"spec": {}}, {"spec": {"versions": [{}]}}, {"spec": {"names": {}}}])
async def test_a_definition_that_is_none_is_invalid(api, body):
    assert (await api.post(CRDS, {"metadata": {"name": "a.b"}, **body})).status == 422
