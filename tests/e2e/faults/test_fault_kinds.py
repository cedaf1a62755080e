"""Each kind of fault alone, before a real API server: every pod is bound once, no room is given twice, and the bridge
stays calm."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synergai.k8s_bridge.api import watch
from synergai.k8s_bridge.binder import CONCURRENCY
from tests.e2e.cluster.control_plane import Plane
from tests.e2e.faults.kinds import KINDS, together
from tests.e2e.faults.machines import another_certificate, api_server_restarted, etcd_paused, server_tls
from tests.e2e.faults.proxy import Fault
from tests.e2e.faults.world import Outcome, Site, calm, overbooked, real_site, trial

pytestmark = pytest.mark.e2e
PODS = 40
MACHINES: dict[str, Callable[[Plane], Fault]] = {
    "the API server restarted": api_server_restarted,
    "etcd paused": etcd_paused,
}


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


@pytest.fixture(scope="module")
def site(plane: Plane, runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    opened = real_site(str(plane.kubeconfig), tmp_path_factory.mktemp("faults"))
    yield runner.run(opened.__aenter__())
    runner.run(opened.__aexit__(None, None, None))


@pytest.fixture(autouse=True)
def short_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SERVER_TIMEOUT_S", 3)
    monkeypatch.setattr(watch, "IDLE_S", 4.0)


def check(
    site: Site, kind: str, outcome: Outcome, record: Callable[[str, object], None], unheard: bool = False
) -> None:
    """`unheard`: the server may die between carrying out binds and its replies, which the proxy then does not hear."""
    record("fault", kind)
    record("recovery_s", round(outcome.recovery_s, 2))
    record("busiest_second", outcome.busiest)
    print(
        f"{kind}: recovered {outcome.recovery_s:.2f} s after its end; {outcome.busiest} requests a second at most"
    )
    assert 0 < outcome.before < PODS
    bound = [uid for uid, _ in outcome.accepted]
    assert len(set(bound)) == len(bound)
    assert PODS - (CONCURRENCY if unheard else 0) <= len(bound) <= PODS
    assert overbooked(site, outcome.history) == []
    assert Counter(pod["status"]["phase"] for pod in outcome.pods) == {"Succeeded": PODS}
    assert outcome.left == 0
    assert outcome.busiest <= calm(PODS)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_is_bound_once(
    kind: str, site: Site, runner: asyncio.Runner, record_property: Callable[[str, object], None]
) -> None:
    outcome = runner.run(trial(site, together(kind), pods=PODS))
    check(site, kind, outcome, record_property)


@pytest.mark.parametrize("kind", MACHINES)
def test_every_pod_is_bound_once_although_a_machine_fails(
    kind: str,
    plane: Plane,
    site: Site,
    runner: asyncio.Runner,
    record_property: Callable[[str, object], None],
) -> None:
    outcome = runner.run(trial(site, [MACHINES[kind](plane)], pods=PODS, lasts_s=2.5))
    check(site, kind, outcome, record_property, unheard=True)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")
def test_every_pod_is_bound_once_although_a_stranger_answers(
    site: Site, runner: asyncio.Runner, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    tls, trusted = server_tls(tmp_path)
    outcome = runner.run(
        trial(site, [another_certificate(tls, tmp_path)], pods=PODS, tls=tls, trusted=trusted)
    )
    check(site, "another's certificate", outcome, record_property)
