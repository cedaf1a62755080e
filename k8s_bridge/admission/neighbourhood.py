"""Which nodes a pod may go to as far as other pods are concerned, in kube-scheduler's words.

https://github.com/kubernetes/kubernetes/tree/v1.36.3/pkg/scheduler/framework/plugins
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from synergai.k8s_bridge.admission.layout import Layout
from synergai.k8s_bridge.admission.relations import Crowd, Relations, Spread
from synergai.k8s_bridge.admission.selectors import LabelSelector
from synergai.k8s_bridge.admission.taints import untolerated
from synergai.k8s_bridge.nodes import NodeFacts
from synergai.k8s_bridge.pods import Demand

Check = Callable[[NodeFacts], str]
PORTS = "node(s) didn't have free ports for the requested pod ports"
TOGETHER = "node(s) didn't match pod affinity rules"
APART = "node(s) didn't match pod anti-affinity rules"
OTHERS_APART = "node(s) didn't satisfy existing pods anti-affinity rules"
SPREAD = "node(s) didn't match pod topology spread constraints"
SPREAD_LABEL = "node(s) didn't match pod topology spread constraints (missing required label)"


class Neighbourhood:
    """One pod's view of the layout, as it is when this is made."""

    def __init__(
        self, demand: Demand, relations: Relations, layout: Layout, nodes: Mapping[str, NodeFacts]
    ) -> None:
        """`nodes` are all that there are, usable or not: their labels make the places."""
        self._demand = demand
        self._relations = relations
        self._layout = layout
        self._nodes = nodes
        self._checks: list[Check] = []
        if relations.ports:
            self._checks.append(self._ports)
        if relations.spread:
            self._checks += self._spreads()
        if relations.together:
            self._checks.append(self._together())
        self._checks += [self._blocked(where, APART) for where in self._apart()]
        against = layout.against(relations)
        self._checks += [self._blocked(self._places(*term), OTHERS_APART) for term in against]

    def refusal(self, node: NodeFacts) -> str:
        """Why the pod may not go there; empty when it may."""
        return next((reason for check in self._checks if (reason := check(node))), "")

    def _ports(self, node: NodeFacts) -> str:
        taken = self._layout.ports(node.name)
        conflict = any(port.conflicts(other) for port in self._relations.ports for other in taken)
        return PORTS if conflict else ""

    def _places(self, topology: str, counts: Mapping[str, int]) -> set[tuple[str, str]]:
        """Where pods are: the label, and its values at their nodes."""
        labels = (self._nodes[name].labels for name in counts if name in self._nodes)
        return {(topology, found[topology]) for found in labels if topology in found}

    def _apart(self) -> list[set[tuple[str, str]]]:
        terms = self._relations.apart
        return [self._places(term.topology, self._layout.count(_asked(term.crowd))) for term in terms]

    @staticmethod
    def _blocked(places: set[tuple[str, str]], reason: str) -> Check:
        topologies = {topology for topology, _ in places}
        return lambda node: reason if any((t, node.labels.get(t)) in places for t in topologies) else ""

    def _together(self) -> Check:
        """A pod counts when it is in the crowds of all terms; the first of a series is let in anywhere."""
        terms = self._relations.together
        crowds = tuple(_asked(term.crowd) for term in terms)
        counts = self._layout.count(*crowds)
        places = set[tuple[str, str]]().union(*(self._places(term.topology, counts) for term in terms))
        is_first = not places and self._layout.belongs(self._relations, crowds)

        def check(node: NodeFacts) -> str:
            if any(term.topology not in node.labels for term in terms):
                return TOGETHER
            near = all((term.topology, node.labels[term.topology]) in places for term in terms)
            return "" if near or is_first else TOGETHER

        return check

    def _spreads(self) -> Iterable[Check]:
        constraints = self._relations.spread
        all_labels = [constraint.topology for constraint in constraints]
        counting = [n for n in self._nodes.values() if all(label in n.labels for label in all_labels)]
        return [self._spread(constraint, counting) for constraint in constraints]

    def _spread(self, constraint: Spread, counting: Iterable[NodeFacts]) -> Check:
        selector = constraint.crowd.selector
        # kube-scheduler counts nobody for an empty selector, though it would match everybody
        nobody = selector is None or not selector.requirements
        counts = {} if nobody else self._layout.count(constraint.crowd, leaving=False)
        places: Counter[str] = Counter()
        for node in counting:
            if self._includes(constraint, node):
                places[node.labels[constraint.topology]] += counts.get(node.name, 0)
        least = min(places.values(), default=0) if len(places) >= constraint.min_domains else 0
        own = self._layout.belongs(self._relations, (constraint.crowd,))

        def check(node: NodeFacts) -> str:
            if constraint.topology not in node.labels:
                return SPREAD_LABEL
            skew = places[node.labels[constraint.topology]] + own - least
            return SPREAD if skew > constraint.max_skew else ""

        return check

    def _includes(self, constraint: Spread, node: NodeFacts) -> bool:
        """Whether the constraint counts this node at all."""
        if constraint.honor_affinity and not self._demand.selects(node.name, node.labels):
            return False
        taints = node.blocking_taints if constraint.honor_taints else ()
        return not untolerated(taints, self._demand.tolerations)


def _asked(crowd: Crowd) -> Crowd:
    """As kube-scheduler reads the terms of the pod that is to be placed: a namespace selector that holds for no labels
    at all (NotIn, DoesNotExist) is every namespace.

    https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/scheduler/framework/plugins/interpodaffinity/plugin.go#L144
    """
    selector = crowd.namespace_selector
    return replace(crowd, namespace_selector=LabelSelector()) if selector and selector.matches({}) else crowd
