"""What does not change while jobs come and go: classes, groups, options and devices of a cluster, with their names.

Names live here, numbers in `ClusterState`. Nodes are ordered by name, classes by name, groups by (class, site), options
by (model, group, configuration), devices by (group, node).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from synergai.envs.noise import ERROR, total_log_sd
from synergai.envs.place import choose_dictionary
from synergai.envs.state import ClusterState, empty_state
from synergai.envs.types import Node, Reach
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileTable

MAX_CLASSES = 62
"""Allowed classes of a job are bits of one signed 64-bit word."""


@dataclass(frozen=True)
class Catalog:
    """Names behind the numbers of a `ClusterState`."""

    table: ProfileTable
    nodes: tuple[Node, ...]
    models: tuple[str, ...]
    classes: tuple[str, ...]
    sites: tuple[str, ...]
    groups: tuple[tuple[int, int], ...]
    """(class, site) of each group."""
    profiles: tuple[Profile, ...]
    """Of each option."""
    devices: tuple[tuple[int, int], ...]
    """(node, class) of each device."""
    node_index: dict[str, int] = field(default_factory=dict)
    device_index: dict[tuple[int, int], int] = field(default_factory=dict)
    """By node and class."""
    model_index: dict[str, int] = field(default_factory=dict)
    class_index: dict[str, int] = field(default_factory=dict)
    site_index: dict[str, int] = field(default_factory=dict)

    def class_mask(self, hardware: frozenset[str] | None) -> int:
        """Bits of the allowed classes; -1 is all, 0 is none that this cluster has."""
        if hardware is None:
            return -1
        return sum(1 << h for h, name in enumerate(self.classes) if name in hardware)

    def admitted(self, reach: Reach) -> list[bool]:
        """Of each device, whether it is among these."""
        nodes, barred = reach
        names = ((self.nodes[n].name, self.classes[h]) for n, h in self.devices)
        return [(nodes is None or name[0] in nodes) and name not in barred for name in names]


def build_catalog(
    table: ProfileTable,
    nodes: Sequence[Node],
    models: Sequence[str] | None = None,
    origins: Sequence[str] = (),
) -> Catalog:
    """Order and number everything. `models` limits the options to those that can arrive; default: all of the table.
    `origins` are sites that send jobs and may have no nodes.

    Raises ValueError for a duplicate node name, a hardware class the table does not know, or too many classes.
    """
    ordered = tuple(sorted(nodes, key=lambda node: node.name))
    names = [node.name for node in ordered]
    if len(set(names)) != len(names):
        raise ValueError(f"two nodes are called {next(n for n in names if names.count(n) > 1)!r}")
    classes = tuple(sorted({device.hardware for node in ordered for device in node.devices}))
    for name in classes:
        if name not in table.hardware:
            raise ValueError(
                f"hardware {name!r} is not in the profile table; known are {', '.join(table.hardware)}"
            )
    if len(classes) > MAX_CLASSES:
        raise ValueError(
            f"{len(classes)} hardware classes in one cluster; at most {MAX_CLASSES} are supported"
        )
    sites = tuple(sorted({node.site for node in ordered} | set(origins))) or ("",)
    placed = sorted(
        (classes.index(device.hardware), sites.index(node.site), n)
        for n, node in enumerate(ordered)
        for device in node.devices
    )
    groups = tuple(sorted({(h, s) for h, s, _ in placed}))
    chosen = tuple(models if models is not None else table.models)
    profiles = tuple(
        profile for model in chosen for h, _ in groups for profile in table.of(model, classes[h])
    )
    return Catalog(
        table=table,
        nodes=ordered,
        models=chosen,
        classes=classes,
        sites=sites,
        groups=groups,
        profiles=profiles,
        devices=tuple((n, h) for h, _, n in placed),
        node_index={name: n for n, name in enumerate(names)},
        device_index={(n, h): d for d, (h, _, n) in reversed(list(enumerate(placed)))},
        model_index={name: m for m, name in enumerate(chosen)},
        class_index={name: h for h, name in enumerate(classes)},
        site_index={name: s for s, name in enumerate(sites)},
    )


def new_state(
    catalog: Catalog, jobs: int, signatures: int = 1, error: float = ERROR, others: int = 0
) -> ClusterState:
    """An empty cluster of this catalog with room for so many queued and so many running jobs, and for others' pods."""
    state = empty_state(
        models=max(len(catalog.models), 1),
        classes=max(len(catalog.classes), 1),
        groups=max(len(catalog.groups), 1),
        options=max(len(catalog.profiles), 1),
        nodes=max(len(catalog.nodes), 1),
        devices=max(len(catalog.devices), 1),
        jobs=jobs,
        signatures=signatures,
        sites=len(catalog.sites),
        spots=max(_spots(catalog), 1),
        others=others,
    )
    _fill_nodes(catalog, state)
    _fill_devices(catalog, state)
    _fill_options(catalog, state, error)
    clock = state.clock[0]
    clock["n_models"], clock["n_classes"] = len(catalog.models), len(catalog.classes)
    clock["n_groups"], clock["n_options"] = len(catalog.groups), len(catalog.profiles)
    clock["n_nodes"], clock["n_devices"] = len(catalog.nodes), len(catalog.devices)
    choose_dictionary(state)
    _fill_advantage(catalog, state)
    return state


