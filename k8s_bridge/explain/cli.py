"""`synergai explain pod NAME` and `synergai queue`."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail
from synergai.k8s_bridge.keys import BRIDGE_NAMESPACE

if TYPE_CHECKING:
    from synergai.k8s_bridge.api.client import ApiClient

app = typer.Typer(help="Why a pod is where it is, or why it waits.", no_args_is_help=True)
Kubeconfig = Annotated[str, typer.Option(help="Which cluster.", metavar="FILE")]
BridgeNamespace = Annotated[
    str, typer.Option(help="Where the bridge writes its queue (its setting queue_namespace).", metavar="NAME")
]


@app.callback()
def explain() -> None:
    """Why a pod is where it is, or why it waits."""


@app.command()
def pod(
    name: Annotated[str, typer.Argument(help="Of the pod.", metavar="NAME")],
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Of the pod.")] = "default",
    kubeconfig: Kubeconfig = "",
    bridge_namespace: BridgeNamespace = BRIDGE_NAMESPACE,
) -> None:
    """Who decided on a bound pod, what else was possible, and why; of a pending pod, what it waits for."""
    from synergai.k8s_bridge.explain import api
    from synergai.k8s_bridge.explain.pod import bound_text, is_bound, pending_text

    async def ask(client: "ApiClient") -> None:
        found = await api.fetch_pod(client, namespace, name)
        if is_bound(found):
            typer.echo(bound_text(found, client.now_us()))
            return
        events, queue, problem = await api.fetch_events(client, found), None, None
        try:
            queue = await api.fetch_queue(client, bridge_namespace)
        except api.AskError as error:
            problem = error
        typer.echo(pending_text(found, events, queue, client.now_us()))
        if problem:
            raise problem

    _answer("explain", kubeconfig, ask)


def queue(kubeconfig: Kubeconfig = "", bridge_namespace: BridgeNamespace = BRIDGE_NAMESPACE) -> None:
    """The pods that wait for SynergAI, most urgent first: deadline, slack, and what each is held for."""
    from synergai.k8s_bridge.explain import api
    from synergai.k8s_bridge.explain.queue import queue_text

    async def ask(client: "ApiClient") -> None:
        found = await api.fetch_queue(client, bridge_namespace)
        typer.echo(queue_text(found, client.now_us()))

    _answer("queue", kubeconfig, ask)


def _answer(verb: str, kubeconfig: str, ask: "Callable[[ApiClient], Awaitable[None]]") -> None:
    """Problems are one line and exit code 2."""
    import asyncio

    from synergai.k8s_bridge.api.client import ApiClient
    from synergai.k8s_bridge.api.credentials import CredentialsError, load
    from synergai.k8s_bridge.explain.api import AskError

    async def run() -> None:
        async with ApiClient(load(kubeconfig)) as client:
            await ask(client)

    try:
        asyncio.run(run())
    except (AskError, CredentialsError) as error:
        fail(verb, error)
