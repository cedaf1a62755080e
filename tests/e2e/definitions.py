"""Our CustomResourceDefinitions on a real cluster: made where they are missing, and then removed again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load

FOLDER = Path(__file__).parents[2] / "k8s_bridge" / "manifests" / "crds"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE_S = 20.0
Json = dict[str, Any]


def shipped() -> list[Json]:
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yaml"))]


@asynccontextmanager
async def defined(kubeconfig: str) -> AsyncIterator[None]:
    """Those that are there stay as they are: somebody's objects may hang on them."""
    async with ApiClient(load(kubeconfig)) as client:
        made = [item["metadata"]["name"] for item in shipped() if await _make(client, item)]
        try:
            for item in shipped():
                await _served(client, item["spec"]["names"]["plural"])
            yield
        finally:
            for name in made:
                await _delete(client, name)


async def _make(client: ApiClient, item: Json) -> bool:
    try:
        await client.post(CRDS, item)
    except ApiError as error:
        if error.status != 409:
            raise
        return False
    return True


async def _delete(client: ApiClient, name: str) -> None:
    """Until it is gone: who makes it anew while it goes is told that it is there, and then it is not."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await client.request("DELETE", f"{CRDS}/{name}")
            except ApiError as error:
                if error.status != 404:  # some tests delete them themselves
                    raise
                return
            await asyncio.sleep(0.05)


async def _told(client: ApiClient, group: str) -> list[str]:
    """The paths of a group."""
    return list((await client.get(f"/openapi/v3{group}"))["paths"])


async def _served(client: ApiClient, plural: str) -> None:
    """A moment after it was made; and told of by the server's OpenAPI, by which kubectl explains, a moment later."""
    group = f"/apis/{keys.PREFIX}/{keys.API_VERSION}"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await client.get(f"{group}/{plural}", {"limit": "1"})
                if any(path.startswith(f"{group}/{plural}") for path in await _told(client, group)):
                    return
            except ApiError as error:
                if error.status != 404:
                    raise
            await asyncio.sleep(0.05)
