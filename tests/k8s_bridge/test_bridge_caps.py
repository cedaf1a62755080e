"""Caps: a node, or the bridge, that is at one is given nothing more until it is not."""

from typing import Any

import pytest
from bridge_bench import Bench, bench, until
from bridge_fakes import FakeCluster, raw_pod, table

from synergai.agents.heuristics import Rule
from synergai.envs.cluster import Cluster
from synergai.envs.types import Device, Job, Node
from synergai.k8s_bridge.control.caps import LONGEST_START_S, MINUTE_S, Caps, Limits
from synergai.k8s_bridge.entries import Entry, Stage
from synergai.k8s_bridge.pods import read_pod


class Capped:
    """Caps over a fake cluster and a clock that is moved by hand."""

    def __init__(self, **limits: int) -> None:
        self.s = 1000.0
        self.cluster = FakeCluster()
        self.caps = Caps(self.cluster, Limits(**limits), lambda: self.s)
        self.entries: dict[str, Entry] = {}

    def bind(self, name: str, node: str = "n0") -> None:
        entry = Entry(read_pod(raw_pod(name)), Stage.BOUND, node=node)
        self.entries[name] = entry
        self.caps.note(name, node)

    def now(self, name: str, **fields: Any) -> None:
        raw = raw_pod(name)
        raw["status"] = fields
        self.entries[name].pod = read_pod(raw)

    def turn(self) -> bool:
        return self.caps.turn(self.entries)


def test_without_limits_nothing_is_ever_closed():
    c = Capped()
    for n in range(1000):
        c.bind(f"p{n}")
    assert not c.caps.full()
    assert c.cluster.closed == set()
    assert c.caps.next_s() is None


def test_a_node_at_its_starts_is_closed_until_one_runs():
    c = Capped(starting=2)
    c.bind("a")
    assert c.cluster.closed == set()
    c.bind("b")
    assert c.cluster.closed == {"n0"}
    assert not c.turn()
    c.now("a", phase="Running")
    assert c.turn()
    assert c.cluster.closed == set()


@pytest.mark.parametrize("why", ["gone", "bind failed", "failed at once", "another node"])
def test_a_pod_that_does_not_start_there_any_more_is_not_counted(why: str):
    c = Capped(starting=1)
    c.bind("a")
    if why == "gone":
        del c.entries["a"]
    elif why == "bind failed":
        c.entries["a"].stage = Stage.BACKOFF
    elif why == "failed at once":
        c.now("a", phase="Failed")
    else:
        c.entries["a"].node = "n1"
    assert c.turn()
    assert c.cluster.closed == set()


def test_a_pod_that_never_starts_does_not_close_its_node_for_good():
    c = Capped(starting=1)
    c.bind("a")
    assert c.caps.next_s() == LONGEST_START_S
    c.s += LONGEST_START_S
    assert c.turn()


def test_a_node_is_given_so_many_in_any_minute():
    c = Capped(node_binds=2)
    c.bind("a")
    c.s += 20.0
    c.bind("b")
    c.bind("other", "n1")
    assert c.cluster.closed == {"n0"}
    assert c.caps.next_s() == MINUTE_S - 20.0
    c.s += MINUTE_S - 20.0
    assert c.turn()
    assert c.cluster.closed == set()
    c.bind("c")
    assert c.cluster.closed == {"n0"}


def test_a_full_bridge_says_when_it_may_go_on_and_that_a_round_is_due_then():
    c = Capped(binds=2)
    c.bind("a")
    c.bind("b")
    assert c.caps.full()
    assert not c.turn()
    assert c.caps.next_s() == MINUTE_S
    c.s += MINUTE_S
    assert c.turn()
    assert not c.turn()


def test_a_full_bridge_is_due_even_if_somebody_has_asked_it_meanwhile():
    c = Capped(binds=1)
    c.bind("a")
    assert c.caps.full()
    c.s += MINUTE_S
    assert not c.caps.full()
    assert c.turn()


def test_limits_that_are_lifted_open_every_node():
    c = Capped(starting=1, node_binds=1)
    c.bind("a")
    c.caps.change(Limits(), c.entries)
    assert c.turn()
    assert c.cluster.closed == set()


def test_a_limit_that_comes_later_counts_what_starts_by_then():
    c = Capped()
    c.bind("a")
    c.bind("runs", "n1")
    c.now("runs", phase="Running")
    c.caps.change(Limits(starting=1), c.entries)
    c.turn()
    assert c.cluster.closed == {"n0"}


