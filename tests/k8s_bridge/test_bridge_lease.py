"""One Lease and those who want it, on an embedded API server, step by step, by clocks that tests move."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from lease_time import HandClock

from synergai.k8s_bridge.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import ServerClock
from synergai.k8s_bridge.credentials import Credentials
from synergai.k8s_bridge.embedded import errors
from synergai.k8s_bridge.embedded.server import Call, Server
from synergai.k8s_bridge.lease import Lease, LeaseTimes, new_identity

TIMES = LeaseTimes(duration_s=6, renew_deadline_s=4.0, retry_s=1.0, bind_timeout_s=1.0)
PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases/synergai"


class Bench:
    """A server, one hand clock for all, and leases under any names."""

    def __init__(self, server: Server, client: ApiClient) -> None:
        self.server = server
        self.client = client
        self.clock = HandClock()

    def lease(self, identity: str, times: LeaseTimes = TIMES, client: ApiClient | None = None, **more: Any):
        elapsed_s = more.pop("elapsed_s", self.clock.elapsed_s)
        chosen = client or self.client
        return Lease(
            chosen,
            "default",
            "synergai",
            times,
            identity=identity,
            elapsed_s=elapsed_s,
            sleep=self.clock.sleep,
        )

    async def object(self) -> dict[str, Any]:
        return await self.client.get(PATH)

    async def spec(self) -> dict[str, Any]:
        return (await self.object())["spec"]

    async def after(self, duration_s: float, *leases: Lease) -> None:
        """That much later each takes a step."""
        self.clock.advance(duration_s)
        for lease in leases:
            await lease.step()

    def when(self, verb: str, act: Callable[[], object]) -> None:
        """Before the server carries out a request of that verb."""

        async def before(call: Call) -> None:
            if call.verb == verb and call.target.resource.plural == "leases":
                act()

        self.server.before = before


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


async def test_a_lease_that_is_renewed_stays(b: Bench):
    leader, other = b.lease("a"), b.lease("b")
    for _ in range(30):
        await b.after(1.0, leader, other)
        assert leader.valid()
        assert not other.valid()
    assert (await b.spec())["leaseTransitions"] == 0


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
        if call.user and call.verb == "update":
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
    lease = b.lease("a")
    await lease.step()
    lost = await lossy(b)
    other_view = b.lease("a", client=lost)
    await other_view.step()
    lost.lose = True
    with pytest.raises(ApiError):
        await b.after(1.0, other_view)
    lost.lose = False
    await b.after(1.0, other_view)
    assert other_view.valid()
    assert other_view.term == 1
    await lost.close()


class LossyClient(ApiClient):
    """The replies to PUTs are lost after the server has done its work."""

    lose = False

    async def request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        reply = await super().request(method, path, **options)
        if self.lose and method == "PUT":
            raise ApiError(0, "Timeout", "injected")
        return reply


async def lossy(b: Bench) -> LossyClient:
    return LossyClient(Credentials(b.server.url))


async def test_a_takeover_whose_reply_is_lost_waits_for_the_old_binds_too(b: Bench):
    async with await lossy(b) as client:
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
    async with await lossy(b) as client:
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


async def test_a_leader_makes_a_deleted_lease_again(b: Bench):
    lease = b.lease("a")
    await lease.step()
    await b.client.request("DELETE", PATH)
    await b.after(1.0, lease)
    assert lease.valid()
    assert (await b.spec())["holderIdentity"] == "a"


async def test_a_longer_duration_of_the_holder_is_waited_for(b: Bench):
    leader = b.lease("a", LeaseTimes(30, 4.0, 1.0, 1.0))
    other = b.lease("b")
    await b.after(0.0, leader, other)
    await b.after(29.9, other)
    assert (await b.spec())["holderIdentity"] == "a"
    await b.after(0.1, other)
    assert (await b.spec())["holderIdentity"] == "b"


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


async def test_a_later_one_does_not(b: Bench):
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

    for before in (forbid, None):
        b.server.before = before
        await asyncio.sleep(0)  # it goes to sleep
        b.clock.advance(1.0)
        await next_turn()
    running.cancel()
    assert (turns[0], lease.valid(), lease.term) == (3, True, 1)


def test_an_identity_is_of_one_process():
    assert new_identity() != new_identity()
