"""Two replicas before a real API server, and SIGKILL for the one that leads in the middle of a thousand pods."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from synergai.envs.types import Device, Node
from synergai.k8s_bridge.submit import submit
from tests.e2e.faults.world import Site, decision, overbooked, real_site, requests
from tests.e2e.replay import Bridge

pytestmark = pytest.mark.e2e
PODS, KILLED_AT = 1000, 350
NODES = tuple(Node(f"t4-{n}", (Device("nvidia-t4", 2),), 16_000, 65_536) for n in range(20))
"""Room for forty, so that a thousand ask for each place twenty-five times."""
RULE = ("--scheduler", "sjf_feasible")


async def killed(site: Site, folder: Path, record: Callable[[str, object], None]) -> tuple[int, list[int]]:
    """Server time of the kill, and how many pods were bound then, and a moment later."""
    assert site.ground is not None
    folders = [folder / name for name in ("first", "second")]
    async with Bridge(site.ground, RULE, folders[0]) as first:
        await first.ready()
        await first.until(lambda: " leading: " in first.said(), "leader")
        async with Bridge(site.ground, RULE, folders[1]) as second:
            await second.ready()
            sending = asyncio.create_task(submit(site.admin, requests(site, PODS), speed=1000.0))
            await first.until(lambda: len(site.bound) >= KILLED_AT, f"{KILLED_AT} pods bound")
            killed_us, killed_s = site.admin.now_us(), time.monotonic()
            await first.kill()
            before = len(site.bound)
            await second.until(lambda: " leading: " in second.said(), "second leader")
            record("takeover_s", round(time.monotonic() - killed_s, 2))
            between = len(site.bound)
            await sending
            await second.until(lambda: len(site.ended) == PODS, "all ended")
            record("all_ended_after_s", round(time.monotonic() - killed_s, 2))
    return killed_us, [before, between]


async def test_killed_in_the_middle_of_a_thousand_pods_each_is_bound_once_and_no_room_is_given_twice(
    real_kubeconfig: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    async with real_site(real_kubeconfig, tmp_path, NODES) as site:
        killed_us, (before, between) = await killed(site, tmp_path, record_property)
        history = list(site.history)
        pods = (await site.admin.get(f"/api/v1/namespaces/{site.namespace}/pods"))["items"]
        await site.admin.request(
            "DELETE", f"/api/v1/namespaces/{site.namespace}/pods", params={"gracePeriodSeconds": "0"}
        )
    bound = {
        (pod["metadata"]["uid"], pod["spec"]["nodeName"], decision(pod).id)
        for pod in history
        if pod["spec"].get("nodeName")
    }
    assert len(bound) == PODS
    assert Counter(pod["status"]["phase"] for pod in pods) == {"Succeeded": PODS}
    assert overbooked(site, history) == []
    assert site.kubelets.rejected == 0
    assert KILLED_AT <= before < PODS / 2
    assert between < PODS / 2  # the second has most of them to bind
    later = [decision(pod).decided_us for pod in pods if decision(pod).decided_us > killed_us + 10**6]
    assert min(later) > killed_us + 5 * 10**6
    record_property("first_decision_after_s", round((min(later) - killed_us) / 1e6, 2))
