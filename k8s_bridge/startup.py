"""From settings to a running bridge; what is wrong until then ends in one line that says what to do."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext, suppress
from functools import partial

from synergai.agents.guard import Guarded
from synergai.agents.registry import make
from synergai.agents.replay import Window, picture_of, replay
from synergai.agents.scheduler import Scheduler
from synergai.agents.trial import Trial, certificate_of
from synergai.envs.cluster import Cluster
from synergai.envs.mix import ModelLoad
from synergai.envs.types import Device, Job, Node
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import Credentials, load
from synergai.k8s_bridge.api.watch import NODES, OWN_PODS
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.control.reload import Change, LoadError, Reloads, Source
from synergai.k8s_bridge.daemon import Daemon
from synergai.k8s_bridge.lease import Lease, LeaseTimes
from synergai.k8s_bridge.reports.journal import Journal
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.offline_profiles.profile import Hardware
from synergai.offline_profiles.table import ProfileError, ProfileTable

log = logging.getLogger(__name__)

LATE_S = 0.1
"""Beyond the planner's budget: a thousand times what the network takes."""


class StartupError(Exception):
    """The bridge cannot start; one line."""


def load_table(settings: Settings) -> ProfileTable:
    """The shipped profiles and those of the settings."""
    try:
        return ProfileTable.load(*settings.profiles, hardware=settings.hardware or None)
    except ProfileError as error:
        raise StartupError(f"cannot use the profiles: {'; '.join(str(error).splitlines())}") from error


def make_cluster(settings: Settings) -> Cluster:
    """An empty picture of the cluster, with what the settings say of the workload."""
    table = load_table(settings)
    return Cluster(table, mix_of(settings, table), settings.energy_weight, settings.pod_start_s)


def mix_of(settings: Settings, table: ProfileTable) -> dict[str, ModelLoad]:
    """The workload that the settings expect."""
    mix = {name: ModelLoad(e.share, e.samples, e.samples_log_sd) for name, e in settings.expect.items()}
    unknown = sorted(set(mix) - set(table.models))
    if unknown:
        raise StartupError(
            f"expect names {', '.join(unknown)}, of which there is no profile; known are {', '.join(table.models)}"
        )
    return mix


def load_scheduler(settings: Settings) -> Scheduler:
    """The rule, or the learned policy behind the guard."""
    if settings.policy != "net" and not settings.checkpoint:
        raise StartupError(f"policy {settings.policy} is a way to play a checkpoint; give one")
    try:
        fallback = make(settings.fallback)
        if not settings.checkpoint:
            return make(settings.scheduler)
    except ValueError as error:
        raise StartupError(str(error)) from error
    late_s = LATE_S + settings.plan_budget_ms / 1000
    return Guarded(_load_policy(settings), fallback, _make_trial(settings), late_s)


def _load_policy(settings: Settings) -> Scheduler:
    # they bring in the network's code, which a rule does not need
    from synergai.agents.learned import CheckpointError
    from synergai.agents.policies import make_policy, name_of

    try:
        return make_policy(name_of(settings.checkpoint, settings.policy), 1e3 * settings.plan_budget_ms)
    except CheckpointError as error:
        raise StartupError(str(error)) from error


def _make_trial(settings: Settings) -> Trial | None:
    """By what the card certifies."""
    from synergai.agents.learned import read

    if settings.guard_budget_ms == 0.0:
        return None
    certificate = certificate_of(read(settings.checkpoint).card, settings.policy)
    return Trial(certificate, 1e3 * settings.guard_budget_ms)


def warm_up(table: ProfileTable, scheduler: Scheduler, replays: bool = False) -> None:
    """One round on a cluster of one node, and a replay of it, so that no pod waits for the compiler."""
    profile = table.profiles[0]
    cluster = Cluster(table)
    device = Device(profile.hardware, 0 if table.hardware[profile.hardware].kind == "cpu" else 1)
    cluster.set_node(Node("warm-up", (device,), profile.cpu_milli, profile.memory_mib))
    model = next(name for name in table.models if table.of(name, profile.hardware))
    jobs = [Job(f"warm-up/{n}", model, 1, arrival_us=n, deadline_us=n + 10**7) for n in range(3)]
    for job in jobs:
        cluster.enqueue(job)
    for _ in cluster.round(3, scheduler):
        pass
    cluster.next_epoch_us(3)
    if replays and isinstance(scheduler, Guarded):
        window = Window(tuple(jobs), 0, len(jobs))
        with suppress(Exception):  # it will be told when it fails with real jobs
            replay(picture_of(cluster), window, scheduler.primary, scheduler.fallback, seed=0)


