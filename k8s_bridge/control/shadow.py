"""Beside another scheduler: what we would have done with each of its pods, and what would have come of it.

A second picture of the cluster holds the nodes, and as jobs the other scheduler's pods that carry our annotations,
where that scheduler put them. Nothing is written anywhere but in metrics, log and decision log.
"""

import copy
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.envs.types import Action, Decision, Job
from synergai.k8s_bridge.admission.filters import Wish
from synergai.k8s_bridge.api.watch import ATTEMPTS, NODES, OTHER_PODS, Resource, WatchEvent
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.jobs import Ask, read_ask
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pods import Pod, read_pod
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Journal

log = logging.getLogger(__name__)


def pods_of(scheduler: str) -> Resource:
    """All pods of another scheduler."""
    return Resource("shadowed", "/api/v1/pods", f"spec.schedulerName={scheduler}")


@dataclass(slots=True)
class _Seen:
    """One pod of the other scheduler that we understand."""

    ask: Ask
    job: Job
    uid: str
    choice: Decision | None = None
    """What we would have done, decided when it was seen; None as long as there was no room."""
    waited: bool = False
    """Whether it was seen before the other scheduler had decided."""
    queued: bool = False
    booked: bool = False


class Shadow:
    """All times are scenario time."""

    def __init__(
        self,
        cluster: Cluster,
        clock: ScenarioClock,
        scheduler: Callable[[], Scheduler],
        metrics: Metrics,
        journal: Journal | None = None,
        speaks: Callable[[], bool] = lambda: True,
    ) -> None:
        """`cluster` is the shadow's own; `scheduler` whoever decides at the moment, of whom a copy is asked."""
        self._cluster = cluster
        self._clock = clock
        self._scheduler = scheduler
        self._metrics = metrics
        self._journal = journal
        self._speaks = speaks
        self._nodes = NodeBook(cluster, cluster.table.hardware, shared_nodes=True)
        self._pods: dict[str, _Seen] = {}
        self._asked: tuple[Scheduler, Scheduler] | None = None

    def apply(self, events: Iterable[WatchEvent], now_us: int) -> None:
        """Take in what has happened and decide for what is new; a failure is logged, and ends nothing."""
        try:
            if self._take(list(events), now_us):
                self._decide(now_us)
        except Exception:  # pods are bound, whether or not they are compared
            log.exception("the shadow of another scheduler has failed")

    def _take(self, events: list[WatchEvent], now_us: int) -> bool:
        moved = [self._node(e) for e in events if e.resource.name == NODES.name]
        moved += [self._other(e) for e in events if e.resource.name in (OTHER_PODS.name, ATTEMPTS.name)]
        if any(moved):
            self._admit_again()
        pods = [e for e in events if e.resource.name == "shadowed"]
        for event in pods:
            self._pod(event, now_us)
        return any(moved) or bool(pods)

    def _node(self, event: WatchEvent) -> bool:
        if event.kind == "DELETED":
            return self._nodes.remove(event.object["metadata"]["name"])
        return self._nodes.set(event.object)

    def _other(self, event: WatchEvent) -> bool:
        """Room that others take; what the other scheduler runs of ours is booked as jobs."""
        if event.kind == "DELETED" or self._understood(event.object):
            return self._nodes.remove_other(event.object["metadata"]["uid"])
        return self._nodes.set_other(event.object)

    def _understood(self, raw: dict) -> bool:
        metadata = raw["metadata"]
        seen = self._pods.get(f"{metadata.get('namespace', 'default')}/{metadata['name']}")
        return seen is not None and seen.uid == metadata["uid"]

    def _admit_again(self) -> None:
        for key in self._nodes.drop_lost():
            self._pods[key].booked = False
        for seen in self._pods.values():
            if seen.queued:
                self._cluster.withdraw(seen.job.key)
                seen.queued = False
                self._queue(seen, again=True)

    def _pod(self, event: WatchEvent, now_us: int) -> None:
        pod = read_pod(event.object)
        seen = self._pods.get(pod.key)
        if seen and (event.kind == "DELETED" or pod.finished or seen.uid != pod.uid):
            self._leave(seen, now_us)
            seen = None
        if event.kind == "DELETED" or pod.finished or pod.unsupported or pod.owner is not None:
            return
        if seen is None and not pod.gated:
            seen = self._meet(pod, now_us)
        if seen and pod.node and not seen.booked and pod.node in self._nodes.usable:
            self._bound(seen, pod, now_us)

    def _leave(self, seen: _Seen, now_us: int) -> None:
        if seen.booked:
            self._cluster.release(seen.job.key, now_us)
        elif seen.queued:
            self._cluster.withdraw(seen.job.key)
        del self._pods[seen.job.key]

    def _meet(self, pod: Pod, now_us: int) -> _Seen | None:
        ask = read_ask(pod, self._cluster.table, self._clock, now_us)
        if ask.job is None:
            return None
        self._nodes.remove_other(pod.uid)
        seen = self._pods[pod.key] = _Seen(ask, ask.job, pod.uid)
        if not pod.node:
            seen.waited = True
            self._queue(seen)
        return seen

    def _queue(self, seen: _Seen, again: bool = False) -> None:
        if not self._nodes.admit(seen.ask.wish).nodes:
            return
        nodes = self._nodes.admit(Wish(seen.ask.wish.demand)).nodes
        seen.job = replace(seen.job, nodes=None if nodes == self._nodes.usable else nodes)
        self._cluster.enqueue(seen.job, again=again)
        seen.queued = True

    def _decide(self, now_us: int) -> None:
        """One round; what was chosen is noted, and everything taken back, as the other scheduler decides."""
        started = []
        try:
            for decision in self._cluster.round(now_us, self._own_scheduler()):
                self._pods[decision.job].choice = decision
                if decision.action is Action.START:
                    started.append(decision.job)
        finally:
            for key in started:
                self._cluster.requeue(key)
        for seen in self._pods.values():
            if seen.choice and seen.queued:
                self._cluster.withdraw(seen.job.key)
                seen.queued = False

    def _own_scheduler(self) -> Scheduler:
        """A copy, as schedulers count and keep working memory."""
        current = self._scheduler()
        if self._asked is None or self._asked[0] is not current:
            self._asked = (current, copy.deepcopy(current))
        return self._asked[1]

    def _bound(self, seen: _Seen, pod: Pod, now_us: int) -> None:
        """The other scheduler has chosen: the fastest configuration that we know there is taken for what it runs."""
        if seen.queued:
            self._cluster.withdraw(seen.job.key)
            seen.queued = False
        table, job = self._cluster.table, seen.job
        there = [device.hardware for device in self._nodes.node(pod.node).devices]
        allowed = [h for h in there if table.of(job.model, h) and (job.hardware is None or h in job.hardware)]
        seen.booked = True
        if not allowed:  # it runs on what no profile knows of, and tells nothing
            self._cluster.occupy(job.key, pod.node, job.cpu_milli, job.memory_mib)
            return
        best = max((table.best(job.model, h) for h in allowed), key=lambda profile: profile.throughput_sps)
        self._cluster.adopt(job, pod.node, best.hardware, best.configuration, now_us)
        if self._speaks() and seen.waited:
            self._compare(seen, pod, best.hardware, self._cluster.finish_us(job.key))

    def _compare(self, seen: _Seen, pod: Pod, hardware: str, theirs_us: int) -> None:
        ours = seen.choice
        result = _agreement(ours, pod.node, hardware)
        self._metrics.shadow_agreement.labels(result).inc()
        if ours is None:
            return
        gain_s = (theirs_us - ours.finish_us) / 1e6
        self._metrics.shadow_gain.observe(gain_s)
        for by, finish_us in (("ours", ours.finish_us), ("theirs", theirs_us)):
            if seen.job.deadline_us is not None:
                met = "met" if finish_us <= seen.job.deadline_us else "missed"
                self._metrics.shadow_deadlines.labels(by, met).inc()
        word = "hold it for" if ours.action is Action.HOLD else "start it on"
        log.info(
            "shadow: pod %s is on %s (%s), we would %s %s (%s): %s, predicted to end %.1f s %s",
            pod.key, pod.node, hardware, word, ours.node, ours.hardware,
            result, abs(gain_s), "earlier" if gain_s >= 0 else "later",
        )  # fmt: skip
        if self._journal is not None:
            fields = {
                "pod": pod.key,
                "uid": pod.uid,
                "node": pod.node,
                "hardware": hardware,
                "result": result,
            }
            times = {"oursUs": ours.finish_us, "theirsUs": theirs_us, "deadlineUs": seen.job.deadline_us}
            choice = {"action": ours.action.name, "ourNode": ours.node, "ourHardware": ours.hardware}
            self._journal.write("shadow", {**fields, **choice, **times})


def _agreement(ours: Decision | None, node: str, hardware: str) -> str:
    """`node`, `hardware` (another node of that class), `different`, or `undecided`: we saw no room for it."""
    if ours is None:
        return "undecided"
    if ours.node == node and ours.hardware == hardware:
        return "node"
    return "hardware" if ours.hardware == hardware else "different"
