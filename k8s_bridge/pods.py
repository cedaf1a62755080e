"""A pod as the API server sends it, reduced to what a scheduler must know."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any  # API objects are JSON of any shape

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.quantities import QuantityError, count, cpu_milli, memory_mib
from synergai.k8s_bridge.sizes import Main, read_main

Json = dict[str, Any]

_HARMLESS_VOLUMES = frozenset(
    {"configMap", "downwardAPI", "emptyDir", "hostPath", "image", "nfs", "projected", "secret"}
)
"""Volumes that bind a pod to no node; every other kind is refused."""
_GATES = "schedulingGates"
FINISHED_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Requests:
    """What a pod asks of a node, as kube-scheduler counts it."""

    cpu_milli: int = 0
    memory_mib: int = 0
    extended: tuple[tuple[str, int], ...] = ()
    """Other resources, sorted by name, without zeros."""


@dataclass(frozen=True, slots=True)
class Toleration:
    """One toleration; empty `key` is any, empty `effect` is any."""

    key: str
    exists: bool
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Demand:
    """What decides which nodes admit a pod; pods that are equal here share one answer."""

    requests: Requests = Requests()
    tolerations: tuple[Toleration, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of ours."""

    name: str
    namespace: str
    uid: str
    created_us: int
    """Server time, whole seconds."""
    demand: Demand
    """What its owner asked for, also where it was resized since; of a bound pod what it has."""
    annotations: Mapping[str, str]
    """Only those of our prefix."""
    priority: int = 0
    node: str = ""
    """Where it is bound; empty before."""
    phase: str = "Pending"
    deleting: bool = False
    gated: bool = False
    unsupported: tuple[str, ...] = ()
    """What in its spec constrains placement in a way that is not supported."""
    started_us: int | None = None
    """When the kubelet took it, server time, whole seconds."""
    message: str = ""
    """The first container's termination message."""
    ran_us: int | None = None
    """From the first container's start to the last one's end; of whole seconds, None where that is not known."""
    reason: str = ""
    version: str = ""
    """resourceVersion."""
    main: Main | None = None
    """The container that a decision may resize; None where none may, and once it is bound."""
    shown: Requests | None = None
    """What it requests now, where that is not what `demand` says."""
    unschedulable: str = ""
    """The message of its condition PodScheduled where that is False for reason Unschedulable."""
    """Why it failed, as the kubelet says."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED_PHASES

    def asks_the_same(self, other: "Pod") -> bool:
        """Whether a decision for one is a decision for the other; a resize of ours asks for nothing new."""
        return (
            (self.uid, self.demand, self.annotations, self.priority, self.gated, self.deleting)
            == (other.uid, other.demand, other.annotations, other.priority, other.gated, other.deleting)
            and self.unsupported == other.unsupported
            and (self.main is None) == (other.main is None)
        )

    def as_shown(self) -> "Pod":
        """The pod as one that nobody resizes: what it requests now is what it asks for."""
        if self.main is None and self.shown is None:
            return self
        demand = self.demand if self.shown is None else replace(self.demand, requests=self.shown)
        return replace(self, demand=demand, main=None, shown=None)


def read_pod(raw: Json) -> Pod:
    """What we keep of a pod; a quantity that is none makes the pod unsupported, never an exception."""
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    main = None if spec.get("nodeName") or init_dominates(spec) else read_main(raw)
    asked = main.as_asked(spec) if main else spec
    requests, bad = _requests_or_problem(asked)
    annotations = metadata.get("annotations") or {}
    return Pod(
        name=metadata["name"],
        namespace=metadata.get("namespace", "default"),
        uid=metadata.get("uid", ""),
        created_us=_time_us(metadata.get("creationTimestamp")) or 0,
        demand=Demand(
            requests,
            tuple(_toleration(t) for t in spec.get("tolerations") or ()),
            tuple(sorted((spec.get("nodeSelector") or {}).items())),
        ),
        annotations={k: v for k, v in annotations.items() if k.startswith(f"{keys.PREFIX}/")},
        priority=int(spec.get("priority") or 0),
        node=spec.get("nodeName") or "",
        phase=status.get("phase", "Pending"),
        deleting="deletionTimestamp" in metadata,
        gated=bool(spec.get(_GATES)),
        unsupported=bad + unsupported(spec),
        started_us=_time_us(status.get("startTime")),
        message=_termination_message(status),
        ran_us=_ran_us(status),
        reason=status.get("reason", ""),
        version=metadata.get("resourceVersion", ""),
        main=main,
        shown=None if asked is spec else _requests_or_problem(spec)[0],
        unschedulable=_unschedulable(status),
    )


def _time_us(text: str | None) -> int | None:
    try:
        return parse_time_us(text) if text else None
    except (ValueError, OverflowError):
        return None


def _toleration(raw: Json) -> Toleration:
    exists = raw.get("operator", "Equal") == "Exists"
    return Toleration(raw.get("key", ""), exists, raw.get("value", ""), raw.get("effect", ""))


def _termination_message(status: Json) -> str:
    for container in status.get("containerStatuses") or ():
        message = (container.get("state") or {}).get("terminated", {}).get("message")
        if message:
            return message
    return ""


def _unschedulable(status: Json) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return condition.get("message", "")
    return ""


def init_dominates(spec: Json) -> bool:
    """Whether an init container needs more of something than all that run after it, so that these may grow for free."""
    starters = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") != "Always"]
    if not starters:
        return False
    later = [c for c in spec["initContainers"] if c not in starters]
    try:
        return pod_requests(spec) != pod_requests({**spec, "initContainers": later})
    except QuantityError:
        return True


def _ran_us(status: Json) -> int | None:
    ends = [(c.get("state") or {}).get("terminated") or {} for c in status.get("containerStatuses") or ()]
    started = [at_us for end in ends if (at_us := _time_us(end.get("startedAt"))) is not None]
    finished = [at_us for end in ends if (at_us := _time_us(end.get("finishedAt"))) is not None]
    if not ends or len(started) < len(ends) or len(finished) < len(ends):
        return None
    return max(max(finished) - min(started), 0)


def _requests_or_problem(spec: Json) -> tuple[Requests, tuple[str, ...]]:
    try:
        return pod_requests(spec), ()
    except QuantityError as error:
        return Requests(), (f"a resource request where {error}",)


def pod_requests(spec: Json) -> Requests:
    """max(init containers, containers + sidecars) + overhead, per resource.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    """
    running = _sum(_container(c) for c in spec.get("containers") or ())
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        now = sidecars + _container(container)
        peak |= now
        if container.get("restartPolicy") == "Always":
            sidecars = now
    total = ((running + sidecars) | peak) + _amounts(spec.get("overhead") or {})
    extended = {name: n for name, n in total.items() if name not in ("cpu", "memory")}
    return Requests(total["cpu"], total["memory"], tuple(sorted(extended.items())))


def _sum(parts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total += part
    return total


def _container(container: Json) -> Counter[str]:
    resources = container.get("resources") or {}
    # a limit without a request is the request (the API server defaults it; a static pod may come without)
    return _amounts((resources.get("limits") or {}) | (resources.get("requests") or {}))


def _amounts(quantities: Json) -> Counter[str]:
    units: dict[str, Callable[..., int]] = {"cpu": cpu_milli, "memory": memory_mib}
    return +Counter({name: units.get(name, count)(value) for name, value in quantities.items()})


def unsupported(spec: Json) -> tuple[str, ...]:
    """Everything in a spec that constrains placement and that we would not respect."""
    return tuple(text for check in _UNSUPPORTED if (text := check(spec)))


def _affinity(spec: Json) -> str:
    kinds = sorted(kind for kind, value in (spec.get("affinity") or {}).items() if value)
    return f"spec.affinity ({', '.join(kinds)})" if kinds else ""


def _volumes(spec: Json) -> str:
    names = [
        v.get("name", "?") for v in spec.get("volumes") or () if not set(v) - {"name"} <= _HARMLESS_VOLUMES
    ]
    return (
        f"the volumes {', '.join(names)} (a PersistentVolumeClaim or another volume tied to nodes)"
        if names
        else ""
    )


def _host_ports(spec: Json) -> str:
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    ports = sorted({p["hostPort"] for c in containers for p in c.get("ports") or () if p.get("hostPort")})
    return f"hostPort {', '.join(map(str, ports))}" if ports else ""


def _present(field: str) -> Callable[[Json], str]:
    return lambda spec: f"spec.{field}" if spec.get(field) else ""


_UNSUPPORTED: tuple[Callable[[Json], str], ...] = (
    _affinity,
    _present("topologySpreadConstraints"),
    _volumes,
    _present("resourceClaims"),
    _host_ports,
    _present("resources"),  # pod-level resources
    _present("schedulingGroup"),  # gangs
    _present("workloadRef"),
)
