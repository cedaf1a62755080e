"""What one policy offers between deadlines and energy as the weight of energy is turned, and what rules offer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from rich.table import Table

from synergai.agents.policies import make_policy
from synergai.envs.candidates import Scratch
from synergai.envs.tape import Setting, make_tape
from synergai.envs.world import Sim
from synergai.training.evaluation import pictures
from synergai.training.evaluation.evaluate import Runner, runners
from synergai.training.evaluation.playing import play_all

WEIGHTS = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
LOADS = ("0.7", "0.9")
_EDF = "synergai:order=edf:hold=off"
RULES = (
    "edf_likely", "edf_feasible", "sjf_feasible", "synergai", "affinity", "slo_mael_greedy",
    "synergai:choice=energy", "synergai:choice=energy:configuration=energy",
    f"{_EDF}:choice=energy", f"{_EDF}:configuration=energy", f"{_EDF}:choice=energy:configuration=energy",
)  # fmt: skip
"""The strongest ones, and SynergAI's rule by slack and by deadline with its switches for energy."""
MARGIN = 1.1
"""By which the corner that areas are measured from lies beyond the worst of both fronts."""
RESAMPLES = 2000
LEVEL = 0.95


class Weighed:
    """A policy with energy weighed so much."""

    def __init__(self, name: str, weight: float) -> None:
        self.name = f"{name}@{weight:g}"
        self.weight = weight
        self.policy = make_policy(name)

    def run(self, sim: Sim, scratch: Scratch) -> None:
        sim.state.clock["energy_weight"] = self.weight
        self.policy.run(sim, scratch)


@dataclass(frozen=True)
class Offers:
    """What schedulers made of the tapes of one setting."""

    scenario: str
    load: float
    names: tuple[str, ...]
    ours: np.ndarray  # (schedulers,) bool
    points: np.ndarray  # (schedulers, tapes, 2): violation rate; energy above idle, J a job

    @property
    def means(self) -> np.ndarray:
        """(schedulers, 2)"""
        return self.points.mean(axis=1)


def offers(
    settings: Sequence[Setting],
    checkpoint: str,
    weights: Sequence[float] = WEIGHTS,
    rules: Sequence[str] = RULES,
    tapes: int = 16,
    arrivals: int | None = None,
) -> list[Offers]:
    """Plays the test tapes 0, 1, ... of every setting. CheckpointError, ValueError: nobody of that name."""
    ours: list[Any] = [Weighed(checkpoint, weight) for weight in weights]
    players: list[Runner] = [*ours, *runners(rules)]
    pairs = [(setting, make_tape(setting, seed, arrivals)) for setting in settings for seed in range(tapes)]
    played = play_all(pairs, players)
    names = tuple(player.name for player in players)
    mine = np.arange(len(players)) < len(ours)
    found = []
    for k, setting in enumerate(settings):
        own = played[k * tapes : (k + 1) * tapes]
        points = [[(m.violation_rate, m.energy_j_per_job) for _, m in tape] for tape in own]
        scenario = setting.scenario
        found.append(Offers(scenario.name, scenario.load, names, mine, np.array(points).swapaxes(0, 1)))
    return found


def hypervolume(points: np.ndarray, corner: np.ndarray) -> float:
    """Share of the box from (0, 0) to the corner in which some point is better in both. points: (n, 2)"""
    area, least = 0.0, float(corner[1])
    for x, y in sorted(map(tuple, points)):
        if x < corner[0] and y < least:
            area += (corner[0] - x) * (least - y)
            least = y
    return float(area / (corner[0] * corner[1]))


def corner_of(offered: Offers) -> np.ndarray:
    """Beyond the worst that either front holds. (2,)"""
    fronts = [
        pictures.front([tuple(p) for p in offered.means[side]]) for side in (offered.ours, ~offered.ours)
    ]
    return MARGIN * np.array([point for front in fronts for point in front]).max(axis=0)


