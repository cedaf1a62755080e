"""Specs that a real server might pass, and some that it would not: nothing raises, and each pod ends somewhere."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, raw_node, raw_pod
from bridge_world import World

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.entries import Stage

SPECS = 10_000
BATCH = 500
HUGE = 100_000
"""Characters; the API server takes annotations of up to 256 KiB."""
Json = dict[str, Any]

QUANTITIES = (
    "0", "1", "500m", "0.1", "1e3", "1E400", "9" * 30, "9" * 5000, "-1", "+1", "1Ki", "1.5Gi", "1n", "16Ei", "", " ",
    "NaN", "inf", "0x10", "1_000", "٣", "1Zi", "m", ".", "1e-99", 0, 1, -1, 2**63, 1.5, 1e300, True,
)  # fmt: skip
TEXTS = (
    "", " ", "a", "A" * 64, "x" * HUGE, "\0", "\n", "☃", "\ud800", "{}", "[" * 5000, "null", "-1", "1e9", "../..", "%s",
    "synergai.dev/model", "true", "2026-11-22T10:00:00Z", "9999-99-99T99:99:99Z", "30s", "1" * 400 + "s", "-30s",
)  # fmt: skip
KEYS = (*vars(keys).values(), "kubernetes.io/hostname", "nvidia.com/gpu", "cpu", "memory", "pods", "other/x")


class Fuzzer:
    """Pods of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def key(self) -> str:
        return self.random.choice([key for key in KEYS if isinstance(key, str)])

    def some(self, make: Callable[[], Any], most: int = 3) -> list[Any]:
        return [make() for _ in range(self.random.randrange(most + 1))]

    def mapping(self, value: Callable[[], Any], most: int = 4) -> Json:
        return {self.key(): value() for _ in range(self.random.randrange(most + 1))}

    def resources(self) -> Json:
        return {k: self.mapping(lambda: self.random.choice(QUANTITIES)) for k in ("requests", "limits")}

    def container(self) -> Json:
        made: Json = {"name": "c", "resources": self.random.choice([self.resources(), {}, None])}
        if self.random.random() < 0.3:
            made["restartPolicy"] = "Always"
        if self.random.random() < 0.1:
            made["ports"] = [{"hostPort": self.random.choice([0, 80, 70000])}]
        return made

    def toleration(self) -> Json:
        texts = {
            key: self.text() for key in ("key", "operator", "value", "effect") if self.random.random() < 0.6
        }
        return self.random.choice(
            [texts, {"operator": "Exists"}, {"key": keys.LABEL_DEDICATED, "operator": "Exists"}]
        )

    def affinity(self) -> Json:
        operators = ("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Like")
        one = {"key": self.key(), "operator": self.random.choice(operators), "values": self.some(self.text)}
        term = {"matchExpressions": [one], "matchFields": self.some(lambda: one, 1)}
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        pods = {
            "labelSelector": {"matchExpressions": [one]},
            "topologyKey": self.key(),
            "namespaceSelector": {},
        }
        return self.random.choice([
            {"nodeAffinity": {required: {"nodeSelectorTerms": self.some(lambda: term)}}},
            {"podAffinity": {required: [pods]}},
            {"podAntiAffinity": {required: [pods], "preferredDuringSchedulingIgnoredDuringExecution": []}},
            {},
        ])  # fmt: skip

    def spread(self) -> Json:
        return {
            "topologyKey": self.key(),
            "maxSkew": self.random.choice([1, 2**31 - 1]),
            "whenUnsatisfiable": self.random.choice(["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": {"matchLabels": self.mapping(self.text)},
            "minDomains": self.random.choice([None, 1, 10**6]),
        }

    def annotations(self) -> Json:
        asks = dict(ANNOTATIONS) if self.random.random() < 0.7 else {}
        return asks | self.mapping(self.text)

    def spec(self) -> Json:
        parts: dict[str, Callable[[], Any]] = {
            "containers": lambda: self.some(self.container),
            "initContainers": lambda: self.some(self.container),
            "overhead": lambda: self.mapping(lambda: self.random.choice(QUANTITIES)),
            "tolerations": lambda: self.some(self.toleration, 20),
            "nodeSelector": lambda: self.mapping(self.text),
            "affinity": self.affinity,
            "topologySpreadConstraints": lambda: self.some(self.spread),
            "schedulingGates": lambda: self.some(lambda: {"name": self.text()}),
            "volumes": lambda: self.some(
                lambda: {"name": "v", self.random.choice(["nfs", "ephemeral", "x"]): {}}
            ),
            "priority": lambda: self.random.choice([None, 0, 2**31 - 1, -(2**31)]),
            "resources": self.resources,
            "nodeName": lambda: self.random.choice(["", "n0", "n1", self.text()]),
        }
        return {name: make() for name, make in parts.items() if self.random.random() < 0.3}

    def pod(self, n: int) -> Json:
        raw = raw_pod(f"p{n}", self.annotations(), **self.spec())
        if self.random.random() < 0.1:
            raw["metadata"]["creationTimestamp"] = self.text()
        if self.random.random() < 0.05:
            raw["metadata"]["annotations"] = None
        if self.random.random() < 0.2:
            terminated = {"terminated": {"message": self.text(), "exitCode": 1}}
            raw["status"] = {
                "phase": self.random.choice(["Pending", "Running", "Succeeded", "Failed", self.text()]),
                "containerStatuses": [{"state": self.random.choice([terminated, {}, None])}],
            }
        return raw

    def node(self, n: int) -> Json:
        raw = raw_node(f"n{n}")
        raw["metadata"]["labels"] |= self.mapping(self.text)
        raw["status"]["allocatable"] |= self.mapping(lambda: self.random.choice(QUANTITIES))
        return raw


@pytest.mark.parametrize("seed", range(SPECS // BATCH))
def test_whatever_a_spec_says_the_pod_is_placed_or_waits_for_a_reason(seed: int) -> None:
    fuzzer, world = Fuzzer(seed), World(nodes=1)
    seen = set()
    for n in range(BATCH):
        raw = fuzzer.pod(n)
        world.pod(raw)
        world.round()
        if n % 50 == 0:
            world.node(fuzzer.node(1), "MODIFIED")
        entry = world.pods.entries[f"default/p{n}"]
        seen.add(entry.stage)
        world.pod(raw, "DELETED")
    assert len(seen - {Stage.NEW}) >= 4, seen
    assert (world.cluster.queued(), world.cluster.running()) == (0, 0)
    assert world.pods.entries == {}


@pytest.mark.parametrize("seed", range(10))
def test_whatever_another_schedulers_pod_says_room_is_never_negative(seed: int) -> None:
    fuzzer, world = Fuzzer(seed), World(nodes=2)
    raws = [fuzzer.pod(n) for n in range(100)]
    for raw in raws:
        raw["spec"]["nodeName"] = "n0"
        world.other(raw)
        node = world.nodes.node("n0")
        assert min(node.cpu_milli, node.memory_mib, node.pods) >= 0
    for raw in raws:
        world.other(raw, "DELETED")
    assert world.nodes.node("n0") == replace(world.nodes.node("n1"), name="n0")
