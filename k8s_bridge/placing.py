"""From decisions to binds, and from the results of binds back to the books."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

from synergai.agents.explanation import Explanation
from synergai.agents.guard import JUDGED
from synergai.envs.cluster import Cluster
from synergai.envs.types import Action, Decision, Job
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.binder import BindOrder, BindResult, Outcome
from synergai.k8s_bridge.clock import SECOND_US, ScenarioClock, format_time_us
from synergai.k8s_bridge.entries import Entry, Stage
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pod_book import FALLBACK_RULE, PodBook
from synergai.k8s_bridge.pods import Json, Pod
from synergai.k8s_bridge.reports.explanations import sentence, to_json, to_server
from synergai.k8s_bridge.reports.report import Report

log = logging.getLogger(__name__)

Make = Callable[[Pod, str, DecisionRecord, str], Json]
"""From the attempt, its node, the decision and that annotation's value."""
Explain = Callable[[Decision, Job], Explanation | None]
MOST_CHANGES = 3
"""How often in a row a pod that changes under a decision is decided anew at once."""
_DRY_PLAIN_US = 60 * SECOND_US
"""How long a dry run holds room for a pod whose run time nobody knows."""


class Placing:
    """Notes each decision before it is sent, and what became of it; all times are scenario time."""

    def __init__(
        self,
        cluster: Cluster,
        clock: ScenarioClock,
        nodes: NodeBook,
        pods: PodBook,
        report: Report,
        new_id: Callable[[], str] = lambda: uuid4().hex[:16],
        explain: Explain = lambda decision, job: None,
        on_order: Callable[[str, str], object] = lambda key, node: None,
        may_place: Callable[[], bool] = lambda: True,
        make: Make | None = None,
        on_made: Callable[[Json, Pod], None] = lambda raw, pod: None,
        on_spoiled: Callable[[Json, str], None] = lambda pod, why: None,
    ) -> None:
        """`on_order` hears of each pod and node before the next is decided; `may_place` is asked before a pod without
        a profile is placed; `make` makes the pod of an attempt, `on_made` hears of it when it is there, and
        `on_spoiled` of one that is not what was decided."""
        self._cluster = cluster
        self._clock = clock
        self._nodes = nodes
        self._pods = pods
        self._report = report
        self._new_id = new_id
        self.explain = explain
        self._on_order = on_order
        self._may_place = may_place
        self._make = make
        self._on_made = on_made
        self._on_spoiled = on_spoiled

    def decide(self, decision: Decision, now_us: int) -> BindOrder | None:
        """Note a decision that the cluster has applied already; a START must be bound."""
        if decision.action is Action.START:
            return self._start(decision, now_us)
        if decision.action is Action.HOLD:
            self._hold(decision, now_us)
        return None

    def _start(self, decision: Decision, now_us: int) -> BindOrder:
        entry = self._pods.entries[decision.job]
        record = self._record(entry, decision, now_us, self._new_id())
        explanation = self._explained(decision, entry)
        self._report.decision(decision, entry.ask.job if entry.ask else None, now_us, record, explanation)
        if decision.decided_by == "fallback" and not decision.reason.startswith(JUDGED):
            why = f"the fallback rule decided: {decision.reason or 'no reason given'}"
            self._report.pod(entry.pod, "DecisionFallback", why, warning=True, decision=record.id)
        return self._order(entry, decision.node, record, explanation)

    def _record(self, entry: Entry, decision: Decision, now_us: int, number: str) -> DecisionRecord:
        return DecisionRecord(
            id=number,
            hardware=decision.hardware,
            configuration=decision.configuration,
            device_units=decision.device_units,
            cpu_milli=decision.cpu_milli,
            memory_mib=decision.memory_mib,
            decided_by=decision.decided_by,
            decided_us=self._clock.to_server(now_us),
            finish_us=self._clock.to_server(decision.finish_us),
            resized=_grows(entry.pod, decision.cpu_milli, decision.memory_mib),
        )

    def _hold(self, decision: Decision, now_us: int) -> None:
        """Told once per hardware."""
        entry = self._pods.entries[decision.job]
        news = entry.told.get("Held") != decision.hardware
        explanation = self._explained(decision, entry) if news or self._report.keeps_journal else None
        self._report.decision(decision, entry.ask.job if entry.ask else None, now_us, None, explanation)
        if news:
            entry.told["Held"] = decision.hardware
            self._tell_held(entry, decision, explanation, now_us)
            if not entry.pod.uid:
                self._pods.condition(entry)  # its job says so too

    def _tell_held(
        self, entry: Entry, decision: Decision, explanation: Explanation | None, now_us: int
    ) -> None:
        until = format_time_us(self._clock.to_server(decision.until_us))
        record = self._record(entry, decision, now_us, "")
        told = to_server(explanation, self._clock) if explanation else None
        why = f"; {sentence(told, record.finish_us)}" if told else ""
        self._report.decided(entry.pod.key, "", record, to_json(told) if told else "", until)
        self._report.pod(entry.pod, "Held", f"held for {decision.hardware} until {until}{why}")

    def _explained(self, decision: Decision, entry: Entry) -> Explanation | None:
        assert entry.ask is not None, "a pod is read before it is queued"
        try:
            return self.explain(decision, entry.ask.job) if entry.ask.job else None
        except Exception as error:  # a pod is bound, whether or not anybody can say why
            log.warning("the decision on %s is not explained: %r", decision.job, error)
            return None

    def _order(
        self, entry: Entry, node: str, record: DecisionRecord, explanation: Explanation | None = None
    ) -> BindOrder:
        entry.stage, entry.node, entry.booked, entry.record = Stage.BINDING, node, True, record
        entry.explanation = to_server(explanation, self._clock) if explanation else None
        said = to_json(entry.explanation) if entry.explanation else ""
        create = None if entry.pod.uid or self._make is None else self._make(entry.pod, node, record, said)
        if create is not None:
            made, asked = self._pods.read(create), entry.pod
            entry.pod = replace(made, node="", created_us=asked.created_us, priority=asked.priority)
        pod = entry.pod
        self._nodes.occupy(pod, node)
        self._on_order(pod.key, node)
        self._report.decided(pod.key, node, record, said)
        if create is not None:
            return BindOrder(pod.namespace, pod.name, "", node, record, said, create=create)
        resize = pod.main.resize(*_beyond(pod, record.cpu_milli, record.memory_mib)) if pod.main else None
        return BindOrder(pod.namespace, pod.name, pod.uid, node, record, said, pod.version, resize)

    def place_plain(self, now_us: int) -> list[BindOrder]:
        """kube-scheduler's default choice for each pod without a profile, oldest first."""
        waiting = sorted(
            (self._pods.entries[key] for key in self._pods.plain),
            key=lambda entry: (entry.pod.created_us, entry.pod.key),
        )
        return [order for entry in waiting if self._may_place() and (order := self._place(entry, now_us))]

    def _place(self, entry: Entry, now_us: int) -> BindOrder | None:
        assert entry.ask is not None, "a pod is read before it waits"
        pod, requests = entry.pod, entry.pod.demand.requests
        admission = self._nodes.admit(entry.ask.wish, pod.relations)
        admitted = self._with_free_devices(entry, admission.nodes)
        node = self._cluster.least_allocated_node(requests.cpu_milli, requests.memory_mib, admitted)
        if node is None:
            return None
        hardware, units = self._pods.bookings.device(pod, node)
        self._cluster.occupy(pod.key, node, requests.cpu_milli, requests.memory_mib, hardware, units)
        self._pods.plain.discard(pod.key)
        record = DecisionRecord(
            id=self._new_id(),
            hardware=hardware,
            configuration="",
            device_units=units,
            cpu_milli=requests.cpu_milli,
            memory_mib=requests.memory_mib,
            decided_by=FALLBACK_RULE,
            decided_us=self._clock.to_server(now_us),
        )
        return self._order(entry, node, record)

    def _with_free_devices(self, entry: Entry, admitted: frozenset[str]) -> frozenset[str]:
        """Leave out nodes whose units of the extended resource asked for are booked."""
        if not entry.pod.demand.requests.extended:
            return admitted
        used = self._units_used()
        return frozenset(name for name in admitted if self._has_free(entry, name, used))

    def _has_free(self, entry: Entry, name: str, used: Counter[tuple[str, str]]) -> bool:
        hardware, units = self._pods.bookings.device(entry.pod, name)
        there = sum(d.units for d in self._nodes.node(name).devices if d.hardware == hardware)
        return used[name, hardware] + units <= there

    def _units_used(self) -> Counter[tuple[str, str]]:
        used: Counter[tuple[str, str]] = Counter()
        for entry in self._pods.entries.values():
            if entry.booked and entry.record is not None:
                used[entry.node, entry.record.hardware] += entry.record.device_units
        return used

    def settle(self, result: BindResult, now_us: int) -> bool:
        """What became of a bind; whether a round is due."""
        order = result.order
        self._report.metrics.binds.labels(result.outcome.value).inc()
        if result.outcome is not Outcome.CREATED:
            self._pods.attempted(order.record, now_us)
        entry = self._pods.entries.get(order.key)
        if entry is None or entry.stage is not Stage.BINDING or entry.record != order.record:
            return False  # the watch was faster
        return self._settle(entry, result, now_us)

    def _settle(self, entry: Entry, result: BindResult, now_us: int) -> bool:
        match result.outcome:
            case Outcome.BOUND:
                if result.pod is not None and not entry.pod.uid:
                    entry.pod, entry.seen = self._pods.read(result.pod), False
                    self._on_made(result.pod, entry.pod)
                self._pods.confirm(entry, now_us)
                return False
            case Outcome.CREATED:
                assert result.pod is not None, "what was created was read"
                if not entry.pod.uid:
                    entry.pod, entry.seen = self._pods.read(result.pod), False
                return False
            case Outcome.SPOILED:
                assert result.pod is not None, "what is wrong with a pod was read"
                entry.pod = self._pods.read(result.pod)
                self._pods.book(entry, now_us)
                self._on_spoiled(result.pod, result.message)
            case Outcome.REFUSED:
                why = f"the API server takes no pod for it: {result.message}"
                number, delay_s = result.order.record.id, self._pods.back_off(entry, now_us, refused=why)
                self._report.pod(entry.pod, "FailedCreate", f"{why}; again in {delay_s:.1f} s", True, number)
            case Outcome.DRY:
                entry.stage = Stage.DRY
                assert entry.record is not None, "a bind has a decision"
                finish_us = entry.record.finish_us
                known = self._clock.to_scenario(finish_us) if finish_us else now_us + _DRY_PLAIN_US
                self._pods.wake(entry, known)
                return False
            case Outcome.TAKEN:
                assert result.pod is not None, "a rival's bind was read"
                entry.pod = self._pods.read(result.pod)
                self._pods.book(entry, now_us)
            case Outcome.GONE:
                self._pods.undo(entry, now_us)
                entry.stage = Stage.WAITING  # until the watch tells of its end
            case Outcome.WITHHELD:
                self._pods.undo(entry, now_us)
                self._pods.admit(entry, now_us)
            case Outcome.UNRESIZED:
                self._pods.keep_size(entry, result, now_us)
            case Outcome.CHANGED if entry.changes < MOST_CHANGES:
                assert result.pod is not None, "a pod that changed was read"
                entry.changes += 1
                self._pods.undo(entry, now_us)
                entry.pod = self._pods.read(result.pod)
                self._pods.admit(entry, now_us)
            case Outcome.FAILED | Outcome.CHANGED:
                entry.changes = 0
                refused = "" if entry.pod.uid else result.message
                delay_s = self._pods.back_off(entry, now_us, refused=refused)
                why = f"binding to {result.order.node} failed: {result.message}; again in {delay_s:.1f} s"
                self._report.pod(entry.pod, "FailedScheduling", why, True, result.order.record.id)
        return True


def _beyond(pod: Pod, cpu_milli: int, memory_mib: int) -> tuple[int, int]:
    """How much of it the pod does not ask for itself."""
    asked = pod.demand.requests
    return cpu_milli - asked.cpu_milli, memory_mib - asked.memory_mib


def _grows(pod: Pod, cpu_milli: int, memory_mib: int) -> bool:
    """Whether the pod will be given more than it asked for."""
    return pod.main is not None and max(_beyond(pod, cpu_milli, memory_mib)) > 0
