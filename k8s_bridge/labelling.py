"""A node's device labels, from what its host shows: which are set, which no longer hold, and what no profile knows."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.explain.api import AskError, problem
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.host.host import Device, Host
from synergai.offline_profiles.profile import Hardware

MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a host's labels are to be."""

    labels: Mapping[str, str]
    """Those of devices that profiles know, or that are wanted all the same."""
    unknown: tuple[str, ...] = ()
    """Names of devices that get no label, as no profile knows them."""
    certain: bool = True
    """Whether a device that is not here is really gone; no where the host could not be read whole."""


@dataclass(frozen=True, slots=True)
class Change:
    """From the labels that a node has to those it gets."""

    set: Mapping[str, str]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    """That may no longer hold, but nobody can tell."""

    def patch(self) -> Json:
        """A merge patch of the node."""
        return {"metadata": {"labels": {**self.set, **dict.fromkeys(self.removed)}}}


def read_map(given: Iterable[str]) -> dict[str, str]:
    """`OLD=NEW` each: a device's own name, and the class whose profiles are to serve it. AskError where it is not."""
    pairs = {}
    for one in given:
        old, equals, new = one.partition("=")
        if not (old and equals and new):
            raise AskError(
                f"--map {one!r}: expected OLD=NEW, such as jetson-agx-orin-30w=jetson-agx-orin-maxq"
            )
        if old in pairs:
            raise AskError(f"--map: {old} is there twice")
        pairs[old] = new
    return pairs


def wanted(
    host: Host, hardware: Mapping[str, Hardware], renamed: Mapping[str, str], unprofiled: bool = False
) -> Wanted:
    """The labels of a host. AskError where `renamed` names a device that it has not, or a class that is not known."""
    devices = host.devices
    names = {device.name for device in devices}
    if absent := [old for old in renamed if old not in names]:
        raise AskError(
            f"--map: this host has no {', '.join(absent)}; it has {', '.join(sorted(names)) or 'none'}"
        )
    if strange := [new for new in renamed.values() if new not in hardware and not unprofiled]:
        raise AskError(f"--map: no profile knows {', '.join(strange)}{_nearest_text(strange[0], hardware)}")
    devices = _renamed(devices, renamed)
    known = [device for device in devices if unprofiled or device.name in hardware]
    return Wanted(
        labels={f"{keys.LABEL_HARDWARE_PREFIX}{device.name}": str(device.units) for device in known},
        unknown=tuple(device.name for device in devices if device not in known),
        certain=not host.problems,
    )


def _renamed(devices: Sequence[Device], renamed: Mapping[str, str]) -> list[Device]:
    """Two that become one are counted together."""
    units: dict[str, Device] = {}
    for device in devices:
        name = renamed.get(device.name, device.name)
        before = units[name].units if name in units else 0
        units[name] = Device(name, before + device.units, device.kind)
    return list(units.values())


def change(labels: Mapping[str, str], to: Wanted) -> Change:
    """What a node's own labels need; labels that are not of devices are left alone."""
    ours = [label for label in sorted(labels) if label.startswith(keys.LABEL_HARDWARE_PREFIX)]
    stale = tuple(label for label in ours if label not in to.labels)
    return Change(
        set={label: value for label, value in to.labels.items() if labels.get(label) != value},
        removed=stale if to.certain else (),
        kept=() if to.certain else stale,
    )


def nearest(name: str, hardware: Mapping[str, Hardware]) -> str:
    """The class whose name is most like it, the beginning before the rest; empty where none begins the same."""
    words = name.split("-")

    def likeness(other: str) -> tuple[int, float]:
        same = [one == two for one, two in zip(words, other.split("-"))]
        return (same + [False]).index(False), difflib.SequenceMatcher(None, name, other).ratio()

    best = max(sorted(hardware), key=likeness, default="")
    return best if best and likeness(best)[0] else ""


def _nearest_text(name: str, hardware: Mapping[str, Hardware]) -> str:
    found = nearest(name, hardware)
    return f"; the nearest class that is known is {found}" if found else ""


def remarks(host: Host, to: Wanted, hardware: Mapping[str, Hardware]) -> list[str]:
    """What a person should know before these labels are believed; one line each."""
    told = list(host.problems)
    for name in to.unknown:
        told.append(
            f"no label for {name}, which no profile knows{_nearest_text(name, hardware)}; measure it and name its "
            "class with --hardware FILE, or take another's profiles with --map OLD=NEW"
        )
    for label in to.labels:
        known = hardware.get(label.removeprefix(keys.LABEL_HARDWARE_PREFIX))
        if known and known.kind == "cpu" and 0 < host.cpu.threads * 1000 < known.cpu_milli:
            told.append(
                f"{known.name} has {known.cpu_milli // 1000} cores where it was measured, and this host shows "
                f"{host.cpu.threads}: configurations of more threads do not fit it"
            )
    return told


def refuse_another_machine(node: Json, host: Host) -> None:
    """AskError where a node says that it is not the machine that was described: its kernel is another."""
    info = (node.get("status") or {}).get("nodeInfo") or {}
    theirs = info.get("kernelVersion", "")
    if theirs and host.kernel and theirs != host.kernel:
        raise AskError(
            f"node {node['metadata']['name']} runs kernel {theirs}, and what is described here {host.kernel}: run this "
            "on the node, or describe it with --from-dir; --force sets the labels all the same"
        )


async def fetch_node(client: ApiClient, name: str) -> Json:
    """A node; AskError if there is none, with the names of those there are."""
    try:
        return await client.get(f"/api/v1/nodes/{quote(name, safe='')}")
    except ApiError as error:
        if error.status != 404:
            raise AskError(problem(error)) from error
    try:
        found = await client.get("/api/v1/nodes", {"limit": "20"})
    except ApiError as error:
        raise AskError(f"there is no node {name}") from error
    names = ", ".join(item["metadata"]["name"] for item in found["items"])
    raise AskError(f"there is no node {name}; there are {names or 'none'}")


async def apply(client: ApiClient, name: str, to: Change) -> None:
    """Set and remove the labels in one write; AskError where that is refused."""
    try:
        path = f"/api/v1/nodes/{quote(name, safe='')}"
        await client.request("PATCH", path, body=to.patch(), media_type=MERGE_PATCH)
    except ApiError as error:
        raise AskError(f"node {name}: {problem(error)}") from error


def manifest(name: str, to: Wanted) -> Json:
    """The node's labels as an object, for `kubectl apply --server-side`."""
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": dict(to.labels)}}


def feature_file(to: Wanted) -> str:
    """The labels as node-feature-discovery's worker reads them from features.d."""
    return "".join(f"{label}={value}\n" for label, value in to.labels.items())
