"""Events: one set of objects under two names."""

import pytest

from tests.kube_api import invalid

TIME = "2026-01-01T00:00:00.000000Z"


def core(space, **fields: object) -> dict:
    about = {"kind": "Pod", "namespace": space.name, "name": "a", "uid": "u"}
    return {"metadata": {"name": "a.1"}, "involvedObject": about, **fields}


def modern(space, **fields: object) -> dict:
    about = {"kind": "Pod", "namespace": space.name, "name": "a", "uid": "u"}
    needed = {
        "eventTime": TIME,
        "reportingController": "example.com/scheduler",
        "reportingInstance": "scheduler-0",
        "action": "Binding",
        "reason": "Scheduled",
        "type": "Normal",
    }
    return {"metadata": {"name": "a.1"}, "regarding": about, "note": "to n", **needed, **fields}


async def test_an_event_is_found_by_what_it_is_about(space):
    await space.made(space.events, core(space, reason="Scheduled", type="Normal"))
    found = await space.api.get(space.events, fieldSelector="involvedObject.uid=u,reason=Scheduled")
    assert found.names == ["a.1"]


async def test_a_core_event_is_an_events_k8s_io_event_too(space):
    await space.made(space.events, core(space, reason="R", message="m", source={"component": "s"}, count=2))
    shown = (await space.api.get(f"{space.new_events}/a.1")).json
    assert (shown["apiVersion"], shown["note"], shown["regarding"]["uid"]) == ("events.k8s.io/v1", "m", "u")
    assert (shown["deprecatedSource"], shown["deprecatedCount"]) == ({"component": "s"}, 2)


async def test_an_events_k8s_io_event_is_a_core_event_too(space):
    await space.made(space.new_events, modern(space))
    shown = (await space.api.get(f"{space.events}/a.1")).json
    assert (shown["message"], shown["involvedObject"]["uid"]) == ("to n", "u")
    assert (shown["reportingComponent"], shown["eventTime"]) == ("example.com/scheduler", TIME)


async def test_a_core_event_has_the_fields_that_clients_read(space):
    made = await space.made(space.events, core(space))
    shown = {key: made[key] for key in ("source", "firstTimestamp", "lastTimestamp", "eventTime")}
    assert shown == {"source": {}, "firstTimestamp": None, "lastTimestamp": None, "eventTime": None}
    assert (made["reportingComponent"], made["reportingInstance"]) == ("", "")


async def test_an_event_about_another_namespace_is_invalid(space):
    event = core(space) | {"involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"}}
    reply = await space.api.post(space.events, event)
    assert reply.refusal == invalid("Event", "a.1", ("FieldValueInvalid", "involvedObject.namespace"))


async def test_an_events_k8s_io_event_needs_a_time(space):
    event = modern(space)
    del event["eventTime"]
    reply = await space.api.post(space.new_events, event)
    assert reply.refusal == invalid("Event", "a.1", ("FieldValueRequired", "eventTime"))


@pytest.mark.parametrize("field", ["reportingInstance", "action", "reason"])
async def test_an_events_k8s_io_event_says_who_did_what_and_why(space, field):
    event = modern(space)
    del event[field]
    reply = await space.api.post(space.new_events, event)
    assert reply.refusal == invalid("Event", "a.1", ("FieldValueRequired", field))


@pytest.mark.parametrize(
    ("fields", "causes"),
    [
        ({"type": "Odd"}, [("FieldValueInvalid", "type")]),
        ({"reportingController": "no good"}, [("FieldValueInvalid", "reportingController")]),
        ({"action": "a" * 129}, [("FieldValueInvalid", "action")]),
        ({"note": "a" * 1025}, [("FieldValueInvalid", "message")]),
        ({"series": {"count": 1, "lastObservedTime": TIME}}, [("FieldValueInvalid", "series.count")]),
        ({"regarding": {"kind": "Node", "name": "n"}}, [("FieldValueInvalid", "involvedObject.namespace")]),
    ],
)
async def test_a_bad_events_k8s_io_event_is_invalid(space, fields, causes):
    reply = await space.api.post(space.new_events, modern(space, **fields))
    assert reply.refusal == invalid("Event", "a.1", *causes)


async def test_a_core_event_with_a_time_says_who_did_what_and_why(space):
    reply = await space.api.post(space.events, core(space, eventTime=TIME))
    assert [field for _, field in reply.refusal[2]["causes"] if _ == "FieldValueRequired"] == [
        "reportingComponent",
        "reportingInstance",
        "action",
        "reason",
    ]


async def test_the_type_of_a_core_event_is_not_looked_at(space):
    assert (await space.made(space.events, core(space, type="Odd")))["type"] == "Odd"


async def test_a_core_event_is_counted_up_by_a_patch(space):
    await space.made(space.events, core(space, count=1))
    reply = await space.api.strategic(f"{space.events}/a.1", {"count": 2})
    assert (reply.status, reply.json["count"]) == (200, 2)


async def test_an_events_k8s_io_event_becomes_a_series_by_a_patch(space):
    await space.made(space.new_events, modern(space))
    patch = {"series": {"count": 2, "lastObservedTime": TIME}}
    reply = await space.api.strategic(f"{space.new_events}/a.1", patch)
    assert (reply.status, reply.json["series"]["count"]) == (200, 2)


async def test_the_note_of_an_event_cannot_be_changed(space):
    await space.made(space.new_events, modern(space))
    reply = await space.api.strategic(f"{space.new_events}/a.1", {"note": "another"})
    assert reply.refusal == invalid("Event", "a.1", ("FieldValueInvalid", "message"))


async def test_the_message_of_a_core_event_can_be_changed(space):
    await space.made(space.events, core(space, message="m"))
    assert (await space.api.strategic(f"{space.events}/a.1", {"message": "n"})).json["message"] == "n"


async def test_an_event_that_is_put_is_made(space):
    assert (await space.api.put(f"{space.events}/a.1", core(space))).status == 201


async def test_both_names_are_watched_alike(space):
    async with space.api.watch(space.new_events) as watch:
        await space.made(space.events, core(space, message="m"))
        event = await watch.change()
    assert (event["type"], event["object"]["note"]) == ("ADDED", "m")
