"""Watches: where they begin, what they show, and how they end."""

import asyncio

import pytest

from tests.contract.things import new_things
from tests.kube_api import METADATA, TABLE, invalid, refusal

INITIAL = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}


def seen(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def version(obj: dict) -> str:
    return obj["metadata"]["resourceVersion"]


@pytest.mark.parametrize("query", [{}, {"resourceVersion": ""}, {"resourceVersion": "0"}])
async def test_a_watch_from_no_version_begins_with_what_is_there(space, query):
    await space.pod("a")
    async with space.api.watch(space.pods, **query) as watch:
        assert seen([await watch.next()]) == [("ADDED", "a")]


async def test_a_watch_from_a_version_shows_only_what_came_after(space):
    since = version(await space.pod("a"))
    await space.pod("b")
    async with space.api.watch(space.pods, resourceVersion=since) as watch:
        assert seen([await watch.next()]) == [("ADDED", "b")]


async def test_a_watch_from_the_version_of_a_list_shows_only_what_came_after(space):
    await space.pod("a")
    listed = await space.api.get(space.pods)
    await space.pod("b")
    async with space.api.watch(space.pods, resourceVersion=listed.version) as watch:
        assert seen([await watch.next()]) == [("ADDED", "b")]


async def test_changes_come_in_order(space):
    since = version(await space.pod("a"))
    async with space.api.watch(space.pods, resourceVersion=since) as watch:
        await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "1"}}})
        await space.pod("b")
        await space.api.delete(f"{space.pods}/a")
        events = await watch.upto("DELETED")
    assert seen(events) == [("MODIFIED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "a")]


async def test_a_pod_that_nobody_holds_is_still_marked_before_it_goes(space):
    made = await space.pod()
    async with space.api.watch(space.pods, resourceVersion=version(made)) as watch:
        await space.api.delete(f"{space.pods}/a")
        marked, gone = [await watch.next(), await watch.next()]
    assert seen([marked, gone]) == [("MODIFIED", "a"), ("DELETED", "a")]
    assert marked["object"]["metadata"]["deletionGracePeriodSeconds"] == 0
    assert gone["object"]["metadata"]["deletionTimestamp"]


async def test_what_is_not_held_goes_in_one_step(space):
    made = await space.config_map()
    async with space.api.watch(space.config_maps, resourceVersion=version(made)) as watch:
        await space.api.delete(f"{space.config_maps}/c")
        event = await watch.next()
    assert seen([event]) == [("DELETED", "c")]
    assert "deletionTimestamp" not in event["object"]["metadata"]


async def test_an_unchanged_update_is_not_shown(space):
    made = await space.pod("a")
    async with space.api.watch(space.pods, resourceVersion=version(made)) as watch:
        await space.api.put(f"{space.pods}/a", made)
        await space.pod("b")
        assert seen([await watch.next()]) == [("ADDED", "b")]


async def test_a_watched_object_is_the_one_that_a_get_shows(space):
    await space.pod()
    async with space.api.watch(space.pods) as watch:
        assert (await watch.next())["object"] == (await space.api.get(f"{space.pods}/a")).json


async def test_a_deletion_carries_a_version_of_its_own(space):
    made = await space.pod()
    async with space.api.watch(space.pods, resourceVersion=version(made)) as watch:
        await space.api.delete(f"{space.pods}/a")
        event = await watch.next()
    assert int(version(event["object"])) > int(version(made))


async def test_a_graceful_deletion_is_a_change_before_the_end(space):
    await space.pod()
    await space.bind("a")
    since = (await space.api.get(space.pods)).version
    async with space.api.watch(space.pods, resourceVersion=since) as watch:
        await space.api.delete(f"{space.pods}/a")
        await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
        events = await watch.upto("DELETED")
    assert seen(events)[0] == ("MODIFIED", "a")
    assert "deletionTimestamp" in events[0]["object"]["metadata"]


async def test_the_last_finalizer_taken_off_is_a_deletion(space):
    await space.config_map(finalizers=["example.com/wait"])
    await space.api.delete(f"{space.config_maps}/c")
    since = (await space.api.get(space.config_maps)).version
    async with space.api.watch(space.config_maps, resourceVersion=since) as watch:
        await space.api.merge(f"{space.config_maps}/c", {"metadata": {"finalizers": None}})
        assert seen([await watch.next()]) == [("DELETED", "c")]


# selectors -----------------------------------------------------------------------------------------------


async def test_what_enters_a_label_selector_is_added(space):
    made = await space.pod()
    async with space.api.watch(space.pods, resourceVersion=version(made), labelSelector="x=1") as watch:
        await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "1"}}})
        assert seen([await watch.next()]) == [("ADDED", "a")]


