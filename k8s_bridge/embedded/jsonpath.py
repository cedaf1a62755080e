"""The JSONPath of printer columns: `.spec.model.name`, `.items[0]`, `.list[?(@.type=="Ready")].status`.

Of several values the first is shown, as kube-apiserver does.
"""

import re
from collections.abc import Callable
from typing import Any

Step = Callable[[Any], Any]
"""From a value to the one below it, None where there is none. `Any`: the user's JSON."""

_STEP = re.compile(
    r"""\.(?P<field>(?:\\.|[^.\[\\])+)"""
    r"""|\['(?P<quoted>[^']+)'\]"""
    r"""|\[(?P<index>-?\d+|\*)\]"""
    r"""|\[\?\(@\.(?P<key>[^=\s]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]"""
)


def reader(path: str) -> Step:
    """Reads the value at the path; one that is not understood reads None."""
    steps: list[Step] = []
    place = 0
    while place < len(path):
        found = _STEP.match(path, place)
        if found is None:
            return lambda value: None
        steps.append(_step(found))
        place = found.end()

    def read(value: Any) -> Any:
        for step in steps:
            value = step(value)
        return value

    return read


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        index = 0 if found["index"] == "*" else int(found["index"])
        return lambda value: _place(value, index)
    if found["key"] is not None:
        key, wanted = found["key"], found["value"]
        return lambda value: _first(value, key, wanted)
    name = found["quoted"] or found["field"].replace("\\", "")
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _place(value: Any, index: int) -> Any:
    inside = isinstance(value, list) and -len(value) <= index < len(value)
    return value[index] if inside else None


def _first(value: Any, key: str, wanted: str) -> Any:
    items = value if isinstance(value, list) else []
    return next((item for item in items if isinstance(item, dict) and item.get(key) == wanted), None)
