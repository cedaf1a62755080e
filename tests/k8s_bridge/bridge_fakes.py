"""Stand-ins shared by the bridge's tests: a profile table, raw objects, a cluster that decides first come."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from synergai.envs.cluster import Cluster
from synergai.envs.learnt import Learnt, OptionName
from synergai.envs.types import Action, Decision, Job, Node
from synergai.envs.waiting import Waiting
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiError, Withheld
from synergai.k8s_bridge.clock import ServerClock
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.table import ProfileTable

NOW_US = 1_795_000_000_000_000
CREATED = "2026-11-18T11:06:40Z"  # NOW_US


def hardware(name: str, kind: str = "gpu", resource: str = "nvidia.com/gpu") -> Hardware:
    return Hardware(name, kind, resource, 8000, 16384, 10.0, "assumed")


def profile(model: str, on: str, version: str = "1") -> Profile:
    return Profile(
        model=model,
        model_version=version,
        hardware=on,
        configuration="ort-b8",
        engine="ort",
        precision="fp16",
        compute_unit="gpu",
        batch=8,
        threads=0,
        cpu_milli=1000,
        memory_mib=1024,
        device_units=1,
        throughput_sps=100.0,
        latency_ms=80.0,
        latency_p50_ms=80.0,
        latency_p90_ms=80.0,
        latency_p95_ms=80.0,
        latency_p99_ms=80.0,
        latency_p999_ms=80.0,
        startup_image_absent_s=2.0,
        startup_image_present_s=1.0,
        startup_cached_s=0.5,
        active_w=30.0,
        idle_w=10.0,
        throughput_basis="assumed",
        latency_basis="assumed",
        startup_basis="assumed",
        power_basis="assumed",
        resources_basis="assumed",
        source="test",
        licence="test",
    )


def table() -> ProfileTable:
    """Model `net` on two GPUs and a CPU; `net:2` and `edge` on the Jetson alone."""
    known = {
        "gpu-a": hardware("gpu-a"),
        "jetson": hardware("jetson", "jetson", ""),
        "xeon": hardware("xeon", "cpu", ""),
    }
    rows = [profile("net", name) for name in known] + [
        profile("net", "jetson", "2"),
        profile("edge", "jetson"),
    ]
    return ProfileTable(tuple(sorted(rows, key=lambda p: (p.model, p.hardware))), known, ())


def raw_node(name: str, devices: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    devices = devices or {"gpu-a": "2"}
    labels = {f"{keys.LABEL_HARDWARE_PREFIX}{k}": v for k, v in devices.items()}
    plugins = {"nvidia.com/gpu": devices["gpu-a"]} if devices.get("gpu-a", "").isdigit() else {}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {keys.LABEL_DEDICATED: "true", **labels}},
        "spec": spec,
        "status": {"allocatable": {"cpu": "8", "memory": "16Gi", "pods": "10", **plugins}},
    }


ANNOTATIONS = {keys.ANNOTATION_MODEL: "net", keys.ANNOTATION_SAMPLES: "100"}


def raw_pod(name: str, annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    requests = {"cpu": "100m", "memory": "64Mi"}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": CREATED,
            "annotations": ANNOTATIONS if annotations is None else annotations,
        },
        "spec": {
            "schedulerName": keys.SCHEDULER_NAME,
            "containers": [{"name": "runner", "resources": {"requests": requests}}],
            **spec,
        },
        "status": {"phase": "Pending"},
    }


class FakeCluster(Cluster):
    """Starts queued jobs in order on the first node with a free slot; writes down every call."""

    def __init__(
        self, slots: int = 2
    ) -> None:  # no array is needed: every method that the bridge calls is here
        self.table = table()
        self.slots = slots
        self.nodes: dict[str, Node] = {}
        self.waiting: dict[str, Job] = {}
        self.placed: dict[str, str] = {}
        self.jobs: dict[str, Job] = {}
        self.calls: list[tuple[object, ...]] = []
        self.hold_all = False
        self.closed: set[str] = set()
        self.pod_start_s = 0.0
        self.seen: dict[OptionName, Learnt] = {}

    def set_node(self, node: Node) -> None:
        self.nodes[node.name] = node

    def close_node(self, name: str, closed: bool = True) -> None:
        (self.closed.add if closed else self.closed.discard)(name)

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def remove_nodes(self, names: Iterable[str]) -> list[str]:
        gone = set(names)
        for name in gone:
            del self.nodes[name]
        lost = [key for key, node in self.placed.items() if node in gone]
        for key in lost:
            del self.placed[key]
        return lost

    def enqueue(self, job: Job, again: bool = False) -> None:
        assert job.key not in self.waiting, job.key
        assert job.key not in self.placed, job.key
        self.waiting[job.key] = self.jobs[job.key] = job

    def withdraw(self, key: str) -> None:
        del self.waiting[key]

    def adopt(self, job: Job, node: str, hardware: str, configuration: str, started_us: int) -> None:
        self.calls.append(("adopt", job.key, node, hardware, configuration, started_us))
        self._put(job.key, node)

    def occupy(
        self, key: str, node: str, cpu_milli: int, memory_mib: int, hardware: str = "", units: int = 0
    ) -> None:
        self.calls.append(("occupy", key, node, cpu_milli, memory_mib, hardware, units))
        self._put(key, node)

    def _put(self, key: str, node: str) -> None:
        assert node in self.nodes, node
        assert key not in self.placed, key
        self.placed[key] = node

    def release(
        self, key: str, now_us: int, observed_run_s: float | None = None, cause: str = "done"
    ) -> None:
        self.calls.append(("release", key, observed_run_s, cause))
        del self.placed[key]

    def known_nodes(self) -> list[Node]:
        return list(self.nodes.values())

    def waiting_jobs(self) -> list[Job]:
        return list(self.waiting.values())

    def predicted_s(self, key: str) -> float | None:
        return 2.0

    def learnt(self) -> dict[OptionName, Learnt]:
        return dict(self.seen)

    def learn(self, learnt: Mapping[OptionName, Learnt]) -> None:
        self.seen |= learnt

    def in_order(self, limit: int) -> list[Waiting]:
        return [Waiting(job, NOW_US) for job in self.waiting.values()][:limit]

    def requeue(self, key: str) -> None:
        del self.placed[key]
        self.waiting[key] = self.jobs[key]

    def round(self, now_us: int, scheduler: object) -> Iterator[Decision]:
        for job in list(self.waiting.values()):
            node = self.least_allocated_node(0, 0, job.nodes)
            if node is None or self.hold_all:
                yield replace(self._decision(job, "", now_us), action=Action.HOLD, until_us=now_us + 10**6)
                continue
            del self.waiting[job.key]
            self._put(job.key, node)
            yield self._decision(job, node, now_us)

    def _decision(self, job: Job, node: str, now_us: int) -> Decision:
        return Decision(
            Action.START,
            0,
            job=job.key,
            node=node,
            hardware="gpu-a",
            configuration="ort-b8",
            device_units=1,
            cpu_milli=1000,
            memory_mib=1024,
            run_s=2.0,
            finish_us=now_us + 2_000_000,
        )

    def least_allocated_node(
        self, cpu_milli: int, memory_mib: int, nodes: frozenset[str] | None = None
    ) -> str | None:
        used = list(self.placed.values())
        free = (
            n
            for n in sorted(self.nodes)
            if used.count(n) < self.slots and self.nodes[n].ready and n not in self.closed
        )
        return next((n for n in free if nodes is None or n in nodes), None)

    def refresh(self, now_us: int) -> None:
        pass

    def next_epoch_us(self, now_us: int) -> int | None:
        return None

    def queued(self) -> int:
        return len(self.waiting)

    def running(self) -> int:
        return len(self.placed)


class FakeClient:
    """Answers from a script: a list of replies or errors per (method, path), the last one for ever."""

    def __init__(self, script: dict[tuple[str, str], list[object]] | None = None) -> None:
        self.script = script or {}
        self.sent: list[tuple[str, str, Any]] = []
        self.options: list[dict[str, Any]] = []
        """Of each `request`."""
        self.clock = ServerClock(wall=lambda: NOW_US / 1e6, monotonic=lambda: 0.0)

    def now_us(self) -> int:
        return NOW_US

    async def get(self, path: str, params: Any = None, *, timeout_s: float | None = None) -> Any:
        return self._answer("GET", path, params)

    async def post(self, path: str, body: Any, *, permit: Any = None, **_: Any) -> Any:
        if permit is not None and not permit():
            raise Withheld
        return self._answer("POST", path, body)

    async def request(
        self, method: str, path: str, *, body: Any = None, permit: Any = None, **options: Any
    ) -> Any:
        if permit is not None and not permit():
            raise Withheld
        self.options.append(options)
        return self._answer(method, path, body)

    def _answer(self, method: str, path: str, body: Any) -> Any:
        self.sent.append((method, path, body))
        replies = self.script.get((method, path), [{}])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, ApiError):
            raise reply
        return reply
