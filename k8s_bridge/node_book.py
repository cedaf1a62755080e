"""All nodes of the API server: which are ours to use, what others use of them, which admit a pod."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

from synergai.envs.cluster import Cluster
from synergai.envs.types import Node
from synergai.k8s_bridge.filters import Admission, Place, Wish, admit
from synergai.k8s_bridge.nodes import NodeFacts, read_node, to_node
from synergai.k8s_bridge.pods import FINISHED_PHASES, Json, Requests, pod_requests
from synergai.k8s_bridge.quantities import QuantityError
from synergai.offline_profiles.profile import Hardware


class NodeBook:
    """Tells the cluster about usable nodes and answers which of them admit a pod."""

    def __init__(
        self,
        cluster: Cluster,
        hardware: Mapping[str, Hardware],
        *,
        shared_nodes: bool = False,
        on_problem: Callable[[NodeFacts], None] = lambda facts: None,
    ) -> None:
        self._cluster = cluster
        self._hardware = hardware
        self._shared_nodes = shared_nodes
        self._on_problem = on_problem
        self._places: dict[str, Place] = {}
        self._others: dict[str, dict[str, Requests]] = {}  # node -> uid -> requests
        self._other_nodes: dict[str, str] = {}  # uid -> node
        self._reported: dict[str, str] = {}  # node -> problem told already
        self._paused: set[str] = set()
        self._admissions: dict[Wish, Admission] = {}
        self.usable: frozenset[str] = frozenset()
        """Names of the nodes the cluster knows."""

    def counts(self) -> dict[str, int]:
        """How many nodes are usable and ready, usable and not ready, in a pause, and left out."""
        ready = {name for name in self.usable if self._places[name].facts.ready}
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

    def node(self, name: str) -> Node:
        """A usable node as the cluster sees it."""
        return self._places[name].node

    def set(self, raw: Json) -> bool:
        """A node was added or has changed; whether that changes anything for us."""
        facts = read_node(raw, self._hardware, self._shared_nodes)
        place = self._place(facts)
        if self._places.get(facts.name) == place:
            return False
        self._places[facts.name] = place
        self._admissions.clear()
        self._report(facts)
        if not facts.problem:
            self._cluster.set_node(place.node)
            self.usable |= {facts.name}
        return True

    def remove(self, name: str) -> bool:
        """The node is gone."""
        self._admissions.clear()
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
        if facts.problem and (facts.dedicated or self._shared_nodes) and told != facts.problem:
            self._reported[facts.name] = facts.problem
            self._on_problem(facts)

    def set_other(self, raw: Json) -> bool:
        """A pod of another scheduler holds room; whether that changes anything."""
        node, uid = raw["spec"].get("nodeName", ""), raw["metadata"]["uid"]
        if raw.get("status", {}).get("phase") in FINISHED_PHASES or not node:
            return self.remove_other(uid)
        try:
            requests = pod_requests(raw["spec"])
        except QuantityError:
            requests = Requests()  # the API server admits no such pod; nothing better is known of its size
        if self._others.get(node, {}).get(uid) == requests:
            return False
        self._others.setdefault(node, {})[uid] = requests
        self._other_nodes[uid] = node
        return self._resize(node)

    def remove_other(self, uid: str) -> bool:
        """That pod is gone or has finished."""
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
        self._places[name] = after
        self._admissions.clear()
        if name in self.usable:
            self._cluster.set_node(after.node)
        return True

    def _place(self, facts: NodeFacts) -> Place:
        node = to_node(facts, self._hardware, self._others.get(facts.name, {}).values())
        return Place(facts, replace(node, ready=False) if facts.name in self._paused else node)

    def unfit(self, hardware: frozenset[str]) -> frozenset[str]:
        """Names of nodes that others use too, with a device of this hardware."""
        if not (self._shared_nodes and hardware):
            return frozenset()
        return frozenset(
            name
            for name in self.usable
            if not (place := self._places[name]).facts.dedicated
            and any(device.hardware in hardware for device in place.node.devices)
        )

    def admit(self, wish: Wish) -> Admission:
        """The nodes that admit a pod; equal wishes share one answer until a node changes."""
        answer = self._admissions.get(wish)
        if answer is None:
            answer = admit(wish, self._places.values(), self._hardware)
            self._admissions[wish] = answer
        return answer
