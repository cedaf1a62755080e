"""Scenarios to measure on: shipped ones at any load, and clusters of any number of nodes of their kinds."""

from synergai.envs import scenario as scenarios
from synergai.envs.scenario import Scenario
from synergai.envs.tape import Setting, setting_of
from synergai.offline_profiles.table import ProfileTable

MOST_DEVICES = 64
"""Of a kind that a scenario's node can have."""


def setting_at(scenario: str, load: float | None) -> Setting:
    """A scenario at a load, or at its own."""
    loaded = scenarios.load(scenario)
    return setting_of(loaded if load is None else loaded.model_copy(update={"load": load}))


def resized(scenario: Scenario, nodes: int, prefix: str = "") -> Scenario:
    """The scenario with so many nodes, its kinds of machines in turn; names begin with `prefix`."""
    kinds = scenario.machines
    counts = [len(range(k, nodes, len(kinds))) for k in range(len(kinds))]
    machines = [
        kind.model_copy(update={"count": count, "name": prefix + kind.name})
        for kind, count in zip(kinds, counts)
        if count
    ]
    return scenario.model_copy(update={"machines": machines})


def enlarged(scenario: Scenario, factor: int) -> Scenario:
    """The scenario with nodes that hold `factor` times as much: devices (at most 64 of a kind), cores, memory, pods."""
    table = ProfileTable.default()
    by_name = {node.name: node for node in scenario.nodes(table)}
    machines = []
    for kind in scenario.machines:
        node = by_name[f"{kind.name}-0"]
        devices = {
            name: min(count * factor, MOST_DEVICES) if table.hardware[name].resource else count
            for name, count in kind.hardware.items()
        }
        sizes = {"cpu_milli": node.cpu_milli * factor, "memory_mib": node.memory_mib * factor}
        machines.append(kind.model_copy(update={"hardware": devices, "pods": kind.pods * factor, **sizes}))
    return scenario.model_copy(update={"machines": machines})
