"""Creates objects at given times: annotated pods, as a user's pipeline does, for demonstrations and tests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.clock import SECOND_US, format_time_us
from synergai.k8s_bridge.pods import Json

RUNNER_IMAGE = "synergai/runner:sim"
ATTEMPTS = 5
Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class PodRequest:
    """One pod to create; times are scenario seconds after the start of the submission."""

    name: str
    model: str
    samples: int
    arrival_s: float = 0.0
    deadline_s: float | None = None
    namespace: str = "default"
    site: str = ""
    hardware: frozenset[str] | None = None
    cpu: str = "10m"
    memory: str = "16Mi"
    sim_job: int | None = None
    sim_seed: int | None = None


def pod_of(request: PodRequest, start_us: int, speed: float = 1.0) -> Json:
    """The pod; `start_us` is the server time of the submission's start."""
    annotations = {
        keys.ANNOTATION_SCHEMA: keys.SCHEMA,
        keys.ANNOTATION_MODEL: request.model,
        keys.ANNOTATION_SAMPLES: str(request.samples),
    }
    if request.deadline_s is not None:
        deadline_us = start_us + round(request.deadline_s * SECOND_US / speed)
        annotations[keys.ANNOTATION_DEADLINE] = format_time_us(deadline_us)
    if request.site:
        annotations[keys.ANNOTATION_ORIGIN_SITE] = request.site
    if request.hardware is not None:
        annotations[keys.ANNOTATION_HARDWARE] = ",".join(sorted(request.hardware))
    if request.sim_job is not None:
        annotations[keys.ANNOTATION_SIM_JOB] = str(request.sim_job)
    if request.sim_seed is not None:
        annotations[keys.ANNOTATION_SIM_SEED] = str(request.sim_seed)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": request.name, "namespace": request.namespace, "annotations": annotations},
        "spec": {
            "schedulerName": keys.SCHEDULER_NAME,
            "restartPolicy": "Never",
            "tolerations": [{"key": keys.TAINT_DEDICATED, "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [
                {
                    "name": "runner",
                    "image": RUNNER_IMAGE,
                    "resources": {"requests": {"cpu": request.cpu, "memory": request.memory}},
                }
            ],
        },
    }


async def submit(
    client: ApiClient,
    jobs: Iterable[PodRequest],
    *,
    speed: float = 1.0,
    start_us: int | None = None,
    concurrency: int = 16,
    sleep: Sleep = asyncio.sleep,
) -> int:
    """Create each pod at its time; returns how many there are when the last reply is in."""
    began_us = client.now_us() if start_us is None else start_us

    async def create_pod(request: PodRequest) -> None:
        await create(
            client,
            f"/api/v1/namespaces/{request.namespace}/pods",
            pod_of(request, began_us, speed),
            sleep=sleep,
        )

    due = [(job.arrival_s, partial(create_pod, job)) for job in jobs]
    return await paced(client, due, speed=speed, start_us=began_us, concurrency=concurrency, sleep=sleep)


async def paced(
    client: ApiClient,
    due: Iterable[tuple[float, Callable[[], Awaitable[object]]]],
    *,
    speed: float,
    start_us: int,
    concurrency: int = 16,
    sleep: Sleep = asyncio.sleep,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Begin each work at its scenario second after the start, unless `stopped`; how many have been done."""
    room, done = asyncio.Semaphore(concurrency), 0

    async def do(work: Callable[[], Awaitable[object]]) -> None:
        nonlocal done
        async with room:
            if not stopped():
                await work()
                done += 1

    async with asyncio.TaskGroup() as group:
        for at_s, work in sorted(due, key=lambda one: one[0]):
            due_us = start_us + round(at_s * SECOND_US / speed)
            wait_s = (due_us - client.now_us()) / SECOND_US
            if wait_s > 0:
                await sleep(wait_s)
            if stopped():
                break
            group.create_task(do(work))
    return done


async def create(
    client: ApiClient, path: str, body: Json, *, attempts: int = ATTEMPTS, sleep: Sleep = asyncio.sleep
) -> Json | None:
    """What was created. A name is unique, so a lost reply may be asked for again: None where it exists by then."""
    backoff = Backoff(0.1, 2.0)
    for attempt in range(1, attempts + 1):
        try:
            return await client.post(path, body)
        except ApiError as error:
            if error.status == 409 and attempt > 1:
                return None
            if attempt == attempts or 0 < error.status < 500:
                raise
            await sleep(backoff.next_s())
    raise AssertionError("unreachable: the last attempt returns or raises")
