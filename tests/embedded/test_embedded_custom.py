"""Contract: custom resources, from their definition to their end."""

import pytest

from synergai.k8s_bridge.embedded import jsonpath


def definition(group: str) -> dict:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": schema,
    }
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"things.{group}"}, "spec": spec}


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture
async def things(space, eventually):
    """The path of a custom resource of its own group."""
    group = f"{space.name}.example.com"
    await space.made(CRDS, definition(group))
    path = f"/apis/{group}/v1/namespaces/{space.name}/things"

    async def is_served() -> bool:
        return (await space.api.get(path)).status == 200

    await eventually(is_served, within_s=10)
    yield path
    await space.api.delete(f"{CRDS}/things.{group}")


def thing(**fields: object) -> dict:
    return {"metadata": {"name": "t"}, "spec": {"x": 1}, **fields}


def full(path: str, body: dict) -> dict:
    group = path.split("/")[2]
    return {"apiVersion": f"{group}/v1", "kind": "Thing", **body}


async def test_a_definition_is_served(space, things):
    made = await space.made(things, full(things, thing()))
    assert (made["kind"], made["metadata"]["generation"]) == ("Thing", 1)


async def test_a_new_object_has_no_status(space, things):
    made = await space.made(things, full(things, thing(status={"phase": "Done"})))
    assert "status" not in made


async def test_list_items_carry_their_kind(space, things):
    await space.made(things, full(things, thing()))
    listed = (await space.api.get(things)).json
    assert (listed["kind"], listed["items"][0]["kind"]) == ("ThingList", "Thing")


async def test_a_change_of_the_spec_is_a_new_generation(space, things):
    await space.made(things, full(things, thing()))
    changed = await space.api.merge(f"{things}/t", {"spec": {"x": 2}})
    assert changed.json["metadata"]["generation"] == 2


async def test_a_change_of_the_status_is_not(space, things):
    await space.made(things, full(things, thing()))
    changed = await space.api.merge(f"{things}/t/status", {"status": {"phase": "Done"}, "spec": {"x": 3}})
    assert changed.json["metadata"]["generation"] == 1
    assert (changed.json["status"], changed.json["spec"]) == ({"phase": "Done"}, {"x": 1})


async def test_labels_cannot_be_changed_through_the_status(space, things):
    await space.made(things, full(things, thing()))
    patch = {"metadata": {"labels": {"a": "b"}}, "status": {"phase": "Done"}}
    changed = await space.api.merge(f"{things}/t/status", patch)
    assert "labels" not in changed.json["metadata"]


async def test_a_strategic_patch_is_not_served(space, things):
    await space.made(things, full(things, thing()))
    assert (await space.api.strategic(f"{things}/t", {"spec": {"x": 2}})).status == 415


async def test_a_put_needs_a_version(space, things):
    await space.made(things, full(things, thing()))
    assert (await space.api.put(f"{things}/t", full(things, thing()))).status == 422


async def test_a_withdrawn_definition_takes_its_objects_along(embedded):
    await embedded.post(CRDS, definition("example.com"))
    path = "/apis/example.com/v1/namespaces/default/things"
    assert (await embedded.post(path, thing())).status == 201
    await embedded.delete(f"{CRDS}/things.example.com")
    assert (await embedded.get(path)).status == 404
    await embedded.post(CRDS, definition("example.com"))
    assert (await embedded.get(path)).json["items"] == []


async def test_a_definition_under_another_name_is_invalid(api):
    body = definition("example.com") | {"metadata": {"name": "others.example.com"}}
    assert (await api.post(CRDS, body)).status == 422


@pytest.mark.parametrize("body", [{}, {"spec": {}}, {"spec": {"versions": [{}]}}, {"spec": {"names": {}}}])
async def test_a_definition_that_is_none_is_invalid(api, body):
    assert (await api.post(CRDS, {"metadata": {"name": "a.b"}, **body})).status == 422


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (".a.b", 1),
        (".l[1]", 20),
        (".l[9]", None),
        ('.c[?(@.type=="Ready")].status', "True"),
        ('.c[?(@.type=="None")].status', None),
        (".m['x.y/z']", 5),
        (r".m.x\.y/z", 5),
        (".none.b", None),
        ("nonsense(", None),
    ],
)
def test_a_path_of_a_column_reads(path, expected):
    value = {"a": {"b": 1}, "l": [10, 20], "c": [{"type": "Ready", "status": "True"}], "m": {"x.y/z": 5}}
    assert jsonpath.reader(path)(value) == expected
