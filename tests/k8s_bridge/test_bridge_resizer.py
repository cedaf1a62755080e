"""A resize and the bind after it are of exactly the version that was decided on, or the pod is not bound."""

from dataclasses import replace
from typing import Any

import pytest
from bridge_fakes import FakeClient, raw_pod

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.binder import Binder, BindOrder, BindResult, Outcome
from synergai.k8s_bridge.pods import read_pod
from synergai.k8s_bridge.resizer import Resizer
from synergai.k8s_bridge.sizes import Resize, Size, Sizes

RECORD = DecisionRecord("mine", "gpu-a", "ort-b8", 1, 2000, 1024, "rule", resized=True)
SIZES = Sizes(Size("2000m"), Size("1024Mi"))
PLAIN = BindOrder("default", "a", "uid-a", "n0", RECORD, version="7")
ORDER = replace(PLAIN, resize=Resize("runner", SIZES, "synergai:cpu=100m/,memory=64Mi/"))
POD = "/api/v1/namespaces/default/pods/a"
PATCH, POST, GET = ("PATCH", f"{POD}/resize"), ("POST", f"{POD}/binding"), ("GET", POD)
LOST, CONFLICT = ApiError(0, "Timeout", "slow"), ApiError(409, "Conflict", "modified")
RBAC = ApiError(403, "Forbidden", 'User "x" cannot patch resource "pods/resize" in API group ""')
QUOTA = ApiError(403, "Forbidden", "exceeded quota: q")


def pod(
    version: str = "7", cpu: str = "100m", memory: str = "64Mi", node: str = "", **metadata: object
) -> Any:
    raw = raw_pod("a")
    raw["metadata"] = raw["metadata"] | {"resourceVersion": version} | metadata
    requests = {"cpu": cpu, "memory": memory}
    raw["spec"] |= {"nodeName": node, "containers": [{"name": "runner", "resources": {"requests": requests}}]}
    return raw


RESIZED = pod("8", "2", "1Gi")


async def carry_out(order: BindOrder = ORDER, **script: object) -> tuple[BindResult, FakeClient]:
    replies: dict[tuple[str, str], list[object]] = {PATCH: [RESIZED], GET: [pod()]}
    given = {"patch": PATCH, "post": POST, "get": GET}
    client = FakeClient(replies | {given[name]: [reply] for name, reply in script.items()})
    return await Binder(client, lambda _: None).bind(order), client  # type: ignore[arg-type]


async def test_a_pod_that_keeps_its_size_costs_one_request_with_both_preconditions():
    result, client = await carry_out(PLAIN)
    ((method, path, body),) = client.sent
    assert (result.outcome, method, path) == (Outcome.BOUND, *POST)
    assert (body["metadata"]["uid"], body["metadata"]["resourceVersion"]) == ("uid-a", "7")


async def test_a_resize_costs_one_more_and_each_names_the_version_before_it():
    result, client = await carry_out()
    (patch, post) = client.sent
    assert (result.outcome, patch[:2], post[:2]) == (Outcome.BOUND, PATCH, POST)
    assert patch[2]["metadata"] == {"uid": "uid-a", "resourceVersion": "7"}
    assert post[2]["metadata"]["resourceVersion"] == "8"
    assert post[2]["metadata"]["annotations"][keys.ANNOTATION_DECISION] == RECORD.to_json()


async def test_a_resize_says_what_was_asked_before_it():
    _, client = await carry_out()
    (sent,) = client.options
    assert sent["params"] == {"fieldManager": "synergai:cpu=100m/,memory=64Mi/"}
    assert sent["media_type"] == "application/strategic-merge-patch+json"


