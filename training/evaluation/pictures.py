"""A summary as pictures: violations over load, lateness, energy, and paired gains."""

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from synergai.envs.metrics import LATE_BY_S
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
DPI = 120
NEAR = 0.9
"""The load of pictures that show one."""
RIVALS = 2
"""Rules of a panel that have a band."""


def draw_rates(summary: dict[str, Any], policies: tuple[str, ...], path: Path | BytesIO) -> None:
    """A panel per scenario: violation rate over load, with bands where they do not hide each other."""
    by_scenario = cells_by_scenario(summary)
    names = schedulers_of(summary, policies)
    styles = _styles(names, policies)
    figure, panels = grid(len(by_scenario), 4.3, 3.6)
    for axes, (scenario, cells) in zip(panels, by_scenario.items()):
        banded = {*policies, *_strongest(cells, policies)}
        for name in reversed(names):
            played = [cell for cell in cells if name in cell["schedulers"]]
            axes.plot(*_rates(played, name), **styles[name])
            if name in banded:
                _band(axes, played, name, styles[name]["color"], 0.22 if name in policies else 0.12)
        axes.set_title(scenario, loc="left", fontsize=11)
        axes.set_xticks(sorted({cell["load"] for cell in cells}))
        axes.set_ylim(bottom=0)
    label_below(panels, "load (1 is the most the cluster can sustain)")
    figure.supylabel("jobs that missed their deadline, %", fontsize=10)
    finish(
        figure,
        [Line2D([], [], label=label(name), **styles[name]) for name in names],
        path,
        f"bands: 95 % intervals, of policies and of the {RIVALS} rules with the fewest violations",
    )


def draw_lateness(summary: dict[str, Any], policies: tuple[str, ...], path: Path | BytesIO) -> None:
    """A panel per scenario, at the load nearest to NEAR: the share of jobs that are late by more than so much."""
    names = schedulers_of(summary, policies)
    styles = {name: {**style, "marker": ""} for name, style in _styles(names, policies).items()}
    figure, panels, cells = _near_one_load(summary)
    for axes, cell in zip(panels, cells):
        for name in reversed([name for name in names if name in cell["schedulers"]]):
            entry = cell["schedulers"][name]
            late = [entry[f"late_{limit_s}_s"] for limit_s in LATE_BY_S]
            axes.plot(LATE_BY_S, [100 * share for share in late], **styles[name])
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=0.1)
        axes.set_ylim(bottom=0)
    label_below(panels, "late by more than so many seconds")
    figure.supylabel("jobs, %", fontsize=10)
    finish(figure, [Line2D([], [], label=label(name), **styles[name]) for name in names], path)


def draw_energy(summary: dict[str, Any], policies: tuple[str, ...], path: Path | BytesIO) -> None:
    """A panel per scenario, at the load nearest to NEAR: energy against violations; nobody is better in both than those
    on the line."""
    names = schedulers_of(summary, policies)
    styles = {name: {**style, "linestyle": ""} for name, style in _styles(names, policies).items()}
    figure, panels, cells = _near_one_load(summary)
    for axes, cell in zip(panels, cells):
        points = {
            name: (100 * entry["violation_rate"], entry["energy_j_per_job"])
            for name, entry in cell["schedulers"].items()
        }
        axes.step(*zip(*front(list(points.values()))), where="post", color="#b0b7bf", linewidth=1)
        for name in reversed([name for name in names if name in points]):
            axes.plot(*points[name], **styles[name])
        axes.set_xlim(left=0)
    label_below(panels, "jobs that missed their deadline, %")
    figure.supylabel("energy above idle, J a job", fontsize=10)
    finish(figure, [Line2D([], [], label=label(name), **styles[name]) for name in names], path)


