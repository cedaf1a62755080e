"""`synergai cluster` and the worlds that its pods run in."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from synergai.envs.noise import World
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.embedded.cli import cluster
from synergai.k8s_bridge.embedded.kubelet import PodRun
from synergai.k8s_bridge.embedded.worlds import world_run_time
from synergai.k8s_bridge.inference.job import PATH, PLURAL
from synergai.offline_profiles.table import ProfileTable

PROGRAM = "import typer; from synergai.k8s_bridge.embedded.cli import cluster; typer.run(cluster)"


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(cluster)
    return made


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, with a kubeconfig in the folder of the test."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "--kubeconfig",
        str(tmp_path / "kubeconfig"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    async with asyncio.timeout(20):
        return (await process.stdout.readline()).decode()


@pytest.mark.e2e
async def test_the_command_says_where_it_is_and_stops_cleanly_when_told(started, tmp_path, embedded):
    said = await line(started)
    config = tmp_path / "kubeconfig"
    assert said.startswith("API server at http://127.0.0.1:")
    assert said.endswith(f"try: kubectl --kubeconfig {config} get nodes\n")
    assert config.stat().st_mode & 0o777 == 0o600
    embedded.url = load(str(config)).host
    assert len((await embedded.get("/api/v1/nodes")).json["items"]) == 11
    assert (await embedded.get(f"{PATH}/{PLURAL}")).json["kind"] == "InferenceJobList"
    started.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await started.wait() == 0


@pytest.mark.e2e
async def test_the_nodes_alone_can_join_another_server(server, embedded, tmp_path):
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "other").write_text(yaml.safe_dump(config))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "--kubeconfig-of-existing",
        str(tmp_path / "other"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await line(process) == f"Nodes registered at {server.url}\n"
        assert len((await embedded.get("/api/v1/nodes")).json["items"]) == 11
    finally:
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenario", "no-such-world"], "synergai cluster: no scenario 'no-such-world'"),
        (["--scenario", "none.yaml"], "synergai cluster: none.yaml: cannot be read"),
        (["--kubeconfig-of-existing", "none"], "synergai cluster: cannot use kubeconfig none"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(app, words, message):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert result.stderr.startswith(message)
    assert len(result.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_line_and_exit_2(app):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["--port", str(port)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"synergai cluster: cannot serve on port {port}")
    assert len(result.stderr.splitlines()) == 1


# worlds ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> ProfileTable:
    return ProfileTable.default()


@pytest.fixture
def run(table: ProfileTable) -> PodRun:
    profile = next(profile for profile in table.profiles if profile.model == "resnet50")
    return PodRun(7, 3, "resnet50", 500, profile.hardware, profile.configuration, "n", 12.0, "default/a")


def test_a_job_of_a_tape_runs_as_long_as_in_its_world(table, run):
    profile = table.find(run.model, run.hardware, run.configuration)
    expected = World(table, 3, 0.23).run_time_s(7, 0, profile, 500, "n", 12.0)
    assert world_run_time(table, seed=99, error=0.23)(run) == expected


def test_a_pod_without_a_seed_runs_in_the_world_of_the_command(table, run):
    unseeded = replace(run, seed=None)
    assert world_run_time(table, 3, 0.23)(unseeded) == world_run_time(table, 99, 0.23)(run)


def test_a_pod_that_is_no_job_draws_by_its_name(table, run):
    run_time_s = world_run_time(table, 3, 0.23)
    first, second = replace(run, job=None), replace(run, job=None, pod="default/b")
    assert run_time_s(first) == run_time_s(first) != run_time_s(second)


def test_a_pod_without_a_profile_runs_the_default_time(table, run):
    assert world_run_time(table, 3, 0.23, default_run_s=4.5)(replace(run, model="nobody")) == 4.5
