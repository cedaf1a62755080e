"""Custom resources with a schema: what they are given, what is dropped, and what is refused."""

import pytest

from tests.contract.things import SHARED, shared_works, work
from tests.kube_api import invalid


@pytest.fixture
async def works(space) -> str:
    return await shared_works(space)


# what is kept ---------------------------------------------------------------------------------------------


async def test_absent_fields_have_their_defaults(space, works):
    made = await space.made(works, work())
    assert made["spec"] == {"model": {"name": "resnet", "version": "1"}, "retries": 2}


async def test_defaults_are_given_in_lists_and_maps(space, works):
    made = await space.made(works, work(steps=[{"name": "s"}], tags={"t": {}, "u": {"weight": 1}}))
    assert made["spec"]["steps"] == [{"name": "s", "on": True}]
    assert made["spec"]["tags"] == {"t": {"weight": 7}, "u": {"weight": 1}}


async def test_a_default_of_an_absent_object_is_not_given(space, works):
    """`template.known.size` has one, and there is no `known`."""
    assert (await space.made(works, work(template={})))["spec"]["template"] == {}


async def test_unknown_fields_are_dropped(space, works):
    sent = work(
        junk=1, model={"name": "resnet", "junk": 1}, steps=[{"name": "s", "junk": 1}], tags={"t": {"junk": 1}}
    )
    made = await space.made(works, sent | {"junk": 1})
    assert "junk" not in str(made)


async def test_unknown_fields_are_kept_where_the_schema_says_so(space, works):
    made = await space.made(
        works, work(template={"spec": {"containers": [{"name": "c"}]}, "known": {"junk": 1}})
    )
    assert made["spec"]["template"] == {"spec": {"containers": [{"name": "c"}]}, "known": {"size": 5}}


async def test_null_is_absent_unless_a_field_may_be_null(space, works):
    made = await space.made(works, work(retries=None, samples=None, note=None, tags={"t": None}))
    assert made["spec"] == {
        "model": {"name": "resnet", "version": "1"},
        "retries": 2,
        "note": None,
        "tags": {},
    }


async def test_a_whole_number_may_be_written_with_a_point(space, works):
    assert (await space.made(works, work(samples=5.0)))["spec"]["samples"] == 5


async def test_a_default_that_is_taken_away_comes_back(space, works):
    await space.made(works, work())
    changed = await space.api.merge(f"{works}/a", {"spec": {"retries": None}})
    assert (changed.json["spec"]["retries"], changed.json["metadata"]["generation"]) == (2, 1)


async def test_a_field_that_is_dropped_is_no_new_generation(space, works):
    await space.made(works, work())
    changed = await space.api.merge(f"{works}/a", {"spec": {"junk": 1}})
    assert changed.json["metadata"]["generation"] == 1


async def test_a_strict_create_refuses_unknown_fields(space, works):
    sent = work(junk=1, model={"name": "resnet", "junk": 1}, steps=[{"name": "s", "junk": 1}])
    reply = await space.api.post(works, sent, fieldValidation="Strict")
    assert reply.refusal == (400, "BadRequest", {})
    listed = ", ".join(f'unknown field "spec.{path}"' for path in ("junk", "model.junk", "steps[0].junk"))
    assert reply.message == (
        f'Work in version "v1" cannot be handled as a Work: strict decoding error: {listed}'
    )


async def test_a_strict_patch_refuses_unknown_fields(space, works):
    await space.made(works, work())
    reply = await space.api.merge(f"{works}/a", {"spec": {"junk": 1}}, fieldValidation="Strict")
    assert reply.refusal == invalid("", "", ("FieldValueInvalid", "patch"))


async def test_a_strict_create_of_known_fields_passes(space, works):
    metadata = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    reply = await space.api.post(works, work(metadata=metadata), fieldValidation="Strict")
    assert reply.status == 201


async def test_a_dry_run_shows_the_object_and_keeps_nothing(space, works):
    reply = await space.api.post(works, work(), dryRun="All")
    assert (reply.status, reply.json["spec"]["retries"]) == (201, 2)
    assert "resourceVersion" not in reply.json["metadata"]
    assert (await space.api.get(works)).names == []


# what is refused ------------------------------------------------------------------------------------------

