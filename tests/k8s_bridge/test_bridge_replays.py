"""Replays beside the daemon: the guard follows them, everybody is told, and nothing that goes wrong there matters."""

import asyncio
import itertools
import json
import threading
from itertools import islice

import pytest
from bridge_bench import Bench, bench, until
from bridge_e2e import SPEED, daemon_in_process, requests, world
from bridge_fakes import FakeCluster

from synergai.agents.guard import Guarded
from synergai.agents.heuristics import Rule
from synergai.agents.learned import Learned, read
from synergai.agents.replay import LEAST_JOBS, Replayed
from synergai.envs.types import Job
from synergai.k8s_bridge import replays as module
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.replays import Replays, in_thread
from synergai.k8s_bridge.reports.journal import Journal
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Report
from synergai.k8s_bridge.submit import submit

HARMFUL, LIKE_THE_RULE = Replayed(100, 40, 10), Replayed(100, 10, 10)


class Judged:
    """Replays that find what they are told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journal: Journal | None = None) -> None:
        self.found: Replayed | Exception = LIKE_THE_RULE
        self.seeds: list[int] = []
        self.numbers = itertools.count()
        self.guard = Guarded(Rule("edf"))
        self.metrics = Metrics()
        self.replays = Replays(self.guard, FakeCluster(), 600.0, Report(self.metrics, journal=journal))
        monkeypatch.setattr(module, "picture_of", lambda cluster: None)
        monkeypatch.setattr(module, "replay", self.replay)

    def replay(
        self, picture: object, window: object, policy: object, fallback: object, seed: int, **_: object
    ) -> Replayed:
        self.seeds.append(seed)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    def arrive(self, count: int = 4 * LEAST_JOBS) -> None:
        for n in islice(self.numbers, count):
            self.replays.arrivals.add(Job(f"default/{n}", "net", 100, n, n + 10**7))

    async def turns(self, count: int, found: Replayed | Exception) -> None:
        self.found = found
        for _ in range(count):
            self.arrive()
            await self.replays.turn()

    def page(self) -> str:
        return self.metrics.render().decode()


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Judged:
    return Judged(monkeypatch)


async def test_a_policy_that_misses_more_in_replays_is_replaced_and_may_come_back(judged: Judged):
    await judged.turns(15, HARMFUL)
    assert not judged.guard.policy_plays
    await judged.turns(1, LIKE_THE_RULE)
    assert not judged.guard.policy_plays
    await judged.turns(100, LIKE_THE_RULE)
    assert judged.guard.policy_plays


async def test_a_policy_that_does_as_well_stays(judged: Judged):
    await judged.turns(50, LIKE_THE_RULE)
    assert judged.guard.policy_plays


async def test_each_window_has_luck_of_its_own(judged: Judged):
    await judged.turns(3, LIKE_THE_RULE)
    assert judged.seeds == [0, 1, 2]


async def test_a_switch_is_told_in_the_log_and_in_the_metrics(
    judged: Judged, caplog: pytest.LogCaptureFixture
):
    await judged.turns(15, HARMFUL)
    assert "GuardSwitched: the fallback decides from now on" in caplog.text
    for line in (
        "synergai_policy_plays 0.0",
        'synergai_guard_switches_total{to="fallback"} 1.0',
        'synergai_replays_total{result="played"} 15.0',
        'synergai_replay_violations{by="policy"} 0.4',
        'synergai_replay_violations{by="fallback"} 0.1',
    ):
        assert line in judged.page()


async def test_each_replay_is_a_line_of_the_decision_log(monkeypatch: pytest.MonkeyPatch, tmp_path):
    with Journal(tmp_path / "log") as journal:
        await Judged(monkeypatch, journal).turns(1, HARMFUL)
    told = json.loads((tmp_path / "log").read_text())
    evidence = told.pop("evidence")
    assert 0.0 < evidence < 1.0
    assert told == {
        "kind": "replay", "jobs": 100, "policy": 40, "fallback": 10, "decides": "policy", "switched": False,
    }  # fmt: skip


def test_before_any_replay_the_policy_plays_by_the_metrics_too(judged: Judged):
    assert "synergai_policy_plays 1.0" in judged.page()


async def test_too_few_jobs_are_no_window_and_that_is_said(judged: Judged, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    judged.arrive(LEAST_JOBS // 2)
    await judged.replays.turn()
    assert judged.seeds == []
    assert 'synergai_replays_total{result="skipped"} 1.0' in judged.page()
    assert "no replay" in caplog.text


async def test_too_few_deadlines_say_nothing_of_the_policy(judged: Judged):
    await judged.turns(50, Replayed(LEAST_JOBS - 1, LEAST_JOBS - 1, 0))
    assert judged.guard.policy_plays
    assert 'synergai_replays_total{result="skipped"} 50.0' in judged.page()


@pytest.mark.parametrize("before", [True, False])
async def test_a_replay_that_fails_leaves_the_guard_as_it_was_and_is_counted(judged: Judged, before: bool):
    if not before:
        await judged.turns(15, HARMFUL)
    await judged.turns(20, ZeroDivisionError("injected"))
    assert judged.guard.policy_plays is before
    assert 'synergai_replays_total{result="failed"} 20.0' in judged.page()


async def test_work_in_a_thread_returns_or_raises_here():
    assert await in_thread(lambda: threading.current_thread().name) == "replay"
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0)


# in the daemon -------------------------------------------------------------------------------------------------------
async def bound(b: Bench, name: str) -> bool:
    return await b.node_of(name) != ""


async def test_a_daemon_whose_replays_fail_still_schedules(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synergai.agents.replay.LEAST_JOBS", 0)
    async with bench() as b:
        b.scheduler = Guarded(Rule("edf"))
        await b.node()
        await b.start(replay_every_s=0.01)  # the fake cluster has no state to replay on
        await b.pod("a")
        await until(lambda: told(b.daemon, b'synergai_replays_total{result="failed"}'))
        await b.pod("b")
        await until(lambda: bound(b, "b"))


async def told(daemon: Daemon, metric: bytes) -> bool:
    return metric in daemon.render_metrics()


async def test_the_daemon_logs_each_job_once_and_no_pod_without_a_profile():
    async with bench() as b:
        b.scheduler = Guarded(Rule("edf"))
        await b.node()
        await b.pod("a")
        await b.pod("plain", {})
        await b.start()
        await b.pod("b")
        await until(lambda: bound(b, "b"))
        assert b.daemon.replays is not None
        assert len(b.daemon.replays.arrivals) == 2


async def test_a_stop_does_not_wait_for_a_replay(monkeypatch: pytest.MonkeyPatch):
    began, release = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> Replayed:
        began.set()
        release.wait()
        return LIKE_THE_RULE

    monkeypatch.setattr("synergai.agents.replay.LEAST_JOBS", 0)
    monkeypatch.setattr(module, "picture_of", lambda cluster: None)
    monkeypatch.setattr(module, "replay", hang)
    try:
        async with bench() as b:
            b.scheduler = Guarded(Rule("edf"))
            await b.start(replay_every_s=0.01)
            await asyncio.to_thread(began.wait)
            await b.node()
            await b.pod("a")
            await until(lambda: bound(b, "a"))
            await b.end()
            assert b.task.done()
    finally:
        release.set()


NO_REPLAYS = {
    "a rule": (Rule("edf"), {}),
    "no interval": (Guarded(Rule("edf")), {"replay_every_s": 0}),
    "energy that weighs": (Guarded(Rule("edf")), {"energy_weight": 0.05}),
}


@pytest.mark.parametrize("why", NO_REPLAYS)
async def test_nothing_is_logged_or_replayed_where_there_is(why: str):
    async with bench() as b:
        b.scheduler, settings = NO_REPLAYS[why]
        await b.start(once=True, **settings)
        await b.task
        assert b.daemon.replays is None


@pytest.mark.e2e
async def test_a_daemon_that_replays_schedules_as_one_that_does_not(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("synergai.agents.replay.LEAST_JOBS", 3)
    monkeypatch.setattr(module, "LEAST_JOBS", 3)
    policy = Guarded(Learned(read("demo")))
    async with world() as w, daemon_in_process(w, policy, replay_every_s=0.1) as daemon:
        await submit(w.client, requests(40), speed=SPEED)
        await until(w.all_done, 120)
        assert await w.phases() == ["Succeeded"] * 40
        await until(lambda: told(daemon, b'synergai_replays_total{result="played"}'), 120)
        assert not await told(daemon, b'synergai_replays_total{result="failed"}')
