"""An API server for each test: the embedded one, or a real one where SYNERGAI_CONTRACT_KUBECONFIG names it.

What a test says through `api` is true of Kubernetes; tests of the embedded server alone take `server`.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from synergai.k8s_bridge.credentials import Credentials, load
from synergai.k8s_bridge.embedded.server import Server, Settings

REAL = os.environ.get("SYNERGAI_CONTRACT_KUBECONFIG", "")
Json = dict[str, Any]


class Reply:
    """Status, headers and body of an answer."""

    def __init__(self, status: int, headers: Any, raw: bytes) -> None:
        self.status = status
        self.headers = headers
        self.raw = raw

    @property
    def json(self) -> Json:
        return json.loads(self.raw)

    @property
    def message(self) -> str:
        return self.json["message"]


class Watching:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response

    async def next(self, within_s: float = 3.0) -> Json:
        async with asyncio.timeout(within_s):
            return json.loads(await self._response.content.readline())

    async def upto(self, kind: str) -> list[Json]:
        """The events until one of this type, that one included."""
        events = [await self.next()]
        while events[-1]["type"] != kind:
            events.append(await self.next())
        return events

    async def rest(self, within_s: float = 5.0) -> list[Json]:
        """Everything until the server ends the watch."""
        async with asyncio.timeout(within_s):
            return [json.loads(line) async for line in self._response.content]


class Api:
    """A plain HTTP client of one API server."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        raw: bytes | None = None,
        media_type: str = "application/json",
        accept: str = "application/json",
        token: str = "",
        **query: str,
    ) -> Reply:
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": media_type} if data is not None else {})
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.request(
            method, self.url + path, data=data, headers=headers, params=query
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: str) -> Reply:
        return await self.call("GET", path, **query)

    async def post(self, path: str, body: object, **query: str) -> Reply:
        return await self.call("POST", path, body, **query)

    async def put(self, path: str, body: object) -> Reply:
        return await self.call("PUT", path, body)

    async def delete(self, path: str, body: object = None, **query: str) -> Reply:
        return await self.call("DELETE", path, body, **query)

    async def merge(self, path: str, patch: object) -> Reply:
        return await self.call("PATCH", path, patch, media_type="application/merge-patch+json")

    async def strategic(self, path: str, patch: object) -> Reply:
        return await self.call("PATCH", path, patch, media_type="application/strategic-merge-patch+json")

    @asynccontextmanager
    async def watch(
        self, path: str, accept: str = "application/json", **query: str
    ) -> AsyncIterator[Watching]:
        params = {"watch": "true", **query}
        async with self.session.get(self.url + path, params=params, headers={"Accept": accept}) as response:
            yield Watching(response)


@asynccontextmanager
async def client(credentials: Credentials) -> AsyncIterator[Api]:
    credentials.refresh()
    connector = aiohttp.TCPConnector(ssl=credentials.tls or True)
    async with aiohttp.ClientSession(connector=connector, headers=credentials.headers()) as session:
        yield Api(credentials.host, session)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The embedded server, with bookmarks soon."""
    async with Server(Settings(bookmark_s=0.05)) as running:
        yield running


@pytest.fixture
async def embedded(server: Server) -> AsyncIterator[Api]:
    """A client of the embedded server, whatever the contract runs against."""
    async with client(Credentials(server.url)) as api:
        yield api


@pytest.fixture
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """A client of the server under contract."""
    if REAL:
        async with client(load(REAL)) as real:
            yield real
    else:
        async with Server(Settings(bookmark_s=0.05)) as running, client(Credentials(running.url)) as api:
            yield api


async def until_true(check: Callable[[], Awaitable[bool]], within_s: float = 5.0) -> None:
    """Ask again and again until it holds; TimeoutError if it never does."""
    async with asyncio.timeout(within_s):
        while not await check():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


@pytest.fixture
def eventually():
    return until_true


class Space:
    """A namespace of one test."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name
        self.pods = f"/api/v1/namespaces/{name}/pods"
        self.config_maps = f"/api/v1/namespaces/{name}/configmaps"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{name}/leases"
        self.events = f"/api/v1/namespaces/{name}/events"

    async def pod(self, name: str = "a", **spec: object) -> Json:
        """Create a pod; the reply's object."""
        return await self.made(self.pods, pod(name, **spec))

    async def config_map(self, name: str = "c", **metadata: object) -> Json:
        return await self.made(self.config_maps, {"metadata": {"name": name, **metadata}})

    async def gone(self, path: str, within_s: float = 5.0) -> None:
        async def is_gone() -> bool:
            return (await self.api.get(path)).status == 404

        await until_true(is_gone, within_s)

    async def made(self, path: str, body: Json) -> Json:
        reply = await self.api.post(path, body)
        assert reply.status == 201, reply.raw
        return reply.json

    async def bind(self, name: str, node: str = "n", **metadata: object) -> Reply:
        body = {"metadata": {"name": name, **metadata}, "target": {"kind": "Node", "name": node}}
        return await self.api.post(f"{self.pods}/{name}/binding", body)


def pod(name: str = "a", metadata: Json | None = None, **spec: object) -> Json:
    """A pod that no scheduler but ours looks at."""
    container = {"name": "c", "image": "registry.example/none:1"}
    base: Json = {"schedulerName": "synergai", "restartPolicy": "Never", "containers": [container]}
    return {"metadata": {"name": name, **(metadata or {})}, "spec": base | spec}


@pytest.fixture
def make_pod():
    return pod


@pytest.fixture
async def space(api: Api) -> AsyncIterator[Space]:
    """A fresh namespace, deleted afterwards."""
    made = (await api.post("/api/v1/namespaces", {"metadata": {"generateName": "contract-"}})).json
    name = made["metadata"]["name"]

    async def has_account() -> bool:  # pods are refused before the controller has made it
        return (await api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")).status == 200

    await until_true(has_account, within_s=10)
    yield Space(api, name)
    await api.delete(f"/api/v1/namespaces/{name}")
