"""Creates InferenceJobs once, whatever becomes of the replies."""

import asyncio

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.explain.api import AskError, problem
from synergai.k8s_bridge.inference.job import InferenceJob, job_path, read_job
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.submit import Sleep, create

ATTEMPTS = 15
"""Half a minute, in which an API server may start anew."""


async def create_job(client: ApiClient, body: Json, *, sleep: Sleep = asyncio.sleep) -> InferenceJob:
    """AskError where it was refused. Its label tells it from another's of the same name, where a reply was lost."""
    metadata = body["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    try:
        made = await create(client, job_path(namespace), body, attempts=ATTEMPTS, sleep=sleep)
        made = await client.get(job_path(namespace, name)) if made is None else made
    except ApiError as error:
        if error.status == 409:
            raise _taken(namespace, name) from error
        raise AskError(f"{namespace}/{name}: {problem(error)}") from error
    labels = made["metadata"].get("labels") or {}
    if labels.get(keys.LABEL_SUBMISSION) != metadata["labels"][keys.LABEL_SUBMISSION]:
        raise _taken(namespace, name)
    return read_job(made)


def _taken(namespace: str, name: str) -> AskError:
    return AskError(
        f"there is an InferenceJob {name} in namespace {namespace} already: choose another --name, or see "
        f"`synergai explain job {name} -n {namespace}`"
    )
