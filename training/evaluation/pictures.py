"""A summary as pictures: violations over load, and paired gains."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from synergai.training.evaluation.report import label
from synergai.training.evaluation.summary import VERDICTS, severity_of

matplotlib.use("Agg")

# Okabe and Ito's colours, which people with any colour vision can tell apart: https://jfly.uni-koeln.de/color/
OURS = ("#d55e00", "#cc79a7", "#e69f00")
RULES = ("#0072b2", "#009e73", "#56b4e9", "#000000", "#7f7f7f", "#b8a100")
MARKERS = "osD^vPX*<>hp"
MARKS = {"failed": ("X", "#d55e00"), "undecided": ("D", "#7f7f7f"), "passed": ("o", "#0072b2")}
ACROSS = 3
"""Panels in a row."""
RIVALS = 2
"""Rules of a panel that have a band."""


def draw_rates(summary: dict[str, Any], checkpoints: tuple[str, ...], path: Path) -> None:
    """A panel per scenario: violation rate over load, with bands where they do not hide each other."""
    from matplotlib import pyplot as plt

    scenarios = list(dict.fromkeys(cell["scenario"] for cell in summary["cells"]))
    names = sorted(summary["cells"][0]["schedulers"], key=lambda name: (name not in checkpoints, name))
    styles = _styles(names, checkpoints)
    figure, panels = plt.subplots(
        1, len(scenarios), figsize=(max(4.3 * len(scenarios), 6.5), 4.6), layout="constrained", squeeze=False
    )
    for axes, scenario in zip(panels[0], scenarios):
        cells = sorted(
            (cell for cell in summary["cells"] if cell["scenario"] == scenario), key=lambda cell: cell["load"]
        )
        banded = {*checkpoints, *_strongest(cells, checkpoints)}
        for name in reversed(names):
            axes.plot(*_rates(cells, name), **styles[name])
            if name in banded:
                _band(axes, cells, name, styles[name]["color"], 0.22 if name in checkpoints else 0.12)
        axes.set_title(scenario, loc="left", fontsize=11)
        axes.set_xlabel("load (1 is the most the cluster can sustain)")
        axes.set_xticks(sorted({cell["load"] for cell in cells}))
        axes.set_ylim(bottom=0)
        _bare(axes)
    panels[0][0].set_ylabel("jobs that missed their deadline, %")
    handles = [Line2D([], [], label=label(name), **styles[name]) for name in names]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(names), 6),
        frameon=False,
        title=f"bands: 95 % intervals, of checkpoints and of the {RIVALS} rules with the fewest violations",
        title_fontsize=9,
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _styles(names: list[str], checkpoints: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """A line for each, the same in every panel; checkpoints' are thick and lie on top."""
    styles: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(checkpoints):
        styles[name] = {"color": OURS[i % len(OURS)], "marker": MARKERS[i % len(MARKERS)], "linestyle": "-",
                        "linewidth": 3.0, "markersize": 8, "zorder": 4}  # fmt: skip
    for i, name in enumerate(name for name in names if name not in checkpoints):
        dashes = ("-", "--", ":")[i // len(RULES) % 3]
        styles[name] = {"color": RULES[i % len(RULES)], "marker": MARKERS[i % len(MARKERS)], "linestyle": dashes,
                        "linewidth": 1.2, "markersize": 5, "zorder": 3}  # fmt: skip
    return styles


def _rates(cells: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Loads, and violation rates in percent."""
    return [cell["load"] for cell in cells], [
        100 * cell["schedulers"][name]["violation_rate"] for cell in cells
    ]


def _strongest(cells: list[dict[str, Any]], checkpoints: tuple[str, ...]) -> list[str]:
    """The rules of the fewest violations over all loads."""
    rules = [name for name in cells[0]["schedulers"] if name not in checkpoints]
    return sorted(rules, key=lambda name: sum(_rates(cells, name)[1]))[:RIVALS]


def _band(axes: Axes, cells: list[dict[str, Any]], name: str, colour: str, alpha: float) -> None:
    low, high = ([100 * cell["schedulers"][name]["ci95"][side] for cell in cells] for side in (0, 1))
    axes.fill_between(_rates(cells, name)[0], low, high, color=colour, alpha=alpha, linewidth=0)


def draw_gains(summary: dict[str, Any], path: Path) -> None:
    """A panel per cell and checkpoint, the worst cells first: paired gain over every rule with its interval."""
    from matplotlib import pyplot as plt

    pairs = [(cell, ours) for cell in summary["cells"] for ours in cell["verdicts"]]
    pairs.sort(key=lambda pair: _severity(*pair))
    rules = sum("against" in entry for entry in pairs[0][0]["schedulers"].values())
    across = min(ACROSS, len(pairs))
    down = -(-len(pairs) // across)
    figure, panels = plt.subplots(
        down,
        across,
        figsize=(max(4.4 * across, 6.5), down * (0.24 * rules + 1.0) + 0.7),
        layout="constrained",
        squeeze=False,
    )
    several = len({ours for _, ours in pairs}) > 1
    for axes, (cell, ours) in zip(panels.flat, pairs):
        _forest(axes, cell, ours, several)
    for axes in panels.flat[len(pairs) :]:
        axes.axis("off")
    for axes in panels[-1]:
        axes.set_xlabel("fewer violations than the rule, points")
    handles = [
        Line2D([], [], linestyle="", marker=MARKS[v][0], color=MARKS[v][1], label=v) for v in VERDICTS[::-1]
    ]
    handles.append(
        Line2D([], [], linestyle="", marker="|", color="#30363d", markersize=11, label="still counts as no worse")
    )  # fmt: skip
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _severity(cell: dict[str, Any], ours: str) -> tuple[int, float]:
    entries = [entry["against"][ours] for entry in cell["schedulers"].values() if "against" in entry]
    return min(severity_of(entry["no_worse"]["violation_rate"]) for entry in entries)


def _forest(axes: Axes, cell: dict[str, Any], ours: str, several: bool) -> None:
    """Rules from the smallest gain on top to the largest."""
    entries = {
        rule: entry["against"][ours] for rule, entry in cell["schedulers"].items() if "against" in entry
    }
    rules = sorted(entries, key=lambda rule: -entries[rule]["gain"])
    axes.axvline(0.0, color="#30363d", linewidth=0.9)
    for y, rule in enumerate(rules):
        entry = entries[rule]
        marker, colour = MARKS[entry["verdict"]]
        axes.plot([100 * side for side in entry["ci95"]], [y, y], color=colour, linewidth=2)
        axes.plot(100 * entry["gain"], y, marker=marker, color=colour, markersize=6)
        least = -100 * entry["no_worse"]["violation_rate"]["delta"]
        axes.plot(least, y, marker="|", color="#30363d", markersize=9)
    axes.set_yticks(range(len(rules)), rules, fontsize=8)
    axes.set_ylim(-0.7, len(rules) - 0.3)
    title = f"{cell['scenario']}, load {cell['load']:g}"
    axes.set_title(f"{label(ours)}: {title}" if several else title, loc="left", fontsize=10)
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e3e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
