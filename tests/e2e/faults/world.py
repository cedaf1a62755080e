"""One bridge behind the proxy, a cluster of simulated kubelets, and everything that was ever true of the pods."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from synergai.agents.registry import make
from synergai.envs.cluster import Cluster
from synergai.envs.types import Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials, load
from synergai.k8s_bridge.api.watch import OWN_PODS, Reflector, WatchEvent
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
from synergai.k8s_bridge.embedded.server import Server
from synergai.k8s_bridge.pods import Json, pod_requests
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.startup import make_lease
from synergai.k8s_bridge.submit import PodRequest, submit
from synergai.offline_profiles.table import ProfileTable
from tests.e2e.faults.proxy import Fault, Proxy
from tests.e2e.ground import Ground, ground

TABLE = ProfileTable.default()
RESOURCES = {name: hardware.resource for name, hardware in TABLE.hardware.items()}
MODELS = ("resnet50", "bert-99", "retinanet", "mobilenet-v1")
RUN_S = 0.3
NODES = (
    *(Node(f"t4-{n}", (Device("nvidia-t4", 2),), 16_000, 65_536) for n in range(4)),
    *(Node(f"orin-{n}", (Device("jetson-agx-orin-maxn", 1),), 12_000, 32_768) for n in range(4)),
    Node("xeon-0", (Device("intel-xeon-platinum-8380-2s", 0),), 80_000, 262_144),
)
"""Room for thirteen pods at most, so that it is always asked for twice."""
TIMES = {
    "bind_timeout_s": 0.5,
    "request_timeout_s": 2.0,
    "lease_duration_s": 3,
    "lease_renew_deadline_s": 2.0,
    "lease_retry_s": 0.5,
    "queue_every_s": 1.0,
    "metrics_port": None,
    "replay_every_s": 0.0,
}
"""The bridge's own times, shortened so that a fault of a second is a long one."""
PATIENCE_S = 90.0
"""On a machine that others use too."""


