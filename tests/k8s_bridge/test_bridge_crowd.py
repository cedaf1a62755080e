"""Bounded by what is there: a large cluster's pods cost memory in proportion, and no time with their square."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from bridge_crowd import nodes, other_pods, own_pods
from bridge_world import World

from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.api.watch import NODES, OTHER_PODS, OWN_PODS, WatchEvent
from synergai.offline_profiles.table import ProfileTable

CROWD = Path(__file__).with_name("bridge_crowd.py")


class Cost(NamedTuple):
    """Of a process, from its start to its end."""

    peak_mib: float
    cpu_s: float
    said: str


@contextmanager
def crowd(folder: Path, node_count: int, own: int, others: int, jobs: int = 0) -> Iterator[Path]:
    """The kubeconfig of a server of so many."""
    command = [sys.executable, str(CROWD), str(node_count), str(own), str(others), str(jobs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        path = folder / "kubeconfig"
        config = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.write_text(json.dumps(config))
        try:
            yield path
        finally:
            server.kill()


def one_round(kubeconfig: Path, folder: Path) -> Cost:
    """Of a bridge that reads everything and decides once."""
    command = [sys.executable, "-m", "synergai", "bridge", "--once", "--dry-run", "--metrics-port", "0"]
    log = folder / "log"
    with log.open("wb") as out:
        bridge = subprocess.Popen([*command, "--kubeconfig", str(kubeconfig)], stdout=out, stderr=out)
        _, status, usage = os.wait4(bridge.pid, 0)
    said = log.read_text()
    assert os.waitstatus_to_exitcode(status) == 0, said[-2000:]
    return Cost(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, said)


def measure(folder: Path, node_count: int, own: int, others: int) -> Cost:
    with crowd(folder, node_count, own, others) as kubeconfig:
        return one_round(kubeconfig, folder)


@pytest.mark.slow
@pytest.mark.parametrize(("node_count", "own", "others"), [(5_000, 5_000, 45_000), (1_000, 10_000, 90_000)])
def test_a_pod_costs_less_than_five_kibibytes(node_count: int, own: int, others: int, tmp_path: Path) -> None:
    """At the peak, nodes included: a page of a list is taken in before the next one comes."""
    alone = measure(tmp_path, 1, 1, 0)
    crowded = measure(tmp_path, node_count, own, others)
    assert f"ready: 0 jobs wait, {own} run" in crowded.said or "would bind" in crowded.said
    assert (crowded.peak_mib - alone.peak_mib) * 1024 / (node_count + own + others) < 5.0


def test_however_many_nodes_come_or_go_at_once_the_cluster_is_numbered_anew_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster(ProfileTable.default())
    world, rebuilt = World(nodes=0, cluster=cluster), []
    plain = cluster._rebuild
    monkeypatch.setattr(cluster, "_rebuild", lambda: rebuilt.append(1) or plain())
    listed = [WatchEvent(OTHER_PODS, "ADDED", raw) for raw in other_pods(300, 100)]
    listed += [WatchEvent(NODES, "ADDED", raw) for raw in nodes(100)]
    world.snapshot.apply(listed, world.now_us)
    assert (len(world.nodes.usable), len(rebuilt)) == (100, 1)
    world.snapshot.apply([WatchEvent(NODES, "DELETED", raw) for raw in nodes(60)], world.now_us)
    assert (len(world.nodes.usable), len(rebuilt)) == (40, 2)


def test_pods_that_were_listed_before_their_nodes_are_booked_when_these_come() -> None:
    cluster = Cluster(ProfileTable.default())
    world = World(nodes=0, cluster=cluster)
    world.snapshot.apply([WatchEvent(OWN_PODS, "ADDED", raw) for raw in own_pods(40, 10)], world.now_us)
    assert cluster.running() == 0
    world.snapshot.apply([WatchEvent(NODES, "ADDED", raw) for raw in nodes(10)], world.now_us)
    assert (cluster.running(), cluster.queued()) == (36, 4)


if (
    __name__ == "__main__"
):  # python test_bridge_crowd.py FOLDER NODES OWN OTHERS: the figures of docs/bridge.md
    found = measure(Path(sys.argv[1]), *(int(text) for text in sys.argv[2:5]))
    print(f"peak {found.peak_mib:.0f} MiB, {found.cpu_s:.1f} s of processor time")
