"""The nodes that the bridge admits a pod to are those that the real kube-scheduler lets it through to."""

import asyncio
import copy
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.admission.filters import Admission, Wish
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pods import read_pod
from synergai.offline_profiles.table import ProfileTable
from tests.e2e.cluster.source import Unavailable
from tests.e2e.filter_worlds import CLASSES, NAMESPACES, RUNTIME, Filters, Json
from tests.e2e.judge import Judge, judge

pytestmark = pytest.mark.e2e

WORLDS, NODES, PODS = 10, 25, 200
FIRST_SEED = int(os.environ.get("SYNERGAI_FILTER_SEED", "0"))
TABLE = ProfileTable.default()
CORE = "/api/v1"
PATIENCE_S = 30.0


@pytest.fixture
async def judging(tmp_path: Path) -> AsyncIterator[Judge]:
    try:
        async with judge(tmp_path) as made:
            yield made
    except Unavailable as reason:
        if os.environ.get("SYNERGAI_E2E") == "require":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))


class Ours:
    """What the bridge says of the same nodes and pods."""

    def __init__(self, world: "Built") -> None:
        self.book = NodeBook(Cluster(TABLE), TABLE.hardware)
        for name, labels in world.namespaces.items():
            self.book.layout.set_namespace(name, labels)
        for raw in world.nodes:
            self.book.set(raw)
        for raw in world.volumes:
            self.book.volumes.set_volume(raw)
        for raw in world.claims:
            self.book.volumes.set_claim(raw)
        for raw in world.there:
            self.book.set_other(raw)

    def judge(self, raw: Json) -> tuple[frozenset[str], str]:
        """The nodes that admit it, and why it is refused as a whole, if it is."""
        pod = read_pod(raw)
        if pod.unsupported:
            return frozenset(), "; ".join(pod.unsupported)
        admission: Admission = self.book.admit(Wish(pod.demand), pod.relations)
        return admission.nodes, admission.problem


class Built:
    """A world on the API server, as the server has it."""

    def __init__(self, client: ApiClient, made: Filters) -> None:
        self._client = client
        self._made = made
        self.nodes: list[Json] = []
        self.volumes: list[Json] = []
        self.claims: list[Json] = []
        self.there: list[Json] = []
        self.namespaces: dict[str, Json] = {}

    async def __aenter__(self) -> "Built":
        made, post = self._made, self._client.post
        namespaces = (await self._client.get(f"{CORE}/namespaces"))["items"]
        self.namespaces = {n["metadata"]["name"]: n["metadata"].get("labels") or {} for n in namespaces}
        self.volumes = list(
            await asyncio.gather(*(post(f"{CORE}/persistentvolumes", v) for v in made.volumes))
        )
        self.claims = list(await asyncio.gather(*(self._claim(c) for c in made.claims)))
        self.nodes = list(await asyncio.gather(*(post(f"{CORE}/nodes", n) for n in made.nodes)))
        self.there = list(await asyncio.gather(*(self._put(p) for p in made.there)))
        return self

    async def _claim(self, claim: Json) -> Json:
        path = f"{CORE}/namespaces/{claim['metadata']['namespace']}/persistentvolumeclaims"
        made = await self._client.post(path, claim)
        if "lost" not in made["metadata"]["name"]:
            return made
        made["status"] = {"phase": "Lost"}
        return await self._client.request("PUT", f"{path}/{made['metadata']['name']}/status", body=made)

    async def _put(self, pod: Json) -> Json:
        path = f"{CORE}/namespaces/{pod['metadata']['namespace']}/pods"
        made = await self._client.post(path, pod)
        path = f"{path}/{made['metadata']['name']}"
        if "status" in pod:
            made["status"] = pod["status"]
            made = await self._client.request("PUT", f"{path}/status", body=made)
        if "finalizers" in pod["metadata"]:
            await self._client.request("DELETE", path)
            made = await self._client.get(path)
        return made

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(self._remove(pod) for pod in self.there))
        await self._client.request("DELETE", f"{CORE}/nodes")

    async def _remove(self, pod: Json) -> None:
        metadata = pod["metadata"]
        path = f"{CORE}/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "finalizers" in metadata:
            await self._client.request("PUT", path, body=pod | {"metadata": metadata | {"finalizers": []}})
        else:
            await self._client.request("DELETE", path, body={"gracePeriodSeconds": 0})


