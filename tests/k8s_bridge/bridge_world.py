"""The books of one bridge, without a loop and without a server."""

import copy
import json
from typing import Any

from bridge_fakes import NOW_US, FakeCluster, raw_node

from synergai.envs.cluster import Cluster
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.watch import NODES, OTHER_PODS, OWN_PODS, WatchEvent
from synergai.k8s_bridge.binder import BindOrder, BindResult, Outcome
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.entries import Stage
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.placing import Explain, Placing
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.reports.events import Notice
from synergai.k8s_bridge.reports.journal import Journal
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Report
from synergai.k8s_bridge.resizer import Resizer
from synergai.k8s_bridge.snapshot import Snapshot


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
            on_problem=report.node_problem,
        )
        self.pods = PodBook(
            self.cluster, self.cluster.table, clock, self.nodes, report, resizer=Resizer(resize)
        )
        self.snapshot = Snapshot(self.nodes, self.pods)
        ids = iter(f"id-{n}" for n in range(1000))
        self.placing = Placing(
            self.cluster, clock, self.nodes, self.pods, report, new_id=lambda: next(ids), explain=explain
        )
        self.now_us = NOW_US
        for n in range(nodes):
            self.node(raw_node(f"n{n}"))

    def node(self, raw: dict[str, Any], kind: Any = "ADDED") -> bool:
        return self.snapshot.apply([WatchEvent(NODES, kind, raw)], self.now_us)

    def pod(self, raw: dict[str, Any], kind: Any = "ADDED") -> bool:
        return self.snapshot.apply([WatchEvent(OWN_PODS, kind, raw)], self.now_us)

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
