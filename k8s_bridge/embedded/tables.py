"""What `kubectl get` prints: the rows of each kind (pkg/printers/internalversion/printers.go)."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from synergai.k8s_bridge.embedded import jsonpath
from synergai.k8s_bridge.embedded.clock import parse_s
from synergai.k8s_bridge.embedded.objects import Json, Stored, at, metadata
from synergai.k8s_bridge.embedded.resources import Column, Resource

CellReader = Callable[[Json, float], object]
"""The cell of an object, at a time in seconds since the epoch."""

NONE = "<none>"


class Cell(NamedTuple):
    """A column and how it is filled."""

    name: str
    read: CellReader
    type: str = "string"
    priority: int = 0
    """0 is always shown, more only with `-o wide`."""

    def definition(self) -> Json:
        form = "name" if self.name == "Name" else ""
        return {
            "name": self.name,
            "type": self.type,
            "format": form,
            "description": self.name,
            "priority": self.priority,
        }


def age_text(seconds: float) -> str:
    """`5s`, `3m20s`, `4h`, `2d`: duration.HumanDuration."""
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 0:
        return "0s"
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return _two(minutes, "m", total % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    return _two(days // 365, "y", days % 365, "d") if days < 8 * 365 else f"{days // 365}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def _since(text: object, now_s: float) -> str:
    found = parse_s(text) if isinstance(text, str) else None
    return "<unknown>" if found is None else age_text(now_s - found)


def _text(*path: str, missing: str = "") -> CellReader:
    return lambda obj, now_s: at(obj, path) or missing


def _age(obj: Json, now_s: float) -> str:
    return _since(metadata(obj).get("creationTimestamp"), now_s)


# pods -------------------------------------------------------------------------------------------------------


def _statuses(pod: Json) -> list[Json]:
    return at(pod, ("status", "containerStatuses")) or []


def _ready(pod: Json, now_s: float) -> str:
    total = len(at(pod, ("spec", "containers")) or [])
    return f"{sum(1 for status in _statuses(pod) if status.get('ready') and _running(status))}/{total}"


def _running(status: Json) -> bool:
    return at(status, ("state", "running")) is not None


def _pod_status(pod: Json, now_s: float) -> str:
    status = pod.get("status") or {}
    reason = status.get("reason") or status.get("phase") or "Unknown"
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "SchedulingGated":
            reason = "SchedulingGated"
    for container in reversed(_statuses(pod)):
        reason = _container_reason(container) or reason
    if reason == "Completed" and any(_running(container) for container in _statuses(pod)):
        reason = "NotReady"
    if "deletionTimestamp" in metadata(pod) and status.get("phase") not in ("Succeeded", "Failed"):
        reason = "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def _container_reason(container: Json) -> str:
    waiting, ended = at(container, ("state", "waiting")), at(container, ("state", "terminated"))
    if waiting and waiting.get("reason"):
        return waiting["reason"]
    if ended is None:
        return ""
    if ended.get("reason"):
        return ended["reason"]
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _restarts(pod: Json, now_s: float) -> str:
    return str(sum(status.get("restartCount", 0) for status in _statuses(pod)))


# nodes ------------------------------------------------------------------------------------------------------

ROLE_LABEL = "node-role.kubernetes.io/"


def _node_status(node: Json, now_s: float) -> str:
    conditions = at(node, ("status", "conditions")) or []
    ready = next((condition for condition in conditions if condition.get("type") == "Ready"), {})
    text = {"True": "Ready", None: "Unknown"}.get(ready.get("status"), "NotReady")
    return f"{text},SchedulingDisabled" if at(node, ("spec", "unschedulable")) else text


def _roles(node: Json, now_s: float) -> str:
    labels = metadata(node).get("labels") or {}
    roles = sorted(key.removeprefix(ROLE_LABEL) for key in labels if key.startswith(ROLE_LABEL))
    return ",".join(role for role in roles if role) or NONE


def _address(kind: str) -> CellReader:
    def read(node: Json, now_s: float) -> str:
        addresses = at(node, ("status", "addresses")) or []
        return next((item.get("address", NONE) for item in addresses if item.get("type") == kind), NONE)

    return read


# events and the rest ----------------------------------------------------------------------------------------


def _last_seen(event: Json, now_s: float) -> str:
    last = at(event, ("series", "lastObservedTime")) or event.get("lastTimestamp") or event.get("eventTime")
    age = _since(last, now_s)
    count = at(event, ("series", "count")) or event.get("count") or 1
    if count < 2:
        return age
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{age} (x{count} over {_since(first, now_s)})"


def _about(event: Json, now_s: float) -> str:
    about = event.get("involvedObject") or {}
    return f"{about.get('kind', '').lower()}/{about.get('name', '')}"


def _event_source(event: Json, now_s: float) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component


def _count(*path: str) -> CellReader:
    return lambda obj, now_s: len(at(obj, path) or ())


NAME = Cell("Name", _text("metadata", "name"))
AGE = Cell("Age", _age)

CELLS: Mapping[str, tuple[Cell, ...]] = {
    "pods": (
        NAME,
        Cell("Ready", _ready),
        Cell("Status", _pod_status),
        Cell("Restarts", _restarts),
        AGE,
        Cell("IP", _text("status", "podIP", missing=NONE), priority=1),
        Cell("Node", _text("spec", "nodeName", missing=NONE), priority=1),
        Cell("Nominated Node", _text("status", "nominatedNodeName", missing=NONE), priority=1),
        Cell("Readiness Gates", lambda obj, now_s: NONE, priority=1),
    ),
    "nodes": (
        NAME,
        Cell("Status", _node_status),
        Cell("Roles", _roles),
        AGE,
        Cell("Version", _text("status", "nodeInfo", "kubeletVersion")),
        Cell("Internal-IP", _address("InternalIP"), priority=1),
        Cell("External-IP", _address("ExternalIP"), priority=1),
        Cell("OS-Image", _text("status", "nodeInfo", "osImage", missing="<unknown>"), priority=1),
        Cell("Kernel-Version", _text("status", "nodeInfo", "kernelVersion", missing="<unknown>"), priority=1),
        Cell(
            "Container-Runtime",
            _text("status", "nodeInfo", "containerRuntimeVersion", missing="<unknown>"),
            priority=1,
        ),
    ),
    "events": (
        Cell("Last Seen", _last_seen),
        Cell("Type", _text("type")),
        Cell("Reason", _text("reason")),
        Cell("Object", _about),
        Cell("Subobject", _text("involvedObject", "fieldPath"), priority=1),
        Cell("Source", _event_source, priority=1),
        Cell("Message", lambda obj, now_s: (obj.get("message") or "").strip()),
        Cell("First Seen", lambda obj, now_s: _since(obj.get("firstTimestamp"), now_s), priority=1),
        Cell("Count", lambda obj, now_s: obj.get("count") or 1, "integer", 1),
        Cell("Name", _text("metadata", "name"), priority=1),
    ),
    "namespaces": (NAME, Cell("Status", _text("status", "phase")), AGE),
    "configmaps": (NAME, Cell("Data", _count("data"), "integer"), AGE),
    "serviceaccounts": (NAME, Cell("Secrets", _count("secrets"), "integer"), AGE),
    "leases.coordination.k8s.io": (NAME, Cell("Holder", _text("spec", "holderIdentity")), AGE),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        Cell("Value", lambda obj, now_s: obj.get("value", 0), "integer"),
        Cell("Global-Default", lambda obj, now_s: bool(obj.get("globalDefault")), "boolean"),
        AGE,
        Cell("PreemptionPolicy", _text("preemptionPolicy")),
    ),
    "customresourcedefinitions.apiextensions.k8s.io": (
        NAME,
        Cell("Created At", _text("metadata", "creationTimestamp")),
    ),
    "runtimeclasses.node.k8s.io": (NAME, Cell("Handler", _text("handler")), AGE),
}


def _custom_cell(column: Column) -> Cell:
    at_path = jsonpath.reader(column.json_path)

    def read(obj: Json, now_s: float) -> object:
        value = at_path(obj)
        return _since(value, now_s) if column.type == "date" and value is not None else value

    return Cell(column.name, read, column.type, column.priority)


def cells(resource: Resource) -> Sequence[Cell]:
    """The columns of a resource."""
    found = CELLS.get(resource.collection)
    if found is not None:
        return found
    custom = [_custom_cell(column) for column in resource.columns]
    return [NAME, *(custom or [AGE])]


def partial(obj: Json) -> Json:
    """An object cut down to its metadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata(obj)}


def table(
    resource: Resource,
    items: Sequence[Stored],
    list_metadata: Json,
    now_s: float,
    include: str = "Metadata",
    headers: bool = True,
) -> Json:
    """A meta.k8s.io/v1 Table; `include` is the query parameter includeObject."""
    columns = cells(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_metadata,
        "columnDefinitions": [cell.definition() for cell in columns] if headers else [],
        "rows": [_row(resource, columns, stored.obj, now_s, include) for stored in items],
    }


def _row(resource: Resource, columns: Sequence[Cell], obj: Json, now_s: float, include: str) -> Json:
    row: Json = {"cells": [cell.read(obj, now_s) for cell in columns]}
    if include == "Object":
        whole = {"kind": resource.kind, "apiVersion": resource.group_version, **resource.shown(obj)}
        return {**row, "object": whole}
    return row if include == "None" else {**row, "object": partial(obj)}
