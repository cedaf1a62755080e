"""`synergai cancel`: deletes InferenceJobs, and says what they were doing."""

import typer

from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.commands.listing import fetch_jobs
from synergai.k8s_bridge.explain import phrases
from synergai.k8s_bridge.explain.api import UnknownJob, fetch_job, problem
from synergai.k8s_bridge.inference.job import InferenceJob, read_job


async def cancel(client: ApiClient, namespace: str, names: list[str], everything: bool) -> int:
    """All that go on where `everything`, else those of these names; 1 if one could not be cancelled."""
    if everything:
        jobs = [job for job in await fetch_jobs(client, namespace) if not (job.status.ended or job.deleting)]
        if not jobs:
            typer.echo(f"no InferenceJob goes on in namespace {namespace}")
        results = [await _delete(client, job) for job in jobs]
    else:
        results = [await _cancel(client, namespace, name) for name in dict.fromkeys(names)]
    return 0 if all(results) else 1


async def _cancel(client: ApiClient, namespace: str, name: str) -> bool:
    try:
        return await _delete(client, read_job(await fetch_job(client, namespace, name)))
    except UnknownJob as error:
        return _not(str(error))


async def _delete(client: ApiClient, job: InferenceJob) -> bool:
    """This one, and none that has its name by now."""
    body = {"propagationPolicy": "Background", "preconditions": {"uid": job.uid}}
    try:
        await client.request("DELETE", job.path, body=body)
    except ApiError as error:
        if error.status == 409:
            return _not(f"{job.name} was replaced by another of its name at this moment; that one goes on")
        if error.status == 403:
            return _not(f"{job.name}: {problem(error)}")
        if error.status != 404:  # else it went by itself, or a reply was lost
            raise
    typer.echo(f"{job.name} cancelled: {_was(job)}")
    return True


def _not(why: str) -> bool:
    typer.echo(f"synergai cancel: {why}", err=True)
    return False


def _was(job: InferenceJob) -> str:
    """What it was doing."""
    if job.status.ended:
        return f"it had ended ({phrases.phase(job)}), its record is deleted"
    running = job.status.attempts and job.status.attempts[-1].end is None
    return f"it was {phrases.phase(job)} {phrases.where(job) if running else ''}".rstrip()
