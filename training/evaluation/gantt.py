"""What ran where and when: nodes over time, jobs coloured by model, late ones and holds marked."""

from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from synergai.envs.tape import Setting
from synergai.envs.world import Sim

matplotlib.use("Agg")

# Okabe and Ito's colours: https://jfly.uni-koeln.de/color/
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#f0e442", "#999999", "#8c510a", "#35978f")
LATE = "#d55e00"
MOST_NODES = 300
SUFFIXES = (".png", ".svg", ".html")


class Bar(NamedTuple):
    """One run; seconds from the start of the tape."""

    node: int
    lane: int
    model: int
    start_s: float
    finish_s: float
    held_s: float
    """When the job first went on hold; its start if it never did."""
    late: bool


def check(path: Path, nodes: int) -> None:
    """ValueError says why no picture of so many nodes can be drawn there."""
    if path.suffix not in SUFFIXES:
        raise ValueError(f"--gantt: {path}: the name must end in {', '.join(SUFFIXES)}")
    if nodes > MOST_NODES:
        raise ValueError(f"--gantt: {nodes} nodes do not fit a picture, at most {MOST_NODES} do")


def bars_of(sim: Sim) -> list[Bar]:
    """Every run of a tape that is over, in lanes of its node such that none overlap."""
    now_s = int(sim.state.clock[0]["now_us"]) * 1e-6
    ends: dict[int, list[float]] = {}
    bars = []
    started = np.flatnonzero(sim.outcomes["start_us"] >= 0)
    for i in started[np.argsort(sim.outcomes["start_us"][started], kind="stable")]:
        outcome = sim.outcomes[i]
        start_s = 1e-6 * int(outcome["start_us"])
        finish_s = 1e-6 * int(outcome["finish_us"]) if outcome["finish_us"] >= 0 else now_s
        node = int(outcome["node"])
        lanes = ends.setdefault(node, [])
        lane = next((k for k, end_s in enumerate(lanes) if end_s <= start_s), len(lanes))
        lanes[lane : lane + 1] = [finish_s]
        held_s = 1e-6 * int(outcome["held_us"]) if outcome["held_us"] >= 0 else start_s
        late = finish_s * 1e6 > sim.tape.jobs[i]["deadline_us"] and sim.tape.jobs[i]["counted"] == 1
        bars.append(Bar(node, lane, int(sim.tape.jobs[i]["model"]), start_s, finish_s, held_s, bool(late)))
    return bars


def draw(setting: Setting, sim: Sim, path: Path, title: str) -> None:
    """A picture of a run that is over, as PNG, SVG or a page that holds it."""
    from matplotlib import pyplot as plt

    check(path, len(setting.catalog.nodes))
    figure = figure_of(setting, sim, title)
    if path.suffix == ".html":
        _write_page(figure, path, title)
    else:
        figure.savefig(path, dpi=110)
    plt.close(figure)


def figure_of(setting: Setting, sim: Sim, title: str) -> Figure:
    """The same as a figure of pyplot's, which whoever asked for it closes."""
    from matplotlib import pyplot as plt

    nodes = setting.catalog.nodes
    bars = bars_of(sim)
    lanes = np.ones(len(nodes), int)
    for bar in bars:
        lanes[bar.node] = max(lanes[bar.node], bar.lane + 1)
    tops = np.concatenate([[0], np.cumsum(lanes)])
    row_inch = 0.22 if tops[-1] <= 60 else 0.12
    figure, axes = plt.subplots(figsize=(13, 1.6 + row_inch * float(tops[-1])), layout="constrained")
    _draw_bars(axes, bars, tops)
    _draw_nodes(axes, [node.name for node in nodes], tops, row_inch)
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("time, s")
    axes.set_xlim(left=0)
    models = [
        Patch(color=COLOURS[m % len(COLOURS)], label=name) for m, name in enumerate(setting.catalog.models)
    ]
    marks = [
        Patch(facecolor="white", edgecolor=LATE, linewidth=1.5, label="ended late"),
        Patch(
            facecolor="white",
            edgecolor="black",
            hatch="////",
            linewidth=0.0,
            label="on hold before (thin line)",
        ),
    ]
    figure.legend(handles=models + marks, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    return figure


def _draw_bars(axes: Axes, bars: list[Bar], tops: np.ndarray) -> None:
    for model in {bar.model for bar in bars}:
        mine = [bar for bar in bars if bar.model == model]
        axes.barh(
            [tops[bar.node] + bar.lane + 0.5 for bar in mine],
            [bar.finish_s - bar.start_s for bar in mine],
            left=[bar.start_s for bar in mine],
            height=0.8,
            color=COLOURS[model % len(COLOURS)],
            edgecolor=[LATE if bar.late else "white" for bar in mine],
            linewidth=[1.5 if bar.late else 0.2 for bar in mine],
        )
    held = [bar for bar in bars if bar.held_s < bar.start_s]
    axes.barh(
        [tops[bar.node] + bar.lane + 0.94 for bar in held],
        [bar.start_s - bar.held_s for bar in held],
        left=[bar.held_s for bar in held],
        height=0.1,
        color=[COLOURS[bar.model % len(COLOURS)] for bar in held],
        hatch="////",
        edgecolor="black",
        linewidth=0.0,
    )


def _draw_nodes(axes: Axes, names: list[str], tops: np.ndarray, row_inch: float) -> None:
    axes.set_ylim(float(tops[-1]), 0)
    axes.set_yticks(0.5 * (tops[:-1] + tops[1:]), names, fontsize=min(9, 60 * row_inch))
    axes.tick_params(axis="y", length=0)
    for top in tops[1:-1]:
        axes.axhline(float(top), color="#e0e0e0", linewidth=0.5, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _write_page(figure: Figure, path: Path, title: str) -> None:
    """The picture within a page of its own: nothing else is loaded."""
    import html
    import io

    text = io.StringIO()
    figure.savefig(text, format="svg")
    picture = text.getvalue()
    path.write_text(
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<body style='margin:1em'>\n{picture[picture.index('<svg') :]}\n</body></html>\n",
        encoding="utf-8",
    )
