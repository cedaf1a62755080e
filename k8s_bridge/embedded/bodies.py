"""From the body of a request to an object as its collection holds it."""

from typing import Any, NamedTuple

from synergai.k8s_bridge.embedded import preconditions, shapes
from synergai.k8s_bridge.embedded.admission import random_suffix
from synergai.k8s_bridge.embedded.clock import seconds_text
from synergai.k8s_bridge.embedded.errors import bad_request, unclassified
from synergai.k8s_bridge.embedded.objects import Json, load, metadata, with_metadata
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.strategy import Strategy, without


class Wish(NamedTuple):
    """How a write is meant, beside its body."""

    dry_run: bool = False
    strict: bool = False
    """Fields that a custom resource does not know are refused, where they would be dropped."""
    manager: str = ""
    """Told who resizes a pod."""


def decode(body: bytes, shape: shapes.Shape, what: str) -> Json:
    """The body as an object of this shape; 400 if it is none."""
    try:
        value = load(body)
        return shapes.read(value, shape)
    except ValueError as error:
        raise bad_request(f"{what} cannot be handled: {error}") from None


def received(target: Target, body: bytes, strategy: Strategy, strict: bool) -> Json:
    """The body as an object of the target's kind, or 400."""
    try:
        return read(target, load(body), strategy, strict)
    except ValueError as error:
        resource = target.resource
        what = f'{resource.kind} in version "{resource.version}"'
        raise bad_request(f"{what} cannot be handled as a {resource.kind}: {error}") from None


def read(target: Target, value: Any, strategy: Strategy, strict: bool) -> Json:
    """As the collection holds it: decoded, without kind and apiVersion. `Any`: what was sent."""
    resource = target.resource
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise shapes.DecodeError("couldn't get version/kind; json parse error")
    preconditions.of_type(value, resource)
    if strict and (unknown := sorted(strategy.unknown(value))):
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        raise shapes.DecodeError(f"strict decoding error: {listed}")
    obj = resource.decode(value) if resource.decode else value
    shape = strategy.shape
    if target.subresource == "status":
        shape = {key: inner for key, inner in shape.items() if key in shapes.STATUS_PARTS}
    return without(shapes.read(obj, shape), "kind", "apiVersion")


def fresh(obj: Json, target: Target, now_s: float) -> Json:
    """A new object, with the metadata that only the server gives."""
    given = metadata(obj)
    if given.get("resourceVersion"):
        raise unclassified("resourceVersion should not be set on objects to be created")
    if given.get("namespace") not in (None, "", target.namespace):
        raise preconditions.other_namespace()
    name, base = given.get("name", ""), given.get("generateName", "")
    if not name and base:
        name = base[:58] + random_suffix()
    return with_metadata(
        obj,
        name=name,
        namespace=target.namespace or None,
        uid=None,
        creationTimestamp=seconds_text(now_s),
        deletionTimestamp=None,
        deletionGracePeriodSeconds=None,
        generation=None,
        managedFields=None,
    )