TYPE, VALUE, MISSING = "FieldValueTypeInvalid", "FieldValueInvalid", "FieldValueRequired"


@pytest.mark.parametrize(
    ("spec", "cause", "message"),
    [
        ({"model": None}, (MISSING, "spec.model"), "Required value"),
        ({"model": {}}, (MISSING, "spec.model.name"), "Required value"),
        (
            {"model": {"name": 5}},
            (TYPE, "spec.model.name"),
            'Invalid value: "integer": spec.model.name in body must be of type string: "integer"',
        ),
        (
            {"model": []},
            (TYPE, "spec.model"),
            'Invalid value: "array": spec.model in body must be of type object: "array"',
        ),
        (
            {"model": {"name": "R2"}},
            (VALUE, "spec.model.name"),
            "Invalid value: \"R2\": spec.model.name in body should match '^[a-z]+$'",
        ),
        (
            {"model": {"name": "r"}},
            (VALUE, "spec.model.name"),
            'Invalid value: "r": spec.model.name in body should be at least 2 chars long',
        ),
        (
            {"model": {"name": "resnetresnet"}},
            ("FieldValueTooLong", "spec.model.name"),
            "Too long: may not be more than 8 bytes",
        ),
        (
            {"samples": 0},
            (VALUE, "spec.samples"),
            "Invalid value: 0: spec.samples in body should be greater than or equal to 1",
        ),
        (
            {"samples": 101},
            (VALUE, "spec.samples"),
            "Invalid value: 101: spec.samples in body should be less than or equal to 100",
        ),
        (
            {"samples": True},
            (TYPE, "spec.samples"),
            'Invalid value: "boolean": spec.samples in body must be of type integer: "boolean"',
        ),
        (
            {"grade": "C"},
            ("FieldValueNotSupported", "spec.grade"),
            'Unsupported value: "C": supported values: "A", "B"',
        ),
        (
            {"port": []},
            (TYPE, "spec.port"),
            'Invalid value: "array": spec.port in body must be of type integer,string: "array"',
        ),
        (
            {"at": "soon"},
            (TYPE, "spec.at"),
            'Invalid value: "soon": spec.at in body must be of type date-time: "soon"',
        ),
        (
            {"steps": []},
            (VALUE, "spec.steps"),
            "Invalid value: 0: spec.steps in body should have at least 1 items",
        ),
        (
            {"steps": [{"name": "s"}] * 3},
            ("FieldValueTooMany", "spec.steps"),
            "Too many: 3: must have at most 2 items",
        ),
        (
            {"steps": [{"name": "s", "on": "yes"}]},
            (TYPE, "spec.steps[0].on"),
            'Invalid value: "string": spec.steps[0].on in body must be of type boolean: "string"',
        ),
        (
            {"tags": {"t": {"weight": "much"}}},
            (TYPE, "spec.tags.t.weight"),
            'Invalid value: "string": spec.tags.t.weight in body must be of type integer: "string"',
        ),
        (
            {"template": {"known": {"size": "large"}}},
            (TYPE, "spec.template.known.size"),
            'Invalid value: "string": spec.template.known.size in body must be of type integer: "string"',
        ),
    ],
)
async def test_what_breaks_the_schema_is_invalid(space, works, spec, cause, message):
    reply = await space.api.post(works, work(**spec))
    assert reply.refusal == invalid("Work", "a", cause, group=SHARED)
    assert reply.message == f'Work.{SHARED} "a" is invalid: {cause[1]}: {message}'


async def test_all_that_is_wrong_is_told(space, works):
    reply = await space.api.post(works, work(samples=0, grade="C"))
    causes = set(reply.refusal[2]["causes"])
    assert causes == {(VALUE, "spec.samples"), ("FieldValueNotSupported", "spec.grade")}


async def test_a_bad_change_is_invalid(space, works):
    await space.made(works, work())
    reply = await space.api.merge(f"{works}/a", {"spec": {"samples": 0}})
    assert reply.refusal == invalid("Work", "a", (VALUE, "spec.samples"), group=SHARED)


async def test_a_bad_status_is_invalid(space, works):
    await space.made(works, work())
    reply = await space.api.merge(f"{works}/a/status", {"status": {"tries": "many"}})
    assert reply.refusal == invalid("Work", "a", (TYPE, "status.tries"), group=SHARED)
