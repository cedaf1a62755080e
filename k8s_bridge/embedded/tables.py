"""What `kubectl get` prints: the rows of each kind (pkg/printers/internalversion/printers.go)."""

from collections.abc import Mapping, Sequence

from synergai.k8s_bridge.embedded.cells import AGE, NAME, Cell, CellReader, custom_cell, since, text
from synergai.k8s_bridge.embedded.objects import Json, Stored, at, metadata
from synergai.k8s_bridge.embedded.resources import Resource

NONE = "<none>"


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
    age = since(last, now_s)
    count = at(event, ("series", "count")) or event.get("count") or 1
    if count < 2:
        return age
    first = event.get("firstTimestamp") or event.get("eventTime")
    return f"{age} (x{count} over {since(first, now_s)})"


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


def _used(quota: Json, kind: str) -> str:
    """What the status says is used, of requests and counts or of limits."""
    status = quota.get("status") or {}
    used = status.get("used") or {}
    hard = dict(sorted((status.get("hard") or {}).items()))
    wanted = [name for name in hard if name.startswith("limits") is (kind == "limits")]
    return ", ".join(f"{name}: {used.get(name, 0)}/{hard[name]}" for name in wanted)


CELLS: Mapping[str, tuple[Cell, ...]] = {
    "pods": (
        NAME,
        Cell("Ready", _ready),
        Cell("Status", _pod_status),
        Cell("Restarts", _restarts),
        AGE,
        Cell("IP", text("status", "podIP", missing=NONE), priority=1),
        Cell("Node", text("spec", "nodeName", missing=NONE), priority=1),
        Cell("Nominated Node", text("status", "nominatedNodeName", missing=NONE), priority=1),
        Cell("Readiness Gates", lambda obj, now_s: NONE, priority=1),
    ),
    "nodes": (
        NAME,
        Cell("Status", _node_status),
        Cell("Roles", _roles),
        AGE,
        Cell("Version", text("status", "nodeInfo", "kubeletVersion")),
        Cell("Internal-IP", _address("InternalIP"), priority=1),
        Cell("External-IP", _address("ExternalIP"), priority=1),
        Cell("OS-Image", text("status", "nodeInfo", "osImage", missing="<unknown>"), priority=1),
        Cell("Kernel-Version", text("status", "nodeInfo", "kernelVersion", missing="<unknown>"), priority=1),
        Cell(
            "Container-Runtime",
            text("status", "nodeInfo", "containerRuntimeVersion", missing="<unknown>"),
            priority=1,
        ),
    ),
    "events": (
        Cell("Last Seen", _last_seen),
        Cell("Type", text("type")),
        Cell("Reason", text("reason")),
        Cell("Object", _about),
        Cell("Subobject", text("involvedObject", "fieldPath"), priority=1),
        Cell("Source", _event_source, priority=1),
        Cell("Message", lambda obj, now_s: (obj.get("message") or "").strip()),
        Cell("First Seen", lambda obj, now_s: since(obj.get("firstTimestamp"), now_s), priority=1),
        Cell("Count", lambda obj, now_s: obj.get("count") or 1, "integer", 1),
        Cell("Name", text("metadata", "name"), priority=1),
    ),
    "namespaces": (NAME, Cell("Status", text("status", "phase")), AGE),
    "configmaps": (NAME, Cell("Data", _count("data"), "integer"), AGE),
    "resourcequotas": (
        NAME,
        Cell("Request", lambda obj, now_s: _used(obj, "requests")),
        Cell("Limit", lambda obj, now_s: _used(obj, "limits")),
        AGE,
    ),
    "limitranges": (NAME, Cell("Created At", text("metadata", "creationTimestamp"))),
    "serviceaccounts": (NAME, Cell("Secrets", _count("secrets"), "integer"), AGE),
    "leases.coordination.k8s.io": (NAME, Cell("Holder", text("spec", "holderIdentity")), AGE),
    "priorityclasses.scheduling.k8s.io": (
        NAME,
        Cell("Value", lambda obj, now_s: obj.get("value", 0), "integer"),
        Cell("Global-Default", lambda obj, now_s: bool(obj.get("globalDefault")), "boolean"),
        AGE,
        Cell("PreemptionPolicy", text("preemptionPolicy")),
    ),
    "customresourcedefinitions.apiextensions.k8s.io": (
        NAME,
        Cell("Created At", text("metadata", "creationTimestamp")),
    ),
    "runtimeclasses.node.k8s.io": (NAME, Cell("Handler", text("handler")), AGE),
}


def cells(resource: Resource) -> Sequence[Cell]:
    """The columns of a resource."""
    found = CELLS.get(resource.collection)
    if found is not None:
        return found
    custom = [custom_cell(column) for column in resource.columns]
    return [NAME, *(custom or [AGE._replace(type="date") if resource.custom else AGE])]


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
