"""Two daemons on one API server: one binds; whoever takes over loses no pod and gives no room twice."""

import asyncio
from collections import Counter
from typing import Literal

import pytest
from bridge_fakes import raw_node
from bridge_replicas import SLOTS, Replica, Replicas, replicas

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.embedded import errors
from synergai.k8s_bridge.embedded.server import Call

LEASE = "/apis/coordination.k8s.io/v1/namespaces/default/leases/synergai"


async def pair(r: Replicas) -> tuple[Replica, Replica]:
    """One that leads and one that follows."""
    first = await r.start("a")
    await r.until(first.leads)
    return first, await r.start("b")


async def test_one_binds_and_the_other_writes_nothing():
    async with replicas() as r:
        await r.nodes(1)
        first, second = await pair(r)
        await r.pods(0, 20)
        await r.pods(20, 1, {})  # the owner of this one must be told
        await r.until(lambda: len(r.bound) == 21)
        await r.passes(10.0)
        assert r.binders() == ["a"]
        assert [write for write in r.writes if write.user == "b"] == []
        assert (first.leads(), second.leads()) == (True, False)


async def test_a_follower_is_ready_and_keeps_the_books():
    async with replicas() as r:
        await r.nodes(1)
        _, second = await pair(r)
        await r.pods(0, 20)
        await r.until(lambda: len(second.cluster.placed) == 20)
        assert second.daemon.synced.is_set()
        assert second.cluster.waiting == {}
        assert second.gauge("synergai_running_jobs") == 20


async def test_a_follower_counts_no_outcome():
    async with replicas() as r:
        await r.nodes(1)
        _, second = await pair(r)
        await r.pods(0, 1)
        await r.until(lambda: len(second.cluster.placed) == 1)
        now = {"gracePeriodSeconds": "0"}
        await r.client.request("DELETE", "/api/v1/namespaces/default/pods/p000", params=now)
        await r.until(lambda: not second.cluster.placed)
        assert b"synergai_pods_finished_total{" not in second.daemon.render_metrics()


async def test_of_two_that_start_at_once_one_leads():
    async with replicas() as r:
        await r.nodes(1)
        both = await asyncio.gather(r.start("a"), r.start("b"))
        await r.pods(0, 10)
        await r.until(lambda: len(r.bound) == 10)
        assert len(r.binders()) == 1
        assert sorted(replica.leads() for replica in both) == [False, True]


async def test_killed_in_the_middle_of_300_pods_each_is_bound_once_and_all_room_is_given_once():
    async with replicas() as r:
        await r.nodes(10)
        first, _ = await pair(r)
        arrived: Counter[str] = Counter()
        deaths: list[asyncio.Task[None]] = []

        async def kill_at_100(call: Call) -> None:
            if call.target.subresource != "binding":
                return
            arrived[call.user.name] += 1
            if arrived["a"] == 100:  # of those under way some are carried out, and nobody is told
                deaths.append(asyncio.create_task(first.die()))

        r.faults = kill_at_100
        await r.pods(0, 10 * SLOTS)
        await r.until(lambda: len(r.bound) == 10 * SLOTS)
        assert r.binders() == ["a", "b"]
        assert {len(places) for places in r.bound.values()} == {1}
        assert set(r.per_node().values()) == {SLOTS}
        assert arrived["b"] >= 150
        spec = (await r.client.get(LEASE))["spec"]
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("b", 1)


async def test_after_a_kill_nobody_binds_before_the_lease_has_run_out():
    async with replicas() as r:
        await r.nodes(1)
        first, second = await pair(r)
        await r.passes(2.0)
        killed_s = r.clock.now_s
        await first.die()
        await r.pods(0, 5)
        await r.until(lambda: len(r.bound) == 5)
        assert second.leads()
        renewed_s = max(write.at_s for write in r.writes if write.user == "a" and write.what == "leases")
        began_s = min(write.at_s for write in r.writes if write.what == "binding")
        assert renewed_s <= killed_s
        assert began_s >= renewed_s + 6.0 + 1.0


async def test_who_takes_over_reads_anew_what_its_watches_may_have_missed():
    async with replicas() as r:
        await r.nodes(1)
        first, second = await pair(r)
        held = asyncio.Event()

        async def hold_binds(call: Call) -> None:
            if call.target.subresource == "binding":
                await held.wait()

        async def silence(call: Call) -> None:
            if call.user.name == "b" and call.verb == "watch":
                await asyncio.sleep(3600)

        r.faults = hold_binds
        await r.pods(0, SLOTS + 5)
        await r.until(lambda: len(second.cluster.waiting) == SLOTS + 5, lease_s=0.0)
        r.faults = silence
        r.server.drop_watches()
        held.set()
        await r.until(lambda: len(r.bound) == SLOTS)
        assert second.cluster.placed == {}
        await first.die()
        await r.until(second.leads)
        await r.passes(2.0)
        assert len(second.cluster.placed) == SLOTS
        assert r.binders() == ["a"]


async def test_a_clean_stop_hands_over_at_the_next_look():
    async with replicas() as r:
        await r.nodes(1)
        first, second = await pair(r)
        await r.pods(0, 10)
        await r.until(lambda: len(r.bound) == 10)
        await first.end()
        assert (await r.client.get(LEASE))["spec"]["holderIdentity"] == ""
        await r.until(second.leads, lease_s=1.0)
        await r.pods(10, 10)
        await r.until(lambda: len(r.bound) == 20, lease_s=1.0)
        assert r.binders() == ["a", "b"]


