"""A node as the API server sends it: its devices by label, its room net of other schedulers' pods."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from synergai.envs.types import Device, Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.quantities import QuantityError, count, cpu_milli, memory_mib
from synergai.k8s_bridge.admission.requests import Json, Requests
from synergai.k8s_bridge.admission.taints import BLOCKING, READINESS, UNSCHEDULABLE, Taint
from synergai.offline_profiles.profile import Hardware

_DEFAULT_PODS = 110  # kubelet's --max-pods


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What we keep of a node."""

    name: str
    uid: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    """Those that block a pod, without those of `readiness`."""
    cpu_milli: int
    memory_mib: int
    pods: int
    extended: Mapping[str, int]
    devices: tuple[Device, ...] = ()
    readiness: tuple[Taint, ...] = ()
    """Taints that come and go with the node's health: not ready, unreachable, cordoned."""
    cordoned: bool = False
    """`spec.unschedulable`, with its taint or without."""
    dedicated: bool = False
    others: bool = False
    """Whether it is left to others, but for what kube-scheduler binds."""
    problem: str = ""
    """Why it cannot be used at all, whatever the pod."""

    @property
    def ready(self) -> bool:
        """Neither cordoned nor not ready nor unreachable."""
        return not (self.cordoned or self.readiness)

    @property
    def blocking_taints(self) -> tuple[Taint, ...]:
        return self.taints + self.readiness


def read_node(
    raw: Json, hardware: Mapping[str, Hardware], shared_nodes: bool = False, delegates: bool = False
) -> NodeFacts:
    """What we keep of a node; what is wrong with it is its `problem`, never an exception. A node that is not dedicated
    is used by all with `shared_nodes`, and with `delegates` by what another scheduler binds."""
    metadata, spec = raw["metadata"], raw.get("spec", {})
    labels = metadata.get("labels") or {}
    taints = [
        Taint(t.get("key", ""), t.get("value", ""), t["effect"])
        for t in spec.get("taints") or ()
        if t.get("effect") in BLOCKING
    ]
    dedicated = labels.get(keys.LABEL_DEDICATED, "false") != "false"
    cpu, memory, pods, extended, bad_room = _room((raw.get("status") or {}).get("allocatable") or {})
    devices, bad_labels = _devices(labels, hardware, extended)
    ours = dedicated or shared_nodes
    ignored = "" if ours or delegates else f"it lacks the label {keys.LABEL_DEDICATED}"
    return NodeFacts(
        name=metadata["name"],
        uid=metadata.get("uid", ""),
        labels=labels,
        taints=tuple(t for t in taints if not _is_readiness(t)),
        cpu_milli=cpu,
        memory_mib=memory,
        pods=pods,
        extended=extended,
        devices=devices,
        readiness=tuple(t for t in taints if _is_readiness(t)),
        cordoned=bool(spec.get("unschedulable")),
        dedicated=dedicated,
        others=not ours,
        problem=ignored or bad_labels or bad_room,
    )


def _is_readiness(taint: Taint) -> bool:
    return taint.key in READINESS or taint.key == UNSCHEDULABLE


def _room(allocatable: Json) -> tuple[int, int, int, dict[str, int], str]:
    """CPU, memory, pods, other resources, and what is wrong."""
    try:
        cpu = cpu_milli(allocatable.get("cpu", "0"), up=False)
        memory = memory_mib(allocatable.get("memory", "0"), up=False)
        pods = count(allocatable.get("pods", _DEFAULT_PODS), up=False)
        plain = ("cpu", "memory", "pods")
        extended = {name: count(q, up=False) for name, q in allocatable.items() if name not in plain}
    except QuantityError as error:
        return 0, 0, 0, {}, f"of its status.allocatable {error}"
    return cpu, memory, pods, extended, ""


def _devices(
    labels: Mapping[str, str], hardware: Mapping[str, Hardware], extended: Mapping[str, int]
) -> tuple[tuple[Device, ...], str]:
    """Devices by label, or why the labels cannot be used."""
    prefix = keys.LABEL_HARDWARE_PREFIX
    named = {
        label.removeprefix(prefix): value
        for label, value in sorted(labels.items())
        if label.startswith(prefix)
    }
    if not named:
        return (), f'it has no hardware label such as {prefix}nvidia-t4: "4"'
    devices = []
    for name, value in named.items():
        if name not in hardware:
            return (), f"its label {prefix}{name} names hardware without profiles"
        if not (value.isascii() and value.isdigit() and 1 <= int(value) <= 4096):
            return (), f"its label {prefix}{name} is {value!r}; expected the number of such devices"
        devices.append(Device(name, _units(hardware[name], int(value), extended)))
    return tuple(devices), ""


def _units(hardware: Hardware, labelled: int, extended: Mapping[str, int]) -> int:
    if hardware.kind == "cpu":
        return 0
    # a device plugin that has lost a device says so in allocatable
    return min(labelled, extended.get(hardware.resource, labelled))


def used_by(others: Iterable[Requests]) -> Requests:
    """What several pods ask for together."""
    others = list(others)
    extended = Counter[str]()
    for name, amount in (pair for requests in others for pair in requests.extended):
        extended[name] += amount
    cpu, memory = sum(r.cpu_milli for r in others), sum(r.memory_mib for r in others)
    return Requests(cpu, memory, tuple(sorted(extended.items())))


def to_node(
    facts: NodeFacts, hardware: Mapping[str, Hardware], others: Collection[Requests] = (), ready: bool = True
) -> Node:
    """The node as the cluster sees it, net of what other schedulers' pods ask for."""
    used = used_by(others)
    extended = dict(used.extended)
    return Node(
        name=facts.name,
        devices=tuple(_net(device, hardware[device.hardware], extended) for device in facts.devices),
        cpu_milli=max(facts.cpu_milli - used.cpu_milli, 0),
        memory_mib=max(facts.memory_mib - used.memory_mib, 0),
        pods=max(facts.pods - len(others), 0),
        site=facts.labels.get(keys.LABEL_SITE, ""),
        ready=ready,
    )


def free_extended(facts: NodeFacts, others: Iterable[Requests] = ()) -> dict[str, int]:
    """What others leave of what the node says it has besides cpu, memory and pods."""
    used = dict(used_by(others).extended)
    return {name: amount - used.get(name, 0) for name, amount in facts.extended.items()}


def _net(device: Device, hardware: Hardware, used: Mapping[str, int]) -> Device:
    return Device(device.hardware, max(device.units - used.get(hardware.resource, 0), 0))
