"""Custom resources with a schema: their status, their lists and tables, and their end."""

import asyncio

import pytest

from tests.contract.things import CRDS, SHARED, definition, new_things, shared_works, shared_worlds, work
from tests.kube_api import TABLE, Json, eventually

FINALIZER = "example.com/wait"


@pytest.fixture
async def works(space) -> str:
    return await shared_works(space)


@pytest.fixture
async def worlds(space) -> str:
    return await shared_worlds(space)


# status ---------------------------------------------------------------------------------------------------


async def test_a_new_object_has_the_default_status_whatever_it_claims(space, works):
    made = await space.made(works, work() | {"status": {"phase": "Done", "tries": 3}})
    assert made["status"] == {"phase": "Pending", "tries": 0}


async def test_a_status_that_is_taken_away_is_the_default_again(space, works):
    await space.made(works, work())
    await space.api.merge(f"{works}/a/status", {"status": {"phase": "Done"}})
    assert (await space.api.merge(f"{works}/a/status", {"status": None})).json["status"]["phase"] == "Pending"


async def test_a_status_is_merged(space, works):
    await space.made(works, work())
    changed = await space.api.merge(f"{works}/a/status", {"status": {"tries": 1, "junk": 1}})
    assert changed.json["status"] == {"phase": "Pending", "tries": 1}


async def test_a_status_is_changed_step_by_step(space, works):
    await space.made(works, work())
    steps = (
        {"op": "test", "path": "/status/phase", "value": "Pending"},
        {"op": "replace", "path": "/status/phase", "value": "Done"},
        {"op": "add", "path": "/status/conditions", "value": [{"type": "Placed", "status": "True"}]},
    )
    changed = await space.api.steps(f"{works}/a/status", *steps)
    assert changed.json["status"] == {
        "phase": "Done",
        "tries": 0,
        "conditions": [{"type": "Placed", "status": "True"}],
    }


async def test_a_status_is_put(space, works):
    made = await space.made(works, work())
    sent = made | {"status": {"phase": "Done"}, "spec": {"model": {"name": "other"}}}
    changed = await space.api.put(f"{works}/a/status", sent)
    assert (changed.json["status"], changed.json["spec"]) == ({"phase": "Done", "tries": 0}, made["spec"])
    assert changed.json["metadata"]["generation"] == 1


async def test_a_status_put_of_an_old_version_conflicts(space, works):
    old = await space.made(works, work())
    await space.api.merge(f"{works}/a/status", {"status": {"tries": 1}})
    reply = await space.api.put(f"{works}/a/status", old)
    assert reply.refusal == (409, "Conflict", {"name": "a", "group": SHARED, "kind": "works"})


# lists, watches, tables -----------------------------------------------------------------------------------


async def test_a_list_is_limited_by_labels(space, works):
    for name in "ab":
        await space.made(works, work(name, metadata={"labels": {"of": name}}))
    assert (await space.api.get(works, labelSelector="of=b")).names == ["b"]
    assert (await space.api.get(works, labelSelector="of!=b")).names == ["a"]


async def test_a_watch_is_limited_by_labels(space, works):
    since = (await space.api.get(works)).version
    async with space.api.watch(works, labelSelector="of=b", resourceVersion=since) as watch:
        for name in "ab":
            await space.made(works, work(name, metadata={"labels": {"of": name}}))
        event = await watch.change()
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
    assert event["object"]["status"]["phase"] == "Pending"


