"""All InferenceJobs, their runtimes and pods, and the steps between: what `plan` says of each is brought about here.

A job that waits is a pod to be in the book of pods, where it competes with all others; what was decided becomes a pod,
and the pod the record of the attempt.
"""

import heapq
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace

from synergai.k8s_bridge.admission.filters import Wish
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.clock import SECOND_US, ScenarioClock
from synergai.k8s_bridge.entries import Entry
from synergai.k8s_bridge.inference import actions
from synergai.k8s_bridge.inference.attempts import AttemptPod, attempt_name, read_attempt
from synergai.k8s_bridge.inference.held import SENT, SETTLED, Held, Over
from synergai.k8s_bridge.inference.job import KIND, InferenceJob, read_job
from synergai.k8s_bridge.inference.offers import Offer, Offers
from synergai.k8s_bridge.inference.plan import (
    UNSCHEDULED,
    Plan,
    Sight,
    abandon,
    deadline_us,
    expires_us,
    plan,
)
from synergai.k8s_bridge.inference.records import Records
from synergai.k8s_bridge.inference.templates import attempt_pod
from synergai.k8s_bridge.inference.writer import Writer
from synergai.k8s_bridge.jobs import Ask, job_of
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.pods import Demand, Json, Owner, Pod
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Report
from synergai.offline_profiles.table import ProfileTable

log = logging.getLogger(__name__)

RETRY_US = 5 * SECOND_US
"""After a status that the API server did not take."""
MOST_LOOKS = 4
"""How often in a row a job is looked at whose offer changes by that."""

Waiting = tuple[Held, int | None]
"""A job and its next attempt, which begins to wait; None: it waits, and what it was offered may not hold."""


