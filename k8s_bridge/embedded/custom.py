"""What is special about custom resources: they are as the schema of their definition has them."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from synergai.k8s_bridge.embedded import shapes
from synergai.k8s_bridge.embedded.errors import Cause
from synergai.k8s_bridge.embedded.objects import Json, with_metadata
from synergai.k8s_bridge.embedded.resources import Resource
from synergai.k8s_bridge.embedded.schema_rules import schema_causes
from synergai.k8s_bridge.embedded.schemas import Schema
from synergai.k8s_bridge.embedded.strategy import Strategy, with_status, without
from synergai.k8s_bridge.embedded.validation import metadata_causes


@dataclass(frozen=True, slots=True)
class CustomStrategy(Strategy):
    """Unknown fields are dropped and defaults are filled in, those of a status that nobody has written too."""

    shape: shapes.Shape = field(default_factory=lambda: shapes.OBJECT)
    has_generation: bool = True
    schema: Schema = field(default_factory=lambda: Schema({}))

    def prepared(self, obj: Json, resource: Resource) -> Json:
        sent = without(obj, "status") if "status" in resource.subresources else obj
        return with_metadata(self.schema.fit_root(sent), generation=1)

    def changed(self, new: Json, old: Json, resource: Resource) -> Json:
        return Strategy.changed(self, self.schema.fit_root(new), old, resource)

    def status_changed(self, new: Json, old: Json, resource: Resource) -> Json:
        """Nothing but the status: metadata that are sent along stay what they are."""
        return self.schema.fit_root(with_status(old, new.get("status")))

    def causes(self, obj: Json) -> list[Cause]:
        return [*metadata_causes(obj), *schema_causes(obj, self.schema.rules)]

    def unknown(self, obj: Json) -> Iterator[str]:
        return self.schema.unknown(obj)
