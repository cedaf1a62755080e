"""An embedded server beside a test that is not asynchronous itself: of commands, which have loops of their own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from synergai.k8s_bridge.embedded.server import Server


@contextmanager
def serving(server: Server) -> Iterator[str]:
    """Its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result()
    try:
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
