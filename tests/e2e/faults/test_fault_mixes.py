"""Faults by the dozen, drawn by seed: three kinds at once, each with others before and after it.

A hundred mixes before embedded API servers, several at a time; the first twenty before a real one as well.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synergai.k8s_bridge.api import watch
from tests.e2e.cluster.control_plane import Plane
from tests.e2e.faults.kinds import KINDS, LIST, together
from tests.e2e.faults.proxy import Fault
from tests.e2e.faults.world import Outcome, Site, calm, embedded_site, overbooked, real_site, trial

pytestmark = pytest.mark.e2e
PODS = 20
MIXES, MIXES_REAL, AT_ONCE = 100, 20, 10
AT_MOST_S = 5.0


@pytest.fixture(autouse=True)
def short_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SERVER_TIMEOUT_S", 3)
    monkeypatch.setattr(watch, "IDLE_S", 4.0)


def mix(seed: int) -> list[Fault]:
    """Three kinds, each of them striking less often than alone, so that all have their turn; but for those of lists, of
    which there are few."""
    rng = random.Random(seed)
    faults = [fault for name in rng.sample(sorted(KINDS), 3) for fault in together(name)]
    drawn = [(fault, rng.uniform(0.4, 0.8)) for fault in faults]
    return [
        replace(fault, share=fault.share * (1.0 if fault.sorts == LIST else part)) for fault, part in drawn
    ]


def problems(site: Site, outcome: Outcome) -> list[str]:
    """What is not as it must be."""
    times = Counter(uid for uid, _ in outcome.accepted)
    phases = Counter(pod["status"]["phase"] for pod in outcome.pods)
    found = [f"bound {count} times: {uid}" for uid, count in times.items() if count != 1]
    found += [] if len(times) == PODS else [f"{len(times)} of {PODS} bound"]
    found += [] if phases == {"Succeeded": PODS} else [f"ended as {dict(phases)}"]
    found += [] if outcome.left == 0 else [f"{outcome.left} left in the books"]
    found += [] if outcome.busiest <= calm(PODS) else [f"{outcome.busiest} requests in a second"]
    return found + overbooked(site, outcome.history)


async def run(site: Site, seed: int, at_most_s: float = 0.0) -> tuple[list[str], Outcome]:
    faults = mix(seed)
    outcome = await trial(site, faults, pods=PODS, at_most_s=at_most_s, seed=seed)
    return [f"mix {seed}, {[f.name for f in faults]}: {each}" for each in problems(site, outcome)], outcome


def side_by_side(folder: Path, work: Callable[[Path], Coroutine[Any, Any, None]]) -> None:
    """The work several times at once, each with a folder of its own."""

    async def all_of_them() -> None:
        async with asyncio.TaskGroup() as group:
            for n in range(AT_ONCE):
                (folder / str(n)).mkdir()
                group.create_task(work(folder / str(n)))

    asyncio.run(all_of_them())


async def worker(folder: Path, seeds: Iterator[int], found: list[str], met: Counter[str]) -> None:
    async with embedded_site(folder) as site:
        for seed in seeds:
            wrong, outcome = await run(site, seed, AT_MOST_S)
            found += wrong
            met.update(outcome.met)


def test_in_a_hundred_mixes_every_pod_is_bound_once_and_no_room_is_given_twice(tmp_path: Path) -> None:
    found: list[str] = []
    met: Counter[str] = Counter()
    seeds = iter(range(MIXES))
    side_by_side(tmp_path, lambda own: worker(own, seeds, found, met))
    assert found == []
    assert set(KINDS) - set(met) == set()


def test_in_twenty_mixes_the_same_is_true_of_a_real_server(plane: Plane, tmp_path: Path) -> None:
    found: list[str] = []

    async def all_of_them() -> None:
        async with real_site(str(plane.kubeconfig), tmp_path) as site:
            for seed in range(MIXES_REAL):
                found.extend((await run(site, seed))[0])

    asyncio.run(all_of_them())
    assert found == []
