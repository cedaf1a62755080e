"""The bridge: watches, decides in rounds, binds. One loop, beside which only replays run."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterator

from synergai.agents.explainer import Explainer
from synergai.agents.guard import Guarded
from synergai.agents.scheduler import Scheduler
from synergai.envs.types import Decision
from synergai.k8s_bridge import http
from synergai.k8s_bridge.binder import BindOrder, BindResult, Outcome
from synergai.k8s_bridge.calibration import ratios
from synergai.k8s_bridge.clock import SECOND_US
from synergai.k8s_bridge.control.reload import Change
from synergai.k8s_bridge.model import model_of
from synergai.k8s_bridge.node_leases import NodeLeases
from synergai.k8s_bridge.parts import Parts

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 5.0
"""The loop turns at least this often, which is how /healthz knows that it turns."""
HEALTHY_FOR_S = 30.0
LONGEST_TURN_S = 0.002
"""After deciding for so long others get a turn, in the middle of a round: binds leave, watches are read."""
LAST_BINDS_S, LAST_EVENTS_S, LAST_RELEASE_S = 1.0, 0.4, 0.4
"""How long a stop waits for what is under way; together below two seconds."""


class Daemon(Parts):
    """One bridge over one API server. `await run(stop)` is its life."""

    async def run(self, stop: asyncio.Event, once: bool = False) -> None:
        """Until `stop` is set, or one round is over; a first list that is refused raises ApiError."""
        async with contextlib.AsyncExitStack() as stack:
            await self._serve(stack)
            stack.push_async_callback(self._finish)
            await self._resizer.ask(self._client)
            self._feed.start()
            self._background.run(self._events.run())
            self._background.run(self._conditions.run())
            self._background.run(self._checks.run())
            self._background.run(self._definitions.run())
            if self.settings.node_leases == "auto":
                self._background.run(NodeLeases(self._client, self._take).run())
            self._background.run(self._ring_at(stop))
            if self.replays:
                self._background.run(self.replays.run())
            if self.settings.queue_every_s > 0.0 and not self.settings.dry_run:
                self._background.run(self._board.run(self.settings.queue_every_s))
            if self._lease:
                self._lease.on_turn = self._bell.set
                self._background.run(self._lease.run())
            if self._reloads:
                self._reloads.on_change = self._bell.set
                self._background.run(self._reloads.run())
            if self._calibration:
                self._background.run(self._calibration.run(self.settings.calibration_every_s))
            if await self._sync(stop):
                await self._remember()
                await self.cycle(first=True)
                self.synced.set()
                log.info("ready: %d jobs wait, %d run", self._cluster.queued(), self._cluster.running())
                while not (once or stop.is_set()):
                    await self._wait()
                    await self.cycle()

    async def _serve(self, stack: contextlib.AsyncExitStack) -> None:
        given = self.settings
        if given.metrics_port is not None:
            metrics = http.serve_metrics(given.metrics_host, given.metrics_port, self.render_metrics)
            self.metrics_port = await stack.enter_async_context(metrics)
        if given.probe_port is not None:
            probes = http.serve_probes(
                given.probe_host,
                given.probe_port,
                healthy=lambda: time.monotonic() - self._turned_s < HEALTHY_FOR_S,
                ready=self.synced.is_set,
            )
            self.probe_port = await stack.enter_async_context(probes)

    async def _ring_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._bell.set()
        await asyncio.Event().wait()  # a background task that ends is taken for a failure

    def _raise_failures(self) -> None:
        self._feed.tasks.raise_failures()
        self._background.raise_failures()

    async def _sync(self, stop: asyncio.Event) -> bool:
        """All first lists are in and taken in, unless stopped before."""
        while not (stop.is_set() or self._feed.synced()):
            await self._pause(self._bell, LONGEST_PAUSE_S)
            self._bell.clear()
            self._raise_failures()
            self._turned_s = time.monotonic()
            self._take_in(self.now_us())
        return not stop.is_set()

    def _take_in(self, now_us: int) -> bool:
        """What the watches have said since the last time; whether a round is due."""
        events, self._inbox = self._inbox, []
        due = self._snapshot.apply(events, now_us)
        if self._shadow:
            self._shadow.apply(events, now_us)
        return due

    async def _remember(self) -> None:
        if self._calibration:
            await self._calibration.read()

    async def _wait(self) -> None:
        """Until something has happened or is due; then a moment more, so that a burst is one batch."""
        await self._pause(self._bell, self._pause_s())
        if self._inbox and self.settings.batch_ms:
            await asyncio.sleep(self.settings.batch_ms / 1000)
        self._bell.clear()
        self._raise_failures()

    def _pause_s(self) -> float:
        due = [at_us for at_us in (self._epoch_us, self.pods.next_timer_us()) if at_us is not None]
        pauses = [self.clock.real_seconds(at_us - self.now_us()) for at_us in due]
        job_us = self.jobs.next_timer_us()
        if job_us is not None:
            pauses.append((job_us - self._client.now_us()) / SECOND_US)
        opens_s = self.rollout.caps.next_s()
        if opens_s is not None:
            pauses.append(opens_s)
        return min(max(min(pauses, default=LONGEST_PAUSE_S), 0.001), LONGEST_PAUSE_S)

    async def cycle(self, first: bool = False) -> None:
        """Take in what has happened; one round if that, or a timer, calls for it."""
        self._turned_s = time.monotonic()
        begins = await self._follow_lease()
        now_us = self.now_us()
        results, self._results = self._results, []
        due = self._take_in(now_us) or first
        for result in results:
            due |= self._placing.settle(result, now_us)
        due |= self.pods.expire(now_us)
        due |= self._take_changes(now_us)
        due |= self.rollout.turn()
        due |= self.pods.follow(now_us)
        if begins:
            self._begin_term()
        due |= self._follow_jobs(now_us)
        if begins or first:
            self.rollout.caps.adopt(self.pods.entries)
        decides = self._term.leads() and self.rollout.decides
        if decides and (due or begins or (self._epoch_us is not None and now_us >= self._epoch_us)):
            await self._round(now_us)
        self._cluster.refresh(now_us)
        decides = self._term.leads() and self.rollout.decides
        self._epoch_us = self._cluster.next_epoch_us(now_us) if decides else None

    def _follow_jobs(self, now_us: int) -> bool:
        """What is to be done about InferenceJobs; whether a round is due."""
        if not self._feed.listed():
            return False  # what a list lacks so far was not deleted
        due = self.jobs.reconcile(now_us)
        self._runtimes.tell(self.clock.to_server(now_us))
        return due

    def _take_changes(self, now_us: int) -> bool:
        """Settings, policy and profiles that have come since the last round."""
        changes = self._reloads.take() if self._reloads else []
        for change in changes:
            self._change(change, now_us)
        return bool(changes)

    def _change(self, change: Change, now_us: int) -> None:
        shadowed, before, self.settings = self.rollout.shadows, self.settings, change.settings
        table = change.table
        if table is not None:
            table = self.jobs.rebase(table)
            self._runtimes.checked()
            mix, start_s = change.mix, change.settings.pod_start_s
            self.pods.refit(table, lambda: self._cluster.refit(table, mix, start_s), now_us)
        if change.scheduler is not None:
            self._follow(change.scheduler)
        self.rollout.change(change.settings, change.scheduler)
        if change.settings.log_level != before.log_level:
            logging.getLogger().setLevel(change.settings.log_level.upper())
        if shadowed and not self.rollout.shadows:
            self.pods.decide_again(now_us)

    def _follow(self, scheduler: Scheduler) -> None:
        """Another policy decides; what was counted of the one before stays counted."""
        self.metrics.guard_causes(getattr(self._scheduler, "causes", {}), last=True)
        self.metrics.decides(model_of(scheduler))
        self._scheduler = scheduler
        self._placing.explain = Explainer(self._cluster, scheduler)
        if self.replays:
            self.replays.follow(scheduler if isinstance(scheduler, Guarded) else None)

    async def _follow_lease(self) -> bool:
        """Cease to lead, or read everything anew for a term; whether that is in, and the term begins. What it decided
        in a term before must have its end by then, or it would count as room beside what the API server says."""
        if self._report.speaks and not self._term.leads():
            self._report.speaks = False
            self.metrics.terms.labels("follower").inc()
            log.warning("the lease has run out or is another's: following")
        if self._binder.quiet and self._term.must_read():
            await self._feed.start_over()
            await self._remember()
        return self._feed.listed() and self._term.begin()

    def _begin_term(self) -> None:
        self._report.begins()
        self.metrics.terms.labels("leader").inc()
        log.info("leading: %d jobs wait, %d run", self._cluster.queued(), self._cluster.running())
        for pod in self.pods.drop_unseen(self.now_us()):
            self.jobs.remove_pod({"metadata": {"uid": pod.uid}})
        self.nodes.retell()
        self.pods.retell()
        self.jobs.begin()
        self._runtimes.retell()

    async def _round(self, now_us: int) -> None:
        began_s = time.perf_counter()
        while await self._decide(now_us) and self._may_decide():
            pass
        self.metrics.rounds.inc()
        self.metrics.round_s.observe(time.perf_counter() - began_s)

    async def _decide(self, now_us: int) -> bool:
        """Until nothing more is started; whether a placement has changed what others may do, and it goes on anew."""
        for order in self._placing.place_plain(now_us):
            self._send(order)
        self.pods.follow(now_us)
        for decision in self._decisions(now_us):
            order = self._placing.decide(decision, now_us)
            if order is not None:
                self._send(order)
            if self.pods.follow(now_us):
                return True
            if time.monotonic() - self._turned_s > LONGEST_TURN_S:
                await asyncio.sleep(0)
                self._turned_s = time.monotonic()
        return False

    def _decisions(self, now_us: int) -> Iterator[Decision]:
        """Of one round, which ends early where no more may be decided, or something else is to be in force."""
        for decision in self._cluster.round(now_us, self.rollout.scheduler) if self.rollout.decides else ():
            yield decision
            if not self._may_decide():
                return  # the binder withholds what it has not sent and may not send any more

    def _may_decide(self) -> bool:
        return self._term.leads() and self.rollout.decides and not (self._reloads and self._reloads.news)

    def _send(self, order: BindOrder) -> None:
        if self.rollout.shadows:
            log.info("shadow: would bind %s to %s: %s", order.key, order.node, order.record.to_json())
            self._deliver(BindResult(order, Outcome.DRY))
        else:
            self._binder.start(order)

    async def _finish(self) -> None:
        """Stop deciding, let the binds under way end, tell what became of them, and give up the lease."""
        await self._feed.tasks.cancel()
        await _at_most(LAST_BINDS_S, self._binder.drain())
        for result in self._results:
            self._placing.settle(result, self.now_us())
        await _at_most(LAST_EVENTS_S, self._tell_last())
        await self._writer.close()
        await self._background.cancel()
        if self._lease and self._binder.quiet:  # else the lease has to run out by itself
            await _at_most(LAST_RELEASE_S, self._lease.release())

    async def _tell_last(self) -> None:
        """The last events, and beside them what was learnt since it was written last."""
        kept = self._calibration.write() if self._calibration else asyncio.sleep(0)
        await asyncio.gather(self._events.flush(), self._writer.drain(), kept)

    def render_metrics(self) -> bytes:
        """The metrics page, gauges read now."""
        counts = self.pods.counts()
        for stage in ("waiting", "unschedulable", "queued", "in_line", "unprofiled", "backoff", "binding"):
            self.metrics.pending.labels(stage).set(counts[stage])
        for state, count in self.nodes.counts().items():
            self.metrics.nodes.labels(state).set(count)
        self.metrics.running.set(self._cluster.running())
        self.jobs.show(self.metrics)
        self.metrics.leads.set(self._term.leads())
        self.rollout.show()
        for resource, age_s in self._feed.ages_s().items():
            self.metrics.watch_age.labels(resource).set(age_s)
        self.metrics.calibrated(ratios(self._cluster.learnt()))
        self.metrics.guard_causes(getattr(self._scheduler, "causes", {}))
        return self.metrics.render()


async def _at_most(seconds: float, last: Awaitable[object]) -> None:
    """Or it is given up. Before Python 3.12 `asyncio.wait_for` loses a cancellation that comes just as it ends."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await last
