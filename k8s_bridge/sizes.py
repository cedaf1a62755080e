"""A pod's main container, which takes up what a configuration needs: its cpu and memory as they are, as its owner asked
for them, and as they shall be.

What was asked is the floor of every decision, so it must outlive a bridge that dies between resize and bind. It travels
as the field manager of the resize, which the API server keeps with the quantities that this manager set last
(https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management), in the same write.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple  # API objects are JSON of any shape

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.quantities import QuantityError, cpu_milli, memory_mib, parse

Json = dict[str, Any]

_MANAGER = re.compile(rf"{keys.SCHEDULER_NAME}:cpu=([^/,=]*)/([^/,=]*),memory=([^/,=]*)/([^/,=]*)", re.ASCII)
_LONGEST_MANAGER = 128
"""Characters of a field manager; the API server refuses more."""
_MAIN = "kubectl.kubernetes.io/default-container"
"""The annotation that names the main container of a pod with several; sidecar injectors set it."""
_KUEUE = ("kueue.x-k8s.io/queue-name", "kueue.x-k8s.io/managed")
RESOURCES = ("cpu", "memory")


class Size(NamedTuple):
    """Request and limit of one resource, as quantities; empty where there is none."""

    request: str = ""
    limit: str = ""

    def grown(self, more: int, unit: str) -> "Size":
        """By whole milli-CPU (`m`) or MiB (`Mi`); a limit below the request is raised to it."""
        if more <= 0:
            return self
        whole = cpu_milli if unit == "m" else memory_mib
        request = f"{whole(self.request or 0) + more}{unit}"
        low = bool(self.limit) and parse(self.limit) < parse(request)
        return Size(request, request if low else self.limit)

    @property
    def exact(self) -> bool:
        """Request and limit are there and equal."""
        return bool(self.request and self.limit) and parse(self.request) == parse(self.limit)


class Sizes(NamedTuple):
    """Of one container."""

    cpu: Size
    memory: Size

    @property
    def exact(self) -> bool:
        return self.cpu.exact and self.memory.exact

    def equals(self, other: "Sizes") -> bool:
        """As numbers: `1` is `1000m`."""
        pairs = zip((*self.cpu, *self.memory), (*other.cpu, *other.memory))
        return all(bool(a) == bool(b) and (not a or parse(a) == parse(b)) for a, b in pairs)

    def resources(self) -> Json:
        """As a container has them."""
        found: Json = {}
        for name, size in zip(RESOURCES, self):
            for part, quantity in (("requests", size.request), ("limits", size.limit)):
                if quantity:
                    found.setdefault(part, {})[name] = quantity
        return found


@dataclass(frozen=True, slots=True)
class Resize:
    """One container's new sizes."""

    container: str
    sizes: Sizes
    manager: str

    def body(self, uid: str, version: str) -> Json:
        """A strategic merge patch of exactly this version of the pod."""
        change = {"name": self.container, "resources": self.sizes.resources()}
        return {"metadata": {"uid": uid, "resourceVersion": version}, "spec": {"containers": [change]}}

    def done(self, pod: Json) -> bool:
        """Whether the pod has these sizes."""
        containers = pod.get("spec", {}).get("containers") or ()
        return any(c["name"] == self.container and _sizes(c).equals(self.sizes) for c in containers)


@dataclass(frozen=True, slots=True)
class Main:
    """The main container of a pod that can be resized."""

    container: str
    now: Sizes
    asked: Sizes
    """Where the pod was not resized by us, what it has now."""
    others_exact: bool = True
    """Whether all other containers are as in a Guaranteed pod."""

    def resize(self, more_cpu_milli: int, more_memory_mib: int) -> Resize | None:
        """To so much more than was asked; None where it is so already. The pod's QoS class stays what it is."""
        asked, now = self.asked, self.now
        cpu, memory = asked.cpu.grown(more_cpu_milli, "m"), asked.memory.grown(more_memory_mib, "Mi")
        # a request that was added cannot be taken away
        cpu = cpu._replace(request=cpu.request or ("0" if now.cpu.request else ""))
        memory = memory._replace(request=memory.request or ("0" if now.memory.request else ""))
        sizes = Sizes(cpu, memory)
        if sizes.exact and self.others_exact and not asked.exact:  # Burstable must not become Guaranteed
            sizes = Sizes(Size(cpu.request, f"{cpu_milli(cpu.limit) + 1}m"), memory)
        return None if sizes.equals(now) else Resize(self.container, sizes, _manager(asked))

    def as_asked(self, spec: Json) -> Json:
        """The spec with what was asked in it."""
        if self.asked == self.now:
            return spec
        containers = [
            {**c, "resources": _replaced(c.get("resources") or {}, self.asked)}
            if c.get("name") == self.container
            else c
            for c in spec["containers"]
        ]
        return {**spec, "containers": containers}


