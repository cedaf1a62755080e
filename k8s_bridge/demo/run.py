"""One scheduler on one tape of InferenceJobs: an embedded cluster and the bridge as processes, jobs sent and seen."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from synergai.envs.tape import Setting, Tape, mix_of
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api import credentials
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.demo.measure import is_late
from synergai.k8s_bridge.explain.words import table
from synergai.k8s_bridge.inference.job import KIND, job_path
from synergai.k8s_bridge.inference.templates import API_VERSION
from synergai.k8s_bridge.pods import Json, read_owner
from synergai.k8s_bridge.submit import create, paced

START_TIMEOUT_S = 240.0
STALL_S = 30.0
"""Without any pod finishing for so long, the run is given up."""
NAMESPACE = "default"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
JOBS, SHOWN = "jobs.txt", 5
"""File in a run's folder with what `kubectl get inferencejobs` showed at its end, and of how many jobs."""
LEAD_S = 0.5
"""Between the last preparation and the first arrival."""


class DemoError(Exception):
    """The demonstration cannot go on; one line that says why."""


@dataclass(frozen=True)
class Progress:
    """How far one run is."""

    placed: int
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


def jobs_of(setting: Setting, tape: Tape, plan: Plan, start_us: int) -> list[tuple[float, Json]]:
    """The tape's jobs as InferenceJobs, each with its arrival in scenario seconds; `start_us` is server time."""
    found = []
    for i, job in enumerate(tape.jobs):
        name, _, version = setting.catalog.models[job["model"]].partition(":")
        deadline_us = start_us + round(int(job["deadline_us"]) / plan.speed)
        spec = {
            "model": {"name": name, "version": version or "1"},
            "input": {"samples": int(job["samples"])},
            "deadline": {"at": format_time_us(deadline_us)},
        }
        simulated = {keys.ANNOTATION_SIM_JOB: str(i), keys.ANNOTATION_SIM_SEED: str(plan.seed)}
        metadata = {"name": f"job-{i:04d}", "namespace": NAMESPACE, "annotations": simulated}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec}
        found.append((float(job["arrival_us"]) * 1e-6, body))
    return found


async def play(
    setting: Setting, tape: Tape, plan: Plan, show: Callable[[Progress], None]
) -> list[dict[str, Any]]:
    """All jobs of the tape through the bridge; returns the last pod of each as the API server has them at the end."""
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
        due = [
            (arrival_s, partial(create, client, job_path(NAMESPACE), body))
            for arrival_s, body in jobs_of(setting, tape, plan, start_us)
        ]
        sending = asyncio.create_task(paced(client, due, speed=plan.speed, start_us=start_us))
        stack.callback(sending.cancel)
        pods = await _watch(client, len(tape.jobs), bridge, sending, show)
        (plan.folder / JOBS).write_text(
            await _shown(credentials.load(str(kubeconfig)).host, SHOWN), encoding="utf-8"
        )
        return pods


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


async def _shown(host: str, rows: int) -> str:
    """What `kubectl get inferencejobs` prints, by the columns that the API server sends."""
    url = f"{host}{job_path(NAMESPACE)}"
    async with (
        aiohttp.ClientSession() as session,
        session.get(url, params={"limit": str(rows)}, headers={"Accept": TABLE}) as reply,
    ):
        found = await reply.json()
    columns = [(i, c["name"]) for i, c in enumerate(found["columnDefinitions"]) if not c.get("priority")]
    cells = [[str(row["cells"][i] or "") for i, _ in columns] for row in found["rows"]]
    return "\n".join(table([[name.upper() for _, name in columns], *cells]))


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
            pods = _last_pods((await client.get(f"/api/v1/namespaces/{NAMESPACE}/pods"))["items"])
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
            raise DemoError(f"jobs could not be created: {_first(sending.exception())}")
        if loop.time() - moved_s > STALL_S:
            raise DemoError(f"no pod finished for {STALL_S:g} s, {progress.finished} of {count} are done")
        await asyncio.sleep(0.5)


def _first(error: BaseException | None) -> BaseException | None:
    """What went wrong first, out of the group that a TaskGroup raises."""
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _last_pods(pods: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each job that of its last attempt."""
    last: dict[str, dict[str, Any]] = {}
    for pod in sorted(
        pods, key=lambda pod: int(pod["metadata"]["annotations"].get(keys.ANNOTATION_ATTEMPT, 0))
    ):
        owner = read_owner(pod["metadata"])
        if owner is not None:
            last[owner.uid] = pod
    return list(last.values())


def _progress(pods: list[dict[str, Any]]) -> Progress:
    ended = [pod for pod in pods if pod["status"].get("phase") in ("Succeeded", "Failed")]
    return Progress(len(pods), len(ended), sum(map(is_late, ended)))
