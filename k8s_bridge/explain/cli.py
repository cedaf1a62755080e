"""`synergai explain pod NAME`, `synergai explain job NAME` and `synergai queue`."""

from typing import Annotated

import typer

from synergai.k8s_bridge.explain.session import Session, run
from synergai.k8s_bridge.keys import BRIDGE_NAMESPACE

app = typer.Typer(help="Why a pod or an InferenceJob is where it is, or why it waits.", no_args_is_help=True)
Kubeconfig = Annotated[str, typer.Option(help="Which cluster.", metavar="FILE")]
Namespace = Annotated[
    str,
    typer.Option("-n", "--namespace", help="Where it is.", metavar="NAME", show_default="the kubeconfig's"),
]
BridgeNamespace = Annotated[
    str, typer.Option(help="Where the bridge writes its queue (its setting queue_namespace).", metavar="NAME")
]


@app.callback()
def explain() -> None:
    """Why a pod or an InferenceJob is where it is, or why it waits."""


@app.command()
def pod(
    name: Annotated[str, typer.Argument(help="Of the pod.", metavar="NAME")],
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    bridge_namespace: BridgeNamespace = BRIDGE_NAMESPACE,
) -> None:
    """Who decided on a bound pod, what else was possible, and why; of a pending pod, what it waits for."""
    from synergai.k8s_bridge.explain import api
    from synergai.k8s_bridge.explain.pod import bound_text, is_bound, pending_text

    async def ask(session: Session) -> None:
        client = session.client
        found = await api.fetch_pod(client, namespace or session.namespace, name)
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

    run("explain", kubeconfig, ask)


@app.command()
def job(
    name: Annotated[str, typer.Argument(help="Of the InferenceJob.", metavar="NAME")],
    namespace: Namespace = "",
    kubeconfig: Kubeconfig = "",
    bridge_namespace: BridgeNamespace = BRIDGE_NAMESPACE,
) -> None:
    """What a job asks for, its attempts, who decided on each and why; what it waits for, and what may be done."""
    from synergai.k8s_bridge.explain import api
    from synergai.k8s_bridge.explain.job import Known, job_text
    from synergai.k8s_bridge.explain.phrases import waits
    from synergai.k8s_bridge.inference.job import read_job

    async def ask(session: Session) -> None:
        client = session.client
        raw = await api.fetch_job(client, namespace or session.namespace, name)
        found, queue, problem = read_job(raw), None, ""
        pods = {a.index: await api.fetch_attempt(client, found.namespace, a) for a in found.status.attempts}
        if waits(found):
            try:
                queue = await api.fetch_queue(client, bridge_namespace)
            except api.AskError as error:
                problem = str(error)
        known = Known(pods, await api.fetch_events(client, raw), queue, problem)
        typer.echo(job_text(found, known, client.now_us()))

    run("explain", kubeconfig, ask)


def queue(kubeconfig: Kubeconfig = "", bridge_namespace: BridgeNamespace = BRIDGE_NAMESPACE) -> None:
    """The pods that wait for SynergAI, most urgent first: deadline, slack, and what each is held for."""
    from synergai.k8s_bridge.explain import api
    from synergai.k8s_bridge.explain.queue import queue_text

    async def ask(session: Session) -> None:
        client = session.client
        found = await api.fetch_queue(client, bridge_namespace)
        typer.echo(queue_text(found, client.now_us()))

    run("queue", kubeconfig, ask)
