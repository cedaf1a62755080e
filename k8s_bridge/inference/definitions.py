"""Looks whether the CustomResourceDefinitions are those that this bridge was made for; it works with others too, as far
as they go."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.inference.job import PLURAL
from synergai.k8s_bridge.inference.runtime import PLURALS
from synergai.k8s_bridge.pods import Json

log = logging.getLogger(__name__)

PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMES = tuple(f"{plural}.{keys.PREFIX}" for plural in (PLURAL, *PLURALS.values()))
EVERY_S = 60.0
_APPLY = "apply those of this version (k8s_bridge/manifests/crds)"

Tell = Callable[[str, str, str, str], None]
"""Name and uid of the definition, reason, message."""


def problem(definition: Json) -> tuple[str, str]:
    """Reason and message; empty where it is as it should be."""
    metadata, spec = definition["metadata"], definition.get("spec") or {}
    served = {version.get("name") for version in spec.get("versions") or () if version.get("served")}
    if keys.API_VERSION not in served:
        names = ", ".join(sorted(map(str, served))) or "nothing"
        why = f"it serves {names}, and this bridge reads {keys.API_VERSION}: {_APPLY}, or a bridge that reads another"
        return "VersionNotServed", why
    schema = (metadata.get("annotations") or {}).get(keys.ANNOTATION_SCHEMA, "")
    if schema == keys.SCHEMA:
        return "", ""
    age = "newer" if schema.isdecimal() and int(schema) > int(keys.SCHEMA) else "older"
    reason = "DefinitionNewer" if age == "newer" else "DefinitionOlder"
    lost = "fields of it that this bridge does not know are not heeded"
    if age == "older":
        lost = "what it does not know is dropped from objects without a word"
    return (
        reason,
        f"it is {age} than this bridge (schema {schema or 'none'}, not {keys.SCHEMA}): {lost}; {_APPLY}",
    )


class Definitions:
    """Tells of each problem once, until it is another."""

    def __init__(
        self, client: ApiClient, tell: Tell, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._client = client
        self._tell = tell
        self._sleep = sleep
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for name in NAMES:
                await self.look(name)
            await self._sleep(EVERY_S)

    def _miss(self, name: str, error: ApiError) -> None:
        if error.status == 403 and self._told.get(name) != error.reason:
            self._told[name] = error.reason
            log.warning("whether %s is of this version cannot be said: %s", name, error)

    async def look(self, name: str) -> None:
        """At one. That it is missing is told by whoever watches its objects."""
        try:
            definition = await self._client.get(f"{PATH}/{name}")
        except ApiError as error:
            self._miss(name, error)
            return
        if definition.get("kind") != "CustomResourceDefinition":
            return  # a proxy's, or a server's that has no such thing
        reason, message = problem(definition)
        if self._told.get(name, "") != reason:
            self._told[name] = reason
            if reason:
                self._tell(name, definition["metadata"]["uid"], reason, message)
