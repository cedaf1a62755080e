"""All watches of one daemon, and the tasks that run them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any  # what a coroutine is sent is nobody's business

from synergai.k8s_bridge.api.watch import Reflector


class Tasks(list[asyncio.Task[None]]):
    """What runs in the background until it is cancelled; one that ends by itself is taken for a failure."""

    def __init__(self, on_end: Callable[[], None]) -> None:
        super().__init__()
        self._on_end = on_end

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._on_end())
        self.append(task)

    def raise_failures(self) -> None:
        """What ended one of them, if any has ended."""
        for task in self:
            if task.done():
                task.result()

    async def cancel(self) -> None:
        """All of them, and wait for their end."""
        for task in self:
            task.cancel()
        await asyncio.gather(*self, return_exceptions=True)
        self.clear()


class Feed:
    """Several reflectors as one."""

    def __init__(self, reflectors: Sequence[Reflector], on_end: Callable[[], None]) -> None:
        self.tasks = Tasks(on_end)
        self._reflectors = reflectors

    def start(self) -> None:
        """Each lists when those before it have: what a list tells is taken in page by page, and costs least when
        all it depends on is known."""
        for n, reflector in enumerate(self._reflectors):
            self.tasks.run(_after(self._reflectors[:n], reflector))

    async def start_over(self) -> None:
        """List everything anew, then watch on from there."""
        await self.tasks.cancel()
        for reflector in self._reflectors:
            reflector.start_over()
        self.start()

    def ages_s(self) -> dict[str, float]:
        """Of each resource, seconds since the server was heard last."""
        return {reflector.name: reflector.age_s() for reflector in self._reflectors}

    def synced(self) -> bool:
        """Whether all first lists are in."""
        return all(reflector.synced.is_set() for reflector in self._reflectors)

    def listed(self) -> bool:
        """Whether all lists since the last start are in."""
        return all(reflector.listed.is_set() for reflector in self._reflectors)


async def _after(others: Sequence[Reflector], reflector: Reflector) -> None:
    for other in others:
        await other.listed.wait()
    await reflector.run()
