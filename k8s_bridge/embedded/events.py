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


def rename(event: Json, names: Mapping[str, str]) -> Json:
    """The same event with its fields under the other version's names."""
    return {names.get(key, key): value for key, value in event.items()}
