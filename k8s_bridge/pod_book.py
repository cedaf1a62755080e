"""All pods of ours, where each stands, and the steps between; only here do pods enter and leave a cluster."""

import heapq
import logging
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from synergai.envs.cluster import Cluster
from synergai.envs.types import Job, Reach
from synergai.k8s_bridge.admission.filters import Admission, Wish
from synergai.k8s_bridge.admission.turns import Turns
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import BindResult, Outcome
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.entries import Bookings, Entry, Stage
from synergai.k8s_bridge.inference.choices import Choices
from synergai.k8s_bridge.jobs import Ask, read_ask, unfit
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.outcomes import Ran, RunReport, failure_cause, observed_run_s, read_report
from synergai.k8s_bridge.pauses import Pauses
from synergai.k8s_bridge.pods import Json, Pod, read_pod
from synergai.k8s_bridge.reports.explanations import sentence
from synergai.k8s_bridge.reports.report import Report
from synergai.k8s_bridge.resizer import Resizer
from synergai.offline_profiles.table import ProfileTable

log = logging.getLogger(__name__)

FALLBACK_RULE = "least_allocated"
_TOO_SMALL = (
    "on a node that others use too a configuration must fit the pod's own requests, and none does; "
    f"{FALLBACK_RULE} places the pod by them"
)


