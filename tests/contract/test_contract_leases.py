"""Leases: times to the microsecond, and one winner."""

import asyncio

import pytest

from tests.kube_api import invalid

LEASE = {"metadata": {"name": "l"}, "spec": {"renewTime": "2026-01-01T00:00:00.000001Z"}}


async def test_a_lease_keeps_its_microseconds(space):
    made = await space.made(space.leases, LEASE)
    assert made["spec"]["renewTime"] == "2026-01-01T00:00:00.000001Z"


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00Z", "now", 5])
async def test_a_lease_without_microseconds_is_a_bad_request(space, text):
    reply = await space.api.post(space.leases, {"metadata": {"name": "l"}, "spec": {"renewTime": text}})
    assert reply.refusal == (400, "BadRequest", {})


async def test_a_lease_patched_without_microseconds_is_invalid(space):
    await space.made(space.leases, LEASE)
    reply = await space.api.merge(f"{space.leases}/l", {"spec": {"renewTime": "2026-01-01T00:00:00Z"}})
    assert reply.status == 422


async def test_a_lease_put_needs_a_version(space):
    await space.made(space.leases, LEASE)
    reply = await space.api.put(f"{space.leases}/l", LEASE)
    cause = ("FieldValueInvalid", "metadata.resourceVersion")
    assert reply.refusal == invalid("leases", "l", cause, group="coordination.k8s.io")
    assert "must be specified for an update" in reply.message


async def test_a_lease_that_is_put_is_made(space):
    reply = await space.api.put(f"{space.leases}/l", LEASE)
    assert (reply.status, reply.json["spec"]) == (201, LEASE["spec"])


async def test_a_lease_that_is_put_with_a_version_is_made_too(space):
    body = {**LEASE, "metadata": {"name": "l", "resourceVersion": "5"}}
    assert (await space.api.put(f"{space.leases}/l", body)).status == 201


async def test_a_missing_lease_cannot_be_patched(space):
    reply = await space.api.merge(f"{space.leases}/l", {"spec": {}})
    details = {"name": "l", "group": "coordination.k8s.io", "kind": "leases"}
    assert reply.refusal == (404, "NotFound", details)


async def test_a_put_of_an_old_lease_conflicts(space):
    old = await space.made(space.leases, LEASE)
    await space.api.merge(f"{space.leases}/l", {"spec": {"holderIdentity": "a"}})
    reply = await space.api.put(f"{space.leases}/l", old)
    details = {"name": "l", "group": "coordination.k8s.io", "kind": "leases"}
    assert reply.refusal == (409, "Conflict", details)


async def test_of_two_holders_that_put_a_lease_one_conflicts(space):
    made = await space.made(space.leases, LEASE)
    bodies = [{**made, "spec": {**made["spec"], "holderIdentity": name}} for name in "ab"]
    replies = await asyncio.gather(*(space.api.put(f"{space.leases}/l", body) for body in bodies))
    assert sorted(reply.status for reply in replies) == [200, 409]


@pytest.mark.parametrize(("field", "value"), [("leaseDurationSeconds", 0), ("leaseTransitions", -1)])
async def test_a_lease_of_too_small_numbers_is_invalid(space, field, value):
    reply = await space.api.post(space.leases, {"metadata": {"name": "l"}, "spec": {field: value}})
    cause = ("FieldValueInvalid", f"spec.{field}")
    assert reply.refusal == invalid("Lease", "l", cause, group="coordination.k8s.io")


async def test_a_lease_may_have_a_holder_without_a_name(space):
    made = await space.made(space.leases, {"metadata": {"name": "l"}, "spec": {"holderIdentity": "a"}})
    made["spec"]["holderIdentity"] = ""
    reply = await space.api.put(f"{space.leases}/l", made)
    assert (reply.status, reply.json["spec"].get("holderIdentity")) == (200, "")


async def test_of_two_that_make_a_lease_by_put_one_is_told_that_it_is_there(space):
    bodies = [{"metadata": {"name": "l"}, "spec": {"holderIdentity": name}} for name in "ab"]
    replies = await asyncio.gather(*(space.api.put(f"{space.leases}/l", body) for body in bodies))
    first, second = sorted(reply.status for reply in replies)
    assert (first, second in (409, 422)) == (201, True)
