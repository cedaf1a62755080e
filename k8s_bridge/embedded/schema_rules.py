"""Whether a custom resource obeys its schema, in kube-apiserver's words. Rules in CEL are not looked at."""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from synergai.k8s_bridge.embedded.clock import parse_s
from synergai.k8s_bridge.embedded.errors import Cause, invalid_value, required, too_long, unsupported
from synergai.k8s_bridge.embedded.objects import Json

INT_OR_STRING = "x-kubernetes-int-or-string"
_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
_pattern = lru_cache(256)(re.compile)


def schema_causes(obj: Json, schema: Json) -> Iterator[Cause]:
    """What is wrong with an object; its metadata are judged elsewhere."""
    for name, inner in (schema.get("properties") or {}).items():
        if name in obj and name != "metadata":
            yield from _causes(obj[name], inner, name)
    yield from _missing(obj, schema, "")


def _causes(value: Any, schema: Json, path: str) -> Iterator[Cause]:
    if value is None and schema.get("nullable"):
        return
    if not _is_of_type(value, schema):
        wanted = "integer,string" if schema.get(INT_OR_STRING) else schema["type"]
        yield _mistyped(path, _TYPES[type(value)], wanted)
        return
    if schema.get("enum") and value not in schema["enum"]:
        yield unsupported(path, str(value), [str(one) for one in schema["enum"]])
    judge = _JUDGES.get(type(value))
    if judge is not None:
        yield from judge(value, schema, path)


def _is_of_type(value: Any, schema: Json) -> bool:
    wanted = schema.get("type")
    if schema.get(INT_OR_STRING):
        return isinstance(value, str | int) and not isinstance(value, bool)
    found = _TYPES[type(value)]
    return wanted in (None, found) or (wanted == "number" and found == "integer")


def _number_causes(value: float, schema: Json, path: str) -> Iterator[Cause]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and value < low:
        yield invalid_value(path, value, f"{path} in body should be greater than or equal to {low}")
    if high is not None and value > high:
        yield invalid_value(path, value, f"{path} in body should be less than or equal to {high}")


def _text_causes(value: str, schema: Json, path: str) -> Iterator[Cause]:
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if least is not None and len(value) < least:
        yield invalid_value(path, value, f"{path} in body should be at least {least} chars long")
    if most is not None and len(value) > most:
        yield too_long(path, most)
    if pattern and not _pattern(pattern).search(value):
        yield invalid_value(path, value, f"{path} in body should match '{pattern}'")
    if schema.get("format") == "date-time" and parse_s(value) is None:
        yield _mistyped(path, value, "date-time")


def _list_causes(value: list[Any], schema: Json, path: str) -> Iterator[Cause]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        yield invalid_value(path, len(value), f"{path} in body should have at least {least} items")
    if most is not None and len(value) > most:
        why = f"Too many: {len(value)}: must have at most {most} items"
        yield Cause(path, "FieldValueTooMany", why)
    for index, inner in enumerate(value):
        yield from _causes(inner, schema.get("items") or {}, f"{path}[{index}]")


def _object_causes(value: Json, schema: Json, path: str) -> Iterator[Cause]:
    fields, others = schema.get("properties") or {}, schema.get("additionalProperties")
    for name, inner in value.items():
        judged = fields.get(name) or others
        if isinstance(judged, dict):
            yield from _causes(inner, judged, f"{path}.{name}")
    yield from _missing(value, schema, f"{path}.")


def _missing(value: Json, schema: Json, prefix: str) -> Iterator[Cause]:
    for name in schema.get("required") or ():
        if name not in value:
            yield required(f"{prefix}{name}")


def _mistyped(path: str, found: str, wanted: str) -> Cause:
    cause = invalid_value(path, found, f'{path} in body must be of type {wanted}: "{found}"')
    return cause._replace(reason="FieldValueTypeInvalid")


_JUDGES: dict[type, Callable[[Any, Json, str], Iterator[Cause]]] = {
    int: _number_causes,
    float: _number_causes,
    str: _text_causes,
    list: _list_causes,
    dict: _object_causes,
}
