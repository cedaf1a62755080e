"""A bind ends in certainty: a conflict or a lost reply is resolved by one GET that compares the decision."""

import asyncio
from typing import Any

import pytest
from bridge_fakes import FakeClient, raw_pod
from lease_time import HandClock

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.binder import ASSUMED_S, Binder, BindOrder, BindResult, Outcome

RECORD = DecisionRecord("mine", "gpu-a", "ort-b8", 1, 1000, 1024, "rule")
ORDER = BindOrder("default", "a", "uid-a", "n0", RECORD, version="7")
POST = ("POST", "/api/v1/namespaces/default/pods/a/binding")
GET = ("GET", "/api/v1/namespaces/default/pods/a")
LOST, CONFLICT = ApiError(0, "Timeout", "slow"), ApiError(409, "Conflict", "already assigned")


def pod(node: str = "", decision: str = "mine", **metadata: object):
    raw = raw_pod("a")
    raw["spec"]["nodeName"] = node
    written = DecisionRecord(decision, "gpu-a", "ort-b8", 1, 1000, 1024, "rule").to_json()
    raw["metadata"] = raw["metadata"] | {"annotations": {keys.ANNOTATION_DECISION: written}} | metadata
    return raw


async def bind(*posts: object, get: object = None) -> BindResult:
    return await binder_of(FakeClient({POST: list(posts), GET: [get]})).bind(ORDER)


def binder_of(client: FakeClient, **options: Any) -> Binder:
    """One whose time passes only while it sleeps."""
    clock = HandClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)
        await asyncio.sleep(0)

    return Binder(client, lambda _: None, elapsed_s=clock.elapsed_s, sleep=sleep, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("post", "get", "outcome"),
    [
        ({}, None, Outcome.BOUND),
        (LOST, pod("n0"), Outcome.BOUND),
        (ApiError(500, "InternalError", "?"), pod("n0"), Outcome.BOUND),
        (LOST, pod(), Outcome.FAILED),
        (LOST, pod("n1", "theirs"), Outcome.TAKEN),
        (CONFLICT, pod("n0", "theirs"), Outcome.TAKEN),
        (CONFLICT, pod(uid="uid-second"), Outcome.GONE),
        (CONFLICT, pod(deletionTimestamp="2026-11-18T11:06:41Z"), Outcome.GONE),
        (CONFLICT, pod(resourceVersion="8"), Outcome.CHANGED),
        (CONFLICT, pod(resourceVersion="7"), Outcome.FAILED),  # nothing has changed: it is waited out
        (LOST, ApiError(404, "NotFound", "gone"), Outcome.GONE),
        (LOST, LOST, Outcome.FAILED),
        (ApiError(404, "NotFound", "gone"), ApiError(404, "NotFound", "gone"), Outcome.GONE),
        (ApiError(404, "NotFound", "no such path"), pod(), Outcome.FAILED),
        (CONFLICT, LOST, Outcome.FAILED),
        (ApiError(422, "Invalid", "denied request"), None, Outcome.FAILED),
        (ApiError(403, "Forbidden", "no"), None, Outcome.FAILED),
    ],
)
async def test_every_reply_to_a_bind_has_one_meaning(post, get, outcome):
    assert (await bind(post, get=get)).outcome is outcome


async def test_a_bind_names_the_pods_uid():
    client = FakeClient()
    await Binder(client, lambda _: None).bind(ORDER)  # type: ignore[arg-type]
    assert client.sent[0][2]["metadata"]["uid"] == "uid-a"


async def test_a_bind_carries_the_decision():
    client = FakeClient()
    await Binder(client, lambda _: None).bind(ORDER)  # type: ignore[arg-type]
    assert client.sent[0][2]["metadata"]["annotations"][keys.ANNOTATION_DECISION] == RECORD.to_json()


async def test_without_a_permit_nothing_is_sent():
    client, results = FakeClient(), []
    binder = Binder(client, results.append, permit=lambda: False)  # type: ignore[arg-type]
    binder.start(ORDER)
    assert not binder.quiet
    await binder.drain()
    assert ([r.outcome for r in results], client.sent) == ([Outcome.WITHHELD], [])
    assert binder.quiet


