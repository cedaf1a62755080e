"""The bridge's own small servers, a port each: metrics for Prometheus, probes for the kubelet."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web


class PortError(Exception):
    """The port cannot be opened; one line."""


Handler = Callable[[web.Request], Awaitable[web.Response]]


def serve_metrics(host: str, port: int, metrics: Callable[[], bytes]):
    """`/metrics` until left; yields the port."""
    return _serve("metrics", host, port, {"/metrics": _page(metrics)})


def serve_probes(host: str, port: int, *, healthy: Callable[[], bool], ready: Callable[[], bool]):
    """`/healthz` and `/readyz` until left; yields the port."""
    return _serve("probes", host, port, {"/healthz": _probe(healthy), "/readyz": _probe(ready)})


@asynccontextmanager
async def _serve(what: str, host: str, port: int, pages: Mapping[str, Handler]) -> AsyncIterator[int]:
    app = web.Application()
    for path, page in pages.items():
        app.router.add_get(path, page)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise PortError(f"cannot serve {what} on {host}:{port}: {error.strerror or error}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _page(metrics: Callable[[], bytes]) -> Handler:
    async def page(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return page


def _probe(good: Callable[[], bool]) -> Handler:
    async def probe(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if good() else web.Response(status=503, text="not yet\n")

    return probe
