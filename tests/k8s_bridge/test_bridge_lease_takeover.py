"""How a Lease goes from one to another, on an embedded API server, by a clock that tests move."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from lease_bench import PATH, Bench

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.clock import ServerClock
from synergai.k8s_bridge.embedded.server import Server
from synergai.k8s_bridge.lease import LeaseTimes


@pytest.fixture
async def b() -> AsyncIterator[Bench]:
    async with Server() as server, ApiClient(Credentials(server.url)) as client:
        yield Bench(server, client)


async def test_a_lease_that_nobody_has_is_taken_at_once(b: Bench):
    lease = b.lease("a")
    await lease.step()
    assert lease.valid()
    spec = await b.spec()
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("a", 6, 0)


async def test_of_three_that_make_the_lease_at_once_one_has_it(b: Bench):
    leases = [b.lease(name) for name in "abc"]
    await asyncio.gather(*(lease.step() for lease in leases))
    assert [lease.valid() for lease in leases].count(True) == 1


async def test_of_three_that_take_a_lease_that_ran_out_one_has_it(b: Bench):
    await b.lease("old").step()
    leases = [b.lease(name) for name in "abc"]
    await b.after(0.0, *leases)
    b.clock.advance(6.0)
    await asyncio.gather(*(lease.step() for lease in leases))
    b.clock.advance(1.0)
    assert [lease.valid() for lease in leases].count(True) == 1


async def test_a_lease_is_taken_when_no_renewal_was_seen_for_its_duration(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    await b.after(0.0, leader)
    await b.after(3.0, other)  # it may have been written just now
    await b.after(5.9, other)
    assert (await b.spec())["holderIdentity"] == "a"
    await b.after(0.1, other)
    assert (await b.spec())["holderIdentity"] == "b"


async def test_a_lease_that_ran_out_is_used_one_bind_timeout_later(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    await b.after(0.0, leader, other)
    await b.after(6.0, other)
    assert not other.valid()
    b.clock.advance(0.9)
    assert not other.valid()
    b.clock.advance(0.1)
    assert other.valid()


async def test_nobody_believes_the_times_in_the_object(b: Bench):
    """One clock is an hour behind, the other an hour ahead."""
    base = Credentials(b.server.url)

    def skewed(hours: float) -> ServerClock:
        clock = ServerClock(wall=lambda: 1_800_000_000 + hours * 3600, monotonic=b.clock.elapsed_s)
        clock.observe = lambda *_: None  # type: ignore[method-assign]
        return clock

    async with ApiClient(base, clock=skewed(-1)) as early, ApiClient(base, clock=skewed(+1)) as late:
        leader, other = b.lease("a", client=early), b.lease("b", client=late)
        for _ in range(20):
            await b.after(1.0, leader, other)
            assert (leader.valid(), other.valid()) == (True, False)
        await b.after(5.9, other)
        assert (await b.spec())["holderIdentity"] == "a"
        await b.after(1.0, other)
        assert (await b.spec())["holderIdentity"] == "b"


async def test_a_takeover_whose_reply_is_lost_waits_for_the_old_binds_too(b: Bench):
    async with b.lossy() as client:
        leader, other = b.lease("a"), b.lease("b", client=client)
        await b.after(0.0, leader, other)
        client.lose = True
        with pytest.raises(ApiError):
            await b.after(6.0, other)
        client.lose = False
        await b.after(0.5, other)
        assert not other.valid()
        b.clock.advance(0.5)
        assert other.valid()


async def test_a_lease_that_is_given_up_is_used_at_once(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    await b.after(0.0, leader, other)
    await leader.release()
    assert not leader.valid()
    assert (await b.spec())["holderIdentity"] == ""
    await other.step()
    assert other.valid()
    assert (await b.spec())["leaseTransitions"] == 1


async def test_a_lease_is_given_up_although_the_reply_to_its_last_renewal_was_lost(b: Bench):
    async with b.lossy() as client:
        lease = b.lease("a", client=client)
        await lease.step()
        client.lose = True
        with pytest.raises(ApiError):
            await lease.step()
        client.lose = False
        await lease.release()
        assert (await b.spec())["holderIdentity"] == ""


async def test_who_follows_gives_nothing_up(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    await b.after(0.0, leader, other)
    await other.release()
    assert (await b.spec())["holderIdentity"] == "a"


async def test_a_lease_that_is_deleted_is_not_taken_before_its_holder_must_know(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    await b.after(0.0, leader, other)
    await b.client.request("DELETE", PATH)
    await b.after(5.9, other)
    assert not other.valid()
    await b.after(0.1, other)
    b.clock.advance(1.0)
    assert other.valid()


async def test_a_longer_duration_of_the_holder_is_waited_for(b: Bench):
    leader = b.lease("a", LeaseTimes(30, 4.0, 1.0, 1.0))
    other = b.lease("b")
    await b.after(0.0, leader, other)
    await b.after(29.9, other)
    assert (await b.spec())["holderIdentity"] == "a"
    await b.after(0.1, other)
    assert (await b.spec())["holderIdentity"] == "b"
