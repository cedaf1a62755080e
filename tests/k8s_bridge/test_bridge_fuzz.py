"""Whatever order things happen in, books and cluster agree, and no room is given twice."""

import copy
import random
from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, FakeCluster, raw_node, raw_pod, table
from bridge_world import World, bound, ended

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import BindOrder, Outcome
from synergai.k8s_bridge.entries import Stage
from synergai.offline_profiles.table import ProfileTable

SHIPPED = ("nvidia-t4", "jetson-agx-orin-maxn", "intel-xeon-platinum-8380-2s")


class Chaos:
    """A cluster to which anything may happen; remembers what the API server would say."""

    def __init__(
        self, seed: int, cluster: Cluster, hardware: tuple[str, ...], models: tuple[str, ...]
    ) -> None:
        self.random = random.Random(seed)
        self.world = World(nodes=0, cluster=cluster)
        self.world.scheduler = make("sjf_feasible")
        self.hardware = hardware
        self.models = models
        self.nodes: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.others: dict[str, dict[str, Any]] = {}
        self.orders: list[BindOrder] = []
        self.serial = 0

    def step(self) -> None:
        actions = (
            self.node_added, self.node_changed, self.node_removed,
            self.pod_added, self.pod_added, self.pod_added, self.pod_deleted,
            self.pod_bound, self.pod_bound, self.pod_ended,
            self.other_added, self.other_removed,
            self.reply, self.reply, self.reply, self.time_passes,
        )  # fmt: skip
        self.random.choice(actions)()
        self.world.now_us += self.random.randrange(1_000_000)
        self.world.pods.expire(self.world.now_us)
        self.orders += self.world.round()
        self.check()

    def name(self, kind: str) -> str:
        self.serial += 1
        return f"{kind}{self.serial}"

    def any_of(self, of: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
        return of[self.random.choice(sorted(of))] if of else None

    def node_added(self) -> None:
        if len(self.nodes) < 5:
            some = self.random.sample(self.hardware, self.random.randint(1, 2))
            raw = raw_node(self.name("n"), {name: str(self.random.randint(1, 3)) for name in some})
            raw["status"]["allocatable"] |= {"cpu": "96", "memory": "256Gi"}
            self.nodes[raw["metadata"]["name"]] = raw
            self.world.node(copy.deepcopy(raw))

    def node_changed(self) -> None:
        if raw := self.any_of(self.nodes):
            raw["spec"] = self.random.choice(
                ({}, {"unschedulable": True}, {"taints": [{"key": "mine", "effect": "NoSchedule"}]})
            )
            if self.random.random() < 0.3:
                raw["metadata"]["labels"][f"{keys.LABEL_HARDWARE_PREFIX}tpu"] = "1"
            else:
                raw["metadata"]["labels"].pop(f"{keys.LABEL_HARDWARE_PREFIX}tpu", None)
            self.world.node(copy.deepcopy(raw), "MODIFIED")

    def node_removed(self) -> None:
        if self.random.random() < 0.5 and (raw := self.any_of(self.nodes)):
            self.world.node(self.nodes.pop(raw["metadata"]["name"]), "DELETED")

    def pod_added(self) -> None:
        annotations = self.random.choice(
            (
                ANNOTATIONS | {keys.ANNOTATION_MODEL: self.random.choice(self.models)},
                ANNOTATIONS | {keys.ANNOTATION_MODEL: self.models[0], keys.ANNOTATION_DEADLINE: "3s"},
                {},
            )
        )
        raw = raw_pod(self.name("p"), dict(annotations))
        self.pods[raw["metadata"]["name"]] = raw
        self.world.pod(copy.deepcopy(raw))

    def pod_deleted(self) -> None:
        if raw := self.any_of(self.pods):
            self.world.pod(self.pods.pop(raw["metadata"]["name"]), "DELETED")

    def pod_bound(self) -> None:
        """By us, seen before the reply; or by a rival, to anywhere."""
        waiting = {name: raw for name, raw in self.pods.items() if not raw["spec"].get("nodeName")}
        if not (raw := self.any_of(waiting)):
            return
        key = f"default/{raw['metadata']['name']}"
        ours = [order for order in self.orders if order.key == key]
        node, record = (
            (ours[-1].node, ours[-1].record) if ours else (self.random.choice(["n1", "n2", "n99"]), None)
        )
        if self.random.random() < 0.2:
            node, record = "n3", DecisionRecord("rival", self.hardware[0], "none", 1, 10, 10, "rival")
        self.seen(bound(raw, node, record))

    def pod_ended(self) -> None:
        placed = {
            n: r
            for n, r in self.pods.items()
            if r["spec"].get("nodeName") and r["status"]["phase"] == "Pending"
        }
        if raw := self.any_of(placed):
            report = {"model": "m", "samples": 1, "hardware": "h", "configuration": "c"}
            phase = self.random.choice(["Succeeded", "Failed"])
            self.seen(ended(raw, phase, **report, runSeconds=self.random.random()))

    def seen(self, raw: dict[str, Any]) -> None:
        self.pods[raw["metadata"]["name"]] = raw
        self.world.pod(copy.deepcopy(raw), "MODIFIED")

    def other_added(self) -> None:
        raw = bound(raw_pod(self.name("x")), self.random.choice(["n1", "n2", "n3"]))
        self.others[raw["metadata"]["name"]] = raw
        self.world.other(raw)

    def other_removed(self) -> None:
        if raw := self.any_of(self.others):
            self.world.other(self.others.pop(raw["metadata"]["name"]), "DELETED")

    def reply(self) -> None:
        if self.orders:
            order = self.orders.pop(self.random.randrange(len(self.orders)))
            raw = self.pods.get(order.name)
            if raw is None:
                self.world.settle(order, Outcome.GONE)
            elif raw["spec"].get("nodeName"):
                self.world.settle(order, Outcome.TAKEN, copy.deepcopy(raw))
            elif self.random.random() < 0.5:
                self.world.settle(order, Outcome.FAILED)
            else:
                self.pods[order.name] = bound(raw, order.node, order.record)
                self.world.settle(order, Outcome.BOUND)

    def time_passes(self) -> None:
        self.world.now_us += 100_000_000

    def check(self) -> None:
        entries = self.world.pods.entries
        assert {f"default/{name}" for name in self.pods} == entries.keys()
        queued = sum(entry.stage is Stage.QUEUED for entry in entries.values())
        assert self.world.cluster.queued() == queued
        assert self.world.cluster.running() == sum(entry.booked for entry in entries.values())

    def drain(self) -> None:
        """When all pods and orders are gone, the cluster is empty."""
        for name in sorted(self.pods):
            self.world.pod(self.pods.pop(name), "DELETED")
        self.check()
        assert (self.world.cluster.queued(), self.world.cluster.running()) == (0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_books_and_a_first_come_cluster_agree_whatever_happens(seed):
    chaos = Chaos(seed, FakeCluster(slots=3), tuple(table().hardware), ("net", "edge", "nope"))
    for _ in range(300):
        chaos.step()
    chaos.drain()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_books_and_the_real_cluster_agree_whatever_happens(seed):
    cluster = Cluster(ProfileTable.default())
    chaos = Chaos(seed, cluster, SHIPPED, ("resnet50", "bert-99", "nope"))
    for _ in range(250):
        chaos.step()
    chaos.drain()
    nodes = cluster.state.nodes[: len(chaos.world.nodes.usable)]
    for free, total in (("cpu_free", "cpu_milli"), ("memory_free", "memory_mib"), ("pods_free", "pods")):
        assert (nodes[free] == nodes[total]).all(), free
