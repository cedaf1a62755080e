"""What goes on in a cluster beside the jobs, fixed with the tape: nodes that die and come back, nodes that are closed
and opened, pods of other schedulers."""

import numpy as np

from synergai.envs.catalog import Catalog
from synergai.envs.scenario import Scenario
from synergai.envs.state import NEVER_US

DIES, NOTICED, CLOSES, OPENS, BACK = range(5)
"""A node dies with all that runs there; the scheduler learns of it; it takes no new jobs; it takes them again; it is
back after it died. In this order at one instant."""

CHANGE = np.dtype([("at_us", "i8"), ("node", "i4"), ("kind", "i4")], align=True)
POD = np.dtype(
    [("at_us", "i8"), ("end_us", "i8"), ("cpu_milli", "i8"), ("memory_mib", "i8"), ("node", "i4")], align=True
)
HOUR_S = 3600.0


def room_for(mean: float) -> int:
    """Places for a Poisson number of this mean, so that tapes of one scenario have arrays of one length."""
    return int(np.ceil(mean + 6.0 * np.sqrt(mean) + 8.0))


def node_changes(scenario: Scenario, catalog: Catalog, seed: int, span_s: float) -> np.ndarray:
    """What becomes of the nodes within the span, by time; unused places are never due. (places,) CHANGE"""
    found = [
        (
            int(change.at_s * 1e6),
            catalog.node_index[change.node],
            CLOSES if change.becomes == "closed" else OPENS,
        )
        for change in scenario.world.changes
    ]
    places = len(found)
    failures = scenario.world.failures
    if failures is not None and failures.per_node_hour > 0.0:
        rate = failures.per_node_hour / HOUR_S
        room = room_for(rate * span_s * len(catalog.nodes))
        places += 3 * room
        deaths = _deaths(catalog, seed, span_s, rate, failures.repair_s, failures.unnoticed_s)
        for at_s, back_s, n in deaths[:room]:
            noticed_s = at_s + failures.unnoticed_s
            found += [
                (int(at_s * 1e6), n, DIES),
                (int(noticed_s * 1e6), n, NOTICED),
                (int(back_s * 1e6), n, BACK),
            ]
    changes = np.zeros(places, CHANGE)
    changes["at_us"] = NEVER_US
    for i, change in enumerate(sorted(found, key=lambda c: (c[0], c[2], c[1]))):
        changes[i] = change
    return changes


def _deaths(
    catalog: Catalog, seed: int, span_s: float, rate: float, repair_s: float, unnoticed_s: float
) -> list[tuple[float, float, int]]:
    """When which node dies and is back, by time; it is not back before anybody noticed."""
    found = []
    for n in range(len(catalog.nodes)):
        rng = np.random.default_rng([seed, 0xDEAD, n])
        at_s = rng.exponential(1.0 / rate)
        while at_s < span_s:
            back_s = at_s + max(rng.exponential(repair_s), unnoticed_s)
            found.append((at_s, back_s, n))
            at_s = back_s + rng.exponential(1.0 / rate)
    return sorted(found)


def background_pods(scenario: Scenario, catalog: Catalog, seed: int, span_s: float) -> np.ndarray:
    """Pods of other schedulers within the span, by time; unused places are never due. (places,) POD"""
    background = scenario.world.background
    if background is None:
        return np.zeros(0, POD)
    mean = background.per_node / background.lasts_s * span_s * len(catalog.nodes)
    pods = np.zeros(room_for(mean), POD)
    pods["at_us"] = NEVER_US
    rng = np.random.default_rng([seed, 0xB6])
    n = min(int(rng.poisson(mean)), len(pods))
    at_us = np.sort(rng.integers(0, int(span_s * 1e6), n))
    lasts_us = np.ceil(1e6 * rng.exponential(background.lasts_s, n)).astype(np.int64)
    pods["at_us"][:n], pods["end_us"][:n] = at_us, at_us + np.maximum(lasts_us, 1)
    pods["cpu_milli"][:n], pods["memory_mib"][:n] = background.cpu_milli, background.memory_mib
    pods["node"][:n] = rng.integers(0, len(catalog.nodes), n)
    return pods
