"""Custom resources: one that all tests share, and those of a test's own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.contract.space import Space
from tests.kube_api import Json, eventually

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(group: str) -> Json:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": schema,
        "additionalPrinterColumns": [{"name": "X", "type": "integer", "jsonPath": ".spec.x"}],
    }
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": f"things.{group}"}, "spec": spec}


SHARED = "contract.example.com"
"""The group of the definition that stays: a real server takes a second or two to serve a new one."""


async def shared_things(space: Space) -> str:
    """The path of things in the namespace."""
    made = await space.api.post(CRDS, definition(SHARED))
    assert made.status in (201, 409), made.raw
    return await _served(space, SHARED)


@asynccontextmanager
async def new_things(space: Space) -> AsyncIterator[str]:
    """The path of things in the namespace, of a group named after it that ends with the test."""
    group = f"{space.name}.example.com"
    await space.made(CRDS, definition(group))
    try:
        yield await _served(space, group)
    finally:
        await space.api.delete(f"{CRDS}/things.{group}")


async def _served(space: Space, group: str) -> str:
    path = f"/apis/{group}/v1/namespaces/{space.name}/things"

    async def is_served() -> bool:
        return (await space.api.get(path)).status == 200

    await eventually(is_served)
    return path
