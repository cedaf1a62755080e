"""Everything the bridge says about what it does: log, Events, metrics and the decision log."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, replace

from synergai.agents.explanation import Explanation
from synergai.agents.replay import Replayed
from synergai.envs.types import Action, Decision, Job, Node
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.nodes import NodeFacts
from synergai.k8s_bridge.outcomes import Ran, RunReport
from synergai.k8s_bridge.pods import Owner, Pod
from synergai.k8s_bridge.reports.events import Notice
from synergai.k8s_bridge.reports.journal import Journal
from synergai.k8s_bridge.reports.logs import DECISIONS, about
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.offline_profiles.table import base_address

log = logging.getLogger(__name__)


JOB = "InferenceJob"


def _outcome(
    pod: Pod,
    job: Job | None,
    record: DecisionRecord | None,
    report: RunReport | None,
    cause: str,
    ran: Ran | None,
) -> dict[str, object]:
    """What the decision log says of a pod that has ended, but for the times."""
    return {
        "id": record.id if record else "",
        "pod": pod.key,
        "uid": pod.uid,
        "node": pod.node,
        "cause": cause,
        "job": _named(job),
        "hardware": record.hardware if record else "",
        "configuration": record.configuration if record else "",
        "observedS": ran.observed_s if ran else None,
        "predictedS": ran.predicted_s if ran else None,
        "report": asdict(report) if report else None,
        "predictedFinish": format_time_us(record.finish_us) if record and record.finish_us else None,
    }


def _named(job: Job | None) -> dict[str, object] | None:
    """A job without where it is admitted, which may be thousands of nodes: that is where it arrives."""
    if job is None:
        return None
    fields = asdict(replace(job, model=base_address(job.model), nodes=None, barred=frozenset()))
    del fields["nodes"], fields["barred"]
    return fields


class Report:
    """Fans every fact out to whoever should know it; nothing here changes what is decided."""

    def __init__(
        self,
        metrics: Metrics,
        events: Callable[[Notice], None] = lambda notice: None,
        journal: Journal | None = None,
    ) -> None:
        self.metrics = metrics
        self.speaks = True
        """While another bridge leads, what pods and nodes do is its to tell and to count."""
        self.on_ended: Callable[[Pod, DecisionRecord | None, str, bool | None], None] = lambda *_: None
        """Hears of each pod's end while this bridge speaks: pod, decision, cause, whether it met its deadline."""
        self._events = events
        self._journal = journal

    def pod(self, pod: Pod, reason: str, message: str, warning: bool = False, decision: str = "") -> None:
        """An event on a pod, and a line in the log; of the decision of this id, if it is about one."""
        if not self.speaks:
            return
        level = logging.WARNING if warning else logging.INFO
        extra = about(pod=pod.key, node=pod.node, reason=reason, decision=decision)
        log.log(level, "pod %s: %s: %s", pod.key, reason, message, extra=extra)
        if warning:
            self.metrics.pod_problems.labels(reason).inc()
        if pod.owner is not None:
            subject = Notice(JOB, pod.namespace, pod.owner.name, pod.owner.uid, reason, message, warning)
        else:
            subject = Notice("Pod", pod.namespace, pod.name, pod.uid, reason, message, warning)
        self._events(subject)

    def job(self, namespace: str, job: Owner, reason: str, message: str) -> None:
        """Something that an InferenceJob's owner should mend."""
        if not self.speaks:
            return
        log.warning("job %s/%s: %s: %s", namespace, job.name, reason, message, extra=about(reason=reason))
        self.metrics.job_problems.labels(reason).inc()
        self._events(Notice(JOB, namespace, job.name, job.uid, reason, message, warning=True))

    def job_ended(
        self, namespace: str, job: Owner, succeeded: bool, reason: str, message: str, met: bool | None
    ) -> None:
        """An InferenceJob has come to its end; whether it met its deadline, where it has one."""
        if not self.speaks:
            return
        level = logging.INFO if succeeded else logging.WARNING
        said = f"{reason}: {message}" if message else reason
        log.log(level, "job %s/%s has ended: %s", namespace, job.name, said, extra=about(reason=reason))
        deadline = "none" if met is None else "met" if met else "missed"
        self.metrics.jobs_ended.labels("succeeded" if succeeded else "failed", deadline).inc()
        self._events(
            Notice(JOB, namespace, job.name, job.uid, reason, message or reason, warning=not succeeded)
        )

    def runtime(self, kind: str, namespace: str, name: str, uid: str, reason: str, message: str) -> None:
        """Something that a runtime's owner should mend."""
        if not self.speaks:
            return
        log.warning("%s %s: %s: %s", kind, name, reason, message, extra=about(reason=reason))
        self.metrics.runtime_problems.labels(reason).inc()
        self._events(Notice(kind, namespace, name, uid, reason, message, warning=True))

    def definition(self, name: str, uid: str, reason: str, message: str) -> None:
        """A CustomResourceDefinition that is not the one this bridge was made for."""
        self.runtime("CustomResourceDefinition", "", name, uid, reason, message)

    def node_problem(self, facts: NodeFacts) -> None:
        """A node that was meant for us and cannot be used."""
        if not self.speaks:
            return
        message = f"SynergAI does not use this node: {facts.problem}"
        extra = about(node=facts.name, reason="NodeNotUsable")
        log.warning("node %s: NodeNotUsable: %s", facts.name, message, extra=extra)
        self.metrics.node_problems.inc()
        self._events(Notice("Node", "", facts.name, facts.uid, "NodeNotUsable", message, warning=True))

    def node(self, name: str, node: Node | None, now_us: int) -> None:
        """What a node is from now on; None: it is gone."""
        self._note("node", nowUs=now_us, name=name, node=asdict(node) if node else None)

    def arrived(self, job: Job, now_us: int) -> None:
        """A job waits, for the first time or again."""
        self._note("arrival", nowUs=now_us, job=replace(job, model=base_address(job.model)))

    def withdrawn(self, pod: Pod, now_us: int) -> None:
        """A pod is gone before it was bound."""
        self._note("withdrawn", nowUs=now_us, pod=pod.key, uid=pod.uid)

    def _note(self, kind: str, **fields: object) -> None:
        """A line of the decision log, of what happens while this bridge decides."""
        if self._journal is not None and self.speaks:
            job = fields.get("job")
            self._journal.write(kind, fields | {"job": asdict(job)} if isinstance(job, Job) else fields)

    def begins(self) -> None:
        """This bridge decides from now on."""
        self.speaks = True
        if self._journal is not None:
            self._journal.begin()

    @property
    def keeps_journal(self) -> bool:
        return self._journal is not None

    def decision(
        self,
        decision: Decision,
        job: Job | None,
        now_us: int,
        record: DecisionRecord | None,
        explanation: Explanation | None = None,
    ) -> None:
        """One START or HOLD."""
        self.metrics.decisions.labels(decision.action.name.lower(), decision.decided_by).inc()
        if self._journal is None:
            return
        self._journal.write(
            "decision",
            {
                "nowUs": now_us,
                "id": record.id if record else "",
                "action": Action(decision.action).name,
                "decision": asdict(decision),
                "job": _named(job),
                "explanation": asdict(explanation) if explanation else None,
            },
        )

    def decided(
        self, pod: str, node: str, record: DecisionRecord, explanation: str = "", until: str = ""
    ) -> None:
        """One line of the log that has the whole decision: a START on a node, or a HOLD until a time. `explanation` is
        JSON."""
        if not DECISIONS.isEnabledFor(logging.INFO):
            return
        action = "HOLD" if until else "START"
        extra = about(
            pod=pod,
            node=node,
            decision=record.id,
            action=action,
            by=record.decided_by,
            hardware=record.hardware,
            configuration=record.configuration,
            predictedFinish=format_time_us(record.finish_us) if record.finish_us is not None else None,
            until=until,
            explanation=json.loads(explanation) if explanation else None,
        )
        DECISIONS.info("%s %s %s %s", action, pod, "until" if until else "on", until or node, extra=extra)

    def outcome(
        self,
        pod: Pod,
        job: Job | None,
        record: DecisionRecord | None,
        report: RunReport | None,
        cause: str,
        ended_us: int,
        seen_us: int,
        ran: Ran | None = None,
    ) -> None:
        """One pod that has ended, by its runner or else when that was seen; how long it ran, where that was
        measured."""
        if not self.speaks:
            return
        deadline_us = job.deadline_us if job else None
        met = None if deadline_us is None else cause == "done" and ended_us <= deadline_us
        self.metrics.finished.labels(cause).inc()
        if ran is not None and job is not None and record is not None:
            self.metrics.run_ratio.labels(base_address(job.model), record.hardware).observe(
                ran.observed_s / ran.predicted_s
            )
        if job is not None and deadline_us is not None:
            self.metrics.deadlines.labels("met" if met else "missed", base_address(job.model)).inc()
            if cause == "done":
                self.metrics.excess_s.observe(max(ended_us - deadline_us, 0) / 1e6)
        self.on_ended(pod, record, cause, met)
        if cause == "rejected":
            self.pod(
                pod, "Rejected", f"the kubelet of {pod.node} refused the pod: {pod.reason}", warning=True
            )
        if self._journal is not None:
            times = {"endedUs": ended_us, "seenUs": seen_us, "deadlineMet": met}
            self._journal.write("outcome", times | _outcome(pod, job, record, report, cause, ran))

    def replay_skipped(self, jobs: int) -> None:
        """Too little has arrived for a replay; it counts in a later one."""
        log.info("no replay: a window would count %d jobs, which tells nothing", jobs)
        self.metrics.replays.labels("skipped").inc()

    def replay_failed(self) -> None:
        """What went wrong is logged where it was caught."""
        self.metrics.replays.labels("failed").inc()

    def replayed(self, found: Replayed, policy_plays: bool, switched: bool, evidence: float) -> None:
        """One window played under policy and fallback, and who decides from now on."""
        metrics, who = self.metrics, "policy" if policy_plays else "fallback"
        metrics.replays.labels("played").inc()
        for by in ("policy", "fallback"):
            metrics.replay_violations.labels(by).set(getattr(found, by) / max(found.jobs, 1))
        metrics.replay_evidence.set(evidence)
        metrics.policy_plays.set(policy_plays)
        said = f"of {found.jobs} jobs {found.policy} are late under the policy, {found.fallback} under the fallback"
        log.info("replay: %s; evidence %.2f", said, evidence)
        if switched:
            metrics.switches.labels(who).inc()
            log.warning("GuardSwitched: the %s decides from now on; in the last replay, %s", who, said)
        if self._journal is not None:
            self._journal.write(
                "replay",
                {**asdict(found), "decides": who, "switched": switched, "evidence": round(evidence, 4)},
            )
