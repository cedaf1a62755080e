"""Where each pod stands, and how a pod that is bound already is booked."""

from dataclasses import dataclass, field
from enum import Enum

from synergai.agents.explanation import Explanation
from synergai.envs.cluster import Cluster
from synergai.envs.types import ANYWHERE, Reach
from synergai.k8s_bridge.annotations import DecisionRecord, read_decision
from synergai.k8s_bridge.api.backoff import Backoff
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.jobs import Ask, read_ask
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pods import Pod
from synergai.offline_profiles.table import ProfileTable

FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.5, 60.0
"""After a bind that failed; kube-scheduler starts at 1 s."""


class Stage(Enum):
    """Where a pod stands."""

    NEW = "new"
    WAITING = "waiting"
    """Refused, gated or being deleted: only a change of the pod itself moves it."""
    PARKED = "unschedulable"
    """No node admits it: a change of the nodes may move it."""
    QUEUED = "queued"
    """In the cluster's queue."""
    IN_LINE = "in_line"
    """Others that depend on each other as it does are in the queue: it comes after them."""
    PLAIN = "unprofiled"
    """The fallback rule places it."""
    BACKOFF = "backoff"
    """A bind failed."""
    BINDING = "binding"
    """Decided and booked; the API server does not show it on its node yet."""
    DRY = "dry_run"
    """Decided and booked in a dry run."""
    BOUND = "bound"
    DONE = "done"


@dataclass(slots=True)
class Entry:
    """One pod of ours."""

    pod: Pod
    stage: Stage = Stage.NEW
    ask: Ask | None = None
    """Read while the pod waits, or when it was found bound."""
    reach: Reach = ANYWHERE
    """What the queued job was told: where it is admitted."""
    node: str = ""
    """Where it was decided to go, or is."""
    counted: bool = False
    """Whether the cluster was told of its arrival."""
    seen: bool = True
    """Whether a watch has shown the pod; what a reply alone has told of may be gone before that."""
    booked: bool = False
    """Whether the cluster holds room for it on `node`."""
    record: DecisionRecord | None = None
    explanation: Explanation | None = None
    """Of `record`, where it was decided in this process; on the server's clock."""
    told: dict[str, str] = field(default_factory=dict)
    """What its owner was told last, by reason: the same is not said again."""
    rigid: bool = False
    """The server refused to resize it."""
    unfit: frozenset[str] = frozenset()
    """Hardware with a configuration that the pod cannot ask a node of others for."""
    changes: int = 0
    """How often in a row it changed between a decision and its bind."""
    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_BACKOFF_S, LAST_BACKOFF_S))


class Bookings:
    """Books pods that the API server shows as bound: after a restart, or bound by somebody else."""

    def __init__(self, cluster: Cluster, table: ProfileTable, clock: ScenarioClock, nodes: NodeBook) -> None:
        self.table = table
        self._cluster = cluster
        self._clock = clock
        self._nodes = nodes

    def book(self, entry: Entry, now_us: int) -> None:
        """From the decision annotation where it can be believed, else from the pod's own requests."""
        pod = entry.pod
        entry.node = pod.aim
        entry.record = read_decision(pod.annotations)
        entry.ask = read_ask(pod, self.table, self._clock, now_us)
        if pod.aim not in self._nodes.usable:
            return  # booked when the node turns up
        job, record = entry.ask.job, entry.record
        if job and record and self._holds(pod.aim, record.hardware) and self._profiled(job.model, record):
            started_us = self._clock.to_scenario(record.decided_us)
            self._cluster.adopt(job, pod.aim, record.hardware, record.configuration, min(started_us, now_us))
        else:
            self._occupy(entry)
        entry.booked = True

    def _occupy(self, entry: Entry) -> None:
        requests, record = entry.pod.demand.requests, entry.record
        cpu_milli, memory_mib = requests.cpu_milli, requests.memory_mib
        hardware, units = self.device(entry.pod, entry.node)
        if record and self._holds(entry.node, record.hardware):
            hardware, units = record.hardware, record.device_units
        if record:
            cpu_milli, memory_mib = max(cpu_milli, record.cpu_milli), max(memory_mib, record.memory_mib)
        self._cluster.occupy(entry.pod.key, entry.node, cpu_milli, memory_mib, hardware, units)

    def device(self, pod: Pod, node: str) -> tuple[str, int]:
        """The device of a node that a pod's extended resource asks for, and how many units."""
        for resource, amount in pod.demand.requests.extended:
            for device in self._nodes.node(node).devices:
                if self.table.hardware[device.hardware].resource == resource:
                    return device.hardware, amount
        return "", 0

    def _holds(self, node: str, hardware: str) -> bool:
        return any(device.hardware == hardware for device in self._nodes.node(node).devices)

    def _profiled(self, model: str, record: DecisionRecord) -> bool:
        return any(p.configuration == record.configuration for p in self.table.of(model, record.hardware))