def read_main(raw: Json) -> Main | None:
    """The container that can be resized, or None where none can: BestEffort, pod-level resources, pods of Kueue."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    containers = spec.get("containers") or ()
    if (
        not containers
        or spec.get("resources")
        or any(key in (metadata.get("labels") or {}) for key in _KUEUE)
    ):
        return None
    named = (metadata.get("annotations") or {}).get(_MAIN)
    main = next((c for c in containers if c.get("name") == named), containers[0])
    others = [c for c in (*containers, *(spec.get("initContainers") or ())) if c is not main]
    try:
        now = _sizes(main)
        if now == _NOTHING and all(_sizes(c) == _NOTHING for c in others):
            return None
        asked = _asked(metadata.get("managedFields") or (), main.get("name", ""), now)
        exact = all(_sizes(c).exact for c in others)
        for quantity in (*asked.cpu, *asked.memory, *now.cpu, *now.memory):
            parse(quantity or "0")
    except QuantityError:
        return None  # the pod is refused for it
    if len(_manager(asked)) > _LONGEST_MANAGER:
        return None
    return Main(main.get("name", ""), now, asked, exact)


def _sizes(container: Json) -> Sizes:
    resources = container.get("resources") or {}
    limits = resources.get("limits") or {}
    requests = limits | (resources.get("requests") or {})  # the API server defaults them so
    return Sizes(*(Size(str(requests.get(name, "")), str(limits.get(name, ""))) for name in RESOURCES))


_NOTHING = Sizes(Size(), Size())


def _manager(asked: Sizes) -> str:
    cpu, memory = asked
    return f"{keys.SCHEDULER_NAME}:cpu={cpu.request}/{cpu.limit},memory={memory.request}/{memory.limit}"


def _asked(entries: Any, container: str, now: Sizes) -> Sizes:  # `entries`: anybody may write them
    """What was asked of each quantity that a resize of ours set last, and what there is now of the others."""
    found = now
    for asked, owned in _resizes(entries, container):
        cpu, memory = (
            Size(
                before.request if f"f:{name}" in owned.get("f:requests", ()) else size.request,
                before.limit if f"f:{name}" in owned.get("f:limits", ()) else size.limit,
            )
            for name, before, size in zip(RESOURCES, asked, found)
        )
        found = Sizes(cpu, memory)
    return found


def _resizes(entries: Any, container: str) -> Iterator[tuple[Sizes, Json]]:
    """What our resizes recorded, and which quantities they still own."""
    for entry in entries:
        if entry.get("subresource") != "resize":
            continue
        match = _MANAGER.fullmatch(entry.get("manager", ""))
        owned = entry.get("fieldsV1") or {}
        for part in ("f:spec", "f:containers", f"k:{json.dumps({'name': container}, separators=(',', ':'))}"):
            owned = owned.get(part) or {}
        if match and owned:
            cpu, cpu_limit, memory, memory_limit = match.groups()
            yield Sizes(Size(cpu, cpu_limit), Size(memory, memory_limit)), owned.get("f:resources") or {}


def _replaced(resources: Json, sizes: Sizes) -> Json:
    """A container's resources with other cpu and memory."""
    kept = {
        part: {name: q for name, q in (resources.get(part) or {}).items() if name not in RESOURCES}
        for part in ("requests", "limits")
    }
    new = sizes.resources()
    return {part: {**kept[part], **new.get(part, {})} for part in kept}
