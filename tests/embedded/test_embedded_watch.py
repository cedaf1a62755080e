"""Contract: watches. What is true of the embedded server alone takes `embedded` and `server`."""

INITIAL = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}


def seen(events: list[dict]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_a_watch_without_a_version_begins_with_what_is_there(space):
    await space.pod("a")
    async with space.api.watch(space.pods) as watch:
        assert seen([await watch.next()]) == [("ADDED", "a")]


async def test_a_watch_from_a_version_shows_only_what_came_after(space):
    version = (await space.pod("a"))["metadata"]["resourceVersion"]
    await space.pod("b")
    async with space.api.watch(space.pods, resourceVersion=version) as watch:
        assert seen([await watch.next()]) == [("ADDED", "b")]


async def test_changes_come_in_order(space):
    version = (await space.pod("a"))["metadata"]["resourceVersion"]
    async with space.api.watch(space.pods, resourceVersion=version) as watch:
        await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "1"}}})
        await space.pod("b")
        await space.api.delete(f"{space.pods}/a")
        events = [await watch.next() for _ in range(3)]
    assert seen(events) == [("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]


async def test_an_object_in_a_watch_carries_kind_and_version(space):
    await space.pod()
    async with space.api.watch(space.pods) as watch:
        shown = (await watch.next())["object"]
    assert (shown["kind"], shown["apiVersion"]) == ("Pod", "v1")


async def test_a_deletion_carries_a_version_of_its_own(space):
    made = await space.pod()
    async with space.api.watch(space.pods, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        await space.api.delete(f"{space.pods}/a")
        event = await watch.next()
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(made["metadata"]["resourceVersion"])


async def test_what_enters_a_selector_is_added(space):
    made = await space.pod()
    version = made["metadata"]["resourceVersion"]
    async with space.api.watch(space.pods, resourceVersion=version, labelSelector="x=1") as watch:
        await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "1"}}})
        assert (await watch.next())["type"] == "ADDED"


