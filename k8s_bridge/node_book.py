"""All nodes of the API server: which are ours to use, what others use of them, which admit a pod."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from synergai.envs.cluster import Cluster
from synergai.envs.types import Node
from synergai.k8s_bridge.admission.filters import Admission, Place, Wish, admit
from synergai.k8s_bridge.admission.layout import Layout, Neighbour
from synergai.k8s_bridge.admission.neighbourhood import Neighbourhood
from synergai.k8s_bridge.admission.relations import NOBODY, Relations
from synergai.k8s_bridge.admission.requests import Json, Requests
from synergai.k8s_bridge.admission.volumes import Volumes
from synergai.k8s_bridge.nodes import NodeFacts, free_extended, read_node, to_node
from synergai.k8s_bridge.pods import FINISHED_PHASES, Pod, read_pod
from synergai.offline_profiles.profile import Hardware


class NodeBook:
    """Tells the cluster about usable nodes and answers which of them admit a pod."""

    def __init__(
        self,
        cluster: Cluster,
        hardware: Mapping[str, Hardware],
        *,
        shared_nodes: bool = False,
        delegates: bool = False,
        on_problem: Callable[[NodeFacts], None] = lambda facts: None,
    ) -> None:
        """Nodes that are not dedicated are used with `shared_nodes`, and with `delegates` by what another scheduler
        binds."""
        self._cluster = cluster
        self._hardware = hardware
        self.shared_nodes = shared_nodes
        self._delegates = delegates
        self._on_problem = on_problem
        self._places: dict[str, Place] = {}
        self._others: dict[str, dict[str, Requests]] = {}  # node -> uid -> requests
        self._other_nodes: dict[str, str] = {}  # uid -> node
        self._reported: dict[str, str] = {}  # node -> problem told already
        self._paused: set[str] = set()
        self._behind = frozenset(h.resource for h in hardware.values())
        self._stale: frozenset[str] = frozenset()
        self._unready: set[str] = set()
        self._open: set[str] = set()  # not ready, but a pod that tolerates that has come
        self._admissions: dict[Wish, Admission] = {}
        self._related: dict[tuple[Wish, Relations], Admission] = {}
        self._related_version = -1
        self.layout = Layout()
        """Who is where."""
        self.volumes = Volumes()
        self.version = 0
        """Counts what makes answers about nodes alone stale."""
        self.opened = 0
        """How often a node that is not ready was given to pods that tolerate that."""
        self.usable: frozenset[str] = frozenset()
        """Names of the nodes the cluster knows."""

    def counts(self) -> dict[str, int]:
        """How many nodes are usable and ready, usable and not ready, in a pause, and left out."""
        ready = {n for n in self.usable if self._places[n].facts.ready and n not in self._stale}
        return {
            "ready": len(ready - self._paused),
            "unready": len(self.usable) - len(ready),
            "backoff": len(ready & self._paused),
            "unused": len(self._places) - len(self.usable),
        }

    def pause(self, name: str) -> None:
        """Give the node nothing new."""
        self._paused.add(name)
        self._resize(name)

    def resume(self, name: str) -> None:
        """Its pause is over."""
        self._paused.discard(name)
        self._resize(name)

    def known(self, name: str) -> bool:
        """Whether the API server has such a node."""
        return name in self._places

    @property
    def silent(self) -> frozenset[str]:
        """Nodes that nobody hears of: not ready, unreachable, or with an old Lease."""
        old = self._stale & self._places.keys()
        places = ((name, self._places[name].facts) for name in self._unready)
        return old | {name for name, facts in places if facts.readiness and not facts.cordoned}

    def with_device(self, hardware: str) -> frozenset[str]:
        """Names of the usable nodes that have one."""
        return frozenset(
            name
            for name in self.usable
            if any(d.hardware == hardware for d in self._places[name].node.devices)
        )

    def node(self, name: str) -> Node:
        """A usable node as the cluster sees it."""
        return self._places[name].node

    def set(self, raw: Json) -> bool:
        """A node was added or has changed; whether that changes anything for us."""
        facts = read_node(raw, self._hardware, self.shared_nodes, self._delegates)
        before = self._places.get(facts.name)
        if before is not None and before.facts == facts:
            return False
        if before is None or _health(before.facts) != _health(facts):
            self._open.discard(facts.name)
        self._unready.discard(facts.name)
        if not facts.ready:
            self._unready.add(facts.name)
        self._put(self._place(facts))
        self._report(facts)
        if not facts.problem:
            self.usable |= {facts.name}
        return True

    def _put(self, place: Place) -> None:
        self._places[place.facts.name] = place
        self.changed()
        if not place.facts.problem:
            self._cluster.set_node(place.node)

    def changed(self) -> None:
        """Nothing that was answered holds any more."""
        self.version += 1
        self._admissions.clear()
        self._related.clear()
        self.volumes.asked.clear()

    def set_stale(self, names: frozenset[str]) -> bool:
        """The nodes whose Lease is old; whether that is news."""
        moved, self._stale = [n for n in names ^ self._stale if n in self._places], names
        for name in moved:
            self._put(self._place(self._places[name].facts))
        return bool(moved)

    def open(self, names: frozenset[str]) -> None:
        """A pod that waits tolerates what is wrong with these nodes: from now on the cluster gives them out."""
        closed = self._unready - self._open
        for name in sorted(closed & names) if closed else ():
            self._open.add(name)
            self._put(self._place(self._places[name].facts))
            self.opened += 1

    def remove(self, name: str) -> bool:
        """The node is gone."""
        self.changed()
        self._open.discard(name)
        self._unready.discard(name)
        self._reported.pop(name, None)
        return self._places.pop(name, None) is not None

    def drop_lost(self) -> list[str]:
        """Take nodes that are gone or unusable now from the cluster; the keys of the jobs that were there."""
        gone = [n for n in sorted(self.usable) if n not in self._places or self._places[n].facts.problem]
        self.usable -= set(gone)
        return self._cluster.remove_nodes(gone)

    def together(self) -> AbstractContextManager[None]:
        """The cluster hears of all that is set within it at its end, at once."""
        return self._cluster.together()

    def retell(self) -> None:
        """Tell of each node that cannot be used, as one does who comes after another."""
        for place in self._places.values():
            if place.facts.name in self._reported:
                self._on_problem(place.facts)

    def _report(self, facts: NodeFacts) -> None:
        """Once per problem; a node that nobody dedicated to us has none."""
        told = self._reported.get(facts.name)
        if facts.problem and (facts.dedicated or self.shared_nodes) and told != facts.problem:
            self._reported[facts.name] = facts.problem
            self._on_problem(facts)

    def set_other(self, raw: Json, told: str = "") -> bool:
        """A pod of another scheduler is on a node; whether that changes any room. `told` sets apart by whom."""
        pod = read_pod(raw)
        if pod.phase in FINISHED_PHASES or not pod.node:
            return self.remove_other(pod.uid, told)
        self.layout.set(told + pod.uid, Neighbour(pod.node, pod.relations, pod.deleting))
        # the API server admits no pod whose requests cannot be read; then nothing is known of its size
        return self._hold(told + pod.uid, pod.node, pod.demand.requests)

    def set_nominated(self, raw: Json) -> bool:
        """Another scheduler makes room for a pod of its own on a node; whether that changes any room."""
        uid, node = raw["metadata"]["uid"], (raw.get("status") or {}).get("nominatedNodeName", "")
        if (raw.get("spec") or {}).get("nodeName") or not node:
            return self.remove_nominated(uid)
        return self._hold(_nominated(uid), node, read_pod(raw).demand.requests)

    def remove_nominated(self, uid: str) -> bool:
        """It is bound, gone, or nominated no more."""
        return self._let_go(_nominated(uid))

    def remove_other(self, uid: str, told: str = "") -> bool:
        """That pod is gone or has finished."""
        self.layout.remove(told + uid)
        return self._let_go(told + uid)

    def set_claim(self, raw: Json, gone: bool = False) -> bool:
        """A claim has changed or is gone; whether a pod that waits has asked for it."""
        return self._renewed(self.volumes.remove_claim(raw) if gone else self.volumes.set_claim(raw))

    def set_volume(self, raw: Json, gone: bool = False) -> bool:
        """A volume has changed or is gone; whether a pod that waits has asked for it."""
        return self._renewed(self.volumes.remove_volume(raw) if gone else self.volumes.set_volume(raw))

    def miss_volumes(self, resource: str, why: str) -> bool:
        """Claims or volumes may not be read, or may again; whether that is news."""
        return self._renewed(self.volumes.miss(resource, why))

    def _renewed(self, moved: bool) -> bool:
        if moved:
            self.changed()
        return moved

    def _hold(self, uid: str, node: str, requests: Requests) -> bool:
        if self._others.get(node, {}).get(uid) == requests:
            return False
        moved = self._other_nodes.get(uid, node) != node and self._let_go(uid)
        self._others.setdefault(node, {})[uid] = requests
        self._other_nodes[uid] = node
        return self._resize(node) or moved

    def _let_go(self, uid: str) -> bool:
        node = self._other_nodes.pop(uid, None)
        if node is None:
            return False
        del self._others[node][uid]
        return self._resize(node)

    def _resize(self, name: str) -> bool:
        before = self._places.get(name)
        if before is None:
            return False
        after = self._place(before.facts)
        if after == before:
            return False
        self._put(after)
        return True

    def _place(self, facts: NodeFacts) -> Place:
        others = self._others.get(facts.name, {}).values()
        stale = facts.name in self._stale
        sound = facts.ready or facts.name in self._open
        given = sound and not stale and facts.name not in self._paused
        node = to_node(facts, self._hardware, others, given)
        return Place(facts, node, free_extended(facts, others), stale)

    def unfit(self, hardware: frozenset[str]) -> frozenset[str]:
        """Names of nodes that others use too, with a device of this hardware."""
        if not (self.shared_nodes and hardware):
            return frozenset()
        return frozenset(
            name
            for name in self.usable
            if not (place := self._places[name]).facts.dedicated
            and any(device.hardware in hardware for device in place.node.devices)
        )

    def occupy(self, pod: Pod, node: str) -> None:
        """A pod of ours is on a node, or is taken to be."""
        self.layout.set(
            pod.uid, Neighbour(node, pod.relations, pod.deleting, self._extra(pod.demand.requests))
        )

    def vacate(self, uid: str) -> None:
        """It is not, or not any more."""
        self.layout.remove(uid)

    def _extra(self, requests: Requests) -> tuple[tuple[str, int], ...]:
        """What it asks for that the cluster does not book, as no device is behind it."""
        return tuple((name, amount) for name, amount in requests.extended if name not in self._behind)

    def depends(self, wish: Wish, relations: Relations) -> bool:
        """Whether where other pods are makes a difference to the pod."""
        return bool(relations.any or self._extra(wish.demand.requests) or self.layout.against(relations))

    def admit(self, wish: Wish, relations: Relations = NOBODY) -> Admission:
        """The nodes that admit a pod; equal pods share one answer until a node or who is where changes."""
        if self.layout.missing and relations.selects_namespaces:
            return Admission(frozenset(), (), len(self._places), problem=self.layout.missing)
        answer = self._admissions.get(wish)
        if answer is None:
            answer = self._admissions[wish] = self._admit(wish)
        return self._among_others(answer, wish, relations) if self.depends(wish, relations) else answer

    def _admit(self, wish: Wish) -> Admission:
        volumes, problem = self.volumes.find(wish.demand.claims, wish.demand.delegated)
        if problem:
            return Admission(frozenset(), (), len(self._places), problem=problem)
        return admit(wish, self._places.values(), self._hardware, volumes)

    def _among_others(self, answer: Admission, wish: Wish, relations: Relations) -> Admission:
        if self._related_version != self.layout.version:
            self._related.clear()
            self._related_version = self.layout.version
        found = self._related.get((wish, relations))
        if found is None:
            found = self._related[wish, relations] = answer.without(self._refused(answer, wish, relations))
        return found

    def _refused(self, answer: Admission, wish: Wish, relations: Relations) -> dict[str, str]:
        """Why nodes that would admit the pod do not, as others are there."""
        nodes = {name: place.facts for name, place in self._places.items()}
        view = Neighbourhood(wish.demand, relations, self.layout, nodes)
        extra = self._extra(wish.demand.requests)
        reasons = ((n, self._lacks(extra, n) or view.refusal(nodes[n])) for n in answer.eligible)
        return {name: reason for name, reason in reasons if reason}

    def _lacks(self, extra: tuple[tuple[str, int], ...], node: str) -> str:
        used, free = self.layout.extra(node), self._places[node].extended
        short = (n for n, amount in extra if amount > free.get(n, 0) - used.get(n, 0))
        return next((f"Insufficient {name}" for name in short), "")

    def given(self, admission: Admission) -> frozenset[str] | None:
        """The nodes a job may be told of, None for all: those that are not ready come with the others as long as
        the cluster gives them to nobody, so that a node that comes back changes no job."""
        nodes = admission.eligible - (self._open - admission.nodes) if self._open else admission.eligible
        return None if nodes == self.usable else nodes


def _health(facts: NodeFacts) -> tuple[object, ...]:
    return facts.readiness, facts.cordoned


def _nominated(uid: str) -> str:
    """Of a pod that has a node to come: not yet the pod itself."""
    return f"nominated {uid}"
