"""The types of the fields that somebody relies on, and reading what was sent by them.

kube-apiserver decodes into Go structs; here a table names the fields that scheduler and kubelets read.
Other fields are kept as they came. As in Go: null and empty lists and maps are absent, a number is a quantity,
which is kept in its canonical form, and times keep whole seconds only.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

from synergai.k8s_bridge.admission.quantities import QuantityError
from synergai.k8s_bridge.embedded.canonical import canonical
from synergai.k8s_bridge.embedded.clock import parse_s, seconds_text
from synergai.k8s_bridge.embedded.objects import Json

Shape = Any
"""A type, a mapping of names to shapes, a list of one shape, a `MapOf` or a `Read`; recursive, so `Any`."""

_MICRO_TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$")
_GO_KINDS = {bool: "bool", str: "string", int: "number", float: "number", dict: "object", list: "array"}
_GO_TYPES = {bool: "bool", str: "string", int: "int64"}


class DecodeError(ValueError):
    """A field is not of its type."""


class MapOf(NamedTuple):
    """An object with any keys and values of one shape."""

    value: Shape


class Read(NamedTuple):
    """A value that a function reads, or refuses with a text."""

    read: Callable[[object], object]


def _quantity(value: object) -> str:
    text = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    try:
        return canonical(text) if isinstance(text, str) else _no_quantity()
    except QuantityError:
        return _no_quantity()


def _no_quantity() -> NoReturn:
    raise DecodeError(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )


def _time(value: object) -> str:
    found = parse_s(value) if isinstance(value, str) else None
    if found is None:
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse')
    return seconds_text(found)


def _micro_time(value: object) -> object:
    if not isinstance(value, str) or not _MICRO_TIME.match(value) or parse_s(value) is None:
        raise DecodeError(f'parsing time "{value}" as "2006-01-02T15:04:05.000000Z07:00": cannot parse')
    return value


QUANTITY = Read(_quantity)
TIME = Read(_time)
MICRO_TIME = Read(_micro_time)


def read(value: object, shape: Shape, path: str = "") -> Any:
    """`value` as the shape has it, or DecodeError. `Any`: the user's JSON."""
    if isinstance(shape, type):
        if not isinstance(value, shape) or (shape is int and isinstance(value, bool)):
            raise _mismatch(value, path, _GO_TYPES[shape])
        return value
    if isinstance(shape, Read):
        return shape.read(value)
    if isinstance(shape, MapOf):
        return {
            key: read(_zero(item, shape.value), shape.value, path) for key, item in _dict(value, path).items()
        }
    if isinstance(shape, dict):
        return _fields(_dict(value, path), shape, path)
    if not isinstance(value, list):
        raise _mismatch(value, path, "array")
    return [read(_zero(item, shape[0]), shape[0], path) for item in value]


def _fields(given: Json, shape: dict[str, Shape], path: str) -> Json:
    kept = {key: value for key, value in given.items() if value is not None}
    for key, inner in shape.items():
        if key in kept:
            kept[key] = read(kept[key], inner, f"{path}.{key}" if path else key)
            if not kept[key] and isinstance(inner, list | MapOf):
                del kept[key]
    return kept


def _dict(value: object, path: str) -> Json:
    if not isinstance(value, dict):
        raise _mismatch(value, path, "object")
    return value


def _zero(value: object, shape: Shape) -> object:
    """null inside a list or map is the zero value."""
    if value is not None:
        return value
    return "" if shape is str else {} if isinstance(shape, dict) else value


def _mismatch(value: object, path: str, wanted: str) -> DecodeError:
    kind = _GO_KINDS.get(type(value), "null")
    return DecodeError(f"json: cannot unmarshal {kind} into Go struct field {path} of type {wanted}")


METADATA: Shape = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "labels": MapOf(str),
    "annotations": MapOf(str),
    "finalizers": [str],
    "ownerReferences": [
        {
            "apiVersion": str,
            "kind": str,
            "name": str,
            "uid": str,
            "controller": bool,
            "blockOwnerDeletion": bool,
        }
    ],
    "creationTimestamp": TIME,
    "deletionTimestamp": TIME,
    "deletionGracePeriodSeconds": int,
    "generation": int,
}
OBJECT: Shape = {"apiVersion": str, "kind": str, "metadata": METADATA}
STATUS_PARTS = (*OBJECT, "status")
"""What is read of an update of the status."""

