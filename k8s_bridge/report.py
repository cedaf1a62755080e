"""Everything the bridge says about what it does: log, Events, metrics and the decision log."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from synergai.agents.explanation import Explanation
from synergai.agents.replay import Replayed
from synergai.envs.types import Action, Decision, Job
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.clock import format_time_us
from synergai.k8s_bridge.events import Notice
from synergai.k8s_bridge.logs import DECISIONS, about
from synergai.k8s_bridge.metrics import Metrics
from synergai.k8s_bridge.nodes import NodeFacts
from synergai.k8s_bridge.outcomes import RunReport
from synergai.k8s_bridge.pods import Pod

log = logging.getLogger(__name__)


class Journal:
    """The decision log: one JSON object per line, `kind` is `decision`, `outcome` or `replay`; scenario
    time."""

    def __init__(self, path: Path | str) -> None:
        self._file: TextIO = Path(path).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 closed by close()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, kind: str, fields: dict[str, object]) -> None:
        self._file.write(json.dumps({"kind": kind, **fields}, separators=(",", ":"), default=sorted) + "\n")

    def close(self) -> None:
        self._file.close()


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
        self._events(Notice("Pod", pod.namespace, pod.name, pod.uid, reason, message, warning))

    def node_problem(self, facts: NodeFacts) -> None:
        """A node that was meant for us and cannot be used."""
        if not self.speaks:
            return
        message = f"SynergAI does not use this node: {facts.problem}"
        extra = about(node=facts.name, reason="NodeNotUsable")
        log.warning("node %s: NodeNotUsable: %s", facts.name, message, extra=extra)
        self.metrics.node_problems.inc()
        self._events(Notice("Node", "", facts.name, facts.uid, "NodeNotUsable", message, warning=True))

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
                "job": asdict(job) if job else None,
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
    ) -> None:
        """One pod that has ended."""
        if not self.speaks:
            return
        deadline_us = job.deadline_us if job else None
        met = None if deadline_us is None else cause == "done" and ended_us <= deadline_us
        self.metrics.finished.labels(cause).inc()
        if job is not None and deadline_us is not None:
            self.metrics.deadlines.labels("met" if met else "missed", job.model).inc()
            if cause == "done":
                self.metrics.excess_s.observe(max(ended_us - deadline_us, 0) / 1e6)
        if cause == "rejected":
            self.pod(
                pod, "Rejected", f"the kubelet of {pod.node} refused the pod: {pod.reason}", warning=True
            )
        if self._journal is None:
            return
        self._journal.write(
            "outcome",
            {
                "endedUs": ended_us,
                "id": record.id if record else "",
                "pod": pod.key,
                "uid": pod.uid,
                "node": pod.node,
                "cause": cause,
                "deadlineMet": met,
                "job": asdict(job) if job else None,
                "report": asdict(report) if report else None,
                "predictedFinish": format_time_us(record.finish_us) if record and record.finish_us else None,
            },
        )

    def ran(self, model: str, hardware: str, ratio: float) -> None:
        """One run was measured: observed over predicted run time."""
        if self.speaks:
            self.metrics.run_ratio.labels(model, hardware).observe(ratio)

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