class PodBook:
    """Entries by key; every method leaves entry and cluster agreeing with each other."""

    def __init__(
        self,
        cluster: Cluster,
        table: ProfileTable,
        clock: ScenarioClock,
        nodes: NodeBook,
        report: Report,
        on_queued: Callable[[Job], None] = lambda job: None,
        resizer: Resizer | None = None,
        on_condition: Callable[[Pod, str], None] = lambda pod, message: None,
    ) -> None:
        """`on_queued` hears of every job that begins to wait, again after each failed bind or change of nodes;
        `on_condition` of why nothing can ever fit a pod, and with an empty text that something can."""
        self.entries: dict[str, Entry] = {}
        self.plain: set[str] = set()
        """Keys of those that wait for the fallback rule."""
        self.bookings = Bookings(cluster, table, clock, nodes)
        self._cluster = cluster
        self._clock = clock
        self._nodes = nodes
        self._report = report
        self._on_queued = on_queued
        self._resizer = resizer or Resizer()
        self._on_condition = on_condition
        self._pauses = Pauses(clock.span_us)
        self._timers: list[tuple[int, str, str]] = []  # (due, key, uid)
        self._related: dict[str, Entry] = {}  # that wait, and to whom it matters where others are
        self._turns = Turns()
        self._choices = Choices(nodes)
        self.asks: Callable[[Pod, int], Ask | None] = self._no_job
        """What the next attempt of an InferenceJob asks for."""
        self._followed = self._positions()

    @staticmethod
    def _no_job(pod: Pod, now_us: int) -> Ask:
        raise AssertionError(f"{pod.key} belongs to a job, and nobody keeps jobs")

    def counts(self) -> Counter[str]:
        """Pods per stage."""
        return Counter(entry.stage.value for entry in self.entries.values())

    def knows(self, metadata: Json) -> bool:
        """Whether the reply to a pod's creation has told all that there is to know."""
        entry = self.entries.get(f"{metadata.get('namespace', 'default')}/{metadata['name']}")
        if entry is None or entry.stage is not Stage.BOUND or entry.pod.owner is None:
            return False
        same = (entry.pod.uid, entry.pod.version) == (metadata.get("uid"), metadata.get("resourceVersion"))
        entry.seen |= same
        return same

    def drop_unseen(self, now_us: int) -> list[Pod]:
        """Everything has been listed anew: pods of jobs that a reply has told of, and no watch or list, are gone."""
        there = (Stage.BINDING, Stage.BOUND)
        gone = [entry for entry in self.entries.values() if entry.stage in there and not entry.seen]
        for entry in gone:
            self.forget(entry, now_us)
        return [entry.pod for entry in gone]

    def read(self, raw: Json) -> Pod:
        """The pod, with what may be resized of it."""
        pod = read_pod(raw)
        entry = self.entries.get(pod.key)
        rigid = entry is not None and entry.rigid and entry.pod.uid == pod.uid
        return pod if self._resizer.may(pod) and not rigid else pod.as_shown()

    def admit(self, entry: Entry, now_us: int) -> None:
        """Read an unbound pod and let it wait where it belongs."""
        pod = entry.pod
        entry.stage = Stage.WAITING
        if pod.deleting or pod.gated or pod.made:
            return
        if pod.unsupported:
            refused = f"SynergAI does not support {', '.join(pod.unsupported)}; the pod is not scheduled"
            self._tell(entry, "UnsupportedSpec", refused)
            return
        if pod.uid:
            entry.ask = read_ask(pod, self.bookings.table, self._clock, now_us)
        else:
            entry.ask = self.asks(pod, now_us)
        if entry.ask is None:
            return  # its job looks for another offer
        if pod.uid and entry.ask.job and self._nodes.shared_nodes:
            entry.unfit = unfit(pod, entry.ask.job, self.bookings.table)
        if entry.ask.reason:
            fallback = f"{entry.ask.message}; {FALLBACK_RULE} places the pod by its own requests"
            self._tell(entry, entry.ask.reason, fallback)
        self.queue(entry)

    def queue(self, entry: Entry) -> None:
        """Let the pod wait for a decision, or for nodes where none admits it."""
        assert entry.ask is not None, "a pod is read before it is queued"
        admission = self._admission(entry)
        entry.reach = self._reach(entry)
        if self._depends(entry):
            self._related[entry.pod.key] = entry
        self.plain.discard(entry.pod.key)
        fits = admission.nodes - self._nodes.unfit(entry.unfit)
        if not admission.nodes:
            entry.stage = Stage.PARKED
            self._tell(entry, "FailedScheduling", admission.explain())
        elif entry.ask.job and fits and not self._turns.takes(entry):
            entry.stage = Stage.IN_LINE
            self._related.pop(entry.pod.key, None)
        elif entry.ask.job and fits:
            entry.stage = Stage.QUEUED
            nodes, barred = entry.reach
            job = replace(entry.ask.job, nodes=nodes, barred=barred)
            self._cluster.enqueue(job, again=entry.counted)
            entry.counted = True
            self._on_queued(job)
        else:
            entry.stage = Stage.PLAIN
            self.plain.add(entry.pod.key)
            if entry.ask.job:
                self._tell(entry, "RequestsTooSmall", _TOO_SMALL)
        self.condition(entry)

    def condition(self, entry: Entry) -> None:
        """Have the pod's condition say whether anything can ever fit it."""
        parked = entry.stage is Stage.PARKED
        self._on_condition(entry.pod, entry.told["FailedScheduling"] if parked else "")

    def _tell(self, entry: Entry, reason: str, message: str) -> None:
        """Not again where only the counts of nodes differ, as they do with each pod that comes or goes."""
        before, entry.told[reason] = entry.told.get(reason), message
        counts = reason == "FailedScheduling"
        if before is None or (_uncounted(before) != _uncounted(message) if counts else before != message):
            self._report.pod(entry.pod, reason, message, warning=True)

    def retell(self) -> None:
        """Tell the owners of what waits all that still holds, as one does who comes after another."""
        stages = {"UnsupportedSpec": (Stage.WAITING,), "FailedScheduling": (Stage.PARKED,)}
        for entry in self.entries.values():
            if entry.stage in (Stage.PARKED, Stage.QUEUED, Stage.PLAIN):
                self.condition(entry)
            for reason, message in entry.told.items():
                if reason != "Held" and entry.stage in stages.get(reason, (Stage.PARKED, Stage.PLAIN)):
                    self._report.pod(entry.pod, reason, message, warning=True)

    def _admission(self, entry: Entry) -> Admission:
        assert entry.ask is not None, "a pod is read before it is queued"
        if entry.ask.offer is not None:
            return self._choices.admit(entry.ask.offer)
        return self._nodes.admit(entry.ask.wish, entry.pod.relations)

    def _depends(self, entry: Entry) -> bool:
        """Whether where other pods are makes a difference to it."""
        assert entry.ask is not None, "a pod is read before it is queued"
        if entry.ask.offer is not None:
            return self._choices.depends(entry.ask.offer)
        return self._nodes.depends(entry.ask.wish, entry.pod.relations)

    def _reach(self, entry: Entry) -> Reach:
        """For a job the devices its constraints admit, hardware aside."""
        assert entry.ask is not None, "a pod is read before it is queued"
        if entry.ask.offer is not None:
            return self._choices.reach(entry.ask.offer, entry.ask.avoid)
        wish = Wish(entry.ask.wish.demand) if entry.ask.job else entry.ask.wish
        admission = self._nodes.admit(wish, entry.pod.relations)
        self._nodes.open(admission.nodes)
        nodes, unfit = self._nodes.given(admission), self._nodes.unfit(entry.unfit)
        return (self._nodes.usable if nodes is None else nodes) - unfit if unfit else nodes, frozenset()

    def nodes_changed(self, now_us: int) -> None:
        """Everything that waits is admitted anew; what runs on a node that turned up is booked."""
        for entry in list(self.entries.values()):
            if entry.stage in (Stage.BINDING, Stage.BOUND) and entry.pod.aim and not entry.booked:
                self.bookings.book(entry, now_us)
            elif entry.stage in (Stage.PARKED, Stage.PLAIN):
                self.queue(entry)
            elif entry.stage is Stage.QUEUED and self._admission_changed(entry):
                self.undo(entry, now_us)
                entry.stage = Stage.WAITING
                self.queue(entry)

    def _admission_changed(self, entry: Entry) -> bool:
        nodes = self._admission(entry).nodes
        return entry.reach != self._reach(entry) or not nodes - self._nodes.unfit(entry.unfit)

    def _positions(self) -> tuple[int, int, int]:
        layout = self._nodes.layout
        return layout.version, layout.terms_version, self._nodes.opened

    def follow(self, now_us: int) -> bool:
        """Where pods have come or gone since, those that depend on it are admitted anew, and those whose turn it is
        are let in; whether that changed the queue, so that a round under way knows too little."""
        before, self._followed = self._followed, self._positions()
        moved = before != self._followed and self._admit_related(before[1:] != self._followed[1:], now_us)
        while self._turns.any_wait and (entry := self._turns.next()):
            self.queue(entry)
            moved = True
        return moved

    def _admit_related(self, everybody: bool, now_us: int) -> bool:
        """`everybody`: a new term may keep away any pod, and a node that was opened is not for those that do not
        tolerate what is wrong with it."""
        entries = list((self.entries if everybody else self._related).values())
        moved = [self._admit_anew(entry, now_us) for entry in entries]
        if not self._related:
            self._nodes.layout.forget_counts()
        return any(moved)

    def _admit_anew(self, entry: Entry, now_us: int) -> bool:
        if entry.stage is Stage.QUEUED and not self._admission_changed(entry):
            return False
        if entry.stage in (Stage.QUEUED, Stage.PARKED):
            was = entry.stage
            self.undo(entry, now_us)
            entry.stage = Stage.WAITING
            self.queue(entry)
            return Stage.QUEUED in (was, entry.stage)
        if entry.stage is not Stage.PLAIN:
            self._related.pop(entry.pod.key, None)
        return False

    def undo(self, entry: Entry, now_us: int) -> None:
        """Take the pod out of the cluster, wherever it stands there."""
        key = entry.pod.key
        self.plain.discard(key)
        self._related.pop(key, None)
        self._nodes.vacate(entry.pod.uid)
        if entry.stage is Stage.QUEUED:
            self._cluster.withdraw(key)
        elif entry.booked and entry.stage is Stage.BINDING and self._may_wait(entry):
            self._cluster.requeue(key)
            self._cluster.withdraw(key)
        elif entry.booked:
            self._cluster.release(key, now_us, None, "undone")
        entry.booked = False

    def _may_wait(self, entry: Entry) -> bool:
        """Whether it is a job that was queued here and that the profiles in force know; those that it was decided by
        may be gone."""
        job = entry.ask.job if entry.ask and not entry.pod.made else None
        return job is not None and job.model in self.bookings.table.models

    def enter(self, pod: Pod, now_us: int, again: bool = False) -> Entry:
        """The next attempt of a job waits from now on; `again`: the one before has not run, so it is no new work."""
        entry = self.entries[pod.key] = Entry(pod, counted=again)
        self.admit(entry, now_us)
        return entry

    def leave(self, entry: Entry, now_us: int) -> None:
        """It does not any more."""
        if self.entries.get(entry.pod.key) is entry:
            self.forget(entry, now_us)

    def refit(self, table: ProfileTable, change: Callable[[], None], now_us: int) -> None:
        """Read all that waits anew, by other profiles, after the `change` of the cluster."""
        waiting = [e for e in self.entries.values() if e.stage in (Stage.QUEUED, Stage.PLAIN, Stage.PARKED)]
        for entry in waiting:
            self.undo(entry, now_us)
        change()
        self.bookings.table = table
        for entry in waiting:
            self.admit(entry, now_us)

    def decide_again(self, now_us: int) -> None:
        """What was decided and not carried out waits as if it never had been."""
        for entry in self.entries.values():
            if entry.stage is Stage.DRY or (entry.stage is Stage.WAITING and entry.ask):
                self.undo(entry, now_us)
                self.admit(entry, now_us)

    def book(self, entry: Entry, now_us: int) -> None:
        """The API server shows the pod bound, or made for a node, in a way that we did not expect: what it says
        counts."""
        self.undo(entry, now_us)
        if not entry.pod.node and (entry.pod.deleting or not entry.pod.aim):
            entry.stage = Stage.WAITING  # nobody binds it any more
            return
        entry.stage = Stage.BOUND if entry.pod.node else Stage.BINDING
        self._nodes.occupy(entry.pod, entry.pod.aim)
        self.bookings.book(entry, now_us)

    def confirm(self, entry: Entry, now_us: int) -> None:
        """Our own bind is done."""
        entry.stage = Stage.BOUND
        record = entry.record
        assert record is not None, "a bind has a decision"
        what = f": {record.configuration} on {record.hardware}" if record.configuration else ""
        why = (
            sentence(entry.explanation, record.finish_us)
            if entry.explanation
            else f"decided by {record.decided_by}"
        )
        chosen = f"assigned {entry.pod.key} to {entry.node}{what}; {why}"
        self._report.pod(entry.pod, "Scheduled", chosen, decision=record.id)
        wait_us = now_us - self._clock.to_scenario(entry.pod.created_us)
        self._report.metrics.wait_s.observe(max(wait_us / 1e6, 0.0))
        if entry.pod.demand.delegated:
            self._report.metrics.binds.labels(Outcome.BOUND.value).inc()
            self.attempted(record, now_us)

    def attempted(self, record: DecisionRecord, now_us: int) -> None:
        """What a decision has led to is known."""
        took_us = now_us - self._clock.to_scenario(record.decided_us)
        self._report.metrics.attempt_s.observe(max(self._clock.real_seconds(took_us), 0.0))

    def finish(self, entry: Entry, now_us: int) -> bool:
        """The pod has run to its end; whether that is news."""
        pod, was, cause = entry.pod, entry.stage, failure_cause(entry.pod)
        run = read_report(pod)
        ran = None
        if entry.booked:
            self._nodes.vacate(pod.uid)
            ran = self._release(entry, run, cause, now_us)
        else:
            self.undo(entry, now_us)
        entry.stage = Stage.DONE
        if was is Stage.NEW:  # it ended before this process began, and was reported then
            return False
        job = entry.ask.job if entry.ask else None
        if cause == "rejected":
            self._pause(pod.node, now_us)
        elif cause == "done":
            self.runs(entry)
        ended_us = self._clock.to_scenario(run.finished_us) if run and run.finished_us else now_us
        self._report.outcome(pod, job, entry.record, run, cause, min(ended_us, now_us), now_us, ran)
        return True

    def runs(self, entry: Entry) -> None:
        """Its kubelet has taken it."""
        if entry.record is not None:
            self._pauses.worked(entry.pod.node, self._clock.to_scenario(entry.record.decided_us))

    def _pause(self, node: str, now_us: int) -> None:
        length_s = self._pauses.begin(node, now_us)
        if length_s is not None:
            log.warning("node %s refused a pod: nothing new goes there for %g s", node, length_s)
            self._nodes.pause(node)

    def _release(self, entry: Entry, run: RunReport | None, cause: str, now_us: int) -> Ran | None:
        """Give the room back; what the run took is learnt."""
        key, job = entry.pod.key, entry.ask.job if entry.ask else None
        observed_s = observed_run_s(entry.pod, run, entry.record, job, self._clock.speed)
        predicted_s = self._cluster.predicted_s(key)
        if observed_s is not None:
            observed_s += self._cluster.pod_start_s  # the runner's clock starts behind it, predictions do not
        self._cluster.release(key, now_us, observed_s, cause)
        entry.booked = False
        return Ran(observed_s, predicted_s) if observed_s and predicted_s else None

    def forget(self, entry: Entry, now_us: int) -> None:
        """The pod is gone from the API server."""
        if entry.stage is Stage.BOUND:
            job = entry.ask.job if entry.ask else None
            self._report.outcome(entry.pod, job, entry.record, None, "deleted", now_us, now_us)
        elif entry.stage is not Stage.DONE and entry.ask and entry.ask.job:
            self._report.withdrawn(entry.pod, now_us)
        self.undo(entry, now_us)
        entry.stage = Stage.DONE
        del self.entries[entry.pod.key]

    def back_off(self, entry: Entry, now_us: int, refused: str = "") -> float:
        """Not bound: out of the cluster for a while; returns for how many real seconds. `refused`: why no pod can be
        created, of an attempt of a job."""
        self.undo(entry, now_us)
        if refused:
            entry.told["FailedCreate"] = refused
        entry.stage = Stage.BACKOFF
        delay_s = entry.backoff.next_s()
        if not entry.pod.uid:
            self._on_condition(entry.pod, "")  # its job says why it waits
        self.wake(entry, now_us + self._clock.span_us(delay_s))
        return delay_s

    def keep_size(self, entry: Entry, result: BindResult, now_us: int) -> None:
        """The server does not resize the pod: it is decided anew with what it requests now."""
        self.undo(entry, now_us)
        if result.no_right:
            self._deny(entry.pod.namespace, result.message, now_us)
        else:
            entry.rigid = True
            wanted = f"{result.order.record.cpu_milli}m cpu and {result.order.record.memory_mib}Mi memory"
            why = f"it keeps its own requests, as it cannot be given {wanted}: {result.message}"
            self._tell(entry, "NotResized", why)
        assert result.pod is not None, "a pod that is not resized was read"
        entry.pod = self.read(result.pod)
        self.admit(entry, now_us)

    def _deny(self, namespace: str, message: str, now_us: int) -> None:
        """No pod of the namespace can be resized; those that wait are asked for by what they request now."""
        if not self._resizer.deny(namespace, message):
            return
        for entry in self.entries.values():
            before = entry.pod
            if before.namespace != namespace or before.main is None:
                continue
            entry.pod = before.as_shown()
            if entry.stage in (Stage.QUEUED, Stage.PLAIN, Stage.PARKED):
                self.undo(entry, now_us)
                self.admit(entry, now_us)

    def wake(self, entry: Entry, due_us: int) -> None:
        heapq.heappush(self._timers, (due_us, entry.pod.key, entry.pod.uid))

    def next_timer_us(self) -> int | None:
        due = (self._timers[0][0] if self._timers else None, self._pauses.next_us())
        return min((at_us for at_us in due if at_us is not None), default=None)

    def expire(self, now_us: int) -> bool:
        """Pods whose back-off or dry run is over, and nodes whose pause is; whether a round is due."""
        moved = False
        for node in self._pauses.ended(now_us):
            self._nodes.resume(node)
            moved = True
        while self._timers and self._timers[0][0] <= now_us:
            _, key, uid = heapq.heappop(self._timers)
            entry = self.entries.get(key)
            if entry is None or entry.pod.uid != uid:
                continue
            if entry.stage is Stage.BACKOFF:
                self.admit(entry, now_us)
                moved = True
            elif entry.stage is Stage.DRY:
                self.undo(entry, now_us)
                entry.stage = Stage.WAITING
                moved = True
        return moved


def _uncounted(message: str) -> str:
    return re.sub(r"\b\d+\b", "", message)
