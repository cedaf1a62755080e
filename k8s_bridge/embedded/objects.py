"""One version of an object, its bytes, and the JSON that both are made of."""

import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]
"""An API object as it was sent. `Any`: what is inside is the user's, and is checked where it is read."""

Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-wide object is empty."""


_ENCODER = json.JSONEncoder(separators=(",", ":"))


def dump(value: object) -> bytes:
    """Compact JSON. ASCII only, so that a lone surrogate in a string cannot break the reply."""
    return _ENCODER.encode(value).encode()


def _no_constant(name: str) -> None:
    raise ValueError(f"invalid value {name}")


def load(body: bytes) -> Any:
    """The JSON value, or ValueError; NaN and Infinity are no JSON. `Any`: the caller looks at the type."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("exceeded max depth") from None


class Stored:
    """One version of an object. Never changed; each of its encodings is made once, when first asked for."""

    __slots__ = ("_bodies", "key", "obj", "rv")

    def __init__(self, key: Key, obj: Json, rv: int) -> None:
        self.key = key
        self.obj = obj
        self.rv = rv
        self._bodies: dict[str, bytes] = {}

    def body(self, view: str, make: Callable[[Json], bytes]) -> bytes:
        """The bytes of this version as `view` shows it."""
        found = self._bodies.get(view)
        if found is None:
            found = self._bodies[view] = make(self.obj)
        return found


def metadata(obj: Json) -> Json:
    return obj.get("metadata") or {}


def with_metadata(obj: Json, **changes: object) -> Json:
    """A copy with these metadata fields set, or taken out where None."""
    merged = {**metadata(obj), **changes}
    return {**obj, "metadata": {key: value for key, value in merged.items() if value is not None}}


def at(obj: Json, path: tuple[str, ...]) -> Any:
    """The value at a path of keys, None where something is missing. `Any`: the user's JSON."""
    value: Any = obj
    for part in path:
        if not isinstance(value, dict):
            return None
        value = value.get(part)
    return value
