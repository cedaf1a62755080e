"""One command's way to the cluster: who asks, and what an interrupt and a problem mean."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from synergai.envs.cli import fail

if TYPE_CHECKING:
    from synergai.k8s_bridge.api.client import ApiClient

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection."""

    client: "ApiClient"
    namespace: str
    """That of the kubeconfig's context, or the pod's own."""
    stop: asyncio.Event
    """Set by the first Ctrl-C of a patient command."""

    async def now_us(self) -> int:
        """The server's time, which any reply tells; ApiError where there is none."""
        from synergai.k8s_bridge.api.client import ApiError

        try:
            await self.client.get("/version")
        except ApiError as error:
            if error.status == 0:
                raise
        return self.client.now_us()


def run(
    verb: str,
    kubeconfig: str,
    work: Callable[[Session], Awaitable[int | None]],
    *,
    patient: bool = False,
) -> None:
    """`work` returns the exit code. Problems are one line and exit code 2.

    A patient command looks at `stop` and ends in order; a second Ctrl-C ends it at once, as the first does any other.
    """
    from synergai.k8s_bridge.api.client import ApiClient, ApiError
    from synergai.k8s_bridge.api.credentials import CredentialsError, load
    from synergai.k8s_bridge.explain.api import AskError, problem

    async def all_of_it() -> int:
        credentials, stop = load(kubeconfig), asyncio.Event()
        if patient:
            _on_interrupt(stop)
        async with ApiClient(credentials) as client:
            return await work(Session(client, credentials.namespace, stop)) or 0

    logging.getLogger("synergai").addHandler(
        logging.NullHandler()
    )  # the commands say themselves what is wrong
    try:
        code = asyncio.run(all_of_it())
    except (AskError, CredentialsError) as error:
        fail(verb, error)
    except ApiError as error:
        fail(verb, problem(error))
    except asyncio.CancelledError:
        code = INTERRUPTED
    if code:
        raise typer.Exit(code)


def _on_interrupt(stop: asyncio.Event) -> None:
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"

    def interrupted() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted)
