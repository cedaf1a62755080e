"""Where the pods of an InferenceJob may go: each runtime has pods of its own for a hardware class, with constraints of
their own. A device is admitted where all are that a job may run on it: the scheduler knows devices, not pods."""

from collections.abc import Iterable

from synergai.envs.types import Reach
from synergai.k8s_bridge.admission.filters import Admission, Wish
from synergai.k8s_bridge.inference.offers import Choice, Offer
from synergai.k8s_bridge.node_book import NodeBook

Devices = frozenset[tuple[str, str]]
"""(node, hardware)."""


class Choices:
    """Answers for offers, kept until the nodes change, or who is where changes for one that cares."""

    def __init__(self, nodes: NodeBook) -> None:
        self._nodes = nodes
        self._admissions: dict[Offer, tuple[object, Admission]] = {}
        self._reaches: dict[Offer, tuple[object, Reach]] = {}

    def depends(self, offer: Offer) -> bool:
        """Whether where other pods are makes a difference."""
        return any(self._nodes.depends(choice.wish, choice.relations) for choice in offer.choices)

    def admit(self, offer: Offer) -> Admission:
        """The nodes that admit one of its pods."""
        at, known = self._at(offer), self._admissions.get(offer)
        if known is None or known[0] != at:
            self._trim()
            known = self._admissions[offer] = (at, self._admit(offer))
        return known[1]

    def reach(self, offer: Offer, avoid: Devices = frozenset()) -> Reach:
        """Nodes and devices for a scheduler, hardware aside; without what is to be avoided, unless that is all."""
        at, known = self._at(offer), self._reaches.get(offer)
        if known is None or known[0] != at:
            known = self._reaches[offer] = (at, self._reach(offer))
        nodes, barred = known[1]
        return (nodes, barred | avoid) if avoid and self._left(offer, avoid) else (nodes, barred)

    def _at(self, offer: Offer) -> object:
        layout = self._nodes.layout.version if self.depends(offer) else 0
        return self._nodes.version, layout

    def _trim(self) -> None:
        """Offers that nobody makes any more are not kept for ever."""
        if len(self._admissions) > 1024:
            self._admissions.clear()
            self._reaches.clear()

    def _admit(self, offer: Offer) -> Admission:
        kinds = [(c.hardware, self._nodes.admit(c.wish, c.relations)) for c in offer.choices]
        if len(kinds) == 1:
            return kinds[0][1]
        nodes, eligible = (
            frozenset[str]().union(
                *_all_of((hardware, part(admission)) for hardware, admission in kinds).values()
            )
            for part in (lambda admission: admission.nodes, lambda admission: admission.eligible)
        )
        why = "; ".join(f"for {hardware}, {admission.explain()}" for hardware, admission in kinds)
        return Admission(nodes, (), kinds[0][1].total, eligible, "" if nodes else why.rstrip("."))

    def _reach(self, offer: Offer) -> Reach:
        given = [(c.hardware, self._given(Wish(c.wish.demand), c)) for c in offer.choices]
        if len({nodes for _, nodes in given}) == 1:
            return given[0][1], frozenset()
        usable = self._nodes.usable
        admitted = _all_of((hardware, usable if nodes is None else nodes) for hardware, nodes in given)
        having = {hardware: self._nodes.with_device(hardware) for hardware in admitted}
        nodes = frozenset(n for hardware, there in having.items() for n in there & admitted[hardware])
        barred = ((n, h) for h, there in having.items() for n in (there & nodes) - admitted[h])
        return nodes, frozenset(barred)

    def _given(self, wish: Wish, choice: Choice) -> frozenset[str] | None:
        admission = self._nodes.admit(wish, choice.relations)
        self._nodes.open(admission.nodes)
        return self._nodes.given(admission)

    def _left(self, offer: Offer, avoid: Devices) -> bool:
        """Whether any device is left that admits it."""
        kinds = _all_of((c.hardware, self._nodes.admit(c.wish, c.relations).nodes) for c in offer.choices)
        return any((name, hardware) not in avoid for hardware, nodes in kinds.items() for name in nodes)


def _all_of(kinds: Iterable[tuple[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    """By hardware, the nodes that are in each set."""
    found: dict[str, frozenset[str]] = {}
    for hardware, nodes in kinds:
        found[hardware] = found.get(hardware, nodes) & nodes
    return found