@pytest.mark.parametrize("fault", ["fails", "hangs"])
async def test_a_leader_that_cannot_renew_binds_nothing_more_when_another_begins(
    fault: Literal["fails", "hangs"],
):
    async with replicas() as r:
        await r.nodes(10)
        first, second = await pair(r)

        async def no_renewals(call: Call) -> None:
            if call.user.name == "a" and call.target.resource.plural == "leases":
                if fault == "fails":
                    raise errors.internal("injected")
                await asyncio.sleep(3600)

        r.faults = no_renewals
        fault_s = r.clock.now_s
        for n in range(60):  # pods come all the time
            await r.pods(5 * n, 5)
            await r.passes(0.2)
        await r.until(lambda: len(r.bound) == 10 * SLOTS)
        binds = [write for write in r.writes if write.what == "binding"]
        assert r.binders() == ["a", "b"]
        assert max(write.at_s for write in binds if write.user == "a") <= fault_s + 4.0 + 1.0
        assert min(write.at_s for write in binds if write.user == "b") >= fault_s + 6.0 - 1.0
        assert set(r.per_node().values()) == {SLOTS}
        assert {len(places) for places in r.bound.values()} == {1}
        assert (first.leads(), second.leads()) == (False, True)


async def test_one_that_led_before_follows_and_leads_again():
    async with replicas() as r:
        await r.nodes(10)
        first, second = await pair(r)
        away = ["a"]

        async def no_renewals(call: Call) -> None:
            if call.user.name in away and call.target.resource.plural == "leases":
                raise errors.internal("injected")

        r.faults = no_renewals
        await r.pods(0, 100)
        await r.until(second.leads)
        await r.pods(100, 100)
        await r.until(lambda: len(r.bound) == 200)
        away.clear()
        await r.passes(2.0)
        await second.end()
        await r.until(first.leads)
        await r.pods(200, 100)
        await r.until(lambda: len(r.bound) == 300)
        assert r.binders() == ["a", "b", "a"]
        assert set(r.per_node().values()) == {SLOTS}
        page = first.daemon.render_metrics().decode()
        assert 'synergai_leader_transitions_total{to="leader"} 2.0' in page
        assert 'synergai_leader_transitions_total{to="follower"} 1.0' in page


async def test_a_lease_that_ran_out_and_that_nobody_took_is_used_again():
    async with replicas() as r:
        await r.nodes(1)
        first = await r.start("a")
        await r.until(first.leads)
        away = ["a"]

        async def no_renewals(call: Call) -> None:
            if call.user.name in away and call.target.resource.plural == "leases":
                raise errors.internal("injected")

        r.faults = no_renewals
        await r.until(lambda: not first.leads())
        await r.pods(0, 10)
        await r.passes(2.0)
        assert r.binders() == []
        away.clear()
        await r.until(lambda: len(r.bound) == 10)


async def test_binds_that_wait_when_the_lease_runs_out_are_withheld_and_decided_again():
    async with replicas() as r:
        await r.nodes(1)
        first = await r.start("a")
        await r.until(first.leads)
        held = asyncio.Event()

        async def hold(call: Call) -> None:
            if held.is_set():
                return
            if call.target.resource.plural == "leases":
                raise errors.internal("injected")
            if call.target.subresource == "binding":
                await held.wait()

        r.faults = hold
        await r.pods(0, 30)  # of which 16 are sent
        await r.until(lambda: len(first.cluster.placed) == 30 and len(r.writes) >= 17, lease_s=0.0)
        r.clock.advance(4.0)
        await r.until(
            lambda: b'synergai_binds_total{result="withheld"} 14.0' in first.daemon.render_metrics()
        )
        held.set()
        await r.until(lambda: len(r.bound) == 30)


async def test_who_takes_over_tells_what_nobody_was_told():
    async with replicas() as r:
        await r.nodes(1)
        first, _ = await pair(r)
        await first.die()
        odd = raw_node("odd")
        odd["metadata"]["labels"] = {keys.LABEL_DEDICATED: "true"}
        await r.client.post("/api/v1/nodes", {"metadata": odd["metadata"], "status": odd["status"]})
        await r.pods(0, 1, {})
        await r.pods(1, 1, {keys.ANNOTATION_MODEL: "net", keys.ANNOTATION_SAMPLES: "1"})
        await r.until(lambda: len(r.bound) == 2)
        told: set[str] = set()
        for _ in range(200):
            told = {event["reason"] for event in (await r.client.get("/api/v1/events"))["items"]}
            if told >= {"InvalidAnnotation", "NodeNotUsable", "Scheduled"}:
                break
            await asyncio.sleep(0.02)
        assert told >= {"InvalidAnnotation", "NodeNotUsable", "Scheduled"}


async def test_a_stop_with_a_bind_that_does_not_end_gives_nothing_up():
    async with replicas() as r:
        await r.nodes(1)
        first, _ = await pair(r)

        async def hang(call: Call) -> None:
            if call.target.subresource == "binding":
                await asyncio.sleep(3600)
            if call.verb == "get" and call.target.resource.plural == "pods":
                await asyncio.sleep(3600)

        r.faults = hang
        await r.pods(0, 1)
        await r.until(lambda: r.binders() == ["a"])
        await first.end()
        assert (await r.client.get(LEASE))["spec"]["holderIdentity"] == "a"
