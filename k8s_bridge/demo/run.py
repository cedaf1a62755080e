"""One scheduler on one tape of pods: an embedded cluster and the bridge as processes, pods submitted and watched."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from synergai.envs.tape import Setting, Tape, mix_of
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.submit import PodRequest, submit

START_TIMEOUT_S = 240.0
STALL_S = 30.0
"""Without any pod finishing for so long, the run is given up."""
LEAD_S = 0.5
"""Between the last preparation and the first arrival."""


class DemoError(Exception):
    """The demonstration cannot go on; one line that says why."""


@dataclass(frozen=True)
class Progress:
    """How far one run is."""

    submitted: int
    bound: int
    finished: int
    late: int


@dataclass(frozen=True)
class Plan:
    """One run: who schedules, and how fast scenario time passes."""

    scheduler: str
    checkpoint: str
    speed: float
    seed: int
    folder: Path


def requests_of(setting: Setting, tape: Tape, seed: int) -> list[PodRequest]:
    """The tape's jobs as pods."""
    return [
        PodRequest(
            name=f"job-{i:04d}",
            model=setting.catalog.models[job["model"]],
            samples=int(job["samples"]),
            arrival_s=float(job["arrival_us"]) * 1e-6,
            deadline_s=float(job["deadline_us"]) * 1e-6,
            sim_job=i,
            sim_seed=seed,
        )
        for i, job in enumerate(tape.jobs)
    ]


async def play(
    setting: Setting, tape: Tape, plan: Plan, show: Callable[[Progress], None]
) -> list[dict[str, Any]]:
    """All pods of the tape through the bridge; returns the pods as the API server has them at the end."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    kubeconfig = plan.folder / "kubeconfig"
    kubeconfig.unlink(missing_ok=True)
    async with contextlib.AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            _process(_cluster_command(setting, plan, kubeconfig), plan, "cluster")
        )
        await _until(kubeconfig.exists, cluster, "the embedded cluster")
        client = await stack.enter_async_context(ApiClient(credentials.load(str(kubeconfig))))
        await _nodes_ready(client, len(setting.catalog.nodes), cluster)
        epoch_us = client.now_us()
        command = _bridge_command(setting, plan, kubeconfig, epoch_us)
        bridge = await stack.enter_async_context(_process(command, plan, "bridge"))
        await _until(lambda: "ready: " in _log(plan, "bridge"), bridge, "the bridge")
        start_us = client.now_us() + int(LEAD_S * SECOND_US)
        sending = asyncio.create_task(
            submit(client, requests_of(setting, tape, plan.seed), speed=plan.speed, start_us=start_us)
        )
        stack.callback(sending.cancel)
        return await _watch(client, len(tape.jobs), bridge, sending, show)


def _cluster_command(setting: Setting, plan: Plan, kubeconfig: Path) -> list[str]:
    scenario = plan.folder / "scenario.yaml"
    scenario.write_text(yaml.safe_dump(setting.scenario.model_dump(mode="json")), encoding="utf-8")
    options = ["--scenario", str(scenario), "--kubeconfig", str(kubeconfig), "--speed", f"{plan.speed:g}"]
    return ["cluster", *options, "--seed", str(plan.seed)]


def _bridge_command(setting: Setting, plan: Plan, kubeconfig: Path, epoch_us: int) -> list[str]:
    settings = {
        "expect": {
            name: {"share": load.share, "samples": load.samples, "samples_log_sd": load.log_sd}
            for name, load in ((name, load.as_lognormal()) for name, load in mix_of(setting.scenario).items())
        },
        "metrics_port": None,
    }
    config = plan.folder / "bridge.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    chosen = ["--checkpoint", plan.checkpoint] if plan.checkpoint else ["--scheduler", plan.scheduler]
    return [
        "bridge", *chosen, "--kubeconfig", str(kubeconfig), "--speed", f"{plan.speed:g}", "--epoch",
        format_time_us(epoch_us), "--config", str(config), "--decisions", str(plan.folder / "decisions.jsonl"),
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def _process(arguments: list[str], plan: Plan, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `synergai` verb as a process of its own, stopped at the end; its output goes to a log in the folder."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (plan.folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "synergai", *arguments, stdout=log, stderr=log, env=environment
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), 5.0)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def _log(plan: Plan, name: str) -> str:
    return (plan.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")


async def _until(condition: Callable[[], bool], process: asyncio.subprocess.Process, what: str) -> None:
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + START_TIMEOUT_S
    while not condition():
        if process.returncode is not None:
            raise DemoError(f"{what} ended with exit code {process.returncode}; see its log")
        if loop.time() > give_up_s:
            raise DemoError(f"{what} did not start within {START_TIMEOUT_S:g} s; see its log")
        await asyncio.sleep(0.05)


async def _nodes_ready(client: ApiClient, count: int, process: asyncio.subprocess.Process) -> None:
    ready = 0

    async def look() -> None:
        nonlocal ready
        with contextlib.suppress(ApiError):
            ready = len((await client.get("/api/v1/nodes"))["items"])

    give_up_s = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while ready < count:
        await look()
        if process.returncode is not None or asyncio.get_running_loop().time() > give_up_s:
            raise DemoError(f"only {ready} of {count} nodes registered; see the cluster's log")
        await asyncio.sleep(0.1)


async def _watch(
    client: ApiClient,
    count: int,
    bridge: asyncio.subprocess.Process,
    sending: asyncio.Task[int],
    show: Callable[[Progress], None],
) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    finished, moved_s = -1, loop.time()
    while True:
        try:
            pods = (await client.get("/api/v1/namespaces/default/pods"))["items"]
        except ApiError as error:
            raise DemoError(f"the embedded cluster is gone: {error}; see its log") from None
        progress = _progress(pods)
        show(progress)
        if progress.finished > finished:
            finished, moved_s = progress.finished, loop.time()
        if progress.finished >= count:
            return pods
        if bridge.returncode is not None:
            raise DemoError(f"the bridge ended with exit code {bridge.returncode}; see its log")
        if sending.done() and sending.exception() is not None:
            raise DemoError(f"pods could not be created: {_first(sending.exception())}")
        if loop.time() - moved_s > STALL_S:
            raise DemoError(f"no pod finished for {STALL_S:g} s, {progress.finished} of {count} are done")
        await asyncio.sleep(0.5)


def _first(error: BaseException | None) -> BaseException | None:
    """What went wrong first, out of the group that a TaskGroup raises."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _progress(pods: list[dict[str, Any]]) -> Progress:
    from synergai.k8s_bridge.demo.measure import is_late

    ended = [pod for pod in pods if pod["status"].get("phase") in ("Succeeded", "Failed")]
    bound = sum(bool(pod["spec"].get("nodeName")) for pod in pods)
    return Progress(len(pods), bound, len(ended), sum(map(is_late, ended)))