async def test_columns_show_values_by_their_type(space, works):
    await space.made(works, work(samples=5, steps=[{"name": "s"}, {"name": "t"}]))
    placed = {"type": "Placed", "status": "True", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    status = {"status": {"conditions": [{"type": "Seen", "status": "True"}, placed]}}
    await space.api.merge(f"{works}/a/status", status)
    cells = (await space.api.show(works, TABLE)).json["rows"][0]["cells"]
    whole = '{"name":"resnet","version":"1"}'
    assert cells[:2] == ["a", "resnet"]
    assert cells[2] == "True"
    assert cells[3].endswith("d")
    assert cells[4:11] == [0, None, whole, "5", True, "t", "Seen"]


async def test_columns_of_what_is_not_there_are_empty(space, works):
    await space.made(works, work())
    cells = (await space.api.show(works, TABLE)).json["rows"][0]["cells"]
    assert (cells[2], cells[3], cells[7], cells[8]) == (None, None, None, None)


async def test_a_column_has_its_type_and_its_priority(space, works):
    columns = (await space.api.show(works, TABLE)).json["columnDefinitions"]
    found = {column["name"]: (column["type"], column["priority"]) for column in columns}
    assert found["Since"] == ("date", 0)
    assert found["Age"] == ("date", 1)


async def test_short_names_and_categories_are_told(space, works):
    listed = (await space.api.get(f"/apis/{SHARED}/v1")).json["resources"]
    found = next(entry for entry in listed if entry["name"] == "works")
    assert (found["shortNames"], found["categories"], found["singularName"]) == (["wk"], ["all"], "work")


# of the cluster -------------------------------------------------------------------------------------------


async def test_an_object_of_the_cluster_is_made_and_found(space, worlds):
    made = await space.made(worlds, work(space.name, "World"))
    assert "namespace" not in made["metadata"]
    assert (await space.api.get(f"{worlds}/{space.name}")).json == made
    await space.api.delete(f"{worlds}/{space.name}")


async def test_an_object_of_the_cluster_is_in_no_namespace(space, worlds):
    path = worlds.replace("/worlds", f"/namespaces/{space.name}/worlds")
    assert (await space.api.get(path)).raw == b"404 page not found\n"


async def test_an_object_of_the_cluster_has_an_age(space, worlds):
    columns = (await space.api.show(worlds, TABLE)).json["columnDefinitions"]
    assert [(column["name"], column["type"]) for column in columns] == [("Name", "string"), ("Age", "date")]


# the end --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resourceVersion": "1"}])
async def test_a_delete_of_another_object_conflicts(space, works, precondition):
    await space.made(works, work())
    reply = await space.api.delete(f"{works}/a", {"preconditions": precondition})
    assert reply.refusal == (409, "Conflict", {"name": "a", "group": SHARED, "kind": "Work"})


async def test_a_delete_of_this_very_object_passes(space, works):
    made = (await space.made(works, work()))["metadata"]
    wanted = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert (await space.api.delete(f"{works}/a", {"preconditions": wanted})).status == 200
    assert (await space.api.get(f"{works}/a")).status == 404


async def test_a_finalizer_keeps_an_object_until_it_is_taken_off(space, works):
    await space.made(works, work(metadata={"finalizers": [FINALIZER]}))
    await space.api.delete(f"{works}/a")
    kept = (await space.api.get(f"{works}/a")).json["metadata"]
    assert kept["deletionTimestamp"]
    assert kept["generation"] == 2
    await space.api.merge(f"{works}/a", {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{works}/a")).status == 404


def thing(path: str, name: str, **metadata: object) -> Json:
    version = "/".join(path.split("/")[2:4])
    return {"apiVersion": version, "kind": "Thing", "metadata": {"name": name, **metadata}}


async def test_objects_of_a_withdrawn_definition_are_seen_to_go(space):
    async with new_things(space) as path:
        await space.made(path, thing(path, "a"))
        since = (await space.made(path, thing(path, "b", finalizers=[FINALIZER])))["metadata"][
            "resourceVersion"
        ]
        async with space.api.watch(path, resourceVersion=since) as watch:
            await space.api.delete(f"{CRDS}/things.{path.split('/')[2]}")
            seen = [await watch.change(), await watch.change()]
            assert [(event["type"], event["object"]["metadata"]["name"]) for event in seen] == [
                ("DELETED", "a"),
                ("MODIFIED", "b"),
            ]
            reply = await space.api.post(path, thing(path, "c"))
            assert reply.refusal[:2] == (403, "Forbidden")
            assert "create not allowed while custom resource definition is terminating" in reply.message
            await space.api.merge(f"{path}/b", {"metadata": {"finalizers": None}})
            rest = await watch.rest()
    assert [event["type"] for event in rest if event["type"] != "BOOKMARK"] == ["DELETED"]
    await space.gone(path)


async def test_a_new_default_is_in_what_is_stored_already(space):
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    }
    async with new_things(space, schema) as path:
        made = await space.made(path, thing(path, "a") | {"spec": {"x": 1}})
        named = f"{CRDS}/things.{path.split('/')[2]}"
        where = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/y"
        await space.api.steps(
            named, {"op": "add", "path": where, "value": {"type": "string", "default": "new"}}
        )

        async def is_new() -> bool:
            return (await space.api.get(f"{path}/a")).json["spec"] == {"x": 1, "y": "new"}

        await eventually(is_new)
        assert (await space.api.get(f"{path}/a")).version == made["metadata"]["resourceVersion"]


async def test_a_watch_ends_when_its_definition_changes(space):
    async with new_things(space) as path:
        since = (await space.made(path, thing(path, "a")))["metadata"]["resourceVersion"]
        async with space.api.watch(path, resourceVersion=since) as watch:
            named = f"{CRDS}/things.{path.split('/')[2]}"
            columns = "/spec/versions/0/additionalPrinterColumns"
            await space.api.steps(named, {"op": "remove", "path": columns})
            async with asyncio.timeout(20):
                assert [event for event in await watch.rest() if event["type"] != "BOOKMARK"] == []


async def test_a_definition_without_a_schema_is_invalid(api):
    body = definition("example.com")
    del body["spec"]["versions"][0]["schema"]
    reply = await api.post(CRDS, body)
    assert reply.status == 422
    assert ("FieldValueRequired", "spec.versions[0].schema.openAPIV3Schema") in reply.refusal[2]["causes"]


async def test_a_definition_has_names_by_default(space):
    async with new_things(space) as path:
        names = (await space.api.get(f"{CRDS}/things.{path.split('/')[2]}")).json["spec"]["names"]
    assert (names["singular"], names["listKind"]) == ("thing", "ThingList")
