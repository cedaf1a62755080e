"""What a bridge is made of, and how its parts are wired to each other."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable

from synergai.agents.explainer import Explainer
from synergai.agents.guard import Guarded
from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.types import Job
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.feed import Feed, Tasks
from synergai.k8s_bridge.api.watch import ALL, Reflector, Resource, WatchEvent
from synergai.k8s_bridge.binder import Binder, BindResult
from synergai.k8s_bridge.calibration import Calibration
from synergai.k8s_bridge.clock import ScenarioClock, parse_time_us
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.control.reload import Reloads
from synergai.k8s_bridge.control.rollout import Rollout
from synergai.k8s_bridge.control.shadow import Shadow, pods_of
from synergai.k8s_bridge.inference.actions import RUNTIME
from synergai.k8s_bridge.inference.checks import Checks
from synergai.k8s_bridge.inference.definitions import Definitions
from synergai.k8s_bridge.inference.delegation import delegate
from synergai.k8s_bridge.inference.job_book import JobBook
from synergai.k8s_bridge.inference.offers import Offers
from synergai.k8s_bridge.inference.runtime_book import RuntimeBook
from synergai.k8s_bridge.inference.writer import Writer
from synergai.k8s_bridge.lease import Lease
from synergai.k8s_bridge.model import model_of
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.placing import Placing
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.pods import Json, Pod
from synergai.k8s_bridge.replays import Replays
from synergai.k8s_bridge.reports.board import Board
from synergai.k8s_bridge.reports.conditions import Conditions
from synergai.k8s_bridge.reports.events import EventRecorder, Notice
from synergai.k8s_bridge.reports.journal import Fields, Journal
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.preface import preface
from synergai.k8s_bridge.reports.report import Report
from synergai.k8s_bridge.resizer import Resizer
from synergai.k8s_bridge.snapshot import Snapshot
from synergai.k8s_bridge.term import Term
from synergai.offline_profiles.table import ProfileTable

Pause = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait_for_bell(bell: asyncio.Event, timeout_s: float) -> None:
    """Until something happens, but no longer than the timeout."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await bell.wait()


