"""What a pod asks of a node, as kube-scheduler counts it."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any  # API objects are JSON of any shape

from synergai.k8s_bridge.admission.quantities import count, cpu_milli, memory_mib

Json = dict[str, Any]
_POD_LEVEL = ("cpu", "memory")
_POD_LEVEL_PREFIX = "hugepages-"


@dataclass(frozen=True, slots=True)
class Requests:
    """Amounts per resource."""

    cpu_milli: int = 0
    memory_mib: int = 0
    extended: tuple[tuple[str, int], ...] = ()
    """Other resources, sorted by name, without zeros; ephemeral storage and huge pages in bytes."""


NOTHING = Requests()


def pod_requests(spec: Json, status: Json | None = None) -> Requests:
    """max(init containers, containers + sidecars), what the pod as a whole asks for instead, + overhead. While a
    resize is under way a container counts with the most of what it asks for, is given and has. QuantityError.

    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers
    https://github.com/kubernetes/kubernetes/blob/v1.36.3/staging/src/k8s.io/component-helpers/resource/helpers.go
    """
    status = status or {}
    infeasible = _is_infeasible(status)
    known = _known(status)
    running = _sum(_resized(c, known, infeasible) for c in spec.get("containers") or ())
    sidecars: Counter[str] = Counter()
    peak: Counter[str] = Counter()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = sidecars + _resized(container, known, infeasible)
            peak |= sidecars
        else:
            peak |= sidecars + _amounts(_asked(container.get("resources") or {}))
    total = ((running + sidecars) | peak) if peak else running
    if spec.get("resources"):
        total = _as_a_whole(total, spec["resources"], status, infeasible)
    if spec.get("overhead"):
        total = total + _amounts(spec["overhead"])
    extended = {name: n for name, n in total.items() if name not in ("cpu", "memory")}
    return Requests(total["cpu"], total["memory"], tuple(sorted(extended.items())))


def _known(status: Json) -> Mapping[str, Json]:
    """Statuses by container, of those that say what the container has."""
    statuses = (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
    return {s["name"]: s for s in statuses if s.get("resources") is not None and "name" in s}


def _is_infeasible(status: Json) -> bool:
    """Whether the kubelet has refused the resize for good: what is asked for does not count then."""
    pending = (c for c in status.get("conditions") or () if c.get("type") == "PodResizePending")
    return next((c.get("reason") == "Infeasible" for c in pending), False)


def _asked(resources: Json) -> Json:
    # a limit without a request is the request (the API server defaults it; a static pod may come without)
    return (resources.get("limits") or {}) | (resources.get("requests") or {})


def _resized(container: Json, known: Mapping[str, Json], infeasible: bool) -> Counter[str]:
    asked = _amounts(_asked(container.get("resources") or {}))
    status = known.get(container.get("name", ""))
    if status is None:
        return asked
    return _most(asked, status["resources"].get("requests"), status.get("allocatedResources"), infeasible)


def _most(asked: Counter[str], has: Json | None, given: Json | None, infeasible: bool) -> Counter[str]:
    there = _amounts(has or {}) | _amounts(given or {})
    return there if infeasible else asked | there


def _as_a_whole(total: Counter[str], resources: Json, status: Json, infeasible: bool) -> Counter[str]:
    """The pod's own requests in place of its containers'."""
    names = [n for n in _asked(resources) if n in _POD_LEVEL or n.startswith(_POD_LEVEL_PREFIX)]
    asked = _amounts(_asked(resources))
    if status.get("resources") is not None:
        has = status["resources"].get("requests")
        asked = _most(asked, has, status.get("allocatedResources"), infeasible)
    return +Counter({**total, **{name: asked[name] for name in names}})


def _sum(parts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total += part
    return total


def _amounts(quantities: Json) -> Counter[str]:
    units: dict[str, Callable[..., int]] = {"cpu": cpu_milli, "memory": memory_mib}
    return +Counter({name: units.get(name, count)(value) for name, value in quantities.items()})
