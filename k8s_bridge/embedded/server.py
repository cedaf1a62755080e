"""The HTTP face: one asyncio loop, plain HTTP on the loopback address, everything in memory.

async with Server() as server:
    print(server.url)
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from synergai.k8s_bridge.embedded import discovery, lists, openapi, options, routes, shapes
from synergai.k8s_bridge.embedded.access import Access, User, authorize, authorize_path
from synergai.k8s_bridge.embedded.bodies import decode
from synergai.k8s_bridge.embedded.clock import Clock, http_date
from synergai.k8s_bridge.embedded.crds import CRDS
from synergai.k8s_bridge.embedded.errors import (
    ApiError,
    NotServed,
    bad_request,
    body_too_large,
    internal,
    method_not_allowed,
    success,
    unsupported_media_type,
)
from synergai.k8s_bridge.embedded.formats import Format, negotiate
from synergai.k8s_bridge.embedded.objects import Json, Stored, dump, metadata
from synergai.k8s_bridge.embedded.patches import JSON_PATCH
from synergai.k8s_bridge.embedded.resources import BUILT_IN, NAMESPACES, PODS, PRIORITY_CLASSES, Registry
from synergai.k8s_bridge.embedded.routes import Target
from synergai.k8s_bridge.embedded.store import HISTORY, Store
from synergai.k8s_bridge.embedded.watches import Watch
from synergai.k8s_bridge.embedded.writes import Writer

log = logging.getLogger(__name__)

JSON = "application/json"
BODY_LIMIT = 3 * 1024 * 1024
"""Bytes of a request: MaxRequestBodyBytes of kube-apiserver."""

NAMESPACE_NAMES = ("default", "kube-node-lease", "kube-public", "kube-system")
PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}

_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_METHOD_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Settings:
    """How the server behaves."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 is any free one."""
    history: int = HISTORY
    """Changes remembered per collection, for watches."""
    bookmark_s: float = 5.0
    access: Access = field(default_factory=Access)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, understood: what `Server.before` is shown."""

    user: User
    verb: str
    target: Target
    query: Mapping[str, str]


class Server:
    """An API server. `store`, `registry` and `writer` may be used between requests."""

    def __init__(self, settings: Settings | None = None, clock: Clock = time.time) -> None:
        self.settings = settings or Settings()
        self.registry = Registry((*BUILT_IN, CRDS))
        self.store = Store(self.settings.history)
        self.before: Callable[[Call], Awaitable[None]] | None = None
        """Awaited before each request to a resource; may sleep, or raise ApiError: faults at will."""
        self.url = ""
        self.clock = clock
        self.writer = Writer(self.store, self.registry, clock)
        self._runner: web.ServerRunner | None = None
        self._watches: set[asyncio.Task[None]] = set()
        self._bootstrap()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; OSError if the port is taken."""
        served = web.Server(self._handle, request_factory=_request, handler_cancellation=True)
        self._runner = web.ServerRunner(served, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.settings.host, self.settings.port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and end all watches."""
        self.drop_watches()
        if self._runner is not None:
            await self._runner.cleanup()

    def drop_watches(self) -> None:
        """End all watches, as a server does that is restarted."""
        for watch in list(self._watches):
            watch.cancel()

    def _bootstrap(self) -> None:
        for name in NAMESPACE_NAMES:
            self.writer.create(Target(NAMESPACES, "", "", ""), dump({"metadata": {"name": name}}))
        for name, value in PRIORITIES.items():
            body = dump({"metadata": {"name": name}, "value": value})
            self.writer.create(Target(PRIORITY_CLASSES, "", "", ""), body)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            return self._refusal(error)
        except NotServed:
            return web.Response(text="404 page not found\n", status=404)
        except web.HTTPRequestEntityTooLarge:
            return self._refusal(body_too_large(BODY_LIMIT))
        except RecursionError:
            return self._refusal(bad_request("the object is nested too deeply"))
        except ConnectionError:
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path_qs)
            return self._refusal(internal(f"{type(error).__name__}: {error}"))

    def _refusal(self, error: ApiError) -> web.Response:
        return self._reply(dump(error.status()), error.code, error.headers)

    def _reply(self, body: bytes, code: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        given = {"Content-Type": JSON, "Cache-Control": "no-cache, private", "Date": http_date(self.clock())}
        return web.Response(body=body, status=code, headers=given | dict(headers or {}))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        user = self.settings.access.user(request.headers.get("Authorization", ""))
        path = request.rel_url.raw_path
        if (document := self._document(path)) is not None:
            if request.method not in ("GET", "HEAD"):
                raise method_not_allowed()
            authorize_path(user, path)
            return document
        target = routes.parse(path, self.registry)
        query = request.query
        call = Call(user, _verb(request.method, target, query), target, query)
        authorize(user, call.verb, target)
        _served(call)
        if self.before is not None:
            await self.before(call)
        shown = negotiate(request.headers.get("Accept", ""), query, self.clock, call.verb == "list")
        match call.verb:
            case "watch":
                return await self._watch(request, call, shown)
            case "list":
                return self._list(call, shown)
            case "get":
                return self._reply(shown.one(target.resource, self.writer.current(target)))
        return self._write(call, await request.read(), _media_type(request), shown)

    def _document(self, path: str) -> web.Response | None:
        plain = path.rstrip("/")
        if plain in discovery.PROBES:
            return web.Response(text="ok", headers={"Date": http_date(self.clock())})
        found = discovery.document(plain, self.registry) or openapi.document(plain, self.registry)
        return None if found is None else self._reply(dump(found))

    def _list(self, call: Call, shown: Format) -> web.Response:
        asked = options.parse(call.query, call.target, watch=False)
        items, list_metadata = lists.page(self.store, call.target.resource, asked)
        return self._reply(shown.many(call.target.resource, items, list_metadata))

    async def _watch(self, request: web.BaseRequest, call: Call, shown: Format) -> web.StreamResponse:
        asked = options.parse(call.query, call.target, watch=True)
        watch = Watch(self.store, call.target.resource, asked, shown, self.settings.bookmark_s)
        headers = {
            "Content-Type": JSON,
            "Cache-Control": "no-cache, private",
            "Date": http_date(self.clock()),
        }
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        task = asyncio.create_task(watch.run(response.write))
        self._watches.add(task)
        try:
            await task
        except asyncio.CancelledError:
            handler = asyncio.current_task()
            if handler is not None and handler.cancelling():  # the client is gone, not only the watch
                raise
        finally:
            self._watches.discard(task)
        return response

    def _write(self, call: Call, body: bytes, media_type: str, shown: Format) -> web.Response:
        target = call.target
        if call.verb != "patch" and media_type not in ("", JSON) and body:
            raise unsupported_media_type([JSON])
        if call.verb in ("delete", "deletecollection"):
            return self._delete(call, body, shown)
        wish = options.write(call.query, _OPTIONS[call.verb])
        if target.subresource == "binding" or target.resource.plural == "bindings":
            self.writer.bind(target.namespace, target.name, body, wish.dry_run)
            return self._reply(dump(success(code=201)), 201)
        if target.subresource == "eviction":
            self.writer.evict(target, body, wish.dry_run)
            return self._reply(dump(success(code=201)), 201)
        match call.verb:
            case "create":
                return self._shown(shown, target, self.writer.create(target, body, wish), 201)
            case "update":
                stored, created = self.writer.replace(target, body, wish)
                return self._shown(shown, target, stored, 201 if created else 200)
        return self._shown(shown, target, self.writer.patch(target, body, media_type or JSON_PATCH, wish))

    def _shown(self, shown: Format, target: Target, stored: Stored, code: int = 200) -> web.Response:
        return self._reply(shown.one(target.resource, stored), code)

    def _delete(self, call: Call, body: bytes, shown: Format) -> web.Response:
        target = call.target
        asked = decode(body, shapes.DELETE_OPTIONS, "DeleteOptions") if body.strip() else {}
        dry_run = options.delete(call.query, asked)
        if call.verb == "deletecollection":
            return self._delete_all(call, asked, dry_run, shown)
        stored, gone = self.writer.delete(target, asked, dry_run)
        if gone and target.resource.collection not in (PODS.collection, CRDS.collection):
            named = target.resource.named(target.name)
            return self._reply(dump(success(named.details(uid=metadata(stored.obj)["uid"]))))
        return self._shown(shown, target, stored)

    def _delete_all(self, call: Call, asked: Json, dry_run: bool, shown: Format) -> web.Response:
        resource = call.target.resource
        wanted = options.parse(call.query, call.target, watch=False)
        items, list_metadata = lists.page(self.store, resource, wanted)
        deleted = [
            self.writer.delete(Target(resource, *stored.key, ""), asked, dry_run)[0] for stored in items
        ]
        return self._reply(shown.many(resource, deleted, list_metadata))


def _request(
    message, payload, protocol, writer, task
) -> web.BaseRequest:  # aiohttp names no public types for these
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY_LIMIT)


def _verb(method: str, target: Target, query: Mapping[str, str]) -> str:
    if method in ("GET", "HEAD"):
        if target.name:
            return "get"
        return "watch" if options.flag(query, "watch") else "list"
    verb = _METHOD_VERBS.get(method)
    if verb is None:
        raise method_not_allowed()
    return "deletecollection" if verb == "delete" and not target.name else verb


def _served(call: Call) -> None:
    """405 for what the target does not do."""
    resource, _, name, subresource = call.target
    verbs = resource.subresources[subresource] if subresource else resource.verbs
    if call.verb not in verbs:
        raise method_not_allowed()
    needs_name = call.verb in ("get", "update", "patch", "delete")
    if call.verb == "create" and not subresource:
        if name or (resource.namespaced and not call.target.namespace):
            raise method_not_allowed()
    elif needs_name and not name:
        raise method_not_allowed()


def _media_type(request: web.BaseRequest) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
