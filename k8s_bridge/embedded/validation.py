"""What object metadata must look like (apimachinery/pkg/api/validation/objectmeta.go)."""

import re

from synergai.k8s_bridge.embedded.errors import (
    Cause,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from synergai.k8s_bridge.embedded.objects import Json, metadata

ANNOTATIONS_LIMIT = 256 * 1024
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  "
    "or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
    "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def is_subdomain(text: str) -> bool:
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_qualified(key: str) -> bool:
    """`name` or `prefix/name`."""
    prefix, slash, name = key.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return len(name) <= 63 and _NAME_PART.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    return text == "" or (len(text) <= 63 and _NAME_PART.fullmatch(text) is not None)


def metadata_causes(obj: Json, label_name: bool = False) -> list[Cause]:
    """What is wrong with the metadata; `label_name` where a name may have no dots (namespaces)."""
    given = metadata(obj)
    name = given.get("name", "")
    causes: list[Cause] = []
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    elif label_name and not is_label(name):
        causes.append(invalid_value("metadata.name", name, LABEL_TEXT))
    elif not is_subdomain(name):
        causes.append(invalid_value("metadata.name", name, SUBDOMAIN_TEXT))
    return [
        *causes,
        *label_causes(given.get("labels") or {}, "metadata.labels"),
        *_annotation_causes(given.get("annotations") or {}),
        *_finalizer_causes(given.get("finalizers") or []),
        *_owner_causes(given.get("ownerReferences") or []),
    ]


def name_causes(name: str, field: str) -> list[Cause]:
    """What is wrong with `name` or `prefix/name`."""
    return [] if is_qualified(name) else [invalid_value(field, name, _KEY_TEXT)]


def label_causes(labels: dict[str, str], field: str) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in labels.items():
        causes += name_causes(key, field)
        causes += value_causes(value, field)
    return causes


def value_causes(value: str, field: str) -> list[Cause]:
    """What is wrong with the value of a label."""
    return [] if is_label_value(value) else [invalid_value(field, value, _VALUE_TEXT)]


def _finalizer_causes(finalizers: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    for index, name in enumerate(finalizers):
        causes += name_causes(name, "metadata.finalizers")
        if "/" not in name and name not in STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid_value(f"metadata.finalizers[{index}]", name, why))
    return causes


def _owner_causes(owners: list[Json]) -> list[Cause]:
    return [
        invalid_value(f"metadata.ownerReferences.{field}", owner.get(field, ""), "must not be empty")
        for owner in owners
        for field in ("apiVersion", "kind", "name", "uid")
        if not owner.get(field)
    ]


def _annotation_causes(annotations: dict[str, str]) -> list[Cause]:
    causes = [
        invalid_value("metadata.annotations", key, _KEY_TEXT)
        for key in annotations
        if not is_qualified(key.lower())
    ]
    size = sum(_size(key) + _size(value) for key, value in annotations.items())
    if size > ANNOTATIONS_LIMIT:
        causes.append(too_long("metadata.annotations", ANNOTATIONS_LIMIT))
    return causes


def _size(text: str) -> int:
    return len(text.encode(errors="replace"))


def finalizer_causes(new: Json, old: Json) -> list[Cause]:
    """An object that is being deleted gets no new finalizers."""
    if "deletionTimestamp" not in metadata(old):
        return []
    added = sorted(set(metadata(new).get("finalizers") or []) - set(metadata(old).get("finalizers") or []))
    if not added:
        return []
    shown = ", ".join(f'"{name}"' for name in added)
    why = "no new finalizers can be added if the object is being deleted, found new finalizers "
    return [forbidden_field("metadata.finalizers", f"{why}[]string{{{shown}}}")]