@dataclass
class Site:
    """A cluster to have trials on, one after the other."""

    namespace: str
    admin: ApiClient
    bridge: Credentials
    """Who the proxy is at the API server."""
    kubelets: Kubelets
    nodes: dict[str, Counter[str]]
    """What each has."""
    folder: Path
    history: list[Json] = field(default_factory=list)
    """Every state of every pod of this trial, in the order of the watch."""
    bound: set[str] = field(default_factory=set)
    """Names of the pods that were ever seen with a node."""
    ended: set[str] = field(default_factory=set)
    trials: int = 0
    ground: Ground | None = None
    """Of a real cluster."""

    @property
    def prefix(self) -> str:
        """Of the names of this trial's pods."""
        return f"t{self.trials:03}-"

    def see(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        name = metadata["name"]
        if (
            event.kind == "DELETED"
            or metadata["namespace"] != self.namespace
            or not name.startswith(self.prefix)
        ):
            return  # the end of pods of the trial before is seen in this one
        self.history.append(event.object)
        if event.object["spec"].get("nodeName"):
            self.bound.add(name)
        if has_ended(event.object):
            self.ended.add(name)

    def kubeconfig(self, proxy: Proxy, trusted: Path | None) -> Path:
        """Of the proxy; the token is in a file beside it, as an agent would write it."""
        path, token = self.folder / "kubeconfig", self.folder / "token"
        token.write_text(proxy.token, encoding="utf-8")
        authority = {"certificate-authority": str(trusted)} if trusted else {}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": proxy.url, **authority}}],
            "users": [{"name": "u", "user": {"tokenFile": str(token)}}],
            "contexts": [
                {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": self.namespace}}
            ],
            "current-context": "x",
        }
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        return path


@asynccontextmanager
async def embedded_site(folder: Path) -> AsyncIterator[Site]:
    async with Server() as server, ApiClient(Credentials(server.url)) as admin:
        await admin.post("/api/v1/namespaces", {"metadata": {"name": keys.BRIDGE_NAMESPACE}})
        who = Credentials(server.url)
        async with _site("default", admin, who, who, folder) as site:
            yield site


@asynccontextmanager
async def real_site(kubeconfig: str, folder: Path, nodes: Sequence[Node] = NODES) -> AsyncIterator[Site]:
    """The bridge has the rights of the manifest."""
    async with ground(kubeconfig, folder) as where:
        who = load(str(where.bridge_kubeconfig))
        async with _site(where.name, where.client, load(kubeconfig), who, folder, nodes) as site:
            site.ground = where
            yield site


@asynccontextmanager
async def _site(
    namespace: str,
    admin: ApiClient,
    credentials: Credentials,
    bridge: Credentials,
    folder: Path,
    nodes: Sequence[Node] = NODES,
) -> AsyncIterator[Site]:
    here = [replace(node, name=f"{namespace}-{node.name}") for node in nodes]
    room = {node.name: _room(node) for node in here}
    settings = KubeletSettings()
    async with Kubelets(credentials, here, RESOURCES, lambda run: RUN_S, settings) as kubelets:
        site = Site(namespace, admin, bridge, kubelets, room, folder)
        watching = asyncio.create_task(Reflector(admin, OWN_PODS, site.see).run())
        try:
            yield site
        finally:
            watching.cancel()
            for node in here:
                await admin.request("DELETE", f"/api/v1/nodes/{node.name}")


def _room(node: Node) -> Counter[str]:
    devices = {device.hardware: device.units for device in node.devices if device.units}
    return Counter(cpu=node.cpu_milli, memory=node.memory_mib, **devices)


def requests(site: Site, count: int, first: int = 0) -> list[PodRequest]:
    return [
        PodRequest(f"{site.prefix}{n:03}", MODELS[n % 4], 500, deadline_s=60.0, namespace=site.namespace)
        for n in range(first, first + count)
    ]


class Bridge:
    """The daemon, made as the command makes it, in this process."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._credentials = load(str(kubeconfig))
        settings = Settings(**TIMES, queue_namespace=namespace)  # type: ignore[arg-type]
        self.client = ApiClient(self._credentials, timeout_s=settings.request_timeout_s)
        self._lessee = ApiClient(self._credentials, timeout_s=settings.request_timeout_s)
        metrics = Metrics()
        lease = make_lease(settings, self._lessee, namespace, metrics)
        self.cluster = Cluster(TABLE)
        self.daemon = Daemon(
            settings, self.client, make("sjf_feasible"), self.cluster, metrics=metrics, lease=lease
        )
        self.stop = asyncio.Event()

    async def __aenter__(self) -> "Bridge":
        self.task = asyncio.create_task(self.daemon.run(self.stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        try:
            await asyncio.wait_for(self.task, PATIENCE_S)
        finally:
            await self.client.close()
            await self._lessee.close()

    def leads(self) -> bool:
        page = self.daemon.render_metrics().decode()
        return "synergai_leader_election_master_status 1.0" in page

    async def until(self, fact: Callable[[], bool], what: str) -> None:
        """Wait while it lives."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not fact():
            if self.task.done():
                self.task.result()
            assert not self.task.done(), "the bridge ended"
            assert time.monotonic() < give_up_s, (
                f"not within {PATIENCE_S:g} s: {what}; {self.daemon.pods.counts()}"
            )
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Outcome:
    """What one trial showed."""

    pods: list[Json]
    """At the end."""
    history: list[Json]
    accepted: list[tuple[str, str]]
    """uid and node of each bind that the API server carried out."""
    left: int
    """Jobs that the bridge's books still hold or queue when it knows all to have ended."""
    busiest: int
    """Most requests within a second."""
    met: dict[str, int]
    """How often each fault struck."""
    before: int
    """Pods bound when the fault began."""
    recovery_s: float
    """From the fault's end until every pod was bound."""


async def trial(
    site: Site,
    faults: list[Fault],
    *,
    pods: int = 40,
    lasts_s: float = 0.8,
    at_most_s: float | None = None,
    seed: int = 0,
    tls: ssl.SSLContext | None = None,
    trusted: Path | None = None,
) -> Outcome:
    """Half of the pods come before the faults, half while they last: until the first has struck, or, given `at_most_s`,
    until each has struck or that time is over, as one may keep another from its turn."""
    site.trials += 1
    try:
        async with (
            Proxy(site.bridge, seed, tls).serve() as proxy,
            Bridge(site.kubeconfig(proxy, trusted), site.namespace) as bridge,
        ):
            return await _trial(site, proxy, bridge, faults, pods, lasts_s, at_most_s)
    finally:
        await _clear(site)


async def _trial(
    site: Site,
    proxy: Proxy,
    bridge: Bridge,
    faults: list[Fault],
    pods: int,
    lasts_s: float,
    at_most_s: float | None,
) -> Outcome:
    proxy.on_new_token = (site.folder / "token").write_text
    await bridge.until(bridge.leads, "leads")
    first = pods if any(fault.halts_all for fault in faults) else pods // 2
    await submit(site.admin, requests(site, first), speed=1000.0)
    await bridge.until(lambda: len(site.bound) >= 5, "the first binds")
    before = len(site.bound)
    async with proxy.during(*faults):
        await submit(site.admin, requests(site, pods - first, first), speed=1000.0)
        await asyncio.sleep(lasts_s)
        if at_most_s is None:
            await bridge.until(lambda: proxy.met[faults[0].name] > 0, f"met {faults[0].name}")
        else:
            over_s = time.monotonic() + at_most_s - lasts_s
            await bridge.until(
                lambda: time.monotonic() > over_s or all(proxy.met[fault.name] for fault in faults), "the end"
            )
    ended_s = time.monotonic()
    await bridge.until(lambda: len(site.bound) == pods, "all bound")
    recovery_s = time.monotonic() - ended_s
    await bridge.until(lambda: len(site.ended) == pods, "all ended")
    await bridge.until(lambda: bridge.daemon.pods.counts() == {"done": pods}, "all known to have ended")
    return Outcome(
        pods=(await site.admin.get(f"/api/v1/namespaces/{site.namespace}/pods"))["items"],
        history=list(site.history),
        accepted=[(bind.uid, bind.node) for bind in proxy.accepted],
        left=bridge.cluster.queued() + bridge.cluster.running(),
        busiest=proxy.busiest(),
        met=proxy.met,
        before=before,
        recovery_s=recovery_s,
    )


async def _clear(site: Site) -> None:
    """Also of pods that a bridge, ended half way, still holds."""
    pods = f"/api/v1/namespaces/{site.namespace}/pods"
    await site.admin.request("DELETE", pods, params={"gracePeriodSeconds": "0"})
    async with asyncio.timeout(PATIENCE_S):
        while left := (await site.admin.get(pods))["items"]:
            for pod in left:
                if pod["metadata"].get("finalizers"):
                    await _let_go(site, f"{pods}/{pod['metadata']['name']}")
            await asyncio.sleep(0.02)
    for each in (site.history, site.bound, site.ended):
        each.clear()


async def _let_go(site: Site, path: str) -> None:
    patch, kind = {"metadata": {"finalizers": None}}, "application/merge-patch+json"
    try:
        await site.admin.request("PATCH", path, body=patch, media_type=kind)
    except ApiError as error:
        if error.status != 404:
            raise


def has_ended(pod: Json) -> bool:
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def decision(pod: Json) -> DecisionRecord:
    record = read_decision(pod["metadata"]["annotations"])
    assert record is not None, pod["metadata"]["name"]
    return record


def overbooked(site: Site, history: list[Json]) -> list[str]:
    """Every moment at which a node held more than it has, of what decisions and pods ask for."""
    used: dict[str, Counter[str]] = {name: Counter() for name in site.nodes}
    taken: dict[str, Counter[str]] = {}
    found: list[str] = []
    for pod in history:
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        if node and has_ended(pod):
            used[node].subtract(taken.pop(uid, Counter()))
        elif node and uid not in taken:
            taken[uid] = _wanted(pod)
            used[node].update(taken[uid])
            if not used[node] <= site.nodes[node]:
                found.append(
                    f"{pod['metadata']['name']} on {node}: {dict(used[node])} of {dict(site.nodes[node])}"
                )
    return found


def _wanted(pod: Json) -> Counter[str]:
    record, own = decision(pod), pod_requests(pod["spec"])
    units = {record.hardware: record.device_units} if record.device_units else {}
    return Counter(
        cpu=max(record.cpu_milli, own.cpu_milli), memory=max(record.memory_mib, own.memory_mib), **units
    )


def calm(pods: int) -> int:
    """Most requests a second of a bridge that does not spin. A pod whose bind fails is tried again after a quarter of a
    second at the earliest, twice as late each time, and each try is a bind, a look at the pod and an event: three tries
    in the worst second. Watches, lists, lease and queue come on top, and are tried again ten times a second at most."""
    return 3 * 3 * pods + 50