async def test_what_leaves_a_label_selector_is_deleted(space):
    made = await space.pod(metadata={"labels": {"x": "1"}})
    async with space.api.watch(space.pods, resourceVersion=version(made), labelSelector="x=1") as watch:
        await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "2"}}})
        assert seen([await watch.next()]) == [("DELETED", "a")]


async def test_what_enters_a_field_selector_is_added(space):
    made = await space.pod()
    query = {"resourceVersion": version(made), "fieldSelector": f"spec.nodeName={space.node}"}
    async with space.api.watch(space.pods, **query) as watch:
        await space.bind("a")
        assert seen([await watch.next()]) == [("ADDED", "a")]


async def test_what_leaves_a_selector_is_shown_as_it_was_under_the_new_version(space):
    made = await space.pod()
    query = {"resourceVersion": version(made), "fieldSelector": "spec.nodeName="}
    async with space.api.watch(space.pods, **query) as watch:
        await space.bind("a")
        event = await watch.next()
    now = (await space.api.get(f"{space.pods}/a")).json
    assert event["type"] == "DELETED"
    assert "nodeName" not in event["object"]["spec"]
    assert version(event["object"]) == version(now)


async def test_what_changes_within_a_selector_is_modified(space):
    made = await space.pod()
    query = {"resourceVersion": version(made), "fieldSelector": "spec.schedulerName=synergai"}
    async with space.api.watch(space.pods, **query) as watch:
        await space.bind("a")
        assert seen([await watch.next()]) == [("MODIFIED", "a")]


async def test_what_never_was_in_a_selector_is_not_shown(space):
    made = await space.pod("a")
    query = {"resourceVersion": version(made), "fieldSelector": "metadata.name=b"}
    async with space.api.watch(space.pods, **query) as watch:
        await space.api.delete(f"{space.pods}/a")
        await space.pod("b")
        assert seen([await watch.next()]) == [("ADDED", "b")]


async def test_a_watch_of_one_namespace_shows_no_other(space):
    listed = await space.api.get("/api/v1/pods")
    query = {"resourceVersion": listed.version, "timeoutSeconds": "2"}
    async with space.api.watch("/api/v1/namespaces/kube-public/pods", **query) as watch:
        await space.pod()
        assert await watch.rest() == []


async def test_a_watch_of_all_namespaces_shows_every_one(space):
    query = {"resourceVersion": (await space.api.get("/api/v1/pods")).version}
    async with space.api.watch("/api/v1/pods", fieldSelector="metadata.name=only-here", **query) as watch:
        await space.pod("only-here")
        event = await watch.next()
    assert event["object"]["metadata"]["namespace"] == space.name


async def test_one_object_is_not_watched_on_its_path(space):
    made = await space.pod()
    assert (await space.api.get(f"{space.pods}/a", watch="true")).json == made


# streamed lists and bookmarks ----------------------------------------------------------------------------


