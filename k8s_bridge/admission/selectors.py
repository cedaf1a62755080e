"""Label and node selectors of API objects as values: equal selectors are equal, and all of them can be hashed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any  # API objects are JSON of any shape

Json = dict[str, Any]
NAME_FIELD = "metadata.name"
_WHOLE = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_LABEL_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
_NODE_OPERATORS = (*_LABEL_OPERATORS, "Gt", "Lt")


class SelectorError(ValueError):
    """Not a selector; the message names the value."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on labels or fields."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def holds(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
        return self._compares(value)

    def _compares(self, value: str | None) -> bool:
        """Gt and Lt; a label that is no whole number is neither."""
        limit = next(iter(self.values), "")
        if value is None or not (_WHOLE.fullmatch(value) and _WHOLE.fullmatch(limit)):
            return False
        return int(value) > int(limit) if self.operator == "Gt" else int(value) < int(limit)


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; one without requirements matches everything."""

    requirements: frozenset[Requirement] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.holds(labels) for requirement in self.requirements)


@dataclass(frozen=True, slots=True)
class NodeTerm:
    """One term of a node selector: all of it must hold; an empty term matches no node."""

    labels: frozenset[Requirement] = frozenset()
    fields: frozenset[Requirement] = frozenset()

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not self.labels and not self.fields:
            return False
        fields = {NAME_FIELD: name}
        return all(r.holds(labels) for r in self.labels) and all(r.holds(fields) for r in self.fields)


NodeTerms = tuple[NodeTerm, ...] | None
"""One of the terms must match; None is no condition, no terms match nothing."""


def terms_match(terms: NodeTerms, name: str, labels: Mapping[str, str]) -> bool:
    return terms is None or any(term.matches(name, labels) for term in terms)


def only_node(terms: NodeTerms) -> str:
    """The one node that all terms name; empty where there is none such."""
    named = {
        frozenset(name for field in term.fields if field.operator == "In" for name in field.values)
        for term in terms or ()
        if term.labels or term.fields
    }
    names = named.pop() if len(named) == 1 else ()
    return next(iter(names)) if len(names) == 1 else ""


def read_label_selector(raw: Json | None) -> LabelSelector | None:
    """None, which matches nothing, where there is none; SelectorError where it is not understood."""
    if raw is None:
        return None
    equal = (Requirement(key, "In", frozenset([v])) for key, v in (raw.get("matchLabels") or {}).items())
    others = (_requirement(r, _LABEL_OPERATORS) for r in raw.get("matchExpressions") or ())
    return LabelSelector(frozenset([*equal, *others]))


def read_node_terms(raw: Json | None) -> NodeTerms:
    """Of `requiredDuringSchedulingIgnoredDuringExecution` or of a volume's `required`."""
    if raw is None:
        return None
    return tuple(
        NodeTerm(
            frozenset(_requirement(r, _NODE_OPERATORS) for r in term.get("matchExpressions") or ()),
            frozenset(_field(r) for r in term.get("matchFields") or ()),
        )
        for term in raw.get("nodeSelectorTerms") or ()
    )


def _field(raw: Json) -> Requirement:
    if raw.get("key") != NAME_FIELD:
        raise SelectorError(f"the node field {raw.get('key')!r}")
    return _requirement(raw, ("In", "NotIn"))


def _requirement(raw: Json, operators: Iterable[str]) -> Requirement:
    operator = raw.get("operator", "")
    if operator not in operators:
        raise SelectorError(f"the operator {operator!r}")
    return Requirement(raw.get("key", ""), operator, frozenset(raw.get("values") or ()))
