"""Events: written behind the decisions, bounded, not repeated."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from bridge_fakes import FakeClient

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.reports.events import EventRecorder, Notice

POD = Notice("Pod", "team", "a", "uid-a", "Scheduled", "assigned")
NODE = Notice("Node", "", "n0", "uid-n0", "NodeNotUsable", "no label", warning=True)
EVENTS = "/api/v1/namespaces/team/events"


@asynccontextmanager
async def recording(client: FakeClient, **options):
    recorder = EventRecorder(client, **options)  # type: ignore[arg-type]
    yield recorder
    task = asyncio.create_task(recorder.run())
    await recorder.flush()
    task.cancel()


async def test_an_event_is_written_in_the_pods_namespace():
    client = FakeClient()
    async with recording(client) as record:
        record(POD)
    ((method, path, body),) = client.sent
    assert (method, path, body["involvedObject"]["uid"]) == ("POST", EVENTS, "uid-a")


async def test_an_event_on_a_node_is_written_in_default():
    client = FakeClient()
    async with recording(client) as record:
        record(NODE)
    assert client.sent[0][1] == "/api/v1/namespaces/default/events"


async def test_a_repeated_event_is_written_once():
    client = FakeClient()
    async with recording(client) as record:
        record(POD)
        record(POD)
    assert len(client.sent) == 1


async def test_a_full_queue_drops_and_counts():
    dropped = []
    async with recording(FakeClient(), capacity=1, on_dropped=lambda: dropped.append(1)) as record:
        record(POD)
        record(NODE)
    assert dropped == [1]


async def test_a_refused_event_is_counted_and_the_next_one_written():
    dropped = []
    client = FakeClient({("POST", EVENTS): [ApiError(403, "Forbidden", "no")]})
    async with recording(client, on_dropped=lambda: dropped.append(1)) as record:
        record(POD)
        record(NODE)
    assert (dropped, len(client.sent)) == ([1], 2)


async def test_a_missing_right_is_logged_once_for_each_namespace(caplog: pytest.LogCaptureFixture):
    other = replace(POD, namespace="other", uid="uid-b")
    refused = [ApiError(403, "Forbidden", "may not")] * 2
    path = "/api/v1/namespaces/other/events"
    client = FakeClient({("POST", EVENTS): refused, ("POST", path): refused})
    async with recording(client) as record:
        for n in (1, 2):
            record(replace(POD, message=f"{n}"))
            record(replace(other, message=f"{n}"))
    assert [(r.levelname, "may not" in r.message) for r in caplog.records] == [("WARNING", True)] * 2


async def test_without_a_permit_events_are_dropped():
    dropped = []
    client = FakeClient()
    async with recording(client, on_dropped=lambda: dropped.append(1), permit=lambda: False) as record:
        record(POD)
        record(NODE)
    assert (client.sent, dropped) == ([], [1, 1])


async def test_a_long_message_is_cut_to_what_the_server_takes():
    client = FakeClient()
    async with recording(client) as record:
        record(Notice("Pod", "team", "a", "u", "FailedScheduling", "x" * 5000))
    assert len(client.sent[0][2]["message"]) == 1023
