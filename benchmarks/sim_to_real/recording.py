"""One scheduler on a cluster: the bridge as a process beside it, the jobs sent as InferenceJobs, and what became of
them in a folder: `decisions.jsonl`, `runs.json`, `bridge.log`."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from synergai.benchmarks.figure import BenchError
from synergai.benchmarks.processes import process, said, until
from synergai.benchmarks.sim_to_real.workload import Asked
from synergai.envs.types import Node
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.requests import pod_requests
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.inference.job import KIND, job_path
from synergai.k8s_bridge.inference.templates import API_VERSION
from synergai.k8s_bridge.nodes import read_node, to_node
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.submit import create, paced
from synergai.k8s_bridge.uninstall import UninstallError, refuse_while_one_runs, release_pod
from synergai.offline_profiles.table import ProfileTable

DECISIONS, RUNS, LOG = "decisions.jsonl", "runs.json", "bridge.log"
LEAD_S = 2.0
"""Between the bridge being ready and the first arrival: templates are asked about meanwhile."""
STALL_S = 120.0
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Place:
    """Where the jobs go, and with what the bridge is started."""

    kubeconfig: str
    namespace: str
    profiles: tuple[str, ...]
    hardware: str
    pod_start_s: float = 0.0
    speed: float = 1.0


async def nodes_of(client: ApiClient, table: ProfileTable) -> list[Node]:
    """The nodes that a bridge would use, net of what runs there already. BenchError where there is none."""
    found = (await client.get("/api/v1/nodes"))["items"]
    pods = (await client.get("/api/v1/pods"))["items"]
    nodes = []
    for raw in found:
        facts = read_node(raw, table.hardware)
        mine = [p for p in pods if p["spec"].get("nodeName") == facts.name]
        others = [pod_requests(p["spec"]) for p in mine if (p.get("status") or {}).get("phase") not in ENDED]
        if not facts.problem and facts.ready:
            nodes.append(to_node(facts, table.hardware, others))
    if not nodes:
        told = "; ".join(
            f"{f.name}: {f.problem or 'not ready'}" for f in (read_node(r, table.hardware) for r in found)
        )
        raise BenchError(f"no node can be used: {told or 'there is none'}")
    return nodes


async def record(
    client: ApiClient,
    scheduler: str,
    checkpoint: str,
    jobs: Sequence[Asked],
    place: Place,
    folder: Path,
    show: Callable[[int, int], None] = lambda ended, jobs: None,
) -> None:
    """All jobs through the bridge under a scheduler (a rule by name, or a checkpoint); BenchError where it goes no
    further. `show` is told how many have ended, of how many."""
    _empty(folder)
    await _refuse(client, place.namespace)
    log, is_ours = folder / LOG, False
    try:
        async with process(_command(scheduler, checkpoint, jobs, place, folder), log) as bridge:
            await until(lambda: "leading: " in said(log), bridge, log)
            await _refuse_jobs(client, place.namespace)  # of a run that led meanwhile
            is_ours = True
            pods, start_us = await _play(client, bridge, jobs, place, show)
        text = json.dumps(
            {"startUs": start_us, "speed": place.speed, "runs": [_run(pod) for pod in pods]}, indent=0
        )
        (folder / RUNS).write_text(f"{text}\n", encoding="utf-8")
    finally:  # also where it was interrupted: nothing of one scheduler is left for the next, or for the next time
        if is_ours:
            await _clear(client, place.namespace)


async def _refuse(client: ApiClient, namespace: str) -> None:
    """BenchError where somebody else's jobs, or another bridge, would be part of what is measured."""
    try:
        for where in (namespace, keys.BRIDGE_NAMESPACE):
            await refuse_while_one_runs(client, where)
    except UninstallError as error:
        raise BenchError(str(error)) from None
    await _refuse_jobs(client, namespace)


async def _refuse_jobs(client: ApiClient, namespace: str) -> None:
    try:
        there = (await client.get(job_path(namespace)))["items"]
    except ApiError as error:
        if error.status != 404:
            raise
        raise BenchError(
            "the cluster does not serve InferenceJobs: install the bridge's definitions first"
        ) from None
    if there:
        raise BenchError(
            f"namespace {namespace} holds {len(there)} InferenceJobs: name one without, or "
            f"'kubectl delete inferencejobs --all -n {namespace}'"
        )


async def _play(
    client: ApiClient,
    bridge: asyncio.subprocess.Process,
    jobs: Sequence[Asked],
    place: Place,
    show: Callable[[int, int], None],
) -> tuple[list[Json], int]:
    """The pods at the end, and when the submission began, server time."""
    start_us = client.now_us() + round(LEAD_S * SECOND_US)
    path = job_path(place.namespace)
    due = [(job.arrival_s, partial(create, client, path, _body(job, start_us, place.speed))) for job in jobs]
    sending = asyncio.create_task(paced(client, due, speed=place.speed, start_us=start_us))
    try:
        return await _wait(client, place.namespace, len(jobs), bridge, sending, show), start_us
    finally:
        sending.cancel()


