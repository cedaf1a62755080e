"""Which hardware classes a cluster has, and the node on which each is measured."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.requests import Json
from synergai.k8s_bridge.nodes import NodeFacts, read_node
from synergai.offline_profiles.profile import Hardware


@dataclass(frozen=True, slots=True)
class Place:
    """One hardware class."""

    hardware: str
    node: NodeFacts | None
    """None where it has no node that could run it now."""
    problem: str = ""
    """Why not."""


def places(nodes: Iterable[Json], known: Mapping[str, Hardware]) -> tuple[Place, ...]:
    """By the name of the class: its first node by name that is ready. A class that is not known yet counts too."""
    facts = sorted((read_node(raw, known, shared_nodes=True) for raw in nodes), key=lambda one: one.name)
    names = {
        label.removeprefix(keys.LABEL_HARDWARE_PREFIX)
        for node in facts
        for label in node.labels
        if label.startswith(keys.LABEL_HARDWARE_PREFIX)
    }
    return tuple(_place(name, facts) for name in sorted(names))


def _place(name: str, facts: Iterable[NodeFacts]) -> Place:
    having = [node for node in facts if keys.LABEL_HARDWARE_PREFIX + name in node.labels]
    ready = [node for node in having if node.ready and node.cpu_milli and node.memory_mib]
    if ready:
        return Place(name, ready[0])
    return Place(name, None, f"none of its nodes is ready: {', '.join(node.name for node in having)}")
