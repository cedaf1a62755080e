"""A plain HTTP client of an API server, for tests that look at what it says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from synergai.k8s_bridge.api.credentials import Credentials

Json = dict[str, Any]

PATIENCE_S = 20.0
"""How long a test waits for what a loaded machine does at once otherwise."""

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"


def refusal(status: Json) -> tuple[int, str, Json]:
    """Code, reason (empty if there is none) and details of a `Status`.

    A cause is its reason and its field, shown once: kube-apiserver finds some faults twice.
    """
    assert (status.get("kind"), status.get("status")) == ("Status", "Failure"), status
    details = dict(status.get("details", {}))
    if "causes" in details:
        causes = [(cause.get("reason"), cause.get("field")) for cause in details["causes"]]
        details["causes"] = list(dict.fromkeys(causes))
    return status["code"], status.get("reason", ""), details


def invalid(kind: str, name: str, *causes: tuple[str, str], group: str = "") -> tuple[int, str, Json]:
    """The refusal of an object with these causes."""
    given = {"name": name, "group": group, "kind": kind}
    details: Json = {key: value for key, value in given.items() if value}
    return 422, "Invalid", details | {"causes": list(causes)}


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

    @property
    def version(self) -> str:
        assert "resourceVersion" in self.json.get("metadata", {}), self.raw
        return self.json["metadata"]["resourceVersion"]

    @property
    def refusal(self) -> tuple[int, str, Json]:
        found = refusal(self.json)
        assert found[0] == self.status, self.raw
        return found

    @property
    def names(self) -> list[str]:
        """Of the items of a list."""
        return [item["metadata"]["name"] for item in self.json["items"]]


class Watching:
    """An open watch."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response

    async def next(self) -> Json:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self._response.content.readline())

    async def change(self) -> Json:
        """The next event that is no bookmark."""
        event = await self.next()
        while event["type"] == "BOOKMARK":
            event = await self.next()
        return event

    async def upto(self, kind: str) -> list[Json]:
        """The events until one of this type, that one included."""
        events = [await self.next()]
        while events[-1]["type"] != kind:
            events.append(await self.next())
        return events

    async def rest(self) -> list[Json]:
        """Everything until the server ends the watch."""
        async with asyncio.timeout(PATIENCE_S):
            return [json.loads(line) async for line in self._response.content]


class Api:
    """One API server as one user sees it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media_type: str = "application/json",
        accept: str = "application/json",
        **query: str,
    ) -> Reply:
        """`body` is sent as JSON, or as it is if it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Accept": accept} | ({"Content-Type": media_type} if data is not None else {})
        async with self.session.request(
            method, self.url + path, data=data, headers=headers, params=query
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    async def get(self, path: str, **query: str) -> Reply:
        return await self.call("GET", path, **query)

    async def show(self, path: str, accept: str, **query: str) -> Reply:
        return await self.call("GET", path, accept=accept, **query)

    async def post(self, path: str, body: object, **query: str) -> Reply:
        return await self.call("POST", path, body, **query)

    async def put(self, path: str, body: object, **query: str) -> Reply:
        return await self.call("PUT", path, body, **query)

    async def delete(self, path: str, body: object = None, **query: str) -> Reply:
        return await self.call("DELETE", path, body, **query)

    async def merge(self, path: str, patch: object, **query: str) -> Reply:
        return await self.call("PATCH", path, patch, media_type=MERGE_PATCH, **query)

    async def strategic(self, path: str, patch: object) -> Reply:
        return await self.call("PATCH", path, patch, media_type=STRATEGIC_PATCH)

    async def steps(self, path: str, *patch: Json) -> Reply:
        """A JSON patch."""
        return await self.call("PATCH", path, list(patch), media_type=JSON_PATCH)

    @asynccontextmanager
    async def watch(
        self, path: str, accept: str = "application/json", **query: str
    ) -> AsyncIterator[Watching]:
        params = {"watch": "true", **query}
        async with self.session.get(self.url + path, params=params, headers={"Accept": accept}) as response:
            yield Watching(response)


@asynccontextmanager
async def client(credentials: Credentials) -> AsyncIterator[Api]:
    """As the user of these credentials."""
    credentials.refresh()
    connector = aiohttp.TCPConnector(ssl=credentials.tls or True)
    async with aiohttp.ClientSession(connector=connector, headers=credentials.headers()) as session:
        yield Api(credentials.host, session)


async def eventually(check: Callable[[], Awaitable[bool]], within_s: float = PATIENCE_S) -> None:
    """Ask again and again until it holds; TimeoutError if it never does."""
    async with asyncio.timeout(within_s):
        while not await check():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.02)


def pod(name: str = "a", metadata: Json | None = None, **spec: object) -> Json:
    """A pod that no scheduler but ours looks at."""
    container = {"name": "c", "image": "registry.example/none:1"}
    base: Json = {"schedulerName": "synergai", "restartPolicy": "Never", "containers": [container]}
    return {"metadata": {"name": name, **(metadata or {})}, "spec": base | spec}
