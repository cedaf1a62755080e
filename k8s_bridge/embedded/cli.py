"""`synergai cluster`: an API server with the nodes of a scenario, until it is told to stop."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail

if TYPE_CHECKING:
    from synergai.envs.scenario import Scenario
    from synergai.k8s_bridge.api.credentials import Credentials
    from synergai.k8s_bridge.embedded.kubelet import Kubelets
    from synergai.k8s_bridge.pods import Json

MakeKubelets = Callable[["Credentials"], "Kubelets"]


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
    from synergai.k8s_bridge.api.credentials import CredentialsError
    from synergai.k8s_bridge.api.credentials import load as load_credentials
    from synergai.k8s_bridge.embedded.api import Refused

    try:
        existing = load_credentials(str(kubeconfig_of_existing)) if kubeconfig_of_existing else None
        world = load(scenario)
        make = _kubelets_of(world, speed, seed)
        asyncio.run(_run(make, _runtimes_of(world), existing, port, kubeconfig))
    except (ScenarioError, CredentialsError) as error:
        fail("cluster", error)
    except Refused as error:
        fail("cluster", f"the API server refuses the nodes: {error}")
    except OSError as error:
        fail("cluster", f"cannot serve on port {port}: {error.strerror or error}")


def _kubelets_of(scenario: "Scenario", speed: float, seed: int) -> MakeKubelets:
    """How to make the scenario's nodes on some server."""
    from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
    from synergai.k8s_bridge.embedded.worlds import world_run_time
    from synergai.offline_profiles.table import ProfileTable

    table = ProfileTable.default()
    nodes = scenario.nodes(table)
    noise = scenario.noise
    run_time_s = world_run_time(table, seed, noise.profile_error, noise.level, noise.stragglers)
    delays = scenario.delays
    settings = KubeletSettings(speed, pod_start_s=delays.pod_start_s, release_s=delays.release_s)
    resources = {name: hardware.resource for name, hardware in table.hardware.items()}
    arm = [name for name, hardware in table.hardware.items() if hardware.kind in ("jetson", "arm")]
    return lambda credentials: Kubelets(credentials, nodes, resources, run_time_s, settings, arm)


def _runtimes_of(scenario: "Scenario") -> "list[Json]":
    """For all models that are profiled on its hardware."""
    from synergai.k8s_bridge.inference.profiled import profiled_runtimes
    from synergai.k8s_bridge.submit import RUNNER_IMAGE
    from synergai.offline_profiles.table import ProfileTable

    table = ProfileTable.default()
    hardware = {device.hardware for node in scenario.nodes(table) for device in node.devices}
    return profiled_runtimes(table, table.models, hardware, RUNNER_IMAGE)


async def _run(
    make: MakeKubelets,
    runtimes: "list[Json]",
    existing: "Credentials | None",
    port: int,
    kubeconfig: Path | None,
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        if existing is not None:
            credentials, line = existing, f"Nodes registered at {existing.host}"
        else:
            credentials, line = await _serve(stack, port, kubeconfig, runtimes)
        await stack.enter_async_context(make(credentials))
        typer.echo(line)
        await stop.wait()


async def _serve(
    stack: AsyncExitStack, port: int, kubeconfig: Path | None, runtimes: "list[Json]"
) -> "tuple[Credentials, str]":
    """Start the server; how to reach it, and the line that says so."""
    from synergai.k8s_bridge.api.credentials import Credentials
    from synergai.k8s_bridge.embedded.controllers import Controllers
    from synergai.k8s_bridge.embedded.kubeconfig import write
    from synergai.k8s_bridge.embedded.server import Server, Settings

    server = await stack.enter_async_context(Server(Settings(port=port)))
    await stack.enter_async_context(Controllers(server))
    await _prepare(server.url, runtimes)
    where = f"--server {server.url}"
    if kubeconfig is not None:
        write(kubeconfig, server.url)
        where = f"--kubeconfig {kubeconfig}"
    return Credentials(server.url), f"API server at {server.url}; try: kubectl {where} get nodes"


async def _prepare(url: str, runtimes: "list[Json]") -> None:
    """The bridge's namespace and its kinds of objects, which a cluster has from its manifests, and runtimes."""
    from synergai.k8s_bridge.api.client import ApiClient
    from synergai.k8s_bridge.api.credentials import Credentials
    from synergai.k8s_bridge.embedded.shipped import definitions
    from synergai.k8s_bridge.keys import API_VERSION, BRIDGE_NAMESPACE, PREFIX

    async with ApiClient(Credentials(url)) as client:
        await client.post("/api/v1/namespaces", {"metadata": {"name": BRIDGE_NAMESPACE}})
        for definition in definitions():
            await client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        for runtime in runtimes:
            await client.post(f"/apis/{PREFIX}/{API_VERSION}/clusterinferenceruntimes", runtime)
