"""`synergai cluster`: an API server with the nodes of a scenario, until it is told to stop."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, NoReturn

import typer


def cluster(
    scenario: Annotated[str, typer.Option(help="Name of a shipped scenario, or a YAML file.")] = "demo",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 0,
    kubeconfig: Annotated[Path | None, typer.Option(help="Written, for kubectl and the scheduler.")] = None,
    speed: Annotated[float, typer.Option(min=1e-3, help="Scenario seconds in a real one.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the run times of pods that name none.")] = 0,
    kubeconfig_of_existing: Annotated[
        Path | None, typer.Option(help="Run only the nodes, on the cluster of this kubeconfig.")
    ] = None,
) -> None:
    """A Kubernetes API server and simulated nodes in one process; pods run as long as the world says."""
    from synergai.envs.scenario import ScenarioError, load
    from synergai.k8s_bridge.credentials import CredentialsError
    from synergai.k8s_bridge.credentials import load as load_credentials
    from synergai.k8s_bridge.embedded.api import Refused
    from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
    from synergai.k8s_bridge.embedded.worlds import world_run_time
    from synergai.offline_profiles.table import ProfileTable

    table = ProfileTable.default()
    try:
        chosen = load(scenario)
        nodes = chosen.nodes(table)
        existing = load_credentials(str(kubeconfig_of_existing)) if kubeconfig_of_existing else None
    except (ScenarioError, CredentialsError) as error:
        _fail(str(error))
    settings = KubeletSettings(
        speed=speed, pod_start_s=chosen.delays.pod_start_s, release_s=chosen.delays.release_s
    )
    run_time_s = world_run_time(table, seed, chosen.noise.profile_error, chosen.noise.level)
    resources = {name: hardware.resource for name, hardware in table.hardware.items()}
    arm = [name for name, hardware in table.hardware.items() if hardware.kind in ("jetson", "arm")]

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        async with AsyncExitStack() as stack:
            credentials, line = (
                existing,
                f"Nodes of {chosen.name} registered at {existing and existing.host}.",
            )
            if credentials is None:
                credentials, line = await _serve(stack, port, kubeconfig)
            kubelets = Kubelets(credentials, nodes, resources, run_time_s, settings, arm)
            await stack.enter_async_context(kubelets)
            typer.echo(line)
            await stop.wait()

    try:
        asyncio.run(run())
    except Refused as error:
        _fail(f"the API server refuses the nodes: {error}")
    except OSError as error:
        _fail(f"cannot serve on port {port}: {error.strerror or error}")


async def _serve(stack: AsyncExitStack, port: int, kubeconfig: Path | None):
    """Start the server; how to reach it, and the line that says so."""
    from synergai.k8s_bridge.credentials import Credentials
    from synergai.k8s_bridge.embedded.kubeconfig import write
    from synergai.k8s_bridge.embedded.server import Server, Settings

    server = await stack.enter_async_context(Server(Settings(port=port)))
    where = f"--server {server.url}"
    if kubeconfig is not None:
        write(kubeconfig, server.url)
        where = f"--kubeconfig {kubeconfig}"
    return Credentials(server.url), f"API server at {server.url}; try: kubectl {where} get nodes"


def _fail(message: str) -> NoReturn:
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(2)
