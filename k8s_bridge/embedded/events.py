"""Events are one set of objects with two faces: core/v1 and events.k8s.io/v1.

See pkg/apis/events/v1/conversion.go.
"""

from collections.abc import Mapping

from synergai.k8s_bridge.embedded.objects import Json

FROM_CORE: Mapping[str, str] = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
TO_CORE: Mapping[str, str] = {new: old for old, new in FROM_CORE.items()}


def from_modern(event: Json) -> Json:
    """As it is stored, which is as core has it."""
    return {TO_CORE.get(key, key): value for key, value in event.items()}


def to_modern(event: Json) -> Json:
    """As events.k8s.io shows it: the reporter only where there is one."""
    shown = {FROM_CORE.get(key, key): value for key, value in event.items()}
    return {key: value for key, value in shown.items() if value != "" or not key.startswith("reporting")}