def _fill_nodes(catalog: Catalog, state: ClusterState) -> None:
    for n, node in enumerate(catalog.nodes):
        record = state.nodes[n]
        for free, total in (("cpu_free", "cpu_milli"), ("memory_free", "memory_mib"), ("pods_free", "pods")):
            record[total] = record[free] = getattr(node, total)
        record["ready"] = node.ready
        record["site"] = catalog.sites.index(node.site)


def _fill_devices(catalog: Catalog, state: ClusterState) -> None:
    groups = {group: g for g, group in enumerate(catalog.groups)}
    counts = np.zeros(max(len(catalog.groups), 1), np.int64)
    for d, (n, h) in enumerate(catalog.devices):
        node = catalog.nodes[n]
        units = next(device.units for device in node.devices if device.hardware == catalog.classes[h])
        g = groups[h, catalog.sites.index(node.site)]
        state.devices[d] = (n, h, g, units, units, state.nodes[n]["first_device"], 0, 0)
        state.nodes[n]["first_device"] = d
        counts[g] += 1
        state.groups[g]["servers"] += max(units, 1)
        host = max(catalog.table.hardware[catalog.classes[h]].cpu_milli, 1)
        state.classes[h]["capacity"] += units if units > 0 else node.cpu_milli / host
    first = 0
    for g, (h, s) in enumerate(catalog.groups):
        group = state.groups[g]
        group["klass"], group["site"], group["first_device"], group["n_devices"] = h, s, first, counts[g]
        first += counts[g]


def _spots(catalog: Catalog) -> int:
    """Pairs of an option and a device of its group."""
    sites = [catalog.sites.index(node.site) for node in catalog.nodes]
    sizes = Counter((h, sites[n]) for n, h in catalog.devices)
    return sum(
        len(catalog.table.of(model, catalog.classes[h])) * sizes[h, s]
        for model in catalog.models
        for h, s in catalog.groups
    )


def _fill_options(catalog: Catalog, state: ClusterState, error: float) -> None:
    sigma = total_log_sd(error)
    rows = {id(profile): i for i, profile in enumerate(catalog.table.profiles)}
    images: dict[tuple[str, str], int] = {}
    o = spot = 0
    for m, model in enumerate(catalog.models):
        state.models[m]["first_option"] = o
        for g, (h, _) in enumerate(catalog.groups):
            for profile in catalog.table.of(model, catalog.classes[h]):
                record = state.options[o]
                record["model"], record["group"], record["klass"] = m, g, h
                record["profile"] = rows[id(profile)]
                _fill_option(record, profile, catalog.table, model, sigma)
                record["image"] = images.setdefault((profile.hardware, profile.engine), len(images))
                record["first_spot"] = spot
                spot += int(state.groups[g]["n_devices"])
                o += 1
        state.models[m]["n_options"] = o - state.models[m]["first_option"]


def _fill_option(record: np.void, profile: Profile, table: ProfileTable, model: str, sigma: float) -> None:
    record["cpu_milli"], record["memory_mib"] = profile.cpu_milli, profile.memory_mib
    record["units"] = profile.device_units
    record["per_sample_us"] = 1e6 / profile.throughput_sps
    record["per_batch_us"] = 1e3 * profile.latency_ms
    record["batch"] = profile.batch
    record["startup_us"] = 1e6 * profile.startup_cached_s
    record["uncached_us"] = 1e6 * max(profile.startup_image_present_s - profile.startup_cached_s, 0.0)
    record["absent_us"] = 1e6 * max(profile.startup_image_absent_s - profile.startup_cached_s, 0.0)
    record["active_w"] = profile.active_w - profile.idle_w
    record["sigma"] = sigma
    host = max(table.hardware[profile.hardware].cpu_milli, 1)
    record["load"] = profile.device_units if profile.device_units > 0 else profile.cpu_milli / host


def _fill_advantage(catalog: Catalog, state: ClusterState) -> None:
    """Mean over models of log(throughput of the best class / of this class): what `relative speed` is compared with."""
    options = state.options[: len(catalog.profiles)]
    ratios: dict[int, list[float]] = {h: [] for h in range(len(catalog.classes))}
    for m in range(len(catalog.models)):
        mine = options[(options["model"] == m) & (options["dictionary"] == 1)]
        if len(mine) == 0:
            continue
        best = mine["per_sample_us"].min()
        for h in set(mine["klass"].tolist()):
            ratios[h].append(float(np.log(mine["per_sample_us"][mine["klass"] == h].min() / best)))
    for h, values in ratios.items():
        options["advantage"][options["klass"] == h] = float(np.mean(values)) if values else 0.0
