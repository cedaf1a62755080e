"""Each kind of fault alone: every pod is bound once, no room is given twice, and the bridge stays calm."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from synergai.k8s_bridge import watch
from tests.e2e.faults.kinds import KINDS, together
from tests.e2e.faults.world import Site, embedded_site, overbooked, trial

pytestmark = pytest.mark.e2e
PODS = 40


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def site(runner: asyncio.Runner, tmp_path_factory) -> Iterator[Site]:
    opened = embedded_site(tmp_path_factory.mktemp("faults"))
    yield runner.run(opened.__aenter__())
    runner.run(opened.__aexit__(None, None, None))


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_is_bound_once(kind: str, site: Site, runner: asyncio.Runner, monkeypatch) -> None:
    monkeypatch.setattr(watch, "SERVER_TIMEOUT_S", 3)
    monkeypatch.setattr(watch, "IDLE_S", 4.0)
    outcome = runner.run(trial(site, together(kind), pods=PODS))
    print(
        f"{kind}: recovery {outcome.recovery_s:.2f} s, busiest {outcome.busiest}, met {outcome.met}, before {outcome.before}"
    )
    assert len(outcome.accepted) == PODS
    assert len({uid for uid, _ in outcome.accepted}) == PODS
    assert overbooked(site, outcome.history) == []
    assert Counter(pod["status"]["phase"] for pod in outcome.pods) == {"Succeeded": PODS}
    assert (outcome.counts, outcome.left) == ({"done": PODS}, 0)
    assert outcome.busiest <= 5 * PODS + 50
