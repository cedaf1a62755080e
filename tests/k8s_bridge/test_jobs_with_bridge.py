"""A person's commands while a bridge runs the jobs, on an embedded cluster."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from bridge_e2e import daemon_in_process, world
from bridge_world import World
from test_bridge_job_e2e import install

from synergai.k8s_bridge.embedded import kubeconfig

pytestmark = pytest.mark.e2e


async def run(w: World, folder: Path, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that runs as a process of its own."""
    config = folder / "kubeconfig"
    kubeconfig.write(config, w.server.url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "synergai", *words, "--kubeconfig", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    said, told = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), told.decode()


async def test_a_job_is_submitted_runs_and_is_explained(tmp_path: Path) -> None:
    async with world() as w:
        await install(w.client)
        async with daemon_in_process(w):
            words = ("submit", "--model", "resnet50", "--samples", "500", "--deadline", "60s", "--name", "a")
            code, said, told = await run(w, tmp_path, *words)
            assert code == 0, told
            name, end = said.splitlines()
            assert name == "a"
            assert end.startswith("a is complete on ")
            assert ", in time by " in end
            _, page, _ = await run(w, tmp_path, "explain", "job", "a")
            for part in (
                "attempt 0 on ",
                "decided by ",
                "options",
                "Completed after ",
                "Complete is True: Completed",
            ):
                assert part in page
            _, table, _ = await run(w, tmp_path, "jobs")
            assert "Succeeded" in table
            assert "(in time by " in table


async def test_a_trace_is_replayed_and_counted(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    rows = [f"{n},{model},200,600" for n, model in enumerate(("resnet50", "mobilenet-v1") * 5)]
    file.write_text("\n".join(["arrival_s,model,samples,deadline_s", *rows]), encoding="utf-8")
    async with world() as w:
        await install(w.client)
        async with daemon_in_process(w):
            code, said, told = await run(w, tmp_path, "submit", "--trace", str(file), "--speed", "10")
    assert (code, said) == (0, "10 of 10 jobs created: 10 in time\n"), told


async def test_what_no_runtime_runs_says_so_and_is_cancelled(tmp_path: Path) -> None:
    async with world() as w:
        await install(w.client)
        async with daemon_in_process(w):
            words = ("submit", "--model", "ghost", "--samples", "1", "--name", "a", "--no-wait")
            assert (await run(w, tmp_path, *words))[0] == 0
            async with asyncio.timeout(20):
                while "UnknownModel" not in (await run(w, tmp_path, "jobs"))[1]:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.1)
            _, page, _ = await run(w, tmp_path, "explain", "job", "a")
            assert "Placed is False: UnknownModel" in page
            code, said, _ = await run(w, tmp_path, "cancel", "a")
            assert (code, said) == (0, "a cancelled: it was Pending\n")
