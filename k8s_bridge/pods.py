"""A pod as the API server sends it, reduced to what a scheduler must know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.quantities import QuantityError
from synergai.k8s_bridge.admission.relations import NOBODY, Relations, read_relations
from synergai.k8s_bridge.admission.requests import NOTHING, Json, Requests, pod_requests
from synergai.k8s_bridge.admission.selectors import (
    NodeTerms,
    SelectorError,
    only_node,
    read_node_terms,
    terms_match,
)
from synergai.k8s_bridge.admission.taints import Toleration
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.sizes import Main, read_main

_HARMLESS_VOLUMES = frozenset(
    {
        "configMap", "downwardAPI", "emptyDir", "ephemeral", "hostPath", "image", "name", "nfs",
        "persistentVolumeClaim", "projected", "secret",
    }
)  # fmt: skip
"""What a volume may be, or have: its name, and kinds that bind a pod to no node, or by a claim that is
looked up; every other kind is refused."""
_GATES = "schedulingGates"
_JOB = "InferenceJob"
FINISHED_PHASES = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class Claim:
    """A PersistentVolumeClaim that a pod uses."""

    namespace: str
    name: str
    owner: str = ""
    """The pod's uid, where the claim is made for this pod alone."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What decides which nodes admit a pod; pods that are equal here share one answer."""

    requests: Requests = NOTHING
    tolerations: tuple[Toleration, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    terms: NodeTerms = None
    """Required node affinity."""
    claims: tuple[Claim, ...] = ()
    delegated: bool = False
    """Whether it is an attempt of a job that another scheduler binds: nodes that others fill too are open to it, and
    claims that are not bound yet are that scheduler's business."""

    def selects(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether the node matches the pod's node selector and its node affinity."""
        if any(labels.get(key) != value for key, value in self.selector):
            return False
        return terms_match(self.terms, name, labels)


class Owner(NamedTuple):
    """The InferenceJob that a pod is an attempt of, in the pod's namespace."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of ours."""

    name: str
    namespace: str
    uid: str
    """Empty for one that is to be created when it is decided where."""
    created_us: int
    """Server time, whole seconds."""
    demand: Demand
    """What its owner asked for, also where it was resized since; of a bound pod what it has."""
    annotations: Mapping[str, str]
    """Only those of our prefix."""
    relations: Relations = NOBODY
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
    """Why it failed, as the kubelet says."""
    version: str = ""
    """resourceVersion."""
    main: Main | None = None
    """The container that a decision may resize; None where none may, and once it is bound."""
    shown: Requests | None = None
    """What it requests now, where that is not what `demand` says."""
    owner: Owner | None = None
    unschedulable: str = ""
    """The message of its condition PodScheduled where that is False for reason Unschedulable."""

    @property
    def key(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def made(self) -> bool:
        """Whether it is an attempt of a job that is there: it was decided before it was made."""
        return self.owner is not None and bool(self.uid)

    @property
    def aim(self) -> str:
        """Where it is bound; of an attempt that another scheduler is to bind the node that it is made for."""
        return self.node or (only_node(self.demand.terms) if self.owner is not None else "")

    @property
    def lot(self) -> str:
        """What decides by chance about it goes by: one for all attempts of a job."""
        return self.owner.uid if self.owner is not None else self.uid

    @property
    def finished(self) -> bool:
        return self.phase in FINISHED_PHASES

    def asks_the_same(self, other: "Pod") -> bool:
        """Whether a decision for one is a decision for the other; a resize of ours asks for nothing new."""
        return (
            (self.uid, self.demand, self.annotations, self.priority, self.gated, self.deleting)
            == (other.uid, other.demand, other.annotations, other.priority, other.gated, other.deleting)
            and (self.relations, self.unsupported) == (other.relations, other.unsupported)
            and (self.main is None) == (other.main is None)
        )

    def as_shown(self) -> "Pod":
        """The pod as one that nobody resizes: what it requests now is what it asks for."""
        if self.main is None and self.shown is None:
            return self
        demand = self.demand if self.shown is None else replace(self.demand, requests=self.shown)
        return replace(self, demand=demand, main=None, shown=None)


def read_pod(raw: Json) -> Pod:
    """What we keep of a pod; what is not understood makes the pod unsupported, never an exception."""
    metadata, spec, status = raw["metadata"], raw.get("spec", {}), raw.get("status", {})
    main = None if spec.get("nodeName") or init_dominates(spec) else read_main(raw)
    asked = main.as_asked(spec) if main else spec
    requests, shown, relations, terms, bad = NOTHING, None, NOBODY, None, []
    try:
        requests = pod_requests(asked, status)
        shown = None if asked is spec else pod_requests(spec, status)
    except QuantityError as error:
        bad.append(f"a resource request where {error}")
    try:
        relations = read_relations(metadata, spec)
        terms = _node_terms(spec)
    except SelectorError as error:
        bad.append(f"in its affinity or spread {error}")
    annotations, owner = metadata.get("annotations") or {}, read_owner(metadata)
    return Pod(
        name=metadata["name"],
        namespace=metadata.get("namespace", "default"),
        uid=metadata.get("uid", ""),
        created_us=_time_us(metadata.get("creationTimestamp")) or 0,
        demand=_shared(
            Demand(
                requests,
                _tolerations(spec),
                tuple(sorted((spec.get("nodeSelector") or {}).items())),
                terms,
                _claims(metadata, spec),
                owner is not None and spec.get("schedulerName", keys.SCHEDULER_NAME) != keys.SCHEDULER_NAME,
            )
        ),
        annotations={k: v for k, v in annotations.items() if k.startswith(f"{keys.PREFIX}/")},
        relations=relations,
        priority=int(spec.get("priority") or 0),
        node=spec.get("nodeName") or "",
        phase=status.get("phase", "Pending"),
        deleting="deletionTimestamp" in metadata,
        gated=bool(spec.get(_GATES)),
        unsupported=(*bad, *unsupported(spec)),
        started_us=_time_us(status.get("startTime")),
        message=_termination_message(status),
        ran_us=_ran_us(status),
        reason=status.get("reason", ""),
        version=metadata.get("resourceVersion", ""),
        main=main,
        shown=shown,
        owner=owner,
        unschedulable=_unschedulable(status),
    )


def read_owner(metadata: Json) -> Owner | None:
    """None for a pod that no job controls."""
    for owner in metadata.get("ownerReferences") or ():
        ours = owner.get("kind") == _JOB and str(owner.get("apiVersion", "")).startswith(f"{keys.PREFIX}/")
        if ours and owner.get("controller"):
            return Owner(owner.get("name", ""), owner.get("uid", ""))
    return None


@lru_cache(4096)
def _shared(demand: Demand) -> Demand:
    """The same object for all that are equal: thousands of pods ask for the same."""
    return demand


def _time_us(text: str | None) -> int | None:
    try:
        return parse_time_us(text) if text else None
    except (ValueError, OverflowError):
        return None


def _tolerations(spec: Json) -> tuple[Toleration, ...]:
    """Those whose operator compares numbers are left out: kube-scheduler heeds them behind an alpha gate only."""
    return tuple(
        Toleration(raw.get("key", ""), operator == "Exists", raw.get("value", ""), raw.get("effect", ""))
        for raw in spec.get("tolerations") or ()
        if (operator := raw.get("operator") or "Equal") in ("Equal", "Exists")
    )


def _node_terms(spec: Json) -> NodeTerms:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return read_node_terms(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))


def _claims(metadata: Json, spec: Json) -> tuple[Claim, ...]:
    namespace, claims = metadata.get("namespace", "default"), []
    for volume in spec.get("volumes") or ():
        if "persistentVolumeClaim" in volume:
            claims.append(Claim(namespace, volume["persistentVolumeClaim"].get("claimName", "")))
        elif "ephemeral" in volume:
            name = f"{metadata['name']}-{volume.get('name', '')}"
            claims.append(Claim(namespace, name, metadata.get("uid", "")))
    return tuple(claims)


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


def unsupported(spec: Json, delegated: bool = False) -> tuple[str, ...]:
    """Everything in a spec that constrains placement and that we would not respect; another scheduler that binds the
    pod respects all but what needs several pods at once."""
    checks = _GANGS if delegated else (*_UNSUPPORTED, *_GANGS)
    return tuple(text for check in checks if (text := check(spec)))


def _volumes(spec: Json) -> str:
    volumes = spec.get("volumes") or ()
    names = [v.get("name", "?") for v in volumes if not _HARMLESS_VOLUMES.issuperset(v)]
    return f"the volumes {', '.join(names)} (of a kind that may be tied to nodes)" if names else ""


def _present(field: str) -> Callable[[Json], str]:
    return lambda spec: f"spec.{field}" if spec.get(field) else ""


_UNSUPPORTED: tuple[Callable[[Json], str], ...] = (
    _volumes,
    _present("resourceClaims"),
)
_GANGS = (_present("schedulingGroup"), _present("workloadRef"))
