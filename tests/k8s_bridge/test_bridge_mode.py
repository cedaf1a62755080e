"""Modes: each does what it says, on a running bridge too, and the breaker's steps are taken back."""

from pathlib import Path
from typing import Any

import pytest
from bridge_bench import Bench, bench, until

from synergai.k8s_bridge.control.mode import MODES, Modes
from synergai.k8s_bridge.entries import Stage


class Hours:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_the_breaker_steps_down_to_the_heuristic_and_then_pauses():
    modes = Modes("active", 0)
    seen = []
    for _ in range(3):
        modes.step_down("pods fail")
        seen.append(modes.now)
    assert seen == ["heuristic", "paused", "paused"]


def test_from_the_heuristic_there_is_one_step_down():
    modes = Modes("heuristic", 0)
    modes.step_down("pods fail")
    assert modes.now == "paused"


@pytest.mark.parametrize("mode", ["shadow", "paused"])
def test_a_mode_that_binds_nothing_is_left_by_nobody_but_a_person(mode: Any):
    modes = Modes(mode, 0)
    modes.step_down("pods fail")
    assert modes.now == mode


def test_a_change_of_the_mode_takes_every_step_back():
    modes = Modes("active", 0)
    modes.step_down("pods fail")
    modes.step_down("pods fail")
    assert modes.want("heuristic")
    assert modes.want("active")
    assert modes.now == "active"


def test_the_same_mode_once_more_takes_nothing_back():
    modes = Modes("active", 0)
    modes.step_down("pods fail")
    assert not modes.want("active")
    assert modes.now == "heuristic"


def test_one_step_is_taken_back_after_each_quiet_time():
    clock = Hours()
    modes = Modes("active", 60.0, clock)
    modes.step_down("pods fail")
    modes.step_down("pods fail")
    clock.s = 59.0
    assert not modes.step_up()
    clock.s = 60.0
    assert modes.step_up()
    assert modes.now == "heuristic"
    assert not modes.step_up()
    clock.s = 120.0
    assert modes.step_up()
    assert modes.now == "active"


def test_without_a_quiet_time_only_a_person_takes_a_step_back():
    clock = Hours()
    modes = Modes("active", 0.0, clock)
    modes.step_down("pods fail")
    clock.s = 1e9
    assert not modes.step_up()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Of a bridge's settings, with nothing in it."""
    path = tmp_path / "bridge.yaml"
    path.write_text("", encoding="utf-8")
    return path


def write(file: Path, mode: str) -> None:
    file.write_text(f"mode: {mode}", encoding="utf-8")


async def bound(b: Bench, name: str) -> bool:
    return await b.node_of(name) != ""


async def staged(b: Bench, name: str, stage: Stage) -> bool:
    entry = b.daemon.pods.entries.get(f"default/{name}")
    return entry is not None and entry.stage is stage


@pytest.mark.parametrize("mode", ["active", "heuristic"])
async def test_pods_are_bound_in(mode: str):
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.start(mode=mode)
        await until(lambda: bound(b, "a"))


async def test_a_paused_bridge_decides_nothing_and_goes_on_where_it_was(file: Path):
    async with bench() as b:
        await b.node()
        write(file, "paused")
        await b.start(file=file)
        await until(lambda: as_is(b.daemon.rollout.modes.now == "paused"))
        await b.pod("a")
        await b.pod("unprofiled", annotations={})
        await until(lambda: staged(b, "a", Stage.QUEUED))
        await until(lambda: staged(b, "unprofiled", Stage.PLAIN))
        assert not await bound(b, "a")
        write(file, "active")
        await until(lambda: bound(b, "a"))
        await until(lambda: bound(b, "unprofiled"))


async def test_a_shadow_decides_and_writes_nothing():
    async with bench() as b:
        await b.node()
        await b.pod("a")
        await b.pod("unprofiled", annotations={})
        await b.start(mode="shadow")
        await until(lambda: staged(b, "a", Stage.DRY))
        await until(lambda: staged(b, "unprofiled", Stage.DRY))
        assert not await bound(b, "a")
        assert await b.reasons() == set()


async def test_what_a_shadow_decided_is_decided_anew_and_bound_when_the_mode_is_active(file: Path):
    async with bench() as b:
        await b.node()
        write(file, "shadow")
        await b.start(file=file)
        await until(lambda: as_is(b.daemon.rollout.modes.now == "shadow"))
        await b.pod("a")
        await until(lambda: staged(b, "a", Stage.DRY))
        write(file, "active")
        await until(lambda: bound(b, "a"))
        assert len(b.cluster.placed) == 1


async def test_binds_that_wait_when_the_bridge_is_paused_are_withheld_and_not_lost():
    async with bench() as b:
        await b.node()
        await b.start(bind_concurrency=1)
        await b.daemon.synced.wait()
        b.daemon.rollout.modes.want("paused")
        await b.pod("a")
        await until(lambda: staged(b, "a", Stage.QUEUED))
        for order in [b.daemon._placing.decide(d, 0) for d in b.cluster.round(0, None)]:
            assert order is not None
            b.daemon._binder.start(order)
        await until(lambda: staged(b, "a", Stage.QUEUED))
        assert not await bound(b, "a")
        assert "default/a" in b.cluster.waiting


async def test_the_metrics_tell_the_mode_in_force():
    async with bench() as b:
        await b.start(mode="paused")
        await b.daemon.synced.wait()
        page = b.daemon.render_metrics().decode()
    on = {mode: f'synergai_mode{{mode="{mode}"}} 1.0' in page for mode in MODES}
    assert on == {mode: mode == "paused" for mode in MODES}


async def test_failing_pods_step_a_bridge_down_until_it_is_paused():
    async with bench() as b:
        b.cluster.slots = 100
        await b.node()
        await b.start()
        await b.daemon.synced.wait()
        modes = b.daemon.rollout.modes
        for step, mode in enumerate(("heuristic", "paused")):
            names = [f"p{step}-{n}" for n in range(11)]
            for name in names:
                await b.pod(name)
            for name in names:
                await until(lambda name=name: bound(b, name))
                await b.patch_status(name, {"phase": "Failed"})
            await until(lambda mode=mode: as_is(modes.now == mode))
        await b.pod("late")
        await until(lambda: staged(b, "late", Stage.QUEUED))
        assert not await bound(b, "late")
        page = b.daemon.render_metrics().decode()
    assert "synergai_breaker_steps 2.0" in page
    assert 'synergai_breaker_trips_total{to="paused"} 1.0' in page


async def as_is(fact: bool) -> bool:
    return fact