async def until_seen(judging: Judge, ours: Ours) -> None:
    """The judge knows these nodes and no others: a pod that goes anywhere is let through to all that have room."""
    probe = {
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "x"}], "tolerations": [{"operator": "Exists"}]},
    }
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = await judging.judge([copy.deepcopy(probe)])
            raw, passed = found["default/probe"]
            if passed == ours.judge(raw)[0]:
                return


def differs(ours: Ours, raw: Json, passed: frozenset[str]) -> str:
    """What is wrong with our answer; empty where nothing is."""
    nodes, refused = ours.judge(raw)
    if refused:
        return ""  # nothing is admitted, and the pod is told why
    more, fewer = sorted(nodes - passed), sorted(passed - nodes)
    return f"only we admit {more}, only kube-scheduler {fewer}" if more or fewer else ""


def smaller(pod: Json) -> Iterator[Json]:
    """The pod without one of the things it asks."""
    for field in ("affinity", "topologySpreadConstraints", "volumes", "tolerations", "nodeSelector", "resources",
                  "initContainers", "runtimeClassName"):  # fmt: skip
        if field in pod["spec"]:
            less = copy.deepcopy(pod)
            del less["spec"][field]
            yield less
    for kind, terms in pod["spec"].get("affinity", {}).items():
        less = copy.deepcopy(pod)
        del less["spec"]["affinity"][kind]
        yield less
        listed = terms["requiredDuringSchedulingIgnoredDuringExecution"]
        for n in range(len(listed) if isinstance(listed, list) and len(listed) > 1 else 0):
            less = copy.deepcopy(pod)
            del less["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"][n]
            yield less
    for part in ("ports", "resources"):
        if part in pod["spec"]["containers"][0]:
            less = copy.deepcopy(pod)
            del less["spec"]["containers"][0][part]
            yield less


async def shrunk(judging: Judge, ours: Ours, pod: Json) -> tuple[Json, str]:
    """The least that is still judged differently, and how."""
    wrong = ""
    while True:
        for less in smaller(pod):
            ((raw, passed),) = (await judging.judge([copy.deepcopy(less)])).values()
            if said := differs(ours, raw, passed):
                pod, wrong = less, said
                break
        else:
            return pod, wrong


async def prepare(client: ApiClient) -> None:
    await client.post("/apis/node.k8s.io/v1/runtimeclasses", RUNTIME)
    for storage in CLASSES:
        await client.post("/apis/storage.k8s.io/v1/storageclasses", storage)
    for name, labels in NAMESPACES.items():
        await client.post(f"{CORE}/namespaces", {"metadata": {"name": name, "labels": labels}})


async def test_two_thousand_random_pods_are_admitted_where_kube_scheduler_would(judging: Judge) -> None:
    await prepare(judging.client)
    judged = told_apart = refused = 0
    for seed in range(FIRST_SEED, FIRST_SEED + WORLDS):
        made = Filters(seed, NODES, PODS)
        async with Built(judging.client, made) as world:
            ours = Ours(world)
            await until_seen(judging, ours)
            found = await judging.judge(copy.deepcopy(made.pods))
            for raw, passed in found.values():
                judged += 1
                told_apart += 0 < len(passed) < NODES
                refused += bool(ours.judge(raw)[1])
                if differs(ours, raw, passed):
                    pod = next(p for p in made.pods if p["metadata"]["name"] == raw["metadata"]["name"])
                    least, wrong = await shrunk(judging, ours, pod)
                    pytest.fail(
                        f"seed {seed}, pod {raw['metadata']['name']}: {wrong}; least: {json.dumps(least)}"
                    )
    assert judged == WORLDS * PODS
    assert told_apart > judged / 4, "too few answers say anything"
    assert refused < judged / 5, "too much is refused as a whole"