@pytest.mark.parametrize(
    ("patch", "get", "outcome"),
    [
        (CONFLICT, pod("9"), Outcome.CHANGED),
        (CONFLICT, pod("7"), Outcome.FAILED),  # of the quota object, not of the pod
        (ApiError(422, "Invalid", "uid"), pod(uid="uid-second"), Outcome.GONE),
        (CONFLICT, pod(deletionTimestamp="2026-11-18T11:06:41Z"), Outcome.GONE),
        (CONFLICT, pod("9", node="n1"), Outcome.TAKEN),
        (ApiError(404, "NotFound", "gone"), ApiError(404, "NotFound", "gone"), Outcome.GONE),
        (LOST, pod("7"), Outcome.FAILED),
        (LOST, RESIZED, Outcome.CHANGED),
        (LOST, LOST, Outcome.FAILED),
        (ApiError(500, "InternalError", "?"), pod("7"), Outcome.FAILED),
        (ApiError(429, "TooManyRequests", "later"), pod("7"), Outcome.FAILED),
        (QUOTA, pod("7"), Outcome.UNRESIZED),
        (ApiError(422, "Invalid", "limit range"), pod("7"), Outcome.UNRESIZED),
        (ApiError(422, "Invalid", "limit range"), pod("9"), Outcome.CHANGED),
        (ApiError(404, "NotFound", "no such subresource"), pod("7"), Outcome.UNRESIZED),
        (pod("8", "2", "2Gi"), None, Outcome.UNRESIZED),
    ],
)
async def test_a_pod_without_the_size_that_was_decided_is_not_bound(patch, get, outcome):
    result, client = await carry_out(patch=patch, get=get)
    assert result.outcome is outcome
    assert POST not in [sent[:2] for sent in client.sent]


@pytest.mark.parametrize(("error", "no_right"), [(RBAC, True), (QUOTA, False)])
async def test_a_missing_right_is_told_from_a_quota(error, no_right):
    result, _ = await carry_out(patch=error)
    assert (result.outcome, result.no_right) == (Outcome.UNRESIZED, no_right)


async def test_a_change_between_resize_and_bind_is_told_with_the_pod_as_it_is():
    changed = pod("9", "2", "1Gi")
    result, _ = await carry_out(post=CONFLICT, get=changed)
    assert (result.outcome, result.pod) == (Outcome.CHANGED, changed)


async def test_without_a_permit_nothing_is_resized():
    client = FakeClient()
    binder = Binder(client, lambda _: None, permit=lambda: False)  # type: ignore[arg-type]
    assert ((await binder.bind(ORDER)).outcome, client.sent) == (Outcome.WITHHELD, [])


async def test_a_lease_that_ends_after_the_resize_leaves_the_pod_unbound():
    answers = iter((True, False))
    client = FakeClient({PATCH: [RESIZED]})
    binder = Binder(client, lambda _: None, permit=lambda: next(answers))  # type: ignore[arg-type]
    result = await binder.bind(ORDER)
    assert (result.outcome, [sent[:2] for sent in client.sent]) == (Outcome.WITHHELD, [PATCH])


SERVED = {"resources": [{"name": "pods"}, {"name": "pods/resize", "verbs": ["get", "patch", "update"]}]}


@pytest.mark.parametrize(
    ("reply", "may"),
    [
        (SERVED, True),
        ({"resources": [{"name": "pods", "verbs": ["patch"]}]}, False),
        ({"resources": [{"name": "pods/resize", "verbs": ["get"]}]}, False),
        ({}, False),
        (ApiError(403, "Forbidden", "no"), False),
    ],
)
async def test_the_server_is_asked_once_whether_it_can_resize(reply, may):
    resizer, client = Resizer(True), FakeClient({("GET", "/api/v1"): [reply]})
    await resizer.ask(client)  # type: ignore[arg-type]
    assert (resizer.may(read_pod(raw_pod("a"))), len(client.sent)) == (may, 1)


async def test_who_never_wants_to_resize_does_not_ask():
    resizer, client = Resizer(False), FakeClient({("GET", "/api/v1"): [SERVED]})
    await resizer.ask(client)  # type: ignore[arg-type]
    assert (resizer.may(read_pod(raw_pod("a"))), client.sent) == (False, [])


def test_a_namespace_without_the_right_is_told_of_once(caplog):
    resizer = Resizer(True)
    assert resizer.deny("default", "no")
    assert not resizer.deny("default", "no")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert not resizer.may(read_pod(raw_pod("a")))
    assert resizer.may(read_pod(raw_pod("a") | {"metadata": {"name": "a", "namespace": "other"}}))
