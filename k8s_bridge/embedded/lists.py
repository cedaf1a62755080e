"""Lists, whole or in pages, now or as they were."""

import base64
import json
from bisect import bisect_left

from synergai.k8s_bridge.embedded.errors import ApiError, bad_request, expired, too_large_resource_version
from synergai.k8s_bridge.embedded.objects import Json, Key, Stored
from synergai.k8s_bridge.embedded.options import EXACT, ListOptions
from synergai.k8s_bridge.embedded.resources import Resource
from synergai.k8s_bridge.embedded.store import Store

_OLD_TOKEN = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You can start a new list without the continue parameter."
)


def page(store: Store, resource: Resource, options: ListOptions) -> tuple[list[Stored], Json]:
    """The objects and the metadata of the list."""
    start, rv = _start(store, options)
    try:
        found = store.snapshot(resource.collection, rv)
    except ApiError as error:
        raise expired(_OLD_TOKEN) if options.token else error from None
    if start is not None:
        found = found[bisect_left(found, start, key=lambda stored: stored.key) :]
    matching = [stored for stored in found if options.selector.matches(stored)]
    shown_rv = store.rv if rv is None else rv
    limit = 0 if options.resource_version == 0 else options.limit
    if not limit or len(matching) <= limit:
        return matching, {"resourceVersion": str(shown_rv)}
    return matching[:limit], _unfinished(matching, limit, shown_rv, options)


def _start(store: Store, options: ListOptions) -> tuple[Key | None, int | None]:
    """The first key of the page and the version to show; None for the first and the newest."""
    asked = options.resource_version
    if options.token:
        if asked:
            raise bad_request("specifying resource version is not allowed when using continue")
        return _read_token(options.token)
    if asked is not None and asked > store.rv:
        raise too_large_resource_version(asked, store.rv)
    exact = options.match == EXACT or (asked and options.limit and not options.match)
    return None, asked if exact else None


def _unfinished(matching: list[Stored], limit: int, rv: int, options: ListOptions) -> Json:
    given: Json = {"resourceVersion": str(rv), "continue": _token(rv, matching[limit].key)}
    if options.selector.labels or options.selector.fields:
        return given
    return {**given, "remainingItemCount": len(matching) - limit}


def _token(rv: int, key: Key) -> str:
    text = json.dumps({"v": "meta.k8s.io/v1", "rv": rv, "start": "/".join(key)}, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[Key, int]:
    try:
        given = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        namespace, _, name = given["start"].rpartition("/")
        return (namespace, name), int(given["rv"])
    except (ValueError, TypeError, KeyError, AttributeError):
        raise bad_request("continue key is not valid: illegal base64 data or encoding") from None
