"""Custom resources: one that all tests share, and those of a test's own."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.contract.space import Space
from tests.kube_api import Json, eventually

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


OPEN: Json = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""A schema of anything."""


def definition(
    group: str,
    plural: str = "things",
    schema: Json = OPEN,
    scope: str = "Namespaced",
    columns: Sequence[Json] = ({"name": "X", "type": "integer", "jsonPath": ".spec.x"},),
    **names: object,
) -> Json:
    kind = plural.removesuffix("s").capitalize()
    named = {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", **names}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": list(columns),
    }
    spec = {"group": group, "scope": scope, "names": named, "versions": [version]}
    return {"metadata": {"name": f"{plural}.{group}"}, "spec": spec}


SHARED = "contract.example.com"
"""The group of the definition that stays: a real server takes a second or two to serve a new one."""


WORKS: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["model"],
            "properties": {
                "model": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 8},
                        "version": {"type": "string", "default": "1"},
                    },
                },
                "samples": {"type": "integer", "minimum": 1, "maximum": 100},
                "retries": {"type": "integer", "default": 2},
                "grade": {"type": "string", "enum": ["A", "B"]},
                "note": {"type": "string", "nullable": True},
                "at": {"type": "string", "format": "date-time"},
                "port": {"x-kubernetes-int-or-string": True},
                "tags": {
                    "type": "object",
                    "additionalProperties": {
                        "type": "object",
                        "properties": {"weight": {"type": "integer", "default": 7}},
                    },
                },
                "steps": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 2,
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "on": {"type": "boolean", "default": True},
                        },
                    },
                },
                "template": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": True,
                    "properties": {
                        "known": {
                            "type": "object",
                            "properties": {"size": {"type": "integer", "default": 5}},
                        }
                    },
                },
            },
        },
        "status": {
            "type": "object",
            "default": {"phase": "Pending"},
            "properties": {
                "phase": {"type": "string"},
                "tries": {"type": "integer", "default": 0},
                "conditions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "type": {"type": "string"},
                            "status": {"type": "string"},
                            "lastTransitionTime": {"type": "string", "format": "date-time"},
                        },
                    },
                },
            },
        },
    },
}
"""A schema with all that ours have, but for rules in CEL."""

_PLACED = '.status.conditions[?(@.type=="Placed")]'
COLUMNS = (
    {"name": "Model", "type": "string", "jsonPath": ".spec.model.name"},
    {"name": "Placed", "type": "string", "jsonPath": f"{_PLACED}.status"},
    {"name": "Since", "type": "date", "jsonPath": f"{_PLACED}.lastTransitionTime"},
    {"name": "Tries", "type": "integer", "jsonPath": ".status.tries"},
    {"name": "No Number", "type": "integer", "jsonPath": ".spec.model.name"},
    {"name": "Whole", "type": "string", "jsonPath": ".spec.model"},
    {"name": "As Text", "type": "string", "jsonPath": ".spec.samples"},
    {"name": "On", "type": "boolean", "jsonPath": ".spec.steps[0].on"},
    {"name": "Last", "type": "string", "jsonPath": ".spec.steps[-1].name"},
    {"name": "All", "type": "string", "jsonPath": ".status.conditions[*].type"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 1},
)


async def shared_things(space: Space) -> str:
    """The path of things in the namespace, which may be anything."""
    return await _shared(space, definition(SHARED))


async def shared_works(space: Space) -> str:
    """The path of works in the namespace, which have a schema and columns."""
    return await _shared(
        space, definition(SHARED, "works", WORKS, columns=COLUMNS, shortNames=["wk"], categories=["all"])
    )


async def shared_worlds(space: Space) -> str:
    """The path of worlds, which are in no namespace."""
    return await _shared(space, definition(SHARED, "worlds", WORKS, "Cluster", ()))


async def _shared(space: Space, body: Json) -> str:
    made = await space.api.post(CRDS, body)
    assert made.status in (201, 409), made.raw
    return await _served(space, body)


@asynccontextmanager
async def new_things(space: Space, schema: Json = OPEN) -> AsyncIterator[str]:
    """The path of things in the namespace, of a group named after it that ends with the test."""
    body = definition(f"{space.name}.example.com", schema=schema)
    await space.made(CRDS, body)
    try:
        yield await _served(space, body)
    finally:
        await space.api.delete(f"{CRDS}/{body['metadata']['name']}")


async def _served(space: Space, body: Json) -> str:
    spec = body["spec"]
    namespace = f"namespaces/{space.name}/" if spec["scope"] == "Namespaced" else ""
    path = f"/apis/{spec['group']}/v1/{namespace}{spec['names']['plural']}"

    async def is_served() -> bool:
        return (await space.api.get(path)).status == 200

    await eventually(is_served)
    return path


def work(name: str = "a", kind: str = "Work", metadata: Json | None = None, **spec: object) -> Json:
    """A `Work` of a model, with these fields of its spec too."""
    return {
        "apiVersion": f"{SHARED}/v1",
        "kind": kind,
        "metadata": {"name": name, **(metadata or {})},
        "spec": {"model": {"name": "resnet"}, **spec},
    }