async def test_a_streamed_list_ends_with_a_marked_bookmark(space):
    await space.pod("a")
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        events = await watch.upto("BOOKMARK")
    assert seen(events) == [("ADDED", "a"), ("BOOKMARK", "")]
    assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_bookmark_is_an_object_with_nothing_but_a_version(space):
    async with space.api.watch(space.config_maps, allowWatchBookmarks="true", **INITIAL) as watch:
        shown = (await watch.upto("BOOKMARK"))[-1]["object"]
    assert {key for key, value in shown.items() if value} == {"kind", "apiVersion", "metadata"}
    assert {key for key, value in shown["metadata"].items() if value} == {"resourceVersion", "annotations"}
    assert (shown["kind"], shown["apiVersion"]) == ("ConfigMap", "v1")


async def test_the_marked_bookmark_is_as_new_as_what_was_there(space):
    made = await space.pod("a")
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        events = await watch.upto("BOOKMARK")
    assert int(version(events[-1]["object"])) >= int(version(made))


async def test_a_streamed_list_of_nothing_is_a_bookmark(space):
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        assert seen([await watch.next()]) == [("BOOKMARK", "")]


async def test_a_streamed_list_shows_what_its_selector_picks(space):
    await space.pod("a")
    await space.pod("b", metadata={"labels": {"x": "1"}})
    query = {"allowWatchBookmarks": "true", "labelSelector": "x=1", **INITIAL}
    async with space.api.watch(space.pods, **query) as watch:
        assert seen(await watch.upto("BOOKMARK")) == [("ADDED", "b"), ("BOOKMARK", "")]


async def test_after_a_streamed_list_changes_follow(space):
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        await watch.upto("BOOKMARK")
        await space.pod("b")
        assert seen([await watch.change()]) == [("ADDED", "b")]


async def test_a_watch_without_initial_events_begins_with_what_comes(space):
    await space.pod("a")
    query = {"sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan"}
    async with space.api.watch(space.pods, **query) as watch:
        await space.pod("b")
        assert seen([await watch.change()]) == [("ADDED", "b")]


async def test_only_the_bookmark_behind_the_list_is_marked(space):
    query = {"allowWatchBookmarks": "true", "timeoutSeconds": "3", **INITIAL}
    async with space.api.watch(space.pods, **query) as watch:
        first, *later = await watch.rest()
    assert "annotations" in first["object"]["metadata"]
    assert not any("annotations" in event["object"]["metadata"] for event in later)


async def test_a_watch_that_is_about_to_end_tells_how_far_it_came(space):
    since = (await space.api.get(space.pods)).version
    query = {"resourceVersion": since, "allowWatchBookmarks": "true", "timeoutSeconds": "4"}
    async with space.api.watch(space.pods, **query) as watch:
        made = await space.pod("a")
        events = await watch.rest()
    assert seen(events[:1]) == [("ADDED", "a")]
    assert events[-1]["type"] == "BOOKMARK"
    assert int(version(events[-1]["object"])) >= int(version(made))


async def test_bookmarks_come_only_when_asked_for(space):
    async with space.api.watch(space.pods, timeoutSeconds="3") as watch:
        assert await watch.rest() == []


# how it ends and what is refused -------------------------------------------------------------------------


async def test_a_watch_ends_when_its_time_is_over(space):
    async with space.api.watch(space.pods, timeoutSeconds="1") as watch:
        assert (watch.status, await watch.rest()) == (200, [])


async def test_a_version_from_before_there_was_history_is_an_error_event_of_code_410(space):
    """What a server forgets, it forgets in its own time; a kind's history begins with its definition."""
    old = (await space.api.get("/api/v1/pods")).version
    await space.config_map()  # so that the definition does not follow that version at once
    async with new_things(space) as path, space.api.watch(path, resourceVersion=old) as watch:
        (event,) = await watch.rest()
    assert (watch.status, event["type"]) == (200, "ERROR")
    assert refusal(event["object"]) == (410, "Expired", {})
    assert event["object"]["message"].startswith(f"too old resource version: {old} (")


