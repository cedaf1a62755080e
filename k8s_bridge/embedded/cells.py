"""Columns of tables: how a value is shown, and the columns that a CustomResourceDefinition names."""

from collections.abc import Callable
from typing import NamedTuple

from synergai.k8s_bridge.embedded import jsonpath
from synergai.k8s_bridge.embedded.clock import parse_s
from synergai.k8s_bridge.embedded.objects import Json, at, dump, metadata
from synergai.k8s_bridge.embedded.resources import Column

CellReader = Callable[[Json, float], object]
"""The cell of an object, at a time in seconds since the epoch."""


class Cell(NamedTuple):
    """A column and how it is filled."""

    name: str
    read: CellReader
    type: str = "string"
    priority: int = 0
    """0 is always shown, more only with `-o wide`."""
    description: str = ""
    format: str = ""

    def definition(self) -> Json:
        form = "name" if self.name == "Name" else self.format
        return {
            "name": self.name,
            "type": self.type,
            "format": form,
            "description": self.description or self.name,
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


def since(text: object, now_s: float) -> str:
    found = parse_s(text) if isinstance(text, str) else None
    return "<unknown>" if found is None else age_text(now_s - found)


def text(*path: str, missing: str = "") -> CellReader:
    return lambda obj, now_s: at(obj, path) or missing


def _age(obj: Json, now_s: float) -> str:
    return since(metadata(obj).get("creationTimestamp"), now_s)


NAME = Cell("Name", text("metadata", "name"))
AGE = Cell("Age", _age)


def custom_cell(column: Column) -> Cell:
    at_path = jsonpath.reader(column.json_path)

    def read(obj: Json, now_s: float) -> object:
        value = at_path(obj)
        return None if value is None else _shown(value, column.type, now_s)

    about = (
        column.description or f"Custom resource definition column (in JSONPath format): {column.json_path}"
    )
    return Cell(column.name, read, column.type, column.priority, about, column.format)


def _shown(value: object, kind: str, now_s: float) -> object:
    """A value in a column of this type; None where it is of another (apiextensions-apiserver's tableconvertor)."""
    match kind:
        case "string":
            return value if isinstance(value, str) else dump(value).decode()
        case "date":
            found = parse_s(value) if isinstance(value, str) else None
            return "<invalid>" if found is None else age_text(now_s - found)
        case "boolean":
            return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if kind == "integer" else value
