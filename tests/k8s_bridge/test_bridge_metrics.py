"""What the bridge counts of pods, watches and itself."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from bridge_bench import bench, until
from bridge_fakes import ANNOTATIONS, CREATED, NOW_US, FakeClient, raw_pod
from bridge_world import World, bound, ended

from synergai import __version__
from synergai.agents.guard import Guarded
from synergai.agents.heuristics import Rule
from synergai.agents.learned import Learned, read
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.watch import NODES, Reflector
from synergai.k8s_bridge.binder import Outcome
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.model import Model, model_of
from synergai.k8s_bridge.reports.metrics import Metrics

ROOT = Path(__file__).parents[2]
RAN = {"model": "net", "samples": 100, "hardware": "gpu-a", "configuration": "ort-b8", "runSeconds": 2.5}
LATE = {
    "in time": (20, "met", 0.0),
    "late": (5, "missed", 3.0),
}


def after(world: World, deadline_s: int, phase: str = "Succeeded") -> str:
    """The page when a pod of this deadline has run for 8 s."""
    pod = raw_pod("a", ANNOTATIONS | {keys.ANNOTATION_DEADLINE: f"{deadline_s}s"})
    world.pod(pod)
    (order,) = world.round()
    world.settle(order, Outcome.BOUND)
    world.now_us += 8 * 10**6
    end = ended(pod, phase, **RAN, finishedAt=format_time_us(world.now_us))
    world.pod(bound(end, order.node, order.record), "MODIFIED")
    return world.pods._report.metrics.render().decode()


@pytest.mark.parametrize("case", LATE)
def test_a_deadline_is_counted_by_model_and_its_excess(case: str) -> None:
    deadline_s, result, excess_s = LATE[case]
    page = after(World(), deadline_s)
    assert f'synergai_deadlines_total{{model="net",result="{result}"}} 1.0' in page
    assert f"synergai_deadline_excess_seconds_sum {excess_s}" in page
    assert "synergai_deadline_excess_seconds_count 1.0" in page


def test_a_pod_that_failed_missed_its_deadline_by_nobody_knows_how_much() -> None:
    page = after(World(), 20, "Failed")
    assert 'synergai_deadlines_total{model="net",result="missed"} 1.0' in page
    assert "synergai_deadline_excess_seconds_count 0.0" in page


def test_the_clock_of_these_tests_is_that_of_the_pods() -> None:
    assert format_time_us(NOW_US).startswith(CREATED[:-1])


def test_what_decides_is_told_once() -> None:
    metrics = Metrics()
    metrics.decides(Model("demo", "net", "1"))
    metrics.decides(Model("demo", "net", "2"))
    told = [
        line for line in metrics.render().decode().splitlines() if line.startswith("synergai_model_info{")
    ]
    assert told == ['synergai_model_info{name="demo",policy="net",version="2"} 1.0']


def test_a_policys_version_is_that_of_its_weights_and_a_rules_that_of_the_package() -> None:
    learned = Learned(read("demo"))
    weights = learned.checkpoint.weights
    turned = weights._replace(out=-weights.out)
    other = Learned(replace(learned.checkpoint, weights=turned))
    versions = {model_of(Guarded(policy)).version for policy in (learned, other)}
    assert len(versions) == 2
    assert all(re.fullmatch("[0-9a-f]{12}", version) for version in versions)
    assert model_of(Rule("edf")) == Model("edf", "rule", __version__)


async def test_a_watch_is_as_old_as_what_was_heard_last() -> None:
    now_s = [100.0]
    client = FakeClient({("GET", NODES.path): [{"metadata": {"resourceVersion": "1"}, "items": []}]})
    reflector = Reflector(client, NODES, lambda event: None, monotonic=lambda: now_s[0])  # type: ignore[arg-type]
    now_s[0] = 130.0
    assert reflector.age_s() == 30.0
    await reflector._list()
    assert reflector.age_s() == 0.0
    now_s[0] = 150.0
    reflector._take(b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"2"}}}')
    now_s[0] = 151.0
    assert reflector.age_s() == 1.0


async def test_the_daemon_tells_the_age_of_each_watch_and_what_decides() -> None:
    async with bench() as b:
        await b.start()
        await until(lambda: told(b, b'synergai_watch_age_seconds{resource="pods"}'))
        assert await told(b, b'synergai_watch_age_seconds{resource="others"}')
        assert await told(b, b'synergai_watch_age_seconds{resource="nodes"}')
        assert await told(
            b, f'synergai_model_info{{name="",policy="rule",version="{__version__}"}} 1.0'.encode()
        )


async def told(b, text: bytes) -> bool:
    return text in b.daemon.render_metrics()