class Parts:
    """All of one bridge; what any of them hears of others goes through here."""

    def __init__(
        self,
        settings: Settings,
        client: ApiClient,
        scheduler: Scheduler,
        cluster: Cluster,
        *,
        metrics: Metrics | None = None,
        journal: Journal | None = None,
        lease: Lease | None = None,
        reloads: Reloads | None = None,
        pause: Pause = wait_for_bell,
    ) -> None:
        """With a lease it decides while it holds it, and follows otherwise; without one it always decides."""
        epoch_us = parse_time_us(settings.epoch) if settings.epoch else client.now_us()
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.clock = ScenarioClock(settings.speed, epoch_us)
        self.metrics_port: int | None = None
        self.probe_port: int | None = None
        """Where each is served, once it is."""
        self.synced = asyncio.Event()
        """Set when the API server's whole state has been read and, unless it follows another, the first round is
        over."""
        self._client = client
        self._scheduler = scheduler
        self._cluster = cluster
        self._pause = pause
        self._lease = lease
        self._term = Term(lease)
        self._bell = asyncio.Event()
        self._inbox: list[WatchEvent] = []
        self._results: list[BindResult] = []
        self._epoch_us: int | None = None
        self._turned_s = time.monotonic()
        self._reloads = reloads
        self._keep_books(journal)
        self._act(journal)
        self._listen()

    def _keep_books(self, journal: Journal | None) -> None:
        """What is known of the cluster, and who is told of it."""
        settings, cluster = self.settings, self._cluster
        self._events = self._recorder()
        self._report = Report(self.metrics, self._notify, journal)
        self._report.speaks = self._term.leads()
        self.nodes = NodeBook(
            cluster,
            cluster.table.hardware,
            shared_nodes=settings.shared_nodes,
            delegates=bool(settings.delegate_to),
            on_problem=self._report.node_problem,
        )
        self.replays = self._replaying()
        """None where replays are off, or no policy is to be judged nor may come."""
        self._resizer = Resizer(settings.resize == "auto")
        self._conditions = Conditions(self._client, permit=self._writes)
        self.pods = PodBook(
            cluster,
            cluster.table,
            self.clock,
            self.nodes,
            self._report,
            self._arrived,
            self._resizer,
            self._condition,
        )
        self._keep_jobs()
        if journal is not None:
            self._begin_journal(journal)
        self._snapshot = Snapshot(self.nodes, self.pods, self.jobs, self._runtimes)

    def _keep_jobs(self) -> None:
        """InferenceJobs, and what runs them."""
        self._checks = Checks(self._client, self._checked, self.settings.delegate_to)
        self._writer = Writer(self._client, self._written, permit=self._writes)
        offers = Offers(self._cluster.table, self._checks)
        self._runtimes = RuntimeBook(offers, self._checks, self._report, self._writer, self._writes)
        self._definitions = Definitions(self._client, self._report.definition)
        self.jobs = JobBook(
            offers, self.pods, self.nodes, self.clock, self._report, self._writer, self._extend, self._writes
        )

    def _spoiled(self, pod: Json, why: str) -> None:
        """Admission makes more of pods than it did: nothing is decided by what it did before."""
        self.jobs.spoil(pod, why)
        self._checks.ask_again(pod["metadata"]["namespace"])
        self.jobs.offered()

    def _checked(self) -> None:
        """A template's dry run has an answer."""
        self._runtimes.checked()
        self.jobs.offered()
        self._bell.set()

    def _written(self, key: str, reply: Json | ApiError) -> None:
        if key.startswith(RUNTIME) and isinstance(reply, ApiError):
            self._runtimes.retell(key.partition(" ")[2])
        self.jobs.ended(key, reply)
        self._bell.set()

    def _extend(self, table: ProfileTable) -> None:
        """Models of jobs' own are added to the profiles, or go."""
        self.pods.refit(table, lambda: self._cluster.extend(table), self.now_us())

    def _condition(self, pod: Pod, message: str) -> None:
        """Of a pod that is there; what is to be said of a job is in its status."""
        if pod.uid:
            self._conditions(pod, message)
        else:
            self.jobs.touch(pod)

    def _act(self, journal: Journal | None) -> None:
        """Who decides, how far that goes, and what carries it out."""
        entries, now_us = lambda: self.pods.entries, self._client.now_us
        self.rollout = Rollout(self.settings, self._scheduler, self._cluster, entries, self.metrics, now_us)
        self._report.on_ended = self.rollout.ended
        self.metrics.decides(model_of(self._scheduler))
        self._placing = self._placer()
        self._board = self._showing()
        self._calibration = self._learning()
        self._binder = self._binding()
        self._shadow = self._shadowing(journal)

    def _listen(self) -> None:
        watched = [*ALL, *([pods_of(self.settings.shadow_of)] if self._shadow else [])]
        reflectors = [self._reflector(resource) for resource in watched]
        self._feed = Feed(reflectors, self._bell.set)
        self._background = Tasks(self._bell.set)

    def _begin_journal(self, journal: Journal) -> None:
        def begin() -> Iterable[tuple[str, Fields]]:
            model = model_of(self._scheduler)
            return preface(
                self._cluster, self.settings, model.name, model.version, self.clock.epoch_us, self.now_us()
            )

        journal.preface = begin
        journal.on_lost = self.metrics.lines_lost.inc
        self._cluster.on_node = lambda name, node: self._report.node(name, node, self.now_us())

    def _arrived(self, job: Job) -> None:
        if self.replays:
            self.replays.arrivals.add(job)
        self._report.arrived(job, self.now_us())

    def _recorder(self) -> EventRecorder:
        return EventRecorder(
            self._client,
            capacity=self.settings.events_queue,
            on_written=lambda reason: self.metrics.events.labels(reason).inc(),
            on_dropped=self.metrics.events_dropped.inc,
            permit=self._term.leads,
        )

    def _notify(self, notice: Notice) -> None:
        if not (self.settings.dry_run or self.rollout.shadows):
            self._events(notice)

    def _placer(self) -> Placing:
        return Placing(
            self._cluster,
            self.clock,
            self.nodes,
            self.pods,
            self._report,
            explain=Explainer(self._cluster, self._scheduler),
            on_order=self.rollout.caps.note,
            may_place=lambda: self.rollout.decides,
            make=self._attempt,
            on_made=self.jobs.set_pod,
            on_spoiled=self._spoiled,
        )

    def _attempt(self, pod: Pod, node: str, record: DecisionRecord, explanation: str) -> Json:
        made, other = self.jobs.body(pod, node, record, explanation), self.settings.delegate_to
        return delegate(made, other) if other else made

    def _replaying(self) -> Replays | None:
        guard = self._scheduler if isinstance(self._scheduler, Guarded) else None
        if not self.settings.replays or not (guard or self._reloads):
            return None
        return Replays(guard, self._cluster, self.settings.replay_every_s, self._report, self._term.leads)

    def _shadowing(self, journal: Journal | None) -> Shadow | None:
        if not self.settings.shadow_of:
            return None
        twin, metrics = self._cluster.twin(), self.metrics
        return Shadow(twin, self.clock, lambda: self._scheduler, metrics, journal, self._term.leads)

    def _showing(self) -> Board:
        return Board(
            self._client,
            self._cluster,
            self.clock,
            self.pods,
            self.settings.queue_namespace,
            active=lambda: self.synced.is_set() and self._term.leads(),
            mode=lambda: self.rollout.modes.now,
        )

    def _learning(self) -> Calibration | None:
        if self.settings.calibration_every_s == 0.0:
            return None
        return Calibration(
            self._client,
            self._cluster,
            self.settings.queue_namespace,
            active=lambda: self.synced.is_set() and self._term.leads() and not self.settings.dry_run,
            on_write=lambda result: self.metrics.calibration_writes.labels(result).inc(),
        )

    def _binding(self) -> Binder:
        return Binder(
            self._client,
            self._deliver,
            concurrency=self.settings.bind_concurrency,
            timeout_s=self.settings.bind_timeout_s,
            dry_run=self.settings.dry_run,
            permit=lambda: self._term.leads() and self.rollout.modes.binds,
        )

    def _writes(self) -> bool:
        return self._term.leads() and not self.settings.dry_run

    def _reflector(self, resource: Resource) -> Reflector:
        restarts = self.metrics.watch_restarts
        return Reflector(
            self._client,
            resource,
            self._take,
            on_listed=self._bell.set,
            on_restart=lambda name, cause: restarts.labels(name, cause).inc(),
        )

    def _take(self, event: WatchEvent) -> None:
        self._inbox.append(event)
        self._bell.set()

    def _deliver(self, result: BindResult) -> None:
        self._results.append(result)
        self._bell.set()

    def now_us(self) -> int:
        """Scenario time."""
        return self.clock.to_scenario(self._client.now_us())