def _empty(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (DECISIONS, RUNS):
        (folder / name).unlink(missing_ok=True)


def _command(scheduler: str, checkpoint: str, jobs: Sequence[Asked], place: Place, folder: Path) -> list[str]:
    settings = {
        "profiles": list(place.profiles), "hardware": place.hardware, "pod_start_s": place.pod_start_s,
        "metrics_port": None, "calibration_every_s": 0, "queue_every_s": 0, "replay_every_s": 0,
        "decisions": str(folder / DECISIONS), "lease_namespace": place.namespace, "expect": _mix(jobs),
    }  # fmt: skip
    config = folder / "bridge.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    chosen = ["--checkpoint", checkpoint] if checkpoint else ["--scheduler", scheduler]
    options = ["--kubeconfig", place.kubeconfig, "--config", str(config), "--speed", f"{place.speed:g}"]
    return ["-m", "synergai", "bridge", *chosen, *options]


def _mix(jobs: Sequence[Asked]) -> dict[str, dict[str, float]]:
    """What the bridge reckons with from the first job on, as the simulator does."""
    sizes = {
        model: [job.samples for job in jobs if job.model == model] for model in {job.model for job in jobs}
    }
    return {
        model: {
            "share": float(len(found)),
            "samples": float(np.median(found)),
            "samples_log_sd": float(min(np.std(np.log(found)), 5.0)),
        }
        for model, found in sorted(sizes.items())
    }


def _body(job: Asked, start_us: int, speed: float) -> Json:
    name, _, version = job.model.partition(":")
    spec = {
        "model": {"name": name, "version": version or "1"},
        "input": {"samples": job.samples},
        "deadline": {"at": format_time_us(start_us + round(job.deadline_s * SECOND_US / speed))},
        "backoffLimit": 0,
    }
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": job.name}, "spec": spec}


async def _wait(
    client: ApiClient,
    namespace: str,
    count: int,
    bridge: asyncio.subprocess.Process,
    sending: asyncio.Task[int],
    show: Callable[[int, int], None],
) -> list[Json]:
    """The pods, once that of every job has ended."""
    most, moved_s = -1, time.monotonic()
    while True:
        pods = (await client.get(f"/api/v1/namespaces/{namespace}/pods"))["items"]
        pods = [pod for pod in pods if keys.LABEL_JOB in (pod["metadata"].get("labels") or {})]
        ended = sum(pod["status"].get("phase") in ENDED for pod in pods)
        show(ended, count)
        if ended >= count and await _all_recorded(client, namespace):
            return pods
        if ended > most:
            most, moved_s = ended, time.monotonic()
        if bridge.returncode is not None:
            raise BenchError(f"the bridge ended with exit code {bridge.returncode}; see its log")
        if sending.done() and sending.exception() is not None:
            raise BenchError(f"jobs could not be created: {sending.exception()!r}")
        if time.monotonic() - moved_s > STALL_S:
            raise BenchError(
                f"no job has ended for {STALL_S:g} s; {ended} of {count} have; see the bridge's log"
            )
        await asyncio.sleep(0.5)


async def _all_recorded(client: ApiClient, namespace: str) -> bool:
    """Whether the bridge has written down how each job ended: then it has taken its finalizers off."""
    jobs = (await client.get(job_path(namespace)))["items"]
    return all((job.get("status") or {}).get("phase") in ENDED for job in jobs)


def _run(pod: Json) -> Json:
    """What a pod's runner said, and whose it was."""
    owner = pod["metadata"]["ownerReferences"][0]["name"]
    ends = [s.get("state", {}).get("terminated") or {} for s in pod["status"].get("containerStatuses") or ()]
    messages = [end["message"] for end in ends if end.get("message")]
    try:
        report = json.loads(messages[0]) if messages else None
    except ValueError:
        report = None
    status = pod["status"]
    return {
        "job": f"{pod['metadata']['namespace']}/{owner}",
        "pod": f"{pod['metadata']['namespace']}/{pod['metadata']['name']}", "node": pod["spec"].get("nodeName", ""),
        "phase": status["phase"], "reason": status.get("reason") or (ends[0].get("reason", "") if ends else ""),
        "message": "" if report is not None else " ".join(messages)[:500], "report": report,
    }  # fmt: skip


async def _clear(client: ApiClient, namespace: str) -> None:
    """All jobs and their pods; what of them still has our finalizer, as the bridge was stopped before, is let go."""
    give_up_s = time.monotonic() + STALL_S
    pods = f"/api/v1/namespaces/{namespace}/pods"
    now = {"gracePeriodSeconds": "0"}
    while True:
        jobs = (await client.get(job_path(namespace)))["items"]
        found = (await client.get(pods, {"labelSelector": keys.LABEL_JOB}))["items"]
        if not jobs and not found:
            return
        if time.monotonic() > give_up_s:
            raise BenchError(f"{len(jobs)} jobs and {len(found)} pods of namespace {namespace} do not go")
        for path, items in ((job_path(namespace), jobs), (pods, found)):
            for item in items:
                with contextlib.suppress(ApiError):
                    await client.request("DELETE", f"{path}/{item['metadata']['name']}", params=now)
        for pod in found:
            await release_pod(client, pod["metadata"])
        await asyncio.sleep(0.5)
