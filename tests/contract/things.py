"""A custom resource of a test's own."""

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


@asynccontextmanager
async def served_things(space: Space) -> AsyncIterator[str]:
    """The path of things in the namespace, of a group named after it."""
    group = f"{space.name}.example.com"
    await space.made(CRDS, definition(group))
    path = f"/apis/{group}/v1/namespaces/{space.name}/things"

    async def is_served() -> bool:
        return (await space.api.get(path)).status == 200

    await eventually(is_served)
    try:
        yield path
    finally:
        await space.api.delete(f"{CRDS}/things.{group}")