def compare(offered: Offers, seed: int = 0) -> dict[str, Any]:
    """Hypervolumes of both, their ratio, and its bounds over tapes."""
    corner, tapes = corner_of(offered), offered.points.shape[1]

    def volumes(means: np.ndarray) -> tuple[float, float]:
        return hypervolume(means[offered.ours], corner), hypervolume(means[~offered.ours], corner)

    rng = np.random.default_rng([seed, tapes])
    drawn = [volumes(offered.points[:, rng.integers(0, tapes, tapes)].mean(axis=1)) for _ in range(RESAMPLES)]
    logs = np.log([max(a, 1e-12) / max(b, 1e-12) for a, b in drawn])
    mine, rules = volumes(offered.means)
    low, high = np.exp(np.quantile(logs, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    return {
        "scenario": offered.scenario,
        "load": offered.load,
        "tapes": tapes,
        "corner": [float(x) for x in corner],
        "hypervolume": mine,
        "hypervolume_of_rules": rules,
        "ratio": mine / max(rules, 1e-12),
        "ci95": [float(low), float(high)],
        "schedulers": {
            name: {"violation_rate": float(rate), "energy_j_per_job": float(energy)}
            for name, (rate, energy) in zip(offered.names, offered.means)
        },
    }


def as_table(compared: Sequence[dict[str, Any]], checkpoint: str) -> Table:
    """A line per setting, and one for all: their geometric mean."""
    table = Table(title=f"{checkpoint} and the rules, deadlines against energy", title_justify="left")
    table.add_column("setting")
    for name in ("hypervolume", "of the rules", "ratio", "95 % interval"):
        table.add_column(name, justify="right")
    for each in compared:
        low, high = each["ci95"]
        table.add_row(
            f"{each['scenario']}, load {each['load']:g}",
            f"{each['hypervolume']:.3f}",
            f"{each['hypervolume_of_rules']:.3f}",
            f"{each['ratio']:.3f}",
            f"{low:.3f} to {high:.3f}",
        )
    mean = float(np.exp(np.mean(np.log([each["ratio"] for each in compared]))))
    table.add_row("geometric mean", "", "", f"{mean:.3f}", "")
    return table


def draw(found: Sequence[Offers], path: Path) -> None:
    """A panel per setting: the policy as a line over its weights, rules as marks, both fronts as steps."""
    figure, panels = pictures.grid(len(found), 4.3, 3.6)
    names = found[0].names
    rules = [name for name, mine in zip(names, found[0].ours) if not mine]
    styles: dict[str, dict[str, Any]] = {
        name: {
            "color": pictures.RULES[i % len(pictures.RULES)],
            "marker": pictures.MARKERS[1 + i],
            "linestyle": "",
        }
        for i, name in enumerate(rules)
    }
    line: dict[str, Any] = {"color": pictures.OURS[0], "marker": "o", "linewidth": 2.5, "markersize": 6}
    for axes, offered in zip(panels, found):
        means = offered.means * [100.0, 1.0]
        axes.step(
            *zip(*pictures.front([tuple(p) for p in means[~offered.ours]])),
            where="post", color="#b0b7bf", linewidth=1,
        )  # fmt: skip
        axes.plot(*means[offered.ours].T, **line)
        for name, point in zip(rules, means[~offered.ours]):
            axes.plot(*point, **styles[name], markersize=6)
        axes.set_title(f"{offered.scenario}, load {offered.load:g}", loc="left", fontsize=11)
        axes.set_xlim(left=0)
    pictures.label_below(panels, "jobs that missed their deadline, %")
    figure.supylabel("energy above idle, J a job", fontsize=10)
    label = f"{names[0].split('@')[0]}, energy weight {', '.join(n.split('@')[1] for n in names if '@' in n)}"
    handles = [Line2D([], [], label=label, **line)]
    handles += [Line2D([], [], label=name, **styles[name]) for name in rules]
    pictures.finish(figure, handles, path, columns=2)
