"""How a reply looks: whole objects, a table, or metadata only, as the Accept header asks."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from synergai.k8s_bridge.embedded.clock import Clock
from synergai.k8s_bridge.embedded.errors import not_acceptable
from synergai.k8s_bridge.embedded.objects import Json, Stored, dump, metadata
from synergai.k8s_bridge.embedded.resources import Resource
from synergai.k8s_bridge.embedded.store import Change
from synergai.k8s_bridge.embedded.tables import partial, table

META_GROUP = "meta.k8s.io"


class Format(Protocol):
    """One way to show objects."""

    def one(self, resource: Resource, stored: Stored) -> bytes:
        """A reply with one object."""
        ...

    def many(self, resource: Resource, items: Sequence[Stored], list_metadata: Json) -> bytes:
        """A reply with a list."""
        ...

    def event(self, resource: Resource, kind: str, stored: Stored, change: Change | None) -> bytes:
        """A line of a watch; `change` where the line may be kept for other watchers."""
        ...


def watch_line(kind: str, body: bytes) -> bytes:
    return b'{"type":"' + kind.encode() + b'","object":' + body + b"}\n"


class Whole:
    """Objects as they are."""

    def one(self, resource: Resource, stored: Stored) -> bytes:
        return resource.body(stored)

    def many(self, resource: Resource, items: Sequence[Stored], list_metadata: Json) -> bytes:
        head = {
            "kind": f"{resource.kind}List",
            "apiVersion": resource.group_version,
            "metadata": list_metadata,
        }
        joined = b",".join(resource.item(stored) for stored in items)
        return dump(head)[:-1] + b',"items":[' + joined + b"]}"

    def event(self, resource: Resource, kind: str, stored: Stored, change: Change | None) -> bytes:
        if change is None:
            return watch_line(kind, resource.body(stored))
        view = f"{kind}/{resource.qualified}"
        line = change.lines.get(view)
        if line is None:
            line = change.lines[view] = watch_line(kind, resource.body(stored))
        return line


class Partial:
    """Metadata only."""

    def one(self, resource: Resource, stored: Stored) -> bytes:
        return stored.body("partial", lambda obj: dump(partial(obj)))

    def many(self, resource: Resource, items: Sequence[Stored], list_metadata: Json) -> bytes:
        head = {
            "kind": "PartialObjectMetadataList",
            "apiVersion": f"{META_GROUP}/v1",
            "metadata": list_metadata,
        }
        joined = b",".join(self.one(resource, stored) for stored in items)
        return dump(head)[:-1] + b',"items":[' + joined + b"]}"

    def event(self, resource: Resource, kind: str, stored: Stored, change: Change | None) -> bytes:
        return watch_line(kind, self.one(resource, stored))


class Tabular:
    """Rows for a person; in a watch only the first line names the columns."""

    def __init__(self, clock: Clock, include: str) -> None:
        self._clock = clock
        self._include = include
        self._headers = True

    def one(self, resource: Resource, stored: Stored) -> bytes:
        return self.many(resource, [stored], {"resourceVersion": str(stored.rv)})

    def many(self, resource: Resource, items: Sequence[Stored], list_metadata: Json) -> bytes:
        shown = table(resource, items, list_metadata, self._clock(), self._include, self._headers)
        return dump(shown)

    def event(self, resource: Resource, kind: str, stored: Stored, change: Change | None) -> bytes:
        version = {"resourceVersion": metadata(stored.obj)["resourceVersion"]}
        line = watch_line(kind, self.many(resource, [stored], version))
        self._headers = False
        return line


WHOLE = Whole()
PARTIAL = Partial()


def negotiate(accept: str, query: Mapping[str, str], clock: Clock, many: bool = False) -> Format:
    """The first format of the Accept header that is served; 406 if none is. `many`: for a list."""
    metadata_only = "PartialObjectMetadataList" if many else "PartialObjectMetadata"
    for part in (accept or "*/*").split(","):
        media_type, *given = [piece.strip() for piece in part.split(";")]
        if media_type not in ("application/json", "application/*", "*/*"):
            continue
        asked = dict(piece.split("=", 1) for piece in given if "=" in piece)
        kind = asked.get("as")
        if kind is None:
            return WHOLE
        if asked.get("g") != META_GROUP or asked.get("v") != "v1":
            continue
        if kind == "Table":
            return Tabular(clock, query.get("includeObject", "Metadata"))
        if kind == metadata_only:
            return PARTIAL
    raise not_acceptable()
