"""Reads the fields of an API object strictly: what is wrong is said with its path and what to write instead.

A server with our CustomResourceDefinitions refuses the same before it is stored; the embedded one does not, and older
definitions may know less.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from synergai.k8s_bridge.pods import Json

Read = TypeVar("Read")
NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", re.ASCII)
_LONGEST_SHOWN = 80


class SpecError(ValueError):
    """One or more fields that cannot be used; `str()` has a line for each, joined by `; `."""


class Fields:
    """One object of a spec. Every reader notes what is wrong and goes on; `done` raises."""

    def __init__(self, value: object, path: str, problems: list[str]) -> None:
        self._path, self._problems = path, problems
        self._value: Mapping[str, Any] = value if isinstance(value, dict) else {}
        if value is not None and not isinstance(value, dict):
            self.bad("", value, "an object")

    def bad(self, name: str, value: object, expected: str) -> None:
        """Note a value that cannot be used."""
        where = f"{self._path}.{name}" if name else self._path
        found = "is missing" if value is None else f"is {str(value)[:_LONGEST_SHOWN]!r}"
        self._problems.append(f"{where} {found}; write {expected}")

    @property
    def given(self) -> Json:
        """As it was sent, for what has any shape; empty where it is no object."""
        return dict(self._value)

    def has(self, name: str) -> bool:
        return self._value.get(name) is not None

    def inner(self, name: str) -> "Fields":
        """The object in this field; empty where there is none."""
        return Fields(self._value.get(name), f"{self._path}.{name}", self._problems)

    def objects(self, name: str, *, least: int = 0) -> list["Fields"]:
        """Those of a list."""
        value = self._value.get(name)
        if value is not None and not isinstance(value, list):
            self.bad(name, value, "a list")
        given = value if isinstance(value, list) else []
        if len(given) < least:
            self.bad(name, None if value is None else given, f"at least {least}")
        return [Fields(one, f"{self._path}.{name}[{i}]", self._problems) for i, one in enumerate(given)]

    def text(
        self, name: str, expected: str, pattern: re.Pattern[str] | None = None, default: str | None = None
    ) -> str:
        """A text; without a default it must be there and not be empty."""
        value = self._value.get(name)
        if value is None and default is not None:
            return default
        filled = isinstance(value, str) and bool(value or default is not None)
        if filled and (pattern is None or pattern.fullmatch(str(value))):
            return str(value)
        self.bad(name, value, expected)
        return default or ""

    def texts(self, name: str, expected: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """A list of texts; empty where there is none."""
        value = self._value.get(name)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(v, str) and pattern.fullmatch(v) for v in value):
            self.bad(name, value, f"a list of {expected}")
            return ()
        return tuple(value)

    def mapping(self, name: str) -> tuple[tuple[str, str], ...]:
        """Texts by name, sorted."""
        value = self.inner(name).given
        if not all(isinstance(v, str) for v in value.values()):
            self.bad(name, value, 'texts, in quotes where they look like numbers: "8"')
            return ()
        return tuple(sorted(value.items()))

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number in a range; without a default it must be there."""
        value = self._value.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.bad(name, value, f"a whole number from {low} to {high}")
        return default if default is not None else low

    def flag(self, name: str) -> bool:
        """False where it is absent."""
        value = self._value.get(name, False)
        if not isinstance(value, bool):
            self.bad(name, value, "true or false")
        return value is True

    def parsed(self, name: str, parse: Callable[[str], Read], expected: str) -> Read | None:
        """What `parse` makes of a text, which raises ValueError or OverflowError; None where there is none."""
        value = self._value.get(name)
        if value is None:
            return None
        try:
            if isinstance(value, str):
                return parse(value)
        except (ValueError, OverflowError):
            pass
        self.bad(name, value, expected)
        return None
