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

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_TEXT = (
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
        causes.append(invalid_value("metadata.name", name, _LABEL_TEXT))
    elif not is_subdomain(name):
        causes.append(invalid_value("metadata.name", name, _SUBDOMAIN_TEXT))
    return (
        causes + _label_causes(given.get("labels") or {}) + _annotation_causes(given.get("annotations") or {})
    )


def _label_causes(labels: dict[str, str]) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in labels.items():
        if not is_qualified(key):
            causes.append(invalid_value("metadata.labels", key, _KEY_TEXT))
        if not is_label_value(value):
            causes.append(invalid_value("metadata.labels", value, _VALUE_TEXT))
    return causes


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
