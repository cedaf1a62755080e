"""The books of one bridge, without a loop and without a server."""

import copy
import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from bridge_fakes import NOW_US, FakeCluster, raw_node

from synergai.envs.cluster import Cluster
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.watch import ATTEMPTS, NODES, OTHER_PODS, OWN_PODS, WatchEvent
from synergai.k8s_bridge.binder import BindOrder, BindResult, Outcome
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.inference.checks import Checks
from synergai.k8s_bridge.inference.delegation import delegate
from synergai.k8s_bridge.inference.job_book import JobBook
from synergai.k8s_bridge.inference.offers import Offers
from synergai.k8s_bridge.inference.runtime_book import RuntimeBook
from synergai.k8s_bridge.inference.templates import Checked, Way, probe_pod
from synergai.k8s_bridge.inference.writer import Write, Writer
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.placing import Explain, Placing
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.pods import Pod, read_pod
from synergai.k8s_bridge.reports.events import Notice
from synergai.k8s_bridge.reports.journal import Journal
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Report
from synergai.k8s_bridge.resizer import Resizer
from synergai.k8s_bridge.snapshot import Snapshot
from synergai.offline_profiles.table import ProfileTable

NO_CLIENT: Any = None


class Writes(Writer):
    """Keeps what is to be written."""

    def __init__(self) -> None:
        self.made: list[tuple[str, Write]] = []

    def put(self, key: str, write: Write, delay_s: float = 0.0) -> None:
        self.made.append((key, write))


def _to(scheduler: str, pod: dict[str, Any]) -> dict[str, Any]:
    return delegate(pod, scheduler) if scheduler else pod


def accepted(way: Way, namespace: str, priority_class: str, delegate_to: str = "") -> Checked:
    """An API server that takes every template as it is."""
    pod = _to(delegate_to, probe_pod(way, namespace, priority_class))
    return Checked("", pod["spec"], read_pod(pod))


class World:
    """One bridge without a loop and without a server."""

    def __init__(
        self,
        slots: int = 2,
        nodes: int = 1,
        cluster: Cluster | None = None,
        explain: Explain = lambda decision, job: None,
        journal: Journal | None = None,
        resize: bool = False,
        shared_nodes: bool = False,
        delegate_to: str = "",
        acts: Callable[[], bool] = lambda: True,
    ) -> None:
        self.cluster: Any = cluster or FakeCluster(slots)
        self.scheduler: Any = None
        self.notices: list[Notice] = []
        clock = ScenarioClock()
        report = Report(Metrics(), self.notices.append, journal)
        self.nodes = NodeBook(
            self.cluster,
            self.cluster.table.hardware,
            shared_nodes=shared_nodes,
            delegates=bool(delegate_to),
            on_problem=report.node_problem,
        )
        self.pods = PodBook(
            self.cluster,
            self.cluster.table,
            clock,
            self.nodes,
            report,
            resizer=Resizer(resize),
            on_condition=self._condition,
        )
        self.writes = Writes()
        offers = Offers(self.cluster.table, partial(accepted, delegate_to=delegate_to))
        self.runtimes = runtimes = RuntimeBook(offers, Checks(NO_CLIENT, lambda: None), report, self.writes)
        self.jobs = JobBook(offers, self.pods, self.nodes, clock, report, self.writes, self._extend, acts)
        self.snapshot = Snapshot(self.nodes, self.pods, self.jobs, runtimes)
        ids = (f"id-{n}" for n in itertools.count())
        self.placing = Placing(
            self.cluster,
            clock,
            self.nodes,
            self.pods,
            report,
            new_id=lambda: next(ids),
            explain=explain,
            make=lambda *order: _to(delegate_to, self.jobs.body(*order)),
            on_made=self.jobs.set_pod,
            on_spoiled=self.jobs.spoil,
        )
        self.now_us = NOW_US
        for n in range(nodes):
            self.node(raw_node(f"n{n}"))

    def _extend(self, table: ProfileTable) -> None:
        self.pods.refit(table, lambda: self.cluster.extend(table), self.now_us)

    def _condition(self, pod: Pod, message: str) -> None:
        if not pod.uid:
            self.jobs.touch(pod)

    def node(self, raw: dict[str, Any], kind: Any = "ADDED") -> bool:
        return self.snapshot.apply([WatchEvent(NODES, kind, raw)], self.now_us)

    def pod(self, raw: dict[str, Any], kind: Any = "ADDED") -> bool:
        return self.snapshot.apply([WatchEvent(OWN_PODS, kind, raw)], self.now_us)

    def attempt(self, raw: dict[str, Any], kind: Any = "ADDED") -> bool:
        return self.snapshot.apply([WatchEvent(ATTEMPTS, kind, raw)], self.now_us)

    def other(self, raw: dict[str, Any], kind: Any = "ADDED") -> bool:
        return self.snapshot.apply([WatchEvent(OTHER_PODS, kind, raw)], self.now_us)

    def round(self) -> list[BindOrder]:
        """As the daemon's: anew when a placement has changed what others may do."""
        self.pods.follow(self.now_us)
        orders, goes_on = [], True
        while goes_on:
            orders += self.placing.place_plain(self.now_us)
            self.pods.follow(self.now_us)
            goes_on = False
            for decision in self.cluster.round(self.now_us, self.scheduler):
                orders.append(self.placing.decide(decision, self.now_us))
                goes_on = self.pods.follow(self.now_us)
                if goes_on:
                    break
        return [order for order in orders if order is not None]

    def settle(
        self, order: BindOrder, outcome: Outcome, pod: dict[str, Any] | None = None, no_right: bool = False
    ) -> bool:
        return self.placing.settle(BindResult(order, outcome, "why", pod, no_right), self.now_us)

    def stage(self, key: str = "default/a") -> Stage:
        return self.pods.entries[key].stage

    def reasons(self) -> list[str]:
        return [notice.reason for notice in self.notices]


def bound(raw: dict[str, Any], node: str, record: DecisionRecord | None = None) -> dict[str, Any]:
    raw = copy.deepcopy(raw)
    raw["spec"]["nodeName"] = node
    if record:
        raw["metadata"]["annotations"][keys.ANNOTATION_DECISION] = record.to_json()
    return raw


def ended(raw: dict[str, Any], phase: str = "Succeeded", **report: object) -> dict[str, Any]:
    raw = copy.deepcopy(raw)
    state = {"terminated": {"message": json.dumps(report)}}
    raw["status"] = {"phase": phase, "containerStatuses": [{"state": state}]}
    return raw
