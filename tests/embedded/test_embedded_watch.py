"""What the embedded server does on request or out of sight: forgetting, soon bookmarks, ended watches.

An expired page token is shown here only: a real server forgets when etcd is compacted, every five minutes, which no
request to it can hasten.
"""

from tests.kube_api import refusal

PODS = "/api/v1/namespaces/default/pods"


async def test_a_forgotten_version_is_an_error_event_of_code_410(embedded, server, make_pod):
    made = await embedded.post(PODS, make_pod())
    await embedded.delete(f"{PODS}/a")
    server.store.compact()
    async with embedded.watch("/api/v1/pods", resourceVersion=made.version) as watch:
        (event,) = await watch.rest()
    assert watch.status == 200
    assert event["type"] == "ERROR"
    assert refusal(event["object"]) == (410, "Expired", {})
    assert event["object"]["message"].startswith(f"too old resource version: {made.version} (")


async def test_a_page_of_a_forgotten_version_is_410(embedded, server, make_pod):
    for name in "ab":
        await embedded.post(PODS, make_pod(name))
    token = (await embedded.get("/api/v1/pods", limit="1")).json["metadata"]["continue"]
    await embedded.delete(f"{PODS}/a")
    server.store.compact()
    reply = await embedded.get("/api/v1/pods", limit="1", **{"continue": token})
    assert reply.refusal == (410, "Expired", {})


async def test_bookmarks_come_by_themselves_and_tell_the_newest_version(embedded, server):
    since = str(server.store.rv)
    async with embedded.watch("/api/v1/pods", resourceVersion=since, allowWatchBookmarks="true") as watch:
        await embedded.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}})
        events = [await watch.next(), await watch.next()]
    assert {event["type"] for event in events} == {"BOOKMARK"}
    assert events[-1]["object"]["metadata"]["resourceVersion"] == str(server.store.rv)


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
        await embedded.post(PODS, make_pod())
        assert await one.next() == await two.next()
    assert len(server.store.collection("pods").history[-1].lines) == 1