async def test_what_leaves_a_selector_is_deleted_and_shown_as_it_was(space):
    made = await space.pod()
    query = {"resourceVersion": made["metadata"]["resourceVersion"], "fieldSelector": "spec.nodeName="}
    async with space.api.watch(space.pods, **query) as watch:
        await space.bind("a")
        event = await watch.next()
    now = (await space.api.get(f"{space.pods}/a")).json
    assert event["type"] == "DELETED"
    assert "nodeName" not in event["object"]["spec"]
    assert event["object"]["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]


async def test_what_never_was_in_a_selector_is_not_shown(space):
    made = await space.pod("a")
    query = {"resourceVersion": made["metadata"]["resourceVersion"], "fieldSelector": "metadata.name=b"}
    async with space.api.watch(space.pods, **query) as watch:
        await space.api.delete(f"{space.pods}/a")
        await space.pod("b")
        assert seen([await watch.next()]) == [("ADDED", "b")]


async def test_a_watch_of_one_namespace_shows_no_other(space):
    version = (await space.api.get("/api/v1/pods")).json["metadata"]["resourceVersion"]
    async with space.api.watch(
        "/api/v1/namespaces/default/pods", resourceVersion=version, timeoutSeconds="1"
    ) as w:
        await space.pod()
        assert await w.rest() == []


async def test_a_watch_ends_when_its_time_is_over(space):
    async with space.api.watch(space.pods, timeoutSeconds="1") as watch:
        assert await watch.rest() == []


async def test_a_streamed_list_ends_with_a_marked_bookmark(space):
    await space.pod("a")
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        events = await watch.upto("BOOKMARK")
    assert seen(events) == [("ADDED", "a"), ("BOOKMARK", "")]
    assert events[-1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_streamed_list_of_nothing_is_a_bookmark(space):
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        assert seen([await watch.next()]) == [("BOOKMARK", "")]


async def test_after_a_streamed_list_changes_follow(space):
    async with space.api.watch(space.pods, allowWatchBookmarks="true", **INITIAL) as watch:
        await watch.next()
        await space.pod("b")
        event = await watch.next()
        while event["type"] == "BOOKMARK":
            event = await watch.next()
    assert seen([event]) == [("ADDED", "b")]


async def test_initial_events_need_a_match(space):
    reply = await space.api.get(space.pods, watch="true", sendInitialEvents="true")
    assert (reply.status, reply.json["reason"]) == (422, "Invalid")


async def test_a_match_needs_initial_events(space):
    reply = await space.api.get(space.pods, watch="true", resourceVersionMatch="NotOlderThan")
    assert reply.status == 422


async def test_a_version_that_is_no_number_is_refused(space):
    assert (await space.api.get(space.pods, watch="true", resourceVersion="x")).status in (400, 422)


async def test_a_watch_as_a_table_has_a_row_per_event(space):
    await space.pod()
    async with space.api.watch(space.pods, accept="application/json;as=Table;v=v1;g=meta.k8s.io") as watch:
        event = await watch.next()
    assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")
    assert event["object"]["rows"][0]["cells"][0] == "a"


async def test_only_the_first_table_of_a_watch_names_its_columns(space):
    await space.pod("a")
    await space.pod("b")
    async with space.api.watch(space.pods, accept="application/json;as=Table;v=v1;g=meta.k8s.io") as watch:
        shown = [(await watch.next())["object"]["columnDefinitions"] for _ in range(2)]
    assert [bool(columns) for columns in shown] == [True, False]


async def test_a_watch_of_metadata_shows_metadata(space):
    await space.pod()
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with space.api.watch(space.pods, accept=accept) as watch:
        assert (await watch.next())["object"]["kind"] == "PartialObjectMetadata"


# the embedded server -------------------------------------------------------------------------------------


async def test_a_forgotten_version_is_an_error_event_of_code_410(embedded, server, make_pod):
    made = await embedded.post("/api/v1/namespaces/default/pods", make_pod())
    await embedded.delete("/api/v1/namespaces/default/pods/a")
    server.store.compact()
    version = made.json["metadata"]["resourceVersion"]
    async with embedded.watch("/api/v1/pods", resourceVersion=version) as watch:
        (event,) = await watch.rest()
    assert watch.status == 200
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith(f"too old resource version: {version} (")


async def test_a_page_of_a_forgotten_version_is_410(embedded, server, make_pod):
    for name in "ab":
        await embedded.post("/api/v1/namespaces/default/pods", make_pod(name))
    token = (await embedded.get("/api/v1/pods", limit="1")).json["metadata"]["continue"]
    await embedded.delete("/api/v1/namespaces/default/pods/a")
    server.store.compact()
    reply = await embedded.get("/api/v1/pods", limit="1", **{"continue": token})
    assert (reply.status, reply.json["reason"]) == (410, "Expired")


async def test_bookmarks_come_by_themselves_and_tell_the_newest_version(embedded, server):
    version = str(server.store.rv)
    async with embedded.watch("/api/v1/pods", resourceVersion=version, allowWatchBookmarks="true") as watch:
        await embedded.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}})
        events = [await watch.next(), await watch.next()]
    assert {event["type"] for event in events} == {"BOOKMARK"}
    assert events[-1]["object"]["metadata"]["resourceVersion"] == str(server.store.rv)


async def test_bookmarks_come_only_when_asked_for(embedded):
    async with embedded.watch("/api/v1/pods", timeoutSeconds="1") as watch:
        assert await watch.rest() == []


async def test_a_watch_that_the_client_left_is_forgotten(embedded, server, eventually):
    async with embedded.watch("/api/v1/pods"):
        assert len(server.store.collection("pods").subscriptions) == 1

    async def is_forgotten() -> bool:
        return not server.store.collection("pods").subscriptions

    await eventually(is_forgotten)


async def test_stopping_the_server_ends_its_watches(embedded, server):
    async with embedded.watch("/api/v1/pods") as watch:
        await server.stop()
        assert await watch.rest() == []


async def test_two_watchers_share_the_bytes_of_a_change(embedded, server, make_pod):
    async with embedded.watch("/api/v1/pods") as one, embedded.watch("/api/v1/pods") as two:
        await embedded.post("/api/v1/namespaces/default/pods", make_pod())
        assert await one.next() == await two.next()
    assert len(server.store.collection("pods").history[-1].lines) == 1