def front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those that no other is at least as good as in both, in order."""
    return sorted(p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points))


def cells_by_scenario(summary: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Cells in order of load."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in sorted(summary["cells"], key=lambda cell: cell["load"]):
        found.setdefault(cell["scenario"], []).append(cell)
    order = dict.fromkeys(cell["scenario"] for cell in summary["cells"])
    return {scenario: found[scenario] for scenario in order}


def nearest(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """The cell whose load is nearest to NEAR."""
    return min(cells, key=lambda cell: abs(cell["load"] - NEAR))


def schedulers_of(summary: dict[str, Any], policies: tuple[str, ...]) -> list[str]:
    """Everybody who plays anywhere, policies first."""
    found = {name for cell in summary["cells"] for name in cell["schedulers"]}
    return [*(name for name in policies if name in found), *sorted(found - {*policies})]


def grid(count: int, wide: float, high: float) -> tuple[Any, list[Axes]]:
    """A figure with so many panels, and no more."""
    from matplotlib import pyplot as plt

    across = min(count, ACROSS)
    down = -(-count // across)
    figure, panels = plt.subplots(
        down,
        across,
        figsize=(max(wide * across, 6.5), high * down + 1.0),
        layout="constrained",
        squeeze=False,
    )
    for axes in panels.flat[count:]:
        axes.axis("off")
    for axes in panels.flat[:count]:
        _bare(axes)
    return figure, list(panels.flat[:count])


def _near_one_load(summary: dict[str, Any]) -> tuple[Any, list[Axes], list[dict[str, Any]]]:
    """A figure with a panel for each scenario, and its cell there: the one whose load is nearest to NEAR."""
    cells = [nearest(cells) for cells in cells_by_scenario(summary).values()]
    figure, panels = grid(len(cells), 4.3, 3.4)
    for axes, cell in zip(panels, cells):
        axes.set_title(f"{cell['scenario']}, load {cell['load']:g}", loc="left", fontsize=11)
    return figure, panels, cells


def label_below(panels: list[Axes], text: str) -> None:
    """Under the panels that have none below them."""
    for axes in panels[-ACROSS:]:
        axes.set_xlabel(text)


def finish(
    figure: Any, handles: list[Line2D], path: Path | BytesIO, title: str = "", columns: int = 6
) -> None:
    """Legend below, and into the file."""
    from matplotlib import pyplot as plt

    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), columns),
        frameon=False,
        title=title or None,
        title_fontsize=9,
    )
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _styles(names: list[str], policies: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """A line for each, the same in every panel; policies' are thick and lie on top."""
    styles: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(policies):
        styles[name] = {"color": OURS[i % len(OURS)], "marker": MARKERS[i % len(MARKERS)], "linestyle": "-",
                        "linewidth": 3.0, "markersize": 8, "zorder": 4}  # fmt: skip
    for i, name in enumerate(name for name in names if name not in policies):
        dashes = ("-", "--", ":")[i // len(RULES) % 3]
        styles[name] = {"color": RULES[i % len(RULES)], "marker": MARKERS[i % len(MARKERS)], "linestyle": dashes,
                        "linewidth": 1.2, "markersize": 5, "zorder": 3}  # fmt: skip
    return styles


def _rates(cells: list[dict[str, Any]], name: str) -> tuple[list[float], list[float]]:
    """Loads, and violation rates in percent."""
    return [cell["load"] for cell in cells], [
        100 * cell["schedulers"][name]["violation_rate"] for cell in cells
    ]


def _strongest(cells: list[dict[str, Any]], policies: tuple[str, ...]) -> list[str]:
    """The rules of the fewest violations over all loads."""
    everywhere = set.intersection(*({*cell["schedulers"]} for cell in cells))
    rules = [name for name in sorted(everywhere) if name not in policies]
    return sorted(rules, key=lambda name: sum(_rates(cells, name)[1]))[:RIVALS]


def _band(axes: Axes, cells: list[dict[str, Any]], name: str, colour: str, alpha: float) -> None:
    if not cells:
        return
    low, high = ([100 * cell["schedulers"][name]["ci95"][side] for cell in cells] for side in (0, 1))
    axes.fill_between(_rates(cells, name)[0], low, high, color=colour, alpha=alpha, linewidth=0)


def draw_gains(summary: dict[str, Any], path: Path | BytesIO, most: int = 24) -> None:
    """A panel per cell and policy, the worst cells first, at most so many: paired gain over every rule with its
    interval."""
    pairs = [(cell, ours) for cell in summary["cells"] for ours in cell["verdicts"]]
    pairs = sorted(pairs, key=lambda pair: _severity(*pair))[:most]
    rules = max(sum("against" in entry for entry in cell["schedulers"].values()) for cell, _ in pairs)
    figure, panels = grid(len(pairs), 4.4, 0.24 * rules + 0.9)
    several = len({ours for _, ours in pairs}) > 1
    for axes, (cell, ours) in zip(panels, pairs):
        _forest(axes, cell, ours, several)
    label_below(panels, "fewer violations than the rule, points")
    handles = [
        Line2D([], [], linestyle="", marker=MARKS[v][0], color=MARKS[v][1], label=v) for v in VERDICTS[::-1]
    ]
    handles.append(
        Line2D([], [], linestyle="", marker="|", color="#30363d", markersize=11, label="still counts as no worse")
    )  # fmt: skip
    finish(figure, handles, path)


def _severity(cell: dict[str, Any], ours: str) -> tuple[int, float]:
    entries = [e["against"][ours] for e in cell["schedulers"].values() if ours in e.get("against", {})]
    return min(severity_of(entry["no_worse"]["violation_rate"]) for entry in entries)


def _forest(axes: Axes, cell: dict[str, Any], ours: str, several: bool) -> None:
    """Rules from the smallest gain on top to the largest."""
    entries = {
        rule: entry["against"][ours]
        for rule, entry in cell["schedulers"].items()
        if ours in entry.get("against", {})
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


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="both", color="#e3e7eb", linewidth=0.6)
    axes.set_axisbelow(True)
