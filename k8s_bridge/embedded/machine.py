"""One simulated node: what it tells the API server, and what room it has left."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from synergai.envs.types import Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.quantities import QuantityError
from synergai.k8s_bridge.admission.requests import pod_requests
from synergai.k8s_bridge.embedded.clock import seconds_text
from synergai.k8s_bridge.embedded.objects import Json, metadata

KUBELET_VERSION = "v1.36.0-synergai.simulated"
DEVICE_PREFIX = "device:"
"""Marks what decisions ask for in a machine's accounts, which the node's status does not show."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the decision annotation of a pod says; empty where there is none."""

    hardware: str = ""
    configuration: str = ""
    units: int = 0


def chosen(pod: Json) -> Chosen:
    """Read a pod's decision; anybody may write an annotation, so one that is none counts as absent."""
    text = (metadata(pod).get("annotations") or {}).get(keys.ANNOTATION_DECISION)
    try:
        given = json.loads(text) if text else {}
        return Chosen(str(given["hardware"]), str(given["configuration"]), int(given.get("deviceUnits", 0)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Chosen()


class Refusal(NamedTuple):
    """Why a kubelet does not take a pod (pkg/kubelet/lifecycle/predicate.go)."""

    reason: str
    message: str


class Machine:
    """The accounts of one node. `resources` names the extended resource behind each device class."""

    def __init__(self, node: Node, resources: Mapping[str, str]) -> None:
        self.node = node
        self._resources = resources
        self._capacity = _capacity(node, resources)
        self._used: Counter[str] = Counter()
        self._taken: dict[str, Counter[str]] = {}

    def take(self, uid: str, pod: Json) -> Refusal | None:
        """Book the pod, or say why not."""
        try:
            wanted = _wanted(pod)
        except QuantityError as error:
            return Refusal("UnexpectedAdmissionError", f"Pod was rejected: {error}")
        for name, amount in wanted.items():
            capacity = self._capacity.get(name, 0)
            if self._used[name] + amount > capacity:
                return _refusal(name, amount, self._used[name], capacity)
        self._taken[uid] = wanted
        self._used.update(wanted)
        return None

    def free(self, uid: str) -> None:
        """The pod is gone; nothing happens if it never was."""
        self._used.subtract(self._taken.pop(uid, Counter()))

    def labels(self, arm: Collection[str]) -> dict[str, str]:
        """As a kubelet, the cloud and our hardware rules would set them."""
        devices = self.node.devices
        is_arm = any(device.hardware in arm for device in devices)
        labels = {f"{keys.LABEL_HARDWARE_PREFIX}{d.hardware}": str(d.units or 1) for d in devices}
        labels |= {
            keys.LABEL_DEDICATED: "true",
            "kubernetes.io/hostname": self.node.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "arm64" if is_arm else "amd64",
        }
        return labels | ({keys.LABEL_SITE: self.node.site} if self.node.site else {})

    def status(self, now_s: float, arch: str) -> Json:
        """Capacity, conditions and versions."""
        room = {
            "cpu": f"{self.node.cpu_milli}m",
            "memory": f"{self.node.memory_mib}Mi",
            "pods": str(self.node.pods),
        }
        for device in self.node.devices:
            name = self._resources.get(device.hardware, "")
            if name:
                room[name] = str(self._capacity[name])
        return {
            "capacity": room,
            "allocatable": room,
            "conditions": _conditions(now_s, self.node.ready),
            "addresses": [{"type": "Hostname", "address": self.node.name}],
            "nodeInfo": _node_info(self.node.name, arch),
        }


def _capacity(node: Node, resources: Mapping[str, str]) -> Counter[str]:
    capacity = Counter({"cpu": node.cpu_milli, "memory": node.memory_mib, "pods": node.pods})
    for device in node.devices:
        capacity[DEVICE_PREFIX + device.hardware] += device.units
        if resources.get(device.hardware):
            capacity[resources[device.hardware]] += device.units
    return capacity


def _wanted(pod: Json) -> Counter[str]:
    requests = pod_requests(pod.get("spec") or {})
    decision = chosen(pod)
    wanted = Counter({"pods": 1, "cpu": requests.cpu_milli, "memory": requests.memory_mib})
    wanted.update(dict(requests.extended))
    if decision.units > 0:
        wanted[DEVICE_PREFIX + decision.hardware] = decision.units
    return +wanted


def _refusal(name: str, amount: int, used: int, capacity: int) -> Refusal:
    asked = f"requested: {amount}, used: {used}, capacity: {capacity}"
    if name.startswith(DEVICE_PREFIX):
        what = name.removeprefix(DEVICE_PREFIX)
        return Refusal(
            "OutOfdevice", f"Pod was rejected: the decision's units of {what} are not free, {asked}"
        )
    text = f"Pod was rejected: Node didn't have enough resource: {name}, {asked}"
    return Refusal(f"OutOf{name}", text)


def _conditions(now_s: float, ready: bool) -> list[Json]:
    at = seconds_text(now_s)
    pressures = ("MemoryPressure", "DiskPressure", "PIDPressure")
    values = [(name, "False", f"KubeletHasNo{name}") for name in pressures]
    values.append(("Ready", "True", "KubeletReady") if ready else ("Ready", "False", "KubeletNotReady"))
    return [
        {"type": name, "status": value, "reason": reason, "lastHeartbeatTime": at, "lastTransitionTime": at}
        for name, value, reason in values
    ]


def _node_info(name: str, arch: str) -> Json:
    return {
        "architecture": arch,
        "operatingSystem": "linux",
        "osImage": "simulated",
        "kernelVersion": "simulated",
        "containerRuntimeVersion": "simulated://1",
        "kubeletVersion": KUBELET_VERSION,
        "machineID": name,
        "systemUUID": name,
        "bootID": name,
        "kubeProxyVersion": "",
    }