_CONDITIONS: Shape = [
    {
        "type": str,
        "status": str,
        "reason": str,
        "message": str,
        "lastTransitionTime": TIME,
        "lastProbeTime": TIME,
    }
]
_RESOURCES: Shape = {"requests": MapOf(QUANTITY), "limits": MapOf(QUANTITY)}
_CONTAINER: Shape = {
    "name": str,
    "image": str,
    "command": [str],
    "args": [str],
    "env": [{"name": str, "value": str}],
    "ports": [{"containerPort": int, "hostPort": int, "protocol": str}],
    "volumeMounts": [{"name": str, "mountPath": str}],
    "resources": _RESOURCES,
    "restartPolicy": str,
}
_RAN: Shape = {"exitCode": int, "reason": str, "message": str, "startedAt": TIME, "finishedAt": TIME}
_CONTAINER_STATUS: Shape = {
    "name": str,
    "image": str,
    "ready": bool,
    "restartCount": int,
    "state": {"running": {"startedAt": TIME}, "terminated": _RAN, "waiting": {"reason": str, "message": str}},
}
POD: Shape = OBJECT | {
    "spec": {
        "nodeName": str,
        "schedulerName": str,
        "serviceAccountName": str,
        "automountServiceAccountToken": bool,
        "priorityClassName": str,
        "priority": int,
        "runtimeClassName": str,
        "restartPolicy": str,
        "terminationGracePeriodSeconds": int,
        "nodeSelector": MapOf(str),
        "affinity": {},
        "tolerations": [
            {"key": str, "operator": str, "value": str, "effect": str, "tolerationSeconds": int},
        ],
        "topologySpreadConstraints": [{}],
        "schedulingGates": [{"name": str}],
        "overhead": MapOf(QUANTITY),
        "resources": _RESOURCES,
        "hostNetwork": bool,
        "volumes": [{"name": str}],
        "initContainers": [_CONTAINER],
        "containers": [_CONTAINER],
    },
    "status": {
        "phase": str,
        "reason": str,
        "message": str,
        "nominatedNodeName": str,
        "startTime": TIME,
        "conditions": _CONDITIONS,
        "containerStatuses": [_CONTAINER_STATUS],
        "initContainerStatuses": [_CONTAINER_STATUS],
    },
}
NODE: Shape = OBJECT | {
    "spec": {"unschedulable": bool, "taints": [{"key": str, "value": str, "effect": str, "timeAdded": TIME}]},
    "status": {
        "capacity": MapOf(QUANTITY),
        "allocatable": MapOf(QUANTITY),
        "conditions": _CONDITIONS,
        "addresses": [{"type": str, "address": str}],
    },
}
LEASE: Shape = OBJECT | {
    "spec": {
        "holderIdentity": str,
        "leaseDurationSeconds": int,
        "leaseTransitions": int,
        "acquireTime": MICRO_TIME,
        "renewTime": MICRO_TIME,
    }
}
_REFERENCE: Shape = {"kind": str, "namespace": str, "name": str, "uid": str, "apiVersion": str}
EVENT: Shape = OBJECT | {
    "involvedObject": _REFERENCE,
    "related": _REFERENCE,
    "reason": str,
    "message": str,
    "type": str,
    "action": str,
    "count": int,
    "source": {"component": str, "host": str},
    "firstTimestamp": TIME,
    "lastTimestamp": TIME,
    "eventTime": MICRO_TIME,
    "series": {"count": int, "lastObservedTime": MICRO_TIME},
    "reportingComponent": str,
    "reportingInstance": str,
}
CONFIG_MAP: Shape = OBJECT | {"data": MapOf(str), "binaryData": MapOf(str), "immutable": bool}
PRIORITY_CLASS: Shape = OBJECT | {
    "value": int,
    "globalDefault": bool,
    "preemptionPolicy": str,
    "description": str,
}
RUNTIME_CLASS: Shape = OBJECT | {
    "handler": str,
    "overhead": {"podFixed": MapOf(QUANTITY)},
    "scheduling": {"nodeSelector": MapOf(str), "tolerations": [{}]},
}
RESOURCE_QUOTA: Shape = OBJECT | {
    "spec": {"hard": MapOf(QUANTITY), "scopes": [str], "scopeSelector": {}},
    "status": {"hard": MapOf(QUANTITY), "used": MapOf(QUANTITY)},
}
_RANGE: Shape = {
    "type": str,
    "min": MapOf(QUANTITY),
    "max": MapOf(QUANTITY),
    "default": MapOf(QUANTITY),
    "defaultRequest": MapOf(QUANTITY),
}
LIMIT_RANGE: Shape = OBJECT | {"spec": {"limits": [_RANGE]}}
NAMESPACE: Shape = OBJECT | {"spec": {"finalizers": [str]}, "status": {"phase": str}}
BINDING: Shape = OBJECT | {"target": _REFERENCE}
DELETE_OPTIONS: Shape = {
    "gracePeriodSeconds": int,
    "propagationPolicy": str,
    "preconditions": {"uid": str, "resourceVersion": str},
    "dryRun": [str],
}
