"""The structural schema of a custom resource: what is kept of an object, and what it gets without being sent.

A schema is read once; fitting an object to it costs about as much as a copy.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting
"""

from collections.abc import Iterator
from typing import Any

from synergai.k8s_bridge.embedded.objects import Json

PRESERVE = "x-kubernetes-preserve-unknown-fields"
_ABSENT = object()
_NOT_JUDGED = frozenset({"apiVersion", "kind", "metadata"})


class Schema:
    """One node of a schema. What is no schema is read as one that says nothing."""

    __slots__ = (
        "_defaults",
        "_fields",
        "_items",
        "_keeps",
        "_nullable",
        "_others",
        "_whole",
        "default",
        "rules",
    )

    def __init__(self, raw: object) -> None:
        given: Json = raw if isinstance(raw, dict) else {}
        self.rules = given
        fields = given.get("properties")
        others, items = given.get("additionalProperties"), given.get("items")
        self._fields = {name: Schema(one) for name, one in (fields or {}).items()} if fields else {}
        self._others = Schema(others) if isinstance(others, dict) else None
        self._items = Schema(items) if isinstance(items, dict) else None
        self._keeps = bool(given.get(PRESERVE)) or others is True or given.get("type") != "object"
        self._nullable = bool(given.get("nullable"))
        self._whole = given.get("type") == "integer"
        self._defaults = [
            (name, one.default) for name, one in self._fields.items() if one.default is not _ABSENT
        ]
        self.default = self.fit(given["default"]) if "default" in given else _ABSENT

    def fit(self, value: Any) -> Any:
        """The value without unknown fields and with its defaults. Defaults are shared: nobody changes an object."""
        if isinstance(value, dict):
            return self._fit_object(value)
        if isinstance(value, list) and self._items is not None:
            return [self._items.fit(one) for one in value]
        return int(value) if self._whole and isinstance(value, float) and value.is_integer() else value

    def _fit_object(self, given: Json) -> Json:
        kept: Json = {}
        for name, value in given.items():
            field = self._fields.get(name) or self._others
            if field is not None:
                if value is not None or field._nullable:
                    kept[name] = field.fit(value)
            elif self._keeps:
                kept[name] = value
        for name, default in self._defaults:
            kept.setdefault(name, default)
        return kept

    def fit_root(self, obj: Json) -> Json:
        """A whole object; its metadata are another's business."""
        kept = self.fit(obj)
        return {**kept, **{name: obj[name] for name in _NOT_JUDGED & obj.keys()}}

    def unknown(self, value: Any, path: str = "") -> Iterator[str]:
        """The fields that `fit` drops because nobody knows them."""
        if isinstance(value, dict):
            for name, inner in value.items():
                here = f"{path}.{name}" if path else name
                field = self._fields.get(name) or self._others
                if here in _NOT_JUDGED:
                    continue
                if field is not None:
                    yield from field.unknown(inner, here)
                elif not self._keeps:
                    yield here
        elif isinstance(value, list) and self._items is not None:
            for index, inner in enumerate(value):
                yield from self._items.unknown(inner, f"{path}[{index}]")
