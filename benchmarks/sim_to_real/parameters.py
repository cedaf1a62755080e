"""What the simulator must know of a cluster beside its profiles, measured on one recording to predict others."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import exp, log
from pathlib import Path

import numpy as np

from synergai.benchmarks.sim_to_real.stages import Stages
from synergai.envs.noise import RUN_SD
from synergai.offline_profiles.table import ProfileTable

FEWEST = 3
"""Runs of one option or hardware class that are believed; with fewer, what is known of more is."""
ALL = "all"
GAPS_S = np.arange(0.0, 4.0, 0.05)


@dataclass(frozen=True)
class Parameters:
    """All zero or one: the simulator as it comes."""

    pod_start_s: float = 0.0
    """From the decision to the runner's first instant, on a node where nothing else starts."""
    start_gap_s: float = 0.0
    """Between the starts of two pods of one node."""
    release_s: float = 0.0
    """From the answer until the room is free again for the bridge."""
    startup_s: float = 0.0
    """Start-up beyond that of the profile: what the runner does that the profiler does not."""
    startups_s: dict[str, float] = field(default_factory=dict)
    """The same by `hardware` and by `hardware/model/configuration`, where enough was seen."""
    compute: float = 1.0
    """Compute over that of the profile, geometric mean."""
    computes: dict[str, float] = field(default_factory=dict)
    """The same by `hardware` and by `hardware/model/configuration`, where enough was seen."""
    run_sd: float = 0.0
    """Log-sd of compute from one run of a configuration to the next."""
    slowdown: float = 0.0
    """`co_tenant_slowdown`: measured apart, by `synergai profile neighbours`."""

    @property
    def level(self) -> float:
        """Of the simulator's noise, which knows one number for all that differs from run to run."""
        return self.run_sd / RUN_SD

    def startup_of(self, hardware: str, model: str, configuration: str) -> float:
        """Of an option, else of its hardware, else of all."""
        return self.startups_s.get(
            _option(hardware, model, configuration), self.startups_s.get(hardware, self.startup_s)
        )

    def compute_of(self, hardware: str, model: str, configuration: str) -> float:
        """The same."""
        return self.computes.get(
            _option(hardware, model, configuration), self.computes.get(hardware, self.compute)
        )

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def measure(stages: Sequence[Stages], table: ProfileTable, slowdown: float = 0.0) -> Parameters:
    """From what jobs went through."""
    pod_start_s, gap_s = _starts(stages)
    startups, computes = defaultdict[str, list[float]](list), defaultdict[str, list[float]](list)
    for run in stages:
        profile = table.find(run.model, run.hardware, run.configuration)
        for name in (ALL, run.hardware, _option(run.hardware, run.model, run.configuration)):
            startups[name].append(run.startup_s - profile.startup_cached_s)
            computes[name].append(log(run.compute_s / profile.run_time_s(run.samples)))
    extra_s = {name: float(np.mean(found)) for name, found in _believed(startups)}
    ratio = {name: exp(np.mean(found)) for name, found in _believed(computes)}
    return Parameters(
        pod_start_s=pod_start_s,
        start_gap_s=gap_s,
        release_s=float(np.mean([run.release_s for run in stages])),
        startup_s=extra_s.pop(ALL),
        startups_s=extra_s,
        compute=ratio.pop(ALL),
        computes=ratio,
        run_sd=_within([found for name, found in computes.items() if "/" in name]),
        slowdown=slowdown,
    )


def _option(hardware: str, model: str, configuration: str) -> str:
    return f"{hardware}/{model}/{configuration}"


def _believed(groups: Mapping[str, list[float]]) -> Iterable[tuple[str, list[float]]]:
    """Those with enough in them, and all together."""
    return ((name, found) for name, found in groups.items() if name == ALL or len(found) >= FEWEST)


def _within(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation around each group's mean, pooled; 0 where no group has two."""
    squares = sum(float(np.sum((np.array(group) - np.mean(group)) ** 2)) for group in groups)
    freedom = sum(len(group) - 1 for group in groups)
    return (squares / freedom) ** 0.5 if freedom > 0 else 0.0


def _starts(stages: Sequence[Stages]) -> tuple[float, float]:
    """Pod start and gap that leave the least absolute error over all starts, node by node in the order of decisions, as
    the simulator counts them."""
    nodes = defaultdict[str, list[Stages]](list)
    for run in sorted(stages, key=lambda run: run.decided_us):
        nodes[run.node].append(run)
    best = (float("inf"), 0.0, 0.0)
    for gap_s in GAPS_S:
        left = [waited for runs in nodes.values() for waited in _without_gap(runs, float(gap_s))]
        pod_start_s = float(np.mean(left))
        error = float(np.sum(np.abs(np.array(left) - np.median(left))))
        best = min(best, (error, pod_start_s, float(gap_s)))
    return max(best[1], 0.0), best[2]


def _without_gap(runs: Sequence[Stages], gap_s: float) -> list[float]:
    """Each start without what it waited for those before it."""
    next_s, left = float("-inf"), []
    for run in runs:
        at_s = run.decided_us * 1e-6
        left.append(run.pod_start_s - max(next_s - at_s, 0.0))
        next_s = max(next_s, at_s) + gap_s
    return left
