"""Carries connections from one place to another: `python relay.py FROM=TO...`, each `unix:PATH` or `tcp:HOST:PORT`.

A file on its own, for any Python: it runs in machines that have nothing else of this project.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

CHUNK_BYTES = 1 << 16
BACKLOG = 512
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect(place: str) -> Streams:
    kind, _, address = place.partition(":")
    if kind == "unix":
        return await asyncio.open_unix_connection(address)
    host, _, port = address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def listen(place: str, serve: Callable[..., Awaitable[None]]) -> asyncio.Server:
    kind, _, address = place.partition(":")
    if kind == "unix":
        return await asyncio.start_unix_server(serve, address, backlog=BACKLOG)
    host, _, port = address.rpartition(":")
    return await asyncio.start_server(serve, host, int(port), backlog=BACKLOG)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until the source ends, and then it is told to the target."""
    while chunk := await source.read(CHUNK_BYTES):
        target.write(chunk)
        await target.drain()
    target.write_eof()


async def relay(place: str, to: str) -> asyncio.Server:
    """Who is not answered at the other end is hung up on."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        try:
            with suppress(OSError):
                far_reader, far_writer = await connect(to)
                writers.append(far_writer)
                async with asyncio.TaskGroup() as both:
                    both.create_task(_quiet(_copy(reader, far_writer)))
                    both.create_task(_quiet(_copy(far_reader, writer)))
        finally:
            for one in writers:
                one.close()

    return await listen(place, serve)


async def _quiet(copying: Awaitable[None]) -> None:
    """An end that breaks off has ended."""
    with suppress(OSError):
        await copying


async def main(pairs: list[str]) -> None:
    servers = [await relay(*pair.split("=", 1)) for pair in pairs]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
