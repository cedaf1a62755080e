"""What a simulated kubelet needs of an API server: requests that go on trying, a watch that never ends."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Literal, NamedTuple

import aiohttp

from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded.objects import Json, dump, metadata
from synergai.k8s_bridge.embedded.patches import STRATEGIC_PATCH

log = logging.getLogger(__name__)

CONNECTIONS = 32
FIRST_DELAY_S, LAST_DELAY_S = 0.05, 2.0
REQUEST_S = 10.0
IDLE_S = 60.0
"""A watch that is silent for so long, bookmarks included, is opened again."""

EventKind = Literal["ADDED", "MODIFIED", "DELETED"]


class Refused(Exception):
    """A reply that trying again will not change."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Event(NamedTuple):
    """One change. A DELETED made up after a new list has only the metadata known before."""

    kind: EventKind
    object: Json


class Api:
    """One API server. Lost connections, 429 and 5xx are tried again until the caller is cancelled."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=credentials.tls or True),
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def close(self) -> None:
        await self._session.close()

    async def patch(self, path: str, body: Json) -> Json:
        """A strategic merge patch."""
        return await self.request("PATCH", path, body, STRATEGIC_PATCH)

    async def request(
        self, method: str, path: str, body: Json | None = None, media_type: str = "application/json"
    ) -> Json:
        """The reply, or Refused."""
        delay_s = FIRST_DELAY_S
        while True:
            headers = await self._headers() | ({} if body is None else {"Content-Type": media_type})
            data = None if body is None else dump(body)
            try:
                url = self._credentials.host + path
                async with (
                    asyncio.timeout(REQUEST_S),
                    self._session.request(method, url, data=data, headers=headers) as response,
                ):
                    raw = await response.read()
                if response.status < 300:
                    return json.loads(raw)
                if response.status != 429 and response.status < 500:
                    raise Refused(response.status, _message(raw))
                log.warning("%s %s: %s", method, path, response.status)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("%s %s: %s", method, path, error or type(error).__name__)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LAST_DELAY_S)

    async def follow(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Event]:
        """Everything there is, then every change, for ever."""
        known: dict[str, Json] = {}
        version = ""
        while True:
            try:
                if not version:
                    listed = await self._list(path, params)
                    version = metadata(listed)["resourceVersion"]
                    for event in _news(known, listed.get("items") or []):
                        yield event
                async for kind, obj in self._watch(path, {**params, "resourceVersion": version}):
                    if kind == "ERROR":
                        raise Refused(obj.get("code", 0), obj.get("message", ""))
                    version = metadata(obj)["resourceVersion"]
                    if kind in ("ADDED", "MODIFIED", "DELETED"):
                        _remember(known, kind, obj)
                        yield Event(kind, obj)
            except Refused as error:
                if error.status == 429 or error.status >= 500:
                    await asyncio.sleep(FIRST_DELAY_S)
                elif error.status in (0, 410):
                    version = ""
                else:
                    raise
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("watch of %s: %s", path, error or type(error).__name__)
                await asyncio.sleep(FIRST_DELAY_S)

    async def _list(self, path: str, params: Mapping[str, str]) -> Json:
        query = "&".join(f"{key}={value}" for key, value in params.items())
        return await self.request("GET", f"{path}?{query}" if query else path)

    async def _watch(self, path: str, params: Mapping[str, str]) -> AsyncIterator[tuple[str, Json]]:
        query = {**params, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": "300"}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_S, sock_read=IDLE_S * 2)
        url = self._credentials.host + path
        async with self._session.get(
            url, params=query, headers=await self._headers(), timeout=timeout, read_bufsize=2**20
        ) as response:
            if response.status != 200:
                raise Refused(response.status, _message(await response.read()))
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    async def _headers(self) -> dict[str, str]:
        if self._credentials.stale():
            await asyncio.to_thread(self._credentials.refresh)
        return {"Accept": "application/json", **self._credentials.headers()}


def _news(known: dict[str, Json], items: list[Json]) -> list[Event]:
    """What a new list says that was not known; `known` is brought up to date."""
    listed = {metadata(item)["uid"]: item for item in items}
    events = [Event("DELETED", known.pop(uid)) for uid in sorted(known.keys() - listed.keys())]
    for uid, item in listed.items():
        old = known.get(uid)
        if old is None or metadata(old)["resourceVersion"] != metadata(item)["resourceVersion"]:
            events.append(Event("ADDED" if old is None else "MODIFIED", item))
            _remember(known, "ADDED", item)
    return events


def _remember(known: dict[str, Json], kind: str, obj: Json) -> None:
    uid = metadata(obj)["uid"]
    if kind == "DELETED":
        known.pop(uid, None)
    else:
        known[uid] = {"metadata": metadata(obj)}


def _message(raw: bytes) -> str:
    try:
        return json.loads(raw)["message"]
    except (ValueError, KeyError, TypeError):
        return raw[:200].decode(errors="replace")