def load_change(
    settings: Settings, decider: bool, tables: bool, hardware: Mapping[str, Hardware] | None = None
) -> Change:
    """The scheduler of these settings, their profiles, or both, after a trial round; LoadError, also where there are
    other hardware classes than the bridge has read its nodes by."""
    try:
        table = load_table(settings)
        if hardware is not None and table.hardware != hardware:
            raise StartupError(
                f"the classes in {settings.hardware or 'hardware'} have changed; that needs a restart"
            )
        scheduler = load_scheduler(settings) if decider else None
        mix = mix_of(settings, table) if tables else None
    except StartupError as error:
        raise LoadError(str(error)) from error
    if scheduler is not None:
        try_out(table, scheduler, settings)
    return Change(settings, scheduler, table if tables else None, mix)


def try_out(table: ProfileTable, scheduler: Scheduler, settings: Settings) -> None:
    """LoadError where it fails in a round, or answers what means nothing: here no guard stands behind it."""
    warm_up(table, scheduler, settings.replays)
    if isinstance(scheduler, Guarded):
        try:
            warm_up(table, scheduler.primary)
        except Exception as error:
            raise LoadError(f"{scheduler.name} fails in a trial round: {error!r}") from error


def explain(error: ApiError) -> str:
    """An API error at the start, as one line that says what to do."""
    if error.status == 403:
        return f"no permission: {error.message}; give the bridge's user the rights of docs/bridge.md"
    if error.status == 401:
        return f"the API server refused the credentials: {error.message}; log in or name another kubeconfig"
    if error.reason == "Untrusted":
        return (
            f"the API server is not trusted: {error.message}; put its certificate-authority in the kubeconfig"
        )
    if error.status == 404:
        return f"not there: {error.message}; make it, or set lease_namespace to one that exists"
    if error.status == 0:
        return f"no cluster: {error.message}; start it, or name another with --kubeconfig FILE"
    return f"the API server failed: {error}; try again when it is well"


async def run_bridge(
    settings: Settings,
    stop: asyncio.Event,
    *,
    once: bool = False,
    scheduler: Scheduler | None = None,
    cluster: Cluster | None = None,
    source: Source | None = None,
) -> None:
    """Everything from credentials to a clean stop; what fails first is what costs least to find out. With a source,
    settings that change there are followed."""
    chosen = scheduler or load_scheduler(settings)
    room = cluster or make_cluster(settings)
    metrics = Metrics()
    credentials = await _credentials(settings)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(_client(settings, credentials, metrics))
        journal = stack.enter_context(_journal(settings))
        lease = None
        if settings.lease == "auto" and not (once or settings.dry_run):
            # on connections of its own: a renewal must not wait behind binds
            lessee = await stack.enter_async_context(_client(settings, credentials, metrics))
            lease = make_lease(settings, lessee, credentials.namespace, metrics)
        try:
            await _look(client)
            warm_up(room.table, chosen, settings.replays)
            load_aside = partial(load_change, hardware=room.table.hardware)
            reloads = Reloads(source, settings, load_aside, metrics) if source and not once else None
            daemon = Daemon(
                settings, client, chosen, room, metrics=metrics, journal=journal, lease=lease, reloads=reloads
            )
            log.info("settings: %s", settings.model_dump_json())
            await daemon.run(stop, once)
        except ApiError as error:
            raise StartupError(explain(error)) from error


def make_lease(settings: Settings, client: ApiClient, namespace: str, metrics: Metrics) -> Lease:
    """In the settings' namespace, or else the given one."""
    times = LeaseTimes(
        settings.lease_duration_s,
        settings.lease_renew_deadline_s,
        settings.lease_retry_s,
        settings.bind_timeout_s,
    )
    return Lease(
        client,
        settings.lease_namespace or namespace,
        settings.lease_name,
        times,
        on_renewal=lambda result: metrics.renewals.labels(result).inc(),
    )


async def _credentials(settings: Settings) -> Credentials:
    return await asyncio.to_thread(load, settings.kubeconfig, settings.context)


def _client(settings: Settings, credentials: Credentials, metrics: Metrics) -> ApiClient:
    counted = metrics.api_requests
    return ApiClient(
        credentials,
        timeout_s=settings.request_timeout_s,
        on_request=lambda method, status: counted.labels(method, str(status)).inc(),
    )


async def _look(client: ApiClient) -> None:
    """Is there a cluster, may we read it, and what time is it there?"""
    for resource in (NODES, OWN_PODS):
        await client.get(resource.path, resource.params(limit="1"))


def _journal(settings: Settings) -> AbstractContextManager[Journal | None]:
    try:
        return Journal(settings.decisions, settings.decisions_max_mb) if settings.decisions else nullcontext()
    except OSError as error:
        raise StartupError(f"cannot write decisions to {settings.decisions}: {error.strerror}") from error
