"""Pictures of a comparison."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synergai.benchmarks.sim_to_real.comparison import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SEEN = "#1b1f24"
STEPS = (("#c46a1b", "x", 1.2), ("#2f6db3", "o", 1.4), ("#3c8a4e", "D", 1.4))
"""Colour, mark and width of what is predicted with more and more that is known."""


def draw_flows(found: Comparison, path: Path) -> None:
    """Distribution of the time from arrival to finish, a panel per scheduler: observed and predicted."""
    from matplotlib import pyplot as plt

    count = len(found.after)
    figure, panels = plt.subplots(1, count, figsize=(3.4 * count, 3.1), sharey=True, squeeze=False)
    for i, panel in enumerate(panels[0]):
        _steps(panel, [found.after[i].seen.flow_s], SEEN, "observed", 2.2)
        for (known, told), (colour, _, width) in zip(found.steps, STEPS):
            _steps(panel, [one.flow_s for one in told[i].decided], colour, f"predicted: {known}", width)
        panel.set_title(found.after[i].name, fontsize=10)
        panel.set_xlabel("arrival to finish, s")
        panel.grid(alpha=0.25)
        panel.set_xlim(left=0)
    panels[0][0].set_ylabel("share of jobs")
    panels[0][0].legend(fontsize=7, loc="lower right", frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _steps(panel: "Axes", flows: Sequence[np.ndarray], colour: str, label: str, width: float) -> None:
    at = np.sort(np.concatenate(flows))
    panel.step(at, (np.arange(len(at)) + 1) / len(at), where="post", color=colour, lw=width, label=label)


def draw_rates(found: Comparison, path: Path) -> None:
    """Share of late jobs, a line per scheduler, the best on top."""
    from matplotlib import pyplot as plt

    order = sorted(range(len(found.after)), key=lambda i: -found.after[i].policy().late_observed)
    figure, panel = plt.subplots(figsize=(6.8, 0.6 * len(order) + 1.6))
    rows = range(len(order))
    seen = [100 * found.after[i].policy().late_observed for i in order]
    panel.scatter(seen, rows, c=SEEN, marker="|", s=300, linewidths=2.5, label="observed", zorder=2)
    for (known, told), (colour, mark, _) in zip(found.steps, STEPS):
        rates = [100 * told[i].policy().late_predicted for i in order]
        panel.scatter(rates, rows, c=colour, marker=mark, s=40, label=f"predicted: {known}", zorder=3)
    panel.set_yticks(list(rows), [found.after[i].name for i in order])
    panel.set_ylim(-0.6, len(order) - 0.4)
    panel.set_xlabel("jobs that missed their deadline, %")
    panel.set_xlim(left=-1)
    panel.grid(axis="x", alpha=0.25)
    panel.legend(fontsize=7, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncol=4)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)
