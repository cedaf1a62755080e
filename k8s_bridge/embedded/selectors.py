"""Label and field selectors, parsed once per request and asked for every object."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from synergai.k8s_bridge.embedded.errors import bad_request
from synergai.k8s_bridge.embedded.objects import Json, Stored, at, metadata

FieldReader = Callable[[Json], str]
"""What a field selector compares: a field of the object as text, empty where absent."""

_SET = re.compile(r"^(\S+)\s+(in|notin)\s*\(([^)]*)\)$")
_COMPARED = re.compile(r"^([^\s=!<>,()]+)\s*(==|=|!=|<|>)\s*([^\s=!<>,()]*)$")
_EXISTS = re.compile(r"^(!?)\s*([^\s=!<>,()]+)$")
_KEY = re.compile(r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")


class Requirement(NamedTuple):
    """One condition on the labels."""

    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value in self.values
            case "notin":
                return value not in self.values
            case "exists":
                return value is not None
            case "absent":
                return value is None
            case _:
                return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        try:
            number, limit = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > limit if self.operator == ">" else number < limit


class FieldTerm(NamedTuple):
    """One condition on a field."""

    read: FieldReader
    value: str
    equal: bool


class Selector(NamedTuple):
    """What a list or a watch is limited to."""

    namespace: str | None
    labels: tuple[Requirement, ...]
    fields: tuple[FieldTerm, ...]

    def matches(self, stored: Stored) -> bool:
        if self.namespace is not None and stored.key[0] != self.namespace:
            return False
        if self.labels:
            labels = metadata(stored.obj).get("labels") or {}
            if not all(requirement.holds(labels) for requirement in self.labels):
                return False
        return all((term.read(stored.obj) == term.value) is term.equal for term in self.fields)


def field_reader(path: str, default: str = "") -> FieldReader:
    """Reads `spec.nodeName` and the like; a missing or null field is `default`, a bool `true` or `false`."""
    parts = tuple(path.split("."))

    def read(obj: Json) -> str:
        value = at(obj, parts)
        if value is None or value == "":
            return default
        return value if isinstance(value, str) else str(value).lower()

    return read


def _split(text: str) -> list[str]:
    """At the commas outside of parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text)]


def _requirement(part: str) -> Requirement:
    if found := _SET.match(part):
        key, operator, listed = found.groups()
        return _checked(Requirement(key, operator, frozenset(value.strip() for value in listed.split(","))))
    if found := _COMPARED.match(part):
        key, sign, value = found.groups()
        operator = {"=": "in", "==": "in", "!=": "notin"}.get(sign, sign)
        return _checked(Requirement(key, operator, frozenset([value])))
    if found := _EXISTS.match(part):
        return _checked(Requirement(found[2], "absent" if found[1] else "exists", frozenset()))
    raise bad_request(f"unable to parse requirement: found '{part}', expected: an identifier or an operator")


def _checked(requirement: Requirement) -> Requirement:
    if not _KEY.match(requirement.key):
        raise bad_request(
            f'unable to parse requirement: <nil>: Invalid value: "{requirement.key}": '
            "name part must consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
    for value in requirement.values:
        wrong = not _VALUE.match(value)
        if wrong or (requirement.operator in ("<", ">") and not re.fullmatch(r"-?\d+", value)):
            raise bad_request(
                f'unable to parse requirement: values[0][{requirement.key}]: Invalid value: "{value}"'
            )
    return requirement


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """`a=b,c!=d,e in (f,g),h,!i,j>1`; 400 if it is none."""
    return tuple(_requirement(part) for part in _split(text)) if text.strip() else ()


def parse_fields(text: str, readers: Mapping[str, FieldReader], resource: str) -> tuple[FieldTerm, ...]:
    """`spec.nodeName=a,status.phase!=Failed`; 400 for a field the resource is not selected by."""
    terms: list[FieldTerm] = []
    for part in text.split(","):
        if not part.strip():
            continue
        name, sign, value = _compared(part)
        read = readers.get(name)
        if read is None:
            raise bad_request(
                f'Unable to find "{resource}" that match label selector "", field selector "{text}": '
                f"field label not supported: {name}"
            )
        terms.append(FieldTerm(read, value, sign != "!="))
    return tuple(terms)


def _compared(part: str) -> tuple[str, str, str]:
    for sign in ("!=", "==", "="):
        name, found, value = part.partition(sign)
        if found:
            return name.strip(), sign, value.strip()
    raise bad_request(f"invalid field selector: {part!r}; can't understand '{part}'")
