"""The query parameters of lists and watches (apimachinery/pkg/apis/meta/internalversion/validation)."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from synergai.k8s_bridge.embedded.bodies import Wish
from synergai.k8s_bridge.embedded.errors import (
    Cause,
    Named,
    bad_request,
    forbidden_field,
    invalid,
    unclassified,
    unsupported,
)
from synergai.k8s_bridge.embedded.objects import Json
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.selectors import Selector, parse_fields, parse_labels

EXACT, NOT_OLDER_THAN = "Exact", "NotOlderThan"
VALIDATIONS = ("", "Ignore", "Strict", "Warn")
PROPAGATIONS = ("Foreground", "Background", "Orphan")
_NO_TOKEN = forbidden_field(
    "resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided"
)


class ListOptions(NamedTuple):
    """What a list or a watch asks for."""

    selector: Selector
    resource_version: int | None
    match: str
    limit: int
    token: str
    """The parameter `continue`."""
    timeout_s: int | None
    bookmarks: bool
    initial_events: bool | None


def flag(query: Mapping[str, str], name: str) -> bool | None:
    """A boolean parameter as Go reads it: anything but `false` and `0` is true."""
    value = query.get(name)
    return None if value is None else value.lower() not in ("false", "0")


def number(query: Mapping[str, str], name: str) -> int | None:
    """A whole number, None where absent, 400 where it is none."""
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'{name}: Invalid value: "{text}": strconv.ParseInt: invalid syntax') from None


def parse(query: Mapping[str, str], target: Target, watch: bool) -> ListOptions:
    """The options, or 400 or 422 with the reason."""
    version = query.get("resourceVersion", "")
    if version and not version.isdecimal():
        why = f'resourceVersion: Invalid value: "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
        raise unclassified(why) if watch else bad_request(why)
    options = ListOptions(
        selector=_selector(query, target),
        resource_version=int(version) if version else None,
        match=query.get("resourceVersionMatch", ""),
        limit=max(number(query, "limit") or 0, 0),
        token=query.get("continue", ""),
        timeout_s=number(query, "timeoutSeconds"),
        bookmarks=flag(query, "allowWatchBookmarks") or False,
        initial_events=flag(query, "sendInitialEvents"),
    )
    causes = _watch_causes(options) if watch else _list_causes(options)
    if causes:
        raise invalid(Named("", "meta.k8s.io", "ListOptions"), causes)
    return options


def _selector(query: Mapping[str, str], target: Target) -> Selector:
    resource = target.resource
    path = f"{resource.group_version}, Resource={resource.plural}"
    fields = parse_fields(query.get("fieldSelector", ""), resource.fields, path)
    if target.name:
        fields += parse_fields(f"metadata.name={target.name}", resource.fields, path)
    return Selector(target.namespace or None, parse_labels(query.get("labelSelector", "")), fields)


def _list_causes(options: ListOptions) -> list[Cause]:
    causes: list[Cause] = []
    if options.initial_events is not None:
        causes.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if not options.match:
        return causes
    if options.match not in (EXACT, NOT_OLDER_THAN):
        causes.append(unsupported("resourceVersionMatch", options.match, (EXACT, NOT_OLDER_THAN, "")))
    if options.resource_version is None:
        why = "resourceVersionMatch is forbidden unless resourceVersion is provided"
        causes.append(forbidden_field("resourceVersionMatch", why))
    if options.token:
        causes.append(_NO_TOKEN)
    if options.match == EXACT and options.resource_version == 0:
        why = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        causes.append(forbidden_field("resourceVersionMatch", why))
    return causes


def _watch_causes(options: ListOptions) -> list[Cause]:
    causes: list[Cause] = []
    if options.initial_events is None and options.match:
        why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        causes.append(forbidden_field("resourceVersionMatch", why))
    if options.initial_events is not None and options.match != NOT_OLDER_THAN:
        why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
        causes.append(forbidden_field("resourceVersionMatch", why))
    if options.match not in ("", NOT_OLDER_THAN):
        causes.append(unsupported("resourceVersionMatch", options.match, (NOT_OLDER_THAN,)))
    if options.token:
        causes.append(_NO_TOKEN)
    return causes


def write(query: Mapping[str, str], kind: str) -> Wish:
    """How a write is meant; 422 for an option that there is not. `kind`: CreateOptions and its like."""
    causes = _dry_run_causes(_given(query, "dryRun"))
    validation = query.get("fieldValidation", "")
    if validation not in VALIDATIONS:
        causes.append(unsupported("fieldValidation", validation, VALIDATIONS))
    if causes:
        raise invalid(Named("", "meta.k8s.io", kind), causes)
    return Wish(bool(query.get("dryRun")), validation == "Strict", query.get("fieldManager") or "unknown")


def delete(query: Mapping[str, str], sent: Json) -> bool:
    """Whether a deletion is a dry run; the grace period of the query is added to the options that were sent."""
    grace_s = number(query, "gracePeriodSeconds")
    if grace_s is not None:
        sent["gracePeriodSeconds"] = grace_s
    dry_run = [*sent.get("dryRun", []), *_given(query, "dryRun")]
    causes = _dry_run_causes(dry_run)
    policy = sent.get("propagationPolicy") or query.get("propagationPolicy", "")
    if policy and policy not in PROPAGATIONS:
        causes.append(unsupported("propagationPolicy", policy, (*PROPAGATIONS, "nil")))
    if causes:
        raise invalid(Named("", "meta.k8s.io", "DeleteOptions"), causes)
    return bool(dry_run)


def _given(query: Mapping[str, str], name: str) -> list[str]:
    return [query[name]] if query.get(name) else []


def _dry_run_causes(values: Sequence[str]) -> list[Cause]:
    if all(value == "All" for value in values):
        return []
    shown = json.dumps(list(values))
    return [Cause("dryRun", "FieldValueNotSupported", f'Unsupported value: {shown}: supported values: "All"')]