def test_pods_that_were_bound_before_this_bridge_began_count_as_starting():
    c = Capped(starting=1)
    c.entries = {
        "a": Entry(read_pod(raw_pod("a")), Stage.BOUND, node="n0"),
        "waits": Entry(read_pod(raw_pod("waits")), Stage.QUEUED),
    }
    c.caps.adopt(c.entries)
    c.turn()
    assert c.cluster.closed == {"n0"}


def real_cluster(*names: str) -> Cluster:
    cluster = Cluster(table())
    cluster.set_nodes(Node(name, (Device("gpu-a", 4),), 8000, 16384) for name in names)
    return cluster


def started(cluster: Cluster, now_us: int = 10) -> list[str]:
    return [d.node for d in cluster.round(now_us, Rule("edf")) if d.until_us < 0]


def test_nothing_starts_on_a_closed_node_and_what_waits_starts_when_it_opens():
    cluster = real_cluster("n0", "n1")
    cluster.close_node("n0")
    for n in range(6):
        cluster.enqueue(Job(f"j{n}", "net", 100, 0, 10**9))
    assert started(cluster) == ["n1"] * 4
    cluster.close_node("n0", closed=False)
    assert started(cluster, 20) == ["n0"] * 2


def test_a_node_that_is_closed_twice_opens_at_once():
    cluster = real_cluster("n0")
    cluster.close_node("n0")
    cluster.close_node("n0")
    cluster.close_node("n0", closed=False)
    cluster.enqueue(Job("j", "net", 100, 0, 10**9))
    assert started(cluster) == ["n0"]


def test_a_node_stays_closed_when_others_come_and_when_it_is_resized():
    cluster = real_cluster("n0")
    cluster.close_node("n0")
    cluster.close_node("late")
    cluster.set_node(Node("n0", (Device("gpu-a", 4),), 6000, 16384))
    cluster.set_node(Node("late", (Device("gpu-a", 4),), 8000, 16384))
    cluster.enqueue(Job("j", "net", 100, 0, 10**9))
    assert started(cluster) == []
    assert cluster.least_allocated_node(1, 1) is None
    cluster.close_node("late", closed=False)
    assert cluster.least_allocated_node(1, 1) == "late"


def test_a_node_that_closes_in_the_middle_of_a_round_is_left_at_once():
    cluster = real_cluster("n0", "n1")
    for n in range(8):
        cluster.enqueue(Job(f"j{n}", "net", 100, 0, 10**9))
    caps, seen = Caps(cluster, Limits(starting=2)), []
    for decision in cluster.round(10, Rule("edf")):
        if decision.until_us < 0:
            seen.append(decision.node)
            caps.note(decision.job, decision.node)
    assert sorted(seen) == ["n0", "n0", "n1", "n1"]


async def running(b: Bench) -> list[str]:
    return [name for name, pod in (await b.pods()).items() if pod["spec"].get("nodeName")]


async def has(b: Bench, count: int) -> bool:
    return len(await running(b)) == count


async def test_a_bridge_starts_so_many_pods_of_a_node_at_once_and_the_rest_when_those_run():
    async with bench() as b:
        b.cluster.slots = 100
        await b.node()
        for n in range(5):
            await b.pod(f"p{n}")
        await b.start(starting_per_node=2)
        await until(lambda: has(b, 2))
        rounds = b.daemon.metrics.rounds._value.get()
        first = await running(b)
        await b.daemon.synced.wait()
        assert await running(b) == first
        assert b.daemon.metrics.rounds._value.get() - rounds < 5
        for name in first:
            await b.patch_status(name, {"phase": "Running"})
        await until(lambda: has(b, 4))


async def test_a_bridge_at_its_binds_per_minute_leaves_the_rest_waiting():
    async with bench() as b:
        b.cluster.slots = 100
        await b.node()
        for n in range(3):
            await b.pod(f"p{n}")
            await b.pod(f"unprofiled-{n}", annotations={})
        await b.start(binds_per_minute=4)
        await until(lambda: has(b, 4))
        await b.pod("late")
        await until(lambda: queued(b, "default/late"))
        assert len(await running(b)) == 4
        counts = b.daemon.pods.counts()
        assert counts["queued"] + counts["unprofiled"] == 3


async def queued(b: Bench, key: str) -> bool:
    return key in b.daemon.pods.entries and b.daemon.pods.entries[key].stage is Stage.QUEUED
