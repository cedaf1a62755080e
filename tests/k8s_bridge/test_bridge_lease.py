"""How a Lease is held, on an embedded API server, step by step, by a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from lease_bench import PATH, Bench

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded import errors
from synergai.k8s_bridge.embedded.server import Call, Server
from synergai.k8s_bridge.lease import new_identity


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with Server() as server, ApiClient(Credentials(server.url)) as client:
        yield Bench(server, client)


async def test_a_lease_that_is_renewed_stays(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    for _ in range(30):
        await b.after(1.0, leader, other)
        assert leader.valid()
        assert not other.valid()
    assert (await b.spec())["leaseTransitions"] == 0


async def test_the_deadline_counts_from_when_the_renewal_was_sent(b: Bench):
    lease = b.lease("a")
    b.when("update", lambda: b.clock.advance(1.5))
    await lease.step()
    b.clock.advance(2.4)
    assert lease.valid()
    b.clock.advance(0.1)
    assert not lease.valid()


async def test_a_leader_that_cannot_renew_stops_before_another_can_begin(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    await b.after(0.0, leader, other)

    async def fail(call: Call) -> None:
        if call.verb == "update":
            raise errors.internal("injected")

    b.server.before = fail
    for _ in range(4):
        with pytest.raises(ApiError):
            await b.after(1.0, leader)
    assert not leader.valid()
    b.server.before = None
    await b.after(1.9, other)
    assert (await b.spec())["holderIdentity"] == "a"


async def test_a_renewal_whose_reply_is_lost_is_found_and_keeps_the_term(b: Bench):
    async with b.lossy() as client:
        lease = b.lease("a", client=client)
        await lease.step()
        client.lose = True
        with pytest.raises(ApiError):
            await b.after(1.0, lease)
        client.lose = False
        await b.after(1.0, lease)
        assert (lease.valid(), lease.term) == (True, 1)


async def test_a_leader_makes_a_deleted_lease_again(b: Bench):
    lease = b.lease("a")
    await lease.step()
    await b.client.request("DELETE", PATH)
    await b.after(1.0, lease)
    assert lease.valid()
    assert (await b.spec())["holderIdentity"] == "a"


async def test_a_leader_that_sees_another_stops_at_once(b: Bench):
    lease = b.lease("a")
    await lease.step()
    found = await b.object()
    found["spec"]["holderIdentity"] = "somebody"
    await b.client.request("PUT", PATH, body=found)
    await b.after(1.0, lease)
    assert not lease.valid()


async def test_a_lease_that_ran_out_and_is_renewed_is_another_term(b: Bench):
    lease = b.lease("a")
    await lease.step()
    await b.after(3.9, lease)
    assert lease.term == 1
    await b.after(4.0, lease)
    assert (lease.term, lease.valid()) == (2, True)


async def test_what_others_keep_in_the_object_stays_there(b: Bench):
    lease = b.lease("a")
    await lease.step()
    found = await b.object()
    found["metadata"]["labels"] = {"team": "edge"}
    await b.client.request("PUT", PATH, body=found)
    await b.after(1.0, lease)
    assert lease.valid()
    assert (await b.object())["metadata"]["labels"] == {"team": "edge"}


async def test_a_first_request_that_is_forbidden_ends_the_run(b: Bench):
    async def forbid(call: Call) -> None:
        raise errors.ApiError(403, "Forbidden", "no leases for you")

    b.server.before = forbid
    with pytest.raises(ApiError, match="no leases for you"):
        await b.lease("a").run()


async def test_a_later_one_does_not_and_is_told_once(b: Bench, caplog: pytest.LogCaptureFixture):
    lease = b.lease("a")
    turned, turns = asyncio.Event(), [0]

    def turn() -> None:
        turns[0] += 1
        turned.set()

    async def next_turn() -> None:
        await asyncio.wait_for(turned.wait(), 5)
        turned.clear()

    lease.on_turn = turn
    running = asyncio.create_task(lease.run())
    await next_turn()

    async def forbid(call: Call) -> None:
        raise errors.ApiError(403, "Forbidden", "no more")

    for before in (forbid, forbid, None, forbid, None):
        b.server.before = before
        await asyncio.sleep(0)  # it goes to sleep
        b.clock.advance(1.0)
        await next_turn()
    running.cancel()
    assert (turns[0], lease.valid(), lease.term) == (6, True, 1)
    told = [r for r in caplog.records if r.levelname == "WARNING" and "no more" in r.message]
    assert len(told) == 2  # the second time it was over between


def test_an_identity_is_of_one_process():
    assert new_identity() != new_identity()
