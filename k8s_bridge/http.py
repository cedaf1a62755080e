"""The bridge's own small server: metrics for Prometheus, probes for the kubelet."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web


class PortError(Exception):
    """The port cannot be opened; one line."""


@asynccontextmanager
async def serve(
    host: str,
    port: int,
    *,
    metrics: Callable[[], bytes],
    healthy: Callable[[], bool],
    ready: Callable[[], bool],
) -> AsyncIterator[int]:
    """Serves until left; yields the port."""
    app = web.Application()
    app.router.add_get("/metrics", _page(metrics))
    app.router.add_get("/healthz", _probe(healthy))
    app.router.add_get("/readyz", _probe(ready))
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise PortError(f"cannot serve metrics on {host}:{port}: {error.strerror or error}") from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _page(metrics: Callable[[], bytes]):
    async def page(_: web.Request) -> web.Response:
        return web.Response(
            body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )

    return page


def _probe(good: Callable[[], bool]):
    async def probe(_: web.Request) -> web.Response:
        return web.Response(text="ok\n") if good() else web.Response(status=503, text="not yet\n")

    return probe
