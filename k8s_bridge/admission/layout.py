"""Which pods are on which nodes, ours and everybody's: what pods that depend on each other are judged by."""

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any  # counters of several kinds of things

from synergai.k8s_bridge.admission.relations import Crowd, Port, Relations, Term

_MOST_CROWDS = 256
"""Counted at once; more are forgotten, and counted anew when asked for."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A pod on a node."""

    node: str
    relations: Relations
    deleting: bool = False
    extra: tuple[tuple[str, int], ...] = ()
    """What it holds of resources that nobody else books."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A crowd as it is counted: whether pods that are being deleted belong to it."""

    crowds: tuple[Crowd, ...]
    """A pod must belong to all."""
    leaving: bool


class Layout:
    """Counts by node. A pod that nobody depends on costs two look-ups."""

    def __init__(self) -> None:
        self.version = 0
        """Changes when an answer may have changed."""
        self.terms_version = 0
        """Changes when a term of anti-affinity turns up that no pod on a node had before."""
        self.namespaces: dict[str, Mapping[str, str]] = {}
        """Labels."""
        self.missing = ""
        """Why the namespaces may not be read; empty where they may."""
        self._pods: dict[str, Neighbour] = {}  # by uid
        self._ports: dict[str, Counter[Port]] = {}
        self._apart: dict[Term, Counter[str]] = {}  # terms of the pods that are there
        self._extra: dict[str, Counter[str]] = {}
        self._counts: dict[Asked, Counter[str]] = {}

    def set(self, uid: str, pod: Neighbour) -> None:
        """The pod is on that node, or has changed."""
        before = self._pods.get(uid)
        if before == pod:
            return
        if before is not None:
            self._count(before, -1)
        self._pods[uid] = pod
        self._count(pod, 1)

    def remove(self, uid: str) -> None:
        """The pod is on no node any more; nothing if it was on none."""
        pod = self._pods.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> bool:
        """A namespace's labels, None when it is gone; whether that is news."""
        if self.namespaces.get(name) == labels:
            return False
        if labels is None:
            del self.namespaces[name]
        else:
            self.namespaces[name] = labels
        self._counts.clear()
        self.version += 1
        self.terms_version += 1
        return True

    def miss(self, why: str) -> bool:
        """The namespaces may not be read, or may again; whether that is news."""
        if self.missing == why:
            return False
        self.missing = why
        self._counts.clear()
        self.version += 1
        self.terms_version += 1
        return True

    def _count(self, pod: Neighbour, by: int) -> None:
        relations, node = pod.relations, pod.node
        moved = bool(relations.ports or pod.extra)
        for port in relations.ports:
            _add(self._ports.setdefault(node, Counter()), port, by)
        for name, amount in pod.extra:
            _add(self._extra.setdefault(node, Counter()), name, by * amount)
        for term in relations.apart:
            if term not in self._apart:
                self._apart[term] = Counter()
                self.terms_version += 1
            _add(self._apart[term], node, by)
            if not self._apart[term]:
                del self._apart[term]
            moved = True
        if self._counts:
            labels = dict(relations.labels)
            for asked, counts in self._counts.items():
                if self._belongs(pod, labels, asked):
                    _add(counts, node, by)
                    moved = True
        self.version += moved

    def _belongs(self, pod: Neighbour, labels: Mapping[str, str], asked: Asked) -> bool:
        if pod.deleting and not asked.leaving:
            return False
        namespace = pod.relations.namespace
        return self._is_in_all(asked.crowds, namespace, labels)

    def _is_in_all(self, crowds: tuple[Crowd, ...], namespace: str, labels: Mapping[str, str]) -> bool:
        of_namespace = None if self.missing else self.namespaces.get(namespace, {})
        return all(crowd.has(namespace, labels, of_namespace) for crowd in crowds)

    def belongs(self, relations: Relations, crowds: tuple[Crowd, ...]) -> bool:
        """Whether a pod is in all of these."""
        return self._is_in_all(crowds, relations.namespace, dict(relations.labels))

    def count(self, *crowds: Crowd, leaving: bool = True) -> Mapping[str, int]:
        """How many pods that belong to all of these are on each node."""
        asked = Asked(crowds, leaving)
        counts = self._counts.get(asked)
        if counts is None:
            if len(self._counts) >= _MOST_CROWDS:
                self._counts.clear()
            counts = Counter(
                pod.node
                for pod in self._pods.values()
                if self._belongs(pod, dict(pod.relations.labels), asked)
            )
            self._counts[asked] = counts
        return counts

    def forget_counts(self) -> None:
        """Nobody asks any more."""
        self._counts.clear()

    def against(self, relations: Relations) -> list[tuple[str, Mapping[str, int]]]:
        """Which terms of pods that are there keep such a pod away: their topology, and the nodes those pods are on."""
        if not self._apart:
            return []
        labels, namespace = dict(relations.labels), relations.namespace
        return [
            (term.topology, nodes)
            for term, nodes in self._apart.items()
            if self._is_in_all((term.crowd,), namespace, labels)
        ]

    def ports(self, node: str) -> Mapping[Port, int]:
        """The host's ports that are taken."""
        return self._ports.get(node, {})

    def extra(self, node: str) -> Mapping[str, int]:
        """What our own pods hold there of resources that nobody else books."""
        return self._extra.get(node, {})


def _add(counts: Counter[Any], key: Hashable, by: int) -> None:
    counts[key] += by
    if not counts[key]:
        del counts[key]