class JobBook:
    """Jobs by uid. Times are scenario time unless said otherwise."""

    def __init__(
        self,
        offers: Offers,
        pods: PodBook,
        nodes: NodeBook,
        clock: ScenarioClock,
        report: Report,
        writer: Writer,
        refit: Callable[[ProfileTable], None] = lambda table: None,
        acts: Callable[[], bool] = lambda: True,
    ) -> None:
        """`refit` has everybody use another table; while `acts` says no, nothing is written."""
        self.offers = offers
        self._pods = pods
        self._nodes = nodes
        self._clock = clock
        self._report = report
        self._records = Records(writer, report, acts)
        self._refit = refit
        self._held: dict[str, Held] = {}
        self._over: dict[str, Over] = {}
        self._uids: dict[str, str] = {}  # namespace/name -> uid
        self._owners: dict[str, str] = {}  # pod's uid -> job's uid
        self._attempts: dict[str, dict[str, AttemptPod]] = {}  # job's uid -> pod's uid
        self._dirty: set[str] = set()
        self._timers: list[tuple[int, str]] = []  # (server time, uid)
        self._silent: frozenset[str] = frozenset()
        self._now_us = 0  # of the last look
        self._blind = ""
        self._failed: set[str] = set()  # jobs of which something was not written
        pods.asks = self.ask

    # what the API server says ----------------------------------------------------------------------------------------
    def set_job(self, raw: Json) -> None:
        """A job was added or has changed."""
        metadata = raw["metadata"]
        held = self._held.get(metadata["uid"])
        if held is not None and held.job.version == metadata.get("resourceVersion"):
            return  # a reply has told so already
        job = read_job(raw, held.job if held is not None else None)
        before = self._uids.get(job.key)
        if before is not None and before != job.uid:
            self.remove_job(job.namespace, job.name, before)
        self._uids[job.key] = job.uid
        if job.uid in self._over:
            return
        if job.uid not in self._held and _is_recorded(job):
            at_us = expires_us(job, self._clock.to_server(self._now_us))
            self._over[job.uid] = Over(job.namespace, job.name, at_us)
            self._dirty.add(job.uid)
            return
        self._held.setdefault(job.uid, Held(job))
        self._renew(job)

    def _renew(self, job: InferenceJob) -> None:
        """What is known of a job; a reply may come after the watch has told more, or that it is gone."""
        held = self._held.get(job.uid)
        if held is not None and not held.is_after(job):
            held.job = job
            self._dirty.add(job.uid)

    def remove_job(self, namespace: str, name: str, uid: str) -> None:
        """It is gone."""
        if self._uids.get(f"{namespace}/{name}") == uid:
            del self._uids[f"{namespace}/{name}"]
        held = self._held.pop(uid, None)
        self._over.pop(uid, None)
        self._records.forget(actions.expire_key(uid))
        if held is not None:
            self._withdraw(held)
        self._dirty.add(uid)

    def set_pod(self, raw: Json, read: Pod | None = None) -> None:
        """A pod was added or has changed; of interest where it is an attempt. `read`: the pod, where it was read."""
        pod = read_attempt(raw, read)
        if pod is not None and pod.job_uid in self._over:
            pod = pod.as_record()
        if pod is None or self._attempts.get(pod.job_uid, {}).get(pod.uid) == pod:
            return
        if self._owners.get(pod.uid, pod.job_uid) != pod.job_uid:
            self.remove_pod(raw)
        self._owners[pod.uid] = pod.job_uid
        self._attempts.setdefault(pod.job_uid, {})[pod.uid] = pod
        held = self._held.get(pod.job_uid)
        if held is not None and held.entry is not None and held.entry.pod.name == pod.name:
            held.entry = None
        self._dirty.add(pod.job_uid)

    def remove_pod(self, raw: Json) -> None:
        """It is gone; of what a list lacks there is no more than its name."""
        uid = raw["metadata"]["uid"]
        owner = self._owners.pop(uid, None)
        if owner is None:
            return
        pods = self._attempts[owner]
        del pods[uid]
        if not pods:
            del self._attempts[owner]
        self._dirty.add(owner)
        self._records.forget(actions.delete_key(uid), actions.release_key(uid))

    def lose_node(self, name: str) -> None:
        """It is gone, and what ran there with it."""
        self._dirty |= {
            uid for uid, pods in self._attempts.items() if any(pod.node == name for pod in pods.values())
        }

    def miss(self, why: str) -> None:
        """The objects cannot be read, or, with an empty text, can again: until then nothing is done about any."""
        self._blind = why
        for held in self._held.values() if why else ():
            if held.entry is not None and held.entry.stage not in SENT:
                self._withdraw(held)
        self.begin()

    # what others say -------------------------------------------------------------------------------------------------
    def offered(self) -> None:
        """What is offered to whom may have changed: all that waits looks anew."""
        self.offers.forget()
        for uid, held in self._held.items():
            held.stale = held.entry is not None
            if held.stale or held.lack is not None:
                self._dirty.add(uid)

    def rebase(self, table: ProfileTable) -> ProfileTable:
        """Other profiles hold: the table to serve by."""
        self.offers.rebase(table)
        self.offered()
        return self.offers.table()

    def touch(self, pod: Pod) -> None:
        """Something has changed about the pod of a job."""
        held = self._held.get(pod.owner.uid) if pod.owner is not None else None
        if held is not None and held.waiting() != held.waited:
            self._dirty.add(held.job.uid)

    def spoil(self, raw: Json, why: str) -> None:
        """A pod is not what was decided: it goes, and the job is decided anew."""
        self.set_pod(raw)
        pod = read_attempt(raw)
        held = self._held.get(pod.job_uid) if pod else None
        if pod is not None and held is not None:
            held.spoiled[pod.uid] = why

    def begin(self) -> None:
        """Look at everything, as one does who comes after another."""
        self._records.begin()
        self._dirty |= self._held.keys() | self._attempts.keys() | self._over.keys()
        for held in self._held.values():
            held.written = None

    # what the book of pods asks --------------------------------------------------------------------------------------
    def ask(self, pod: Pod, now_us: int) -> Ask | None:
        """What the next attempt of a job asks for; None where that has changed and nobody has looked at it yet."""
        assert pod.owner is not None, "only pods of jobs are asked about"
        held = self._held[pod.owner.uid]
        spec = held.job.spec
        assert spec is not None, "a job that cannot be read is not placed"
        offer = self.offers.offer(held.job.namespace, spec)
        if not isinstance(offer, Offer) or offer.model not in self._pods.bookings.table.models:
            held.stale = True
            self._dirty.add(held.job.uid)
            return None
        at_us = deadline_us(held.job, self._clock.speed)
        job = job_of(
            pod,
            model=offer.model,
            samples=spec.samples,
            hardware=offer.hardware,
            site=spec.site,
            deadline_us=None if at_us is None else self._clock.to_scenario(at_us),
            clock=self._clock,
            now_us=now_us,
        )
        return Ask(Wish(offer.choices[0].wish.demand), job, offer=offer, avoid=held.avoid)

    def body(self, pod: Pod, node: str, record: DecisionRecord, explanation: str) -> Json:
        """The pod that carries a decision out: by the offer that was decided on, whatever is offered by now."""
        assert pod.owner is not None, "only pods of jobs are made"
        held = self._held[pod.owner.uid]
        assert held.entry is not None, "what is decided has waited"
        assert held.entry.ask is not None, "what waits is read"
        assert held.entry.ask.offer is not None, "what is read has an offer"
        way = held.entry.ask.offer.ways[record.hardware, record.configuration]
        index = int(pod.name.rpartition("-")[2])
        at_us = deadline_us(held.job, self._clock.speed)
        return attempt_pod(held.job, index, way, node, record, explanation, at_us)

    def show(self, metrics: Metrics) -> None:
        """Gauges."""
        metrics.jobs.labels("active").set(len(self._held))
        metrics.jobs.labels("over").set(len(self._over))
        metrics.job_writes.set(self._records.writer.backlog)

    # what is to be done ----------------------------------------------------------------------------------------------
    def next_timer_us(self) -> int | None:
        """Server time."""
        return self._timers[0][0] if self._timers else None

    def reconcile(self, now_us: int) -> bool:
        """Bring about what is to be done about all jobs of which something is new; whether a round is due."""
        self._now_us = now_us
        if self._blind:
            return False
        server_us = self._clock.to_server(now_us)
        while self._timers and self._timers[0][0] <= server_us:
            self._dirty.add(heapq.heappop(self._timers)[1])
        self._hear()
        for uid in self._failed:
            self._wake(uid, server_us + RETRY_US)
        self._failed.clear()
        due, looks = False, 0
        while self._dirty and looks < MOST_LOOKS:
            due |= self._look_at(server_us)
            looks += 1
        return due

    def _look_at(self, server_us: int) -> bool:
        dirty, self._dirty = self._dirty, set()
        waiting = [found for uid in sorted(dirty) if (found := self._follow(uid, server_us)) is not None]
        return self._enter(waiting, self._now_us)

    def _hear(self) -> None:
        """Jobs on nodes that fell silent, or can be heard again, are of interest."""
        silent = self._nodes.silent
        changed = silent ^ self._silent
        self._silent = silent
        if changed:
            self._dirty |= {
                uid
                for uid, pods in self._attempts.items()
                if any(pod.node in changed for pod in pods.values())
            }

    def _follow(self, uid: str, server_us: int) -> Waiting | None:
        """One job; None where nothing of it is to wait for a decision, or it waits as it should."""
        pods = self._attempts.get(uid, {}).values()
        held = self._held.get(uid)
        if held is None:
            self._follow_without(uid, server_us)
            return None
        found = plan(held.job, pods, self._sight(held, pods), server_us)
        held.stale |= held.entry is not None and held.avoid != found.avoid
        held.avoid = found.avoid
        if held.entry is not None and not self._awaits(held.entry, held.job, found.next):
            self._withdraw(held)
        self._records.put(actions.deletes(found.delete), actions.releases(found.release))
        self._records.write(held, found.status)
        self._wake(uid, found.look_us)
        if self._is_over(held, found):
            self._over[uid] = Over(held.job.namespace, held.job.name, found.expires_us)
            del self._held[uid]
            self._expire(uid, server_us)
            return None
        if held.entry is None:
            return None if found.next is None else (held, found.next)
        return (held, None) if held.stale else None

    def _follow_without(self, uid: str, server_us: int) -> None:
        """A job that is over or gone: what there is of its pods was recorded, or came too late for that."""
        pods = self._attempts.get(uid, {}).values()
        deletes, releases = abandon(pods)
        if uid in self._over:
            self._expire(uid, server_us)
            deletes = tuple(pod for pod in deletes if pod.end is None)
        self._records.put(actions.deletes(deletes), actions.releases(releases))

    @staticmethod
    def _awaits(entry: Entry, job: InferenceJob, index: int | None) -> bool:
        """Whether an entry is to stay: it is the next attempt, or nobody knows yet whether its pod was created."""
        return entry.stage in SENT or (
            index is not None and entry.pod.name == attempt_name(job.name, job.uid, index)
        )

    def _is_over(self, held: Held, found: Plan) -> bool:
        """Whether nothing about it can change any more but its deletion."""
        recorded = held.job.status.ended and held.job.status == found.status
        return (
            recorded
            and not held.job.deleting
            and all(pod.end is not None for pod in self._attempts.get(held.job.uid, {}).values())
        )

    def _sight(self, held: Held, pods: Iterable[AttemptPod]) -> Sight:
        held.waited = held.waiting()
        return Sight(
            waiting=held.waited,
            lost=frozenset(pod.uid for pod in pods if self._is_lost(pod)),
            spoiled=tuple(held.spoiled.items()),
            speed=self._clock.speed,
        )

    def _is_lost(self, pod: AttemptPod) -> bool:
        """Its node is gone, or nobody hears of it and the pod is to go."""
        if not pod.node or pod.end is not None:
            return False
        return not self._nodes.known(pod.node) or (pod.deleting and pod.node in self._silent)

    def _enter(self, waiting: list[Waiting], now_us: int) -> bool:
        """Let attempts wait for a decision, after everybody knows the table that they are of."""
        offered = [(held, index, offer) for held, index in waiting if (offer := self._look(held)) is not None]
        if not self.offers.own_models <= set(self._pods.bookings.table.models):
            self.offers.keep({offer.model for *_, offer in offered} | self._models_in_use())
            self._refit(self.offers.table())
        for held, index, offer in offered:
            if index is not None:
                self._admit(held, index, offer, now_us)
            elif held.entry is not None and held.entry.stage not in SETTLED:
                self._pods.undo(held.entry, now_us)
                self._pods.admit(held.entry, now_us)
        return bool(offered)

    def _models_in_use(self) -> set[str]:
        entries = (held.entry for held in self._held.values())
        return {
            e.ask.job.model for e in entries if e is not None and e.ask is not None and e.ask.job is not None
        }

    def _look(self, held: Held) -> Offer | None:
        """What is offered to it; where nothing is, its owner hears why."""
        spec = held.job.spec
        if spec is None:
            return None
        before, held.lack, held.stale = held.lack, None, False
        offer = self.offers.offer(held.job.namespace, spec)
        if isinstance(offer, Offer):
            if before is not None:
                self._dirty.add(held.job.uid)
            return offer
        held.lack = offer
        if held.entry is not None and held.entry.stage not in SENT:
            self._withdraw(held)
        if before != offer:
            self._dirty.add(held.job.uid)
            if offer.reason != "CheckingTemplate":
                self._tell(held, offer.reason, offer.message)
        return None

    def _admit(self, held: Held, index: int, offer: Offer, now_us: int) -> None:
        job = held.job
        name, owner = attempt_name(job.name, job.uid, index), Owner(job.name, job.uid)
        pod = replace(EMPTY, name=name, namespace=job.namespace, created_us=job.created_us)
        ends = [attempt.end for attempt in job.status.attempts[-1:]]
        idle = any(end is not None and end.reason == UNSCHEDULED for end in ends)
        pod = replace(pod, owner=owner, priority=offer.priority)
        held.entry = self._pods.enter(pod, now_us, again=idle)
        self._warn(held)

    def _warn(self, held: Held) -> None:
        at_us = deadline_us(held.job, self._clock.speed)
        if at_us is not None and at_us <= held.job.created_us:
            why = "its deadline was over when it was created; it runs, as late as it is: create it anew with another"
            self._tell(held, "DeadlineInThePast", why)

    def _withdraw(self, held: Held) -> None:
        if held.entry is not None:
            self._pods.leave(held.entry, self._now_us)
            held.entry = None

    def _tell(self, held: Held, reason: str, message: str) -> None:
        if held.told != (reason, message):
            held.told = (reason, message)
            self._report.job(held.job.namespace, Owner(held.job.name, held.job.uid), reason, message)

    def ended(self, key: str, reply: Json | ApiError) -> None:
        """What became of a write."""
        kind, uid = key.split(" ", 1)
        held = self._held.get(uid)
        if kind == actions.STATUS and held is not None:
            held.written = None
        if not isinstance(reply, ApiError):
            if kind == actions.STATUS and reply.get("kind") == KIND:
                self._renew(read_job(reply, held.job if held is not None else None))
            return
        self._records.refused(key, reply)
        if held is not None and held.upon != held.job.version:
            self._dirty.add(uid)
        else:
            self._failed.add(self._owners.get(uid, uid))

    def _wake(self, uid: str, at_us: int | None) -> None:
        if at_us is not None:
            heapq.heappush(self._timers, (at_us, uid))

    def _expire(self, uid: str, server_us: int) -> None:
        over = self._over[uid]
        if over.expires_us is None:
            return
        if over.expires_us > server_us:
            self._wake(uid, over.expires_us)
        else:
            self._records.put([actions.expire(over.namespace, over.name, uid)])


EMPTY = Pod(name="", namespace="", uid="", created_us=0, demand=Demand(), annotations={})


def _is_recorded(job: InferenceJob) -> bool:
    """Whether it has ended, and all that there is to say of it is said."""
    return (
        job.status.ended
        and not job.deleting
        and all(attempt.end is not None for attempt in job.status.attempts)
    )
