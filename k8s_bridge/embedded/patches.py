"""JSON patch (RFC 6902), merge patch (RFC 7386), and strategic merge for the lists that matter.

No function changes what it is given.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from synergai.k8s_bridge.embedded.errors import (
    ApiError,
    bad_request,
    unclassified,
    unsupported_media_type,
)
from synergai.k8s_bridge.embedded.objects import Json

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

MERGE_KEYS: Mapping[str, str] = {
    "conditions": "type",
    "addresses": "type",
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "schedulingGates": "name",
    "resourceClaims": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "hostAliases": "ip",
    "podIPs": "ip",
    "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
}
"""Lists that merge, and by what (`patchMergeKey` in k8s.io/api/core/v1).

Taints and tolerations do not: they are replaced as a whole, which `kubectl taint` relies on.
"""

MERGED_SETS = frozenset({"finalizers"})
"""Lists of plain values that are joined."""


def apply(media_type: str, obj: Json, patch: Any, custom: bool) -> Json:
    """The object as patched. `Any`: what was sent."""
    accepted: dict[str, Callable[[Json, Any], Json]] = {JSON_PATCH: json_patch, MERGE_PATCH: _merged_object}
    if not custom:
        accepted[STRATEGIC_PATCH] = _strategic_object
    apply_one = accepted.get(media_type)
    if apply_one is None:
        raise unsupported_media_type(list(accepted))
    return apply_one(obj, patch)


def _merged_object(obj: Json, patch: Any) -> Json:
    if not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
        )
    return merge(obj, patch)


def _strategic_object(obj: Json, patch: Any) -> Json:
    if not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
        )
    return strategic(obj, patch)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic(target: Any, patch: Json) -> Json:
    """Merge patch with lists merged by key, and the directives `$patch`, `$retainKeys` and their like."""
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return {}
    result = dict(target) if isinstance(target, dict) else {}
    if "$retainKeys" in patch:
        result = {key: value for key, value in result.items() if key in patch["$retainKeys"]}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [item for item in result.get(name) or [] if item not in value]
        elif not key.startswith("$"):
            _merge_key(result, key, value)
    return result


def _merge_key(result: Json, key: str, value: Any) -> None:
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        result[key] = strategic(result.get(key), value)
    elif isinstance(value, list) and key in MERGE_KEYS:
        result[key] = _merged_list(result.get(key) or [], value, MERGE_KEYS[key])
    elif isinstance(value, list) and key in MERGED_SETS:
        old = result.get(key) or []
        result[key] = old + [item for item in value if item not in old]
    else:
        result[key] = value


def _merged_list(old: list[Any], patch: list[Any], merge_key: str) -> list[Any]:
    if any(not isinstance(item, dict) for item in patch):
        raise bad_request(
            f"error decoding patch: a list merged by {merge_key} holds something that is no object"
        )
    changes = [item for item in patch if item.get("$patch") != "replace"]
    result = [] if len(changes) < len(patch) else list(old)
    for change in changes:
        if merge_key not in change:
            raise unclassified(f"map: {change} does not contain declared merge key: {merge_key}")
        place = _index(result, merge_key, change[merge_key])
        if change.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(strategic(None, change))
        else:
            result[place] = strategic(result[place], change)
    return result


def _index(items: list[Any], key: str, value: object) -> int | None:
    return next(
        (i for i, item in enumerate(items) if isinstance(item, dict) and item.get(key) == value), None
    )


def json_patch(obj: Json, patch: Any) -> Json:
    """RFC 6902; 400 for what is no patch, 422 for one that does not fit the object."""
    if not isinstance(patch, list) or not all(map(_is_step, patch)):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal into Go value of type jsonpatch.Patch"
        )
    holder = {"root": copy.deepcopy(obj)}
    for step in patch:
        try:
            _step(holder, step)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise _does_not_fit(error) from None
    if not isinstance(holder["root"], dict):
        raise _does_not_fit("the patched object is no object")
    return holder["root"]


def _is_step(step: object) -> bool:
    return isinstance(step, dict) and all(
        isinstance(step.get(key, ""), str) for key in ("op", "path", "from")
    )


def _does_not_fit(why: object) -> ApiError:
    message = f"the server rejected our request due to an error in our request: {why}"
    return ApiError(422, "Invalid", message, {})


def _step(holder: Json, step: Json) -> None:
    path = _path(step["path"])
    match step["op"]:
        case "add":
            _add(holder, path, copy.deepcopy(step.get("value")))
        case "remove":
            _remove(holder, path)
        case "replace":
            _replace(holder, path, copy.deepcopy(step.get("value")))
        case "move":
            _add(holder, path, _remove(holder, _path(step["from"])))
        case "copy":
            _add(holder, path, copy.deepcopy(_get(holder, _path(step["from"]))))
        case "test":
            if _get(holder, path) != step.get("value"):
                raise ValueError(f"testing value {step['path']} failed")
        case other:
            raise ValueError(f"unexpected kind: {other}")


def _path(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(f"path {text!r} does not begin with /")
    return ["root", *(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])]


def _place(part: str) -> int:
    if not part.isdecimal():
        raise ValueError(f"{part!r} is no index of a list")
    return int(part)


def _get(holder: Any, path: list[str]) -> Any:
    for part in path:
        holder = holder[_place(part)] if isinstance(holder, list) else holder[part]
    return holder


def _add(holder: Json, path: list[str], value: Any) -> None:
    parent = _get(holder, path[:-1])
    if isinstance(parent, list):
        place = len(parent) if path[-1] == "-" else _place(path[-1])
        if place > len(parent):
            raise IndexError(f"index {place} is out of bounds")
        parent.insert(place, value)
    else:
        parent[path[-1]] = value


def _replace(holder: Json, path: list[str], value: Any) -> None:
    """Also adds a key that is not there, as the library behind kube-apiserver does."""
    parent = _get(holder, path[:-1])
    parent[_place(path[-1]) if isinstance(parent, list) else path[-1]] = value


def _remove(holder: Json, path: list[str]) -> Any:
    parent = _get(holder, path[:-1])
    return parent.pop(_place(path[-1])) if isinstance(parent, list) else parent.pop(path[-1])