@pytest.mark.parametrize(("post", "quiet"), [({}, True), (CONFLICT, True), (LOST, False)])
async def test_a_bind_without_a_reply_may_still_be_carried_out(post, quiet):
    binder = binder_of(FakeClient({POST: [post, {}], GET: [pod()]}))
    binder.start(ORDER)
    await binder.drain()
    assert binder.quiet is quiet


async def test_after_two_timeouts_it_is_not():
    binder = binder_of(FakeClient({POST: [LOST, {}], GET: [pod()]}), timeout_s=0.01)
    await binder.bind(ORDER)
    assert binder.quiet


FAILED_500 = ApiError(500, "InternalError", "etcdserver: request timed out")


@pytest.mark.parametrize("unknown", [LOST, FAILED_500])
async def test_a_bind_of_unknown_end_is_sent_again_as_it_was(unknown: ApiError):
    client = FakeClient({POST: [unknown, unknown, {}], GET: [pod()]})
    assert (await binder_of(client).bind(ORDER)).outcome is Outcome.BOUND
    assert [body for method, _, body in client.sent if method == "POST"] == [ORDER.body("7")] * 3


async def test_one_that_was_carried_out_late_is_found_by_the_conflict():
    client = FakeClient({POST: [LOST, CONFLICT], GET: [pod(), pod("n0")]})
    assert (await binder_of(client).bind(ORDER)).outcome is Outcome.BOUND


async def test_a_refusal_after_a_lost_reply_leaves_the_first_in_doubt():
    client = FakeClient({POST: [LOST, ApiError(403, "Forbidden", "no"), CONFLICT], GET: [pod(), pod("n0")]})
    assert (await binder_of(client).bind(ORDER)).outcome is Outcome.BOUND


async def test_while_the_pod_cannot_be_read_nothing_is_given_up():
    client = FakeClient({POST: [LOST, CONFLICT], GET: [FAILED_500] * 5 + [pod("n0")]})
    assert (await binder_of(client).bind(ORDER)).outcome is Outcome.BOUND


async def test_of_a_bind_that_stays_unknown_the_room_is_held_for_a_minute():
    clock = HandClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    client = FakeClient({POST: [LOST], GET: [LOST]})
    binder = Binder(client, lambda _: None, elapsed_s=clock.elapsed_s, sleep=sleep)  # type: ignore[arg-type]
    began_s = clock.now_s
    result = await binder.bind(ORDER)
    assert (result.outcome, result.doubtful) == (Outcome.FAILED, True)
    assert ASSUMED_S < clock.now_s - began_s <= ASSUMED_S + 5.0
    assert len(client.sent) < 60


async def test_binds_that_are_in_doubt_leave_room_for_others():
    client = FakeClient({POST: [LOST, LOST, {}], GET: [pod()]})
    clock, results = HandClock(), []
    binder = Binder(client, results.append, concurrency=1, elapsed_s=clock.elapsed_s, sleep=clock.sleep)  # type: ignore[arg-type]
    for _ in range(3):
        binder.start(ORDER)
    for _ in range(20):
        await asyncio.sleep(0)
    assert [result.outcome for result in results] == [Outcome.BOUND]
    clock.advance(10.0)
    await binder.drain()
    assert len(results) == 3


async def test_without_the_lease_a_bind_in_doubt_is_not_sent_again():
    permits = iter([True, False])
    client = FakeClient({POST: [LOST], GET: [pod()]})
    result = await binder_of(client, permit=lambda: next(permits)).bind(ORDER)
    assert result.outcome is Outcome.WITHHELD


async def test_a_dry_run_sends_nothing():
    client, results = FakeClient(), []
    binder = Binder(client, results.append, dry_run=True)  # type: ignore[arg-type]
    binder.start(ORDER)
    await binder.drain()
    assert ([r.outcome for r in results], client.sent) == ([Outcome.DRY], [])
