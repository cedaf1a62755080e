"""Whether an event makes sense (pkg/apis/core/validation/events.go): more is asked of events.k8s.io than of core."""

from collections.abc import Iterator

from synergai.k8s_bridge.embedded.errors import Cause, invalid_value, required
from synergai.k8s_bridge.embedded.objects import Json, metadata
from synergai.k8s_bridge.embedded.validation import name_causes

TYPES = ("Normal", "Warning")
FIXED = (
    "involvedObject",
    "reason",
    "message",
    "type",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
    "eventTime",
)
"""Fields that an update through events.k8s.io leaves alone."""


def event_causes(event: Json, modern: bool) -> Iterator[Cause]:
    """What is wrong with an event as it is stored; `modern` came through events.k8s.io."""
    yield from _about(event)
    if event.get("eventTime"):
        yield from _reporter(event, "reportingController" if modern else "reportingComponent")
    elif modern:
        yield required("eventTime")
    if modern:
        if event.get("type") not in TYPES:
            yield invalid_value("type", "", f"has invalid value: {event.get('type', '')}")
        yield from _series(event.get("series"))


def changed_event_causes(new: Json, old: Json, modern: bool) -> Iterator[Cause]:
    """What may not be changed so."""
    if not modern:
        return
    for field in FIXED:
        if new.get(field) != old.get(field):
            yield invalid_value(field, new.get(field), "field is immutable")


def _about(event: Json) -> Iterator[Cause]:
    """An event is in the namespace of what it is about; one with a time of its own need not be."""
    namespace = metadata(event).get("namespace")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    if event.get("eventTime"):
        agrees = bool(about) or namespace in ("default", "kube-system")
    else:
        agrees = (about or "default") == namespace
    if not agrees:
        yield invalid_value("involvedObject.namespace", about, "does not match event.namespace")


def _reporter(event: Json, reporting: str) -> Iterator[Cause]:
    name = event.get("reportingComponent", "")
    if not name:
        yield required(reporting)
    yield from name_causes(name, reporting)
    for field in ("reportingInstance", "action", "reason"):
        if not event.get(field):
            yield required(field)
        elif len(event[field]) > 128:
            yield invalid_value(field, "", "can have at most 128 characters")
    if len(event.get("message", "")) > 1024:
        yield invalid_value("message", "", "can have at most 1024 characters")


def _series(series: Json | None) -> Iterator[Cause]:
    if series is None:
        return
    if series.get("count", 0) < 2:
        yield invalid_value("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")
