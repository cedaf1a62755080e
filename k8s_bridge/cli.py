"""`synergai bridge` and `uninstall`: options to settings, signals to a stop, problems to one line and exit code 2."""

from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail
from synergai.k8s_bridge.keys import BRIDGE_NAMESPACE

if TYPE_CHECKING:
    from synergai.k8s_bridge.api.client import ApiClient


def bridge(
    checkpoint: Annotated[str | None, typer.Option(help="Folder of a trained policy.", metavar="DIR")] = None,
    policy: Annotated[
        str | None,
        typer.Option(help="How it is played: net or net+plan.", metavar="POLICY", show_default="net"),
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="A rule by name.", metavar="RULE")] = None,
    kubeconfig: Annotated[str | None, typer.Option(help="Which cluster.", metavar="FILE")] = None,
    dry_run: Annotated[bool | None, typer.Option("--dry-run", help="Decide and log, write nothing.")] = None,
    once: Annotated[bool, typer.Option("--once", help="One round, then stop.")] = False,
    config: Annotated[str, typer.Option(help="YAML file of settings.", metavar="FILE")] = "",
    speed: Annotated[float | None, typer.Option(help="Scenario seconds per second.", metavar="K")] = None,
    epoch: Annotated[str | None, typer.Option(help="Where scenario time begins.", metavar="RFC3339")] = None,
    metrics_port: Annotated[int | None, typer.Option(help="0 is any free port.", metavar="PORT")] = None,
    decisions: Annotated[str | None, typer.Option(help="Append decisions here.", metavar="FILE")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
    log_format: Annotated[str | None, typer.Option(help="text, or json: an object per line.")] = None,
) -> None:
    """Schedule the pods of a Kubernetes cluster that name `synergai` as their scheduler."""
    from synergai.k8s_bridge.api.credentials import CredentialsError
    from synergai.k8s_bridge.config import ConfigError, load_settings
    from synergai.k8s_bridge.control.reload import Source
    from synergai.k8s_bridge.http import PortError
    from synergai.k8s_bridge.startup import StartupError

    try:
        if checkpoint and scheduler:
            raise ConfigError("--checkpoint and --scheduler exclude each other; give one")
        if policy and scheduler:
            raise ConfigError("--policy says how a checkpoint is played; --scheduler names a rule")
        options: dict[str, object] = {
            "checkpoint": "" if scheduler else checkpoint,
            "policy": policy,
            "scheduler": scheduler,
            "kubeconfig": kubeconfig,
            "dry_run": dry_run,
            "speed": speed,
            "epoch": epoch,
            "metrics_port": metrics_port,
            "decisions": decisions,
            "log_level": log_level,
            "log_format": log_format,
        }
        _run(load_settings(config, **options), Source(config, options) if config else None, once)
    except (ConfigError, CredentialsError, PortError, StartupError) as problem:
        typer.echo(f"synergai bridge: {problem}", err=True)
        raise typer.Exit(2) from None


def _run(settings, source, once: bool) -> None:
    import asyncio

    from synergai.k8s_bridge.reports.logs import set_up

    set_up(settings.log_level, settings.log_format)
    asyncio.run(_until_signal(settings, source, once))


async def _until_signal(settings, source, once: bool) -> None:
    import asyncio
    import signal

    from synergai.k8s_bridge.startup import run_bridge

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    await run_bridge(settings, stop, once=once, source=source)


def uninstall(
    kubeconfig: Annotated[str, typer.Option(help="Which cluster.", metavar="FILE")] = "",
    delete_crds: Annotated[
        bool,
        typer.Option(
            "--delete-crds", help="Delete all InferenceJobs and runtimes too, with their definitions."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    bridge_namespace: Annotated[
        str, typer.Option(help="Where the bridge that was here has its lease.", metavar="NAME")
    ] = BRIDGE_NAMESPACE,
) -> None:
    """Let go of the pods that InferenceJobs left behind, so that they and their namespaces can be deleted."""
    import asyncio

    from synergai.k8s_bridge.api.client import ApiClient
    from synergai.k8s_bridge.api.credentials import CredentialsError, load
    from synergai.k8s_bridge.uninstall import UninstallError

    async def run() -> None:
        async with ApiClient(load(kubeconfig)) as client:
            await _uninstall(client, bridge_namespace, delete_crds, yes)

    try:
        asyncio.run(run())
    except (UninstallError, CredentialsError) as error:
        fail("uninstall", error)


async def _uninstall(client: "ApiClient", bridge_namespace: str, delete_crds: bool, yes: bool) -> None:
    from synergai.k8s_bridge import uninstall as steps

    await steps.refuse_while_one_runs(client, bridge_namespace)
    objects = await steps.count_objects(client) if delete_crds else {}
    if objects and not yes:
        typer.confirm(steps.question(objects), abort=True)
    typer.echo(steps.released_text(await steps.release_pods(client)))
    if delete_crds:
        await steps.delete_definitions(client, list(objects))
        typer.echo(f"deleted the definitions of {', '.join(objects)}" if objects else "no definition is left")
