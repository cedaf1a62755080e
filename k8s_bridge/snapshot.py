"""Applies what the API server says to the pods, the nodes and the cluster.

Everything here is synchronous and runs between two awaits of the daemon.
"""

from collections.abc import Callable, Iterable

from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.api.watch import (
    ATTEMPTS,
    CLAIMS,
    CLUSTER_RUNTIMES,
    JOBS,
    NAMESPACES,
    NODES,
    NOMINATED,
    OTHER_PODS,
    OWN_PODS,
    RUNTIMES,
    VOLUMES,
    WatchEvent,
)
from synergai.k8s_bridge.entries import Entry, Stage
from synergai.k8s_bridge.inference.job_book import JobBook
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, KIND
from synergai.k8s_bridge.inference.runtime_book import RuntimeBook
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.node_leases import NODE_LEASES
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.pods import Pod, read_owner

LABELLED = "labelled "
"""Sets apart what two watches tell of one pod: when our label is put on it, it leaves one and enters the other."""
RUNTIME_KINDS = {RUNTIMES.name: KIND, CLUSTER_RUNTIMES.name: CLUSTER_KIND}


class Snapshot:
    """Turns watch events into steps of the books; all times are scenario time."""

    def __init__(self, nodes: NodeBook, pods: PodBook, jobs: JobBook, runtimes: RuntimeBook) -> None:
        self._nodes = nodes
        self._pods = pods
        self._jobs = jobs
        self._runtimes = runtimes
        self._steps: dict[str, Callable[[WatchEvent], bool]] = {
            NODES.name: self._node,
            NODE_LEASES.name: lambda event: nodes.set_stale(frozenset(event.object["stale"])),
            NAMESPACES.name: self._namespace,
            CLAIMS.name: self._claim,
            VOLUMES.name: self._volume,
            OTHER_PODS.name: self._other,
            NOMINATED.name: self._nominated,
            ATTEMPTS.name: self._stranger,
        }
        """What each event changes of the nodes; whether that is news."""

    def apply(self, events: Iterable[WatchEvent], now_us: int) -> bool:
        """Nodes first, as events of different watches have no order; whether a round is due."""
        by_resource: dict[str, list[WatchEvent]] = {}
        for event in events:
            by_resource.setdefault(event.resource.name, []).append(event)
        with self._nodes.together():
            moved = [
                step(event)
                for resource, step in self._steps.items()
                for event in by_resource.get(resource, ())
            ]
        if any(moved):
            self._nodes_changed(now_us)
        offered = [self._runtime(event) for kind in RUNTIME_KINDS for event in by_resource.get(kind, ())]
        if any(offered):
            self._jobs.offered()
        for event in by_resource.get(JOBS.name, ()):
            self._job(event)
        pods = [*by_resource.get(ATTEMPTS.name, ()), *by_resource.get(OWN_PODS.name, ())]
        due = [self._pod(event, now_us) for event in pods if not _is_stranger(event)]
        return any(moved) or any(due)

    def _node(self, event: WatchEvent) -> bool:
        if event.kind == "DELETED":
            name = event.object["metadata"]["name"]
            self._jobs.lose_node(name)
            return self._nodes.remove(name)
        return self._nodes.set(event.object)

    def _other(self, event: WatchEvent) -> bool:
        if event.kind == "DELETED":
            return self._nodes.remove_other(event.object["metadata"]["uid"])
        return self._nodes.set_other(event.object)

    def _stranger(self, event: WatchEvent) -> bool:
        """A pod of another scheduler that has our label, maybe as a copy of one of ours, takes room as all others."""
        if event.kind == "DELETED":
            return self._nodes.remove_other(event.object["metadata"]["uid"], LABELLED)
        return _is_stranger(event) and self._nodes.set_other(event.object, LABELLED)

    def _nominated(self, event: WatchEvent) -> bool:
        if event.kind == "DELETED":
            return self._nodes.remove_nominated(event.object["metadata"]["uid"])
        return self._nodes.set_nominated(event.object)

    def _namespace(self, event: WatchEvent) -> bool:
        metadata, layout = event.object["metadata"], self._nodes.layout
        if event.kind == "REFUSED":
            return layout.miss(event.object["why"])
        labels = None if event.kind == "DELETED" else metadata.get("labels") or {}
        return layout.set_namespace(metadata["name"], labels)

    def _claim(self, event: WatchEvent) -> bool:
        if event.kind == "REFUSED":
            return self._nodes.miss_volumes(CLAIMS.name, event.object["why"])
        return self._nodes.set_claim(event.object, gone=event.kind == "DELETED")

    def _volume(self, event: WatchEvent) -> bool:
        if event.kind == "REFUSED":
            return self._nodes.miss_volumes(VOLUMES.name, event.object["why"])
        return self._nodes.set_volume(event.object, gone=event.kind == "DELETED")

    def _runtime(self, event: WatchEvent) -> bool:
        metadata, kind = event.object["metadata"], RUNTIME_KINDS[event.resource.name]
        if event.kind == "REFUSED":
            return False  # jobs cannot be read either, and that is told
        if event.kind == "DELETED":
            return self._runtimes.remove(metadata.get("namespace", ""), kind, metadata["name"])
        return self._runtimes.set(event.object, kind)

    def _job(self, event: WatchEvent) -> None:
        metadata = event.object["metadata"]
        if event.kind == "REFUSED":
            self._jobs.miss(event.object["why"])
        elif event.kind == "DELETED":
            self._jobs.remove_job(metadata.get("namespace", ""), metadata["name"], metadata["uid"])
        else:
            self._jobs.set_job(event.object)

    def _nodes_changed(self, now_us: int) -> None:
        for key in self._nodes.drop_lost():
            self._pods.entries[key].booked = False
        self._pods.nodes_changed(now_us)

    def _pod(self, event: WatchEvent, now_us: int) -> bool:
        if event.kind != "DELETED" and self._pods.knows(event.object["metadata"]):
            return False
        pod = self._pods.read(event.object)
        if event.kind == "DELETED":
            self._jobs.remove_pod(event.object)
            return self._one_pod(event, pod, now_us)
        due = self._one_pod(event, pod, now_us)
        self._jobs.set_pod(event.object, pod)
        return due

    def _one_pod(self, event: WatchEvent, pod: Pod, now_us: int) -> bool:
        entry = self._pods.entries.get(pod.key)
        if entry is not None and entry.pod.uid and entry.pod.uid != pod.uid:
            if event.kind == "DELETED":
                return False  # an earlier pod of the name, forgotten when this one appeared
            self._pods.forget(entry, now_us)
            entry = None
        if event.kind == "DELETED" and entry is not None and not entry.pod.uid:
            return False  # one that had the name before the pod that is to be created
        if event.kind == "DELETED":
            if entry is not None:
                self._pods.forget(entry, now_us)
            return entry is not None
        if entry is None:
            entry = self._pods.entries[pod.key] = Entry(pod)
        due = self._update(entry, pod, now_us)
        if entry.stage is Stage.DONE and pod.owner is not None:
            del self._pods.entries[pod.key]  # its job keeps what there is to say
        return due

    def _update(self, entry: Entry, pod: Pod, now_us: int) -> bool:
        before, entry.pod, entry.seen = entry.pod, pod, True
        if entry.stage is Stage.DONE:
            return False
        if entry.stage in (Stage.BINDING, Stage.BOUND, Stage.DRY):
            self._nodes.occupy(
                pod, entry.node
            )  # others may care for its labels, and that it is being deleted
        if pod.finished and entry.stage is Stage.NEW:
            return self._pods.finish(entry, now_us)
        moved = bool(pod.node or pod.made) and self._seen_placed(entry, now_us)
        if pod.finished:
            return self._pods.finish(entry, now_us)
        if pod.phase == "Running":
            self._pods.runs(entry)
        if pod.node or pod.made:
            return moved
        if entry.stage in (Stage.BINDING, Stage.BOUND, Stage.BACKOFF, Stage.DRY):
            return False  # an older view than ours, or read when the back-off ends
        if entry.stage is not Stage.NEW and before.asks_the_same(pod):
            if entry.stage in (Stage.QUEUED, Stage.PLAIN):
                self._pods.condition(entry)  # it may have been written after that was decided
            return False
        self._pods.undo(entry, now_us)
        self._pods.admit(entry, now_us)
        return True

    def _seen_placed(self, entry: Entry, now_us: int) -> bool:
        """On its node, or, an attempt that another scheduler is to bind, made for it: nobody else decides on that."""
        pod = entry.pod
        if entry.stage is Stage.BOUND and entry.node == pod.aim:
            return False
        if entry.stage is Stage.BINDING and _is_ours(entry) and (pod.node or not pod.deleting):
            if pod.node:
                self._pods.confirm(entry, now_us)
            return False
        self._pods.book(entry, now_us)
        return True


def _is_ours(entry: Entry) -> bool:
    """Whether the pod went where we decided, by the decision that we made."""
    written = read_decision(entry.pod.annotations)
    same = written is not None and entry.record is not None and written.id == entry.record.id
    return same and entry.node == entry.pod.aim


def _is_stranger(event: WatchEvent) -> bool:
    return (
        event.resource.name == ATTEMPTS.name
        and event.kind != "DELETED"
        and read_owner(event.object["metadata"]) is None
    )
