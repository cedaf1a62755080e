"""`synergai submit`, `jobs` and `cancel`."""

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from synergai.envs.cli import fail
from synergai.k8s_bridge.explain.session import Session, run

if TYPE_CHECKING:
    from synergai.k8s_bridge.commands.wish import Wish
    from synergai.k8s_bridge.pods import Json

Kubeconfig = Annotated[str, typer.Option(help="Which cluster.", metavar="FILE")]
Namespace = Annotated[
    str,
    typer.Option("-n", "--namespace", help="Of the jobs.", metavar="NAME", show_default="the kubeconfig's"),
]


def submit(
    model: Annotated[
        str, typer.Option(help="NAME or NAME:VERSION, as in the profiles.", metavar="NAME")
    ] = "",
    samples: Annotated[int | None, typer.Option(help="How many there are to infer.", metavar="N")] = None,
    deadline: Annotated[
        str,
        typer.Option(
            help="From now, as 30s, 1.5m or 2h; or a time, as 2026-11-22T10:00:00Z.", metavar="WHEN"
        ),
    ] = "",
    hardware: Annotated[
        str, typer.Option(help="Comma list of hardware classes; no others.", metavar="A,B")
    ] = "",
    site: Annotated[str, typer.Option(help="Where the input is.", metavar="SITE")] = "",
    node_selector: Annotated[
        list[str] | None, typer.Option(help="A label of its node; may be repeated.", metavar="LABEL=VALUE")
    ] = None,
    priority_class: Annotated[str, typer.Option(help="A PriorityClass.", metavar="NAME")] = "",
    runtime: Annotated[
        str,
        typer.Option(help="The InferenceRuntime to use, or ClusterInferenceRuntime/NAME.", metavar="NAME"),
    ] = "",
    input_uri: Annotated[str, typer.Option("--input", help="Given to the runner.", metavar="URI")] = "",
    output_uri: Annotated[str, typer.Option("--output", help="Given to the runner.", metavar="URI")] = "",
    backoff_limit: Annotated[
        int | None, typer.Option(help="How many attempts may fail.", metavar="N", show_default="2")
    ] = None,
    ttl: Annotated[
        str,
        typer.Option(help="Delete it so long after its end, as 1h.", metavar="TIME", show_default="never"),
    ] = "",
    trace: Annotated[
        str, typer.Option(help="Replay these arrivals: a CSV file, or a shipped trace.", metavar="FILE")
    ] = "",
    speed: Annotated[
        float, typer.Option(min=1e-3, help="How much faster arrivals and deadlines pass.", metavar="K")
    ] = 1.0,
    name: Annotated[str, typer.Option(help="Of the job.", show_default="made of the model's")] = "",
    namespace: Namespace = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the object and send nothing.")] = False,
    kubeconfig: Kubeconfig = "",
) -> None:
    """Create an InferenceJob, print its name, and wait for its end: 0 if it is complete, 1 if it failed.

    With --trace a job for each row of a CSV file, whose columns are arrival_s (or arrival_ms) and any of model,
    samples, tokens, deadline_s, priority_class, namespace, hardware and site. The options fill what a row leaves out.
    """
    from synergai.k8s_bridge.commands.wish import Wish

    wish = Wish(
        model, samples, deadline, hardware, site, tuple(node_selector or ()), priority_class, runtime, input_uri,
        output_uri, backoff_limit, ttl,
    )  # fmt: skip
    if trace and name:
        fail("submit", "--name is of one job; those of a --trace have their own")
    if trace:
        _submit_trace(trace, wish, namespace, speed, wait, dry_run, kubeconfig)
    else:
        _submit_one(name, wish, namespace, speed, wait, dry_run, kubeconfig)


def _submit_one(
    name: str, wish: "Wish", namespace: str, speed: float, wait: bool, dry_run: bool, kubeconfig: str
) -> None:
    import asyncio

    from rich.console import Console

    from synergai.k8s_bridge.commands.creating import create_job
    from synergai.k8s_bridge.commands.following import follow
    from synergai.k8s_bridge.commands.wish import dated, job_of, made_up, stem
    from synergai.k8s_bridge.explain.api import AskError

    submission = made_up()
    try:
        spec = wish.spec()
        name = name or f"{stem(wish.model)}-{submission}"
        body = job_of(name, namespace or "default", submission, spec)
    except AskError as error:
        fail("submit", error)
    if dry_run:
        _print([body])

    async def work(session: Session) -> int | None:
        given = dated(spec, await session.now_us(), speed)
        body = job_of(name, namespace or session.namespace, submission, given)
        try:
            job = await create_job(session.client, body)
        except asyncio.CancelledError:
            typer.echo(f"whether {name} was created is not known; `synergai jobs` shows it", err=True)
            raise
        typer.echo(job.name)
        return await follow(session, job, Console(stderr=True)) if wait else None

    run("submit", kubeconfig, work, patient=True)


def _submit_trace(
    trace: str, wish: "Wish", namespace: str, speed: float, wait: bool, dry_run: bool, kubeconfig: str
) -> None:
    from rich.console import Console

    from synergai.k8s_bridge.commands.sending import bodies, replay
    from synergai.k8s_bridge.commands.trace import read_arrivals
    from synergai.k8s_bridge.commands.wish import made_up
    from synergai.k8s_bridge.explain.api import AskError

    submission = made_up()
    try:
        arrivals = read_arrivals(trace, wish)
        made = bodies(arrivals, submission, namespace or "default")
    except AskError as error:
        fail("submit", error)
    if dry_run:
        _print(made)

    async def work(session: Session) -> int:
        made = bodies(arrivals, submission, namespace or session.namespace)
        return await replay(session, arrivals, made, speed, wait, Console(stderr=True))

    run("submit", kubeconfig, work, patient=True)


def _print(bodies: "list[Json]") -> NoReturn:
    """As YAML, one document each."""
    import yaml

    typer.echo("# nothing was sent; on sending, `deadline.after` becomes a time `at` on the server's clock")
    typer.echo("---\n".join(yaml.safe_dump(body, sort_keys=False) for body in bodies), nl=False)
    raise typer.Exit


def jobs(
    namespace: Namespace = "",
    everywhere: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Those of all namespaces.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep the table up to date.")] = False,
    kubeconfig: Kubeconfig = "",
) -> None:
    """InferenceJobs, most urgent first: deadline and how it was met, phase, place, and why one waits."""
    from rich.console import Console

    from synergai.k8s_bridge.commands import listing

    async def work(session: Session) -> int | None:
        of = "" if everywhere else namespace or session.namespace
        if watch:
            return await listing.watch(session, of, Console())
        found = await listing.fetch_jobs(session.client, of)
        table = listing.rows(found, session.client.now_us(), everywhere)
        listing.print_table(Console(), table, listing.nothing(of))
        return None

    run("jobs", kubeconfig, work, patient=watch)


def cancel(
    names: Annotated[list[str] | None, typer.Argument(help="Of the jobs.", metavar="NAME...")] = None,
    namespace: Namespace = "",
    everything: Annotated[
        bool, typer.Option("--all", help="All of the namespace that have not ended.")
    ] = False,
    kubeconfig: Kubeconfig = "",
) -> None:
    """Delete InferenceJobs and what runs for them; 1 if one is unknown or could not be deleted."""
    from synergai.k8s_bridge.commands.cancelling import cancel as cancel_jobs

    if bool(names) == everything:
        fail("cancel", "name the jobs, or all of a namespace with --all")

    async def work(session: Session) -> int:
        return await cancel_jobs(session.client, namespace or session.namespace, names or [], everything)

    run("cancel", kubeconfig, work)