async def test_a_list_after_a_410_is_a_new_start(space):
    await space.pod("a")
    listed = await space.api.get(space.pods)
    async with space.api.watch(space.pods, resourceVersion=listed.version) as watch:
        await space.pod("b")
        assert (listed.names, seen([await watch.next()])) == (["a"], [("ADDED", "b")])


async def test_a_watch_from_the_future_shows_nothing(space):
    listed = await space.api.get(space.pods)
    future = str(int(listed.version) + 1_000_000)
    async with space.api.watch(space.pods, resourceVersion=future, timeoutSeconds="2") as watch:
        await space.pod("a")
        events = await watch.rest()
    assert [event for event in events if event["type"] not in ("BOOKMARK", "ERROR")] == []


FORBIDDEN_MATCH = ("FieldValueForbidden", "resourceVersionMatch")


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ({"sendInitialEvents": "true"}, FORBIDDEN_MATCH),
        ({"sendInitialEvents": "false"}, FORBIDDEN_MATCH),
        ({"resourceVersionMatch": "NotOlderThan"}, FORBIDDEN_MATCH),
        ({"resourceVersionMatch": "NotOlderThan", "resourceVersion": "1"}, FORBIDDEN_MATCH),
        ({"continue": "x"}, FORBIDDEN_MATCH),
        (
            {"sendInitialEvents": "true", "resourceVersionMatch": "Sometimes"},
            ("FieldValueNotSupported", "resourceVersionMatch"),
        ),
    ],
)
async def test_watch_options_that_make_no_sense_are_invalid(space, query, cause):
    reply = await space.api.get(space.pods, watch="true", **query)
    code, reason, details = reply.refusal
    assert (code, reason) == (422, "Invalid")
    assert (details["group"], details["kind"]) == ("meta.k8s.io", "ListOptions")
    assert cause in details["causes"]


async def test_a_match_other_than_not_older_has_two_causes(space):
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"}
    reply = await space.api.get(space.pods, watch="true", **query)
    causes = [FORBIDDEN_MATCH, ("FieldValueNotSupported", "resourceVersionMatch")]
    assert reply.refusal == invalid("ListOptions", "", *causes, group="meta.k8s.io")


@pytest.mark.parametrize("text", ["x", "-1", "1.5"])
async def test_a_watch_from_what_is_no_version_is_an_error_without_a_reason(space, text):
    reply = await space.api.get(space.pods, watch="true", resourceVersion=text)
    assert reply.refusal == (500, "", {})


async def test_a_watch_of_a_bad_selector_is_a_bad_request(space):
    reply = await space.api.get(space.pods, watch="true", fieldSelector="spec.priority=1")
    assert reply.refusal == (400, "BadRequest", {})


# other forms ---------------------------------------------------------------------------------------------


async def test_a_watch_as_a_table_has_a_row_per_event(space):
    await space.pod()
    async with space.api.watch(space.pods, accept=TABLE) as watch:
        event = await watch.next()
    assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")
    assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_only_the_first_table_of_a_watch_names_its_columns(space):
    await space.pod("a")
    await space.pod("b")
    async with space.api.watch(space.pods, accept=TABLE) as watch:
        shown = [(await watch.next())["object"].get("columnDefinitions") for _ in range(2)]
    assert [bool(columns) for columns in shown] == [True, False]


async def test_a_watch_of_metadata_shows_metadata(space):
    await space.pod()
    async with space.api.watch(space.pods, accept=METADATA) as watch:
        assert (await watch.next())["object"]["kind"] == "PartialObjectMetadata"


async def test_two_watches_see_the_same(space):
    since = (await space.api.get(space.pods)).version
    async with (
        space.api.watch(space.pods, resourceVersion=since) as one,
        space.api.watch(space.pods, resourceVersion=since) as two,
    ):
        await space.pod()
        first, second = await asyncio.gather(one.next(), two.next())
    assert first == second
