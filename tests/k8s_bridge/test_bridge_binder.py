"""A bind ends in certainty: a conflict or a lost reply is resolved by one GET that compares the decision."""

import asyncio

import pytest
from bridge_fakes import FakeClient, raw_pod

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import Binder, BindOrder, BindResult, Outcome
from synergai.k8s_bridge.client import ApiError

RECORD = DecisionRecord("mine", "gpu-a", "ort-b8", 1, 1000, 1024, "rule")
ORDER = BindOrder("default", "a", "uid-a", "n0", RECORD)
POST = ("POST", "/api/v1/namespaces/default/pods/a/binding")
GET = ("GET", "/api/v1/namespaces/default/pods/a")
LOST, CONFLICT = ApiError(0, "Timeout", "slow"), ApiError(409, "Conflict", "already assigned")


def pod(node: str = "", decision: str = "mine", **metadata: object):
    raw = raw_pod("a")
    raw["spec"]["nodeName"] = node
    written = DecisionRecord(decision, "gpu-a", "ort-b8", 1, 1000, 1024, "rule").to_json()
    raw["metadata"] = raw["metadata"] | {"annotations": {keys.ANNOTATION_DECISION: written}} | metadata
    return raw


async def bind(post: object, get: object = None) -> BindResult:
    client = FakeClient({POST: [post], GET: [get]})
    return await Binder(client, lambda _: None).bind(ORDER)  # type: ignore[arg-type]


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
        (CONFLICT, pod(), Outcome.CHANGED),
        (LOST, ApiError(404, "NotFound", "gone"), Outcome.GONE),
        (LOST, LOST, Outcome.FAILED),
        (ApiError(404, "NotFound", "gone"), None, Outcome.GONE),
        (ApiError(422, "Invalid", "denied request"), None, Outcome.FAILED),
        (ApiError(403, "Forbidden", "no"), None, Outcome.FAILED),
    ],
)
async def test_every_reply_to_a_bind_has_one_meaning(post, get, outcome):
    assert (await bind(post, get)).outcome is outcome


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
    binder = Binder(FakeClient({POST: [post], GET: [pod()]}), lambda _: None)  # type: ignore[arg-type]
    binder.start(ORDER)
    await binder.drain()
    assert binder.quiet is quiet


async def test_after_two_timeouts_it_is_not():
    binder = Binder(FakeClient({POST: [LOST], GET: [pod()]}), lambda _: None, timeout_s=1e-6)  # type: ignore[arg-type]
    await binder.bind(ORDER)
    await asyncio.sleep(0.001)
    assert binder.quiet


async def test_a_dry_run_sends_nothing():
    client, results = FakeClient(), []
    binder = Binder(client, results.append, dry_run=True)  # type: ignore[arg-type]
    binder.start(ORDER)
    await binder.drain()
    assert ([r.outcome for r in results], client.sent) == ([Outcome.DRY], [])
