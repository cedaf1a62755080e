"""The demonstration's end: a table, a picture, and the figures as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from synergai.k8s_bridge.demo.measure import Outcome

OURS = "#0b6e4f"
OTHERS = "#9aa5b1"


def table(outcomes: Sequence[Outcome]) -> Table:
    shown = Table(
        "scheduler",
        *("violations", "simulated", "late s\nmean", "late s\np99", "J/job"),
        title=f"{outcomes[0].pods} jobs on one cluster, {len(outcomes)} schedulers in turn",
        caption="simulated: the violations that the simulator counts on the same tape",
    )
    for i, o in enumerate(outcomes):
        shown.add_row(
            o.scheduler,
            f"{o.violations} ({100 * o.rate:.1f} %)",
            f"{o.simulated_violations}",
            f"{o.excess_mean_s:.2f}",
            f"{o.excess_p99_s:.1f}",
            f"{o.energy_j_per_job:.0f}",
            style="bold green" if i == 0 else None,
        )
    return shown


def draw(outcomes: Sequence[Outcome], path: Path) -> None:
    """Violations, excess and energy side by side, ours in colour."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    panels = [
        ("jobs that missed their deadline, %", [100 * o.rate for o in outcomes]),
        ("time late, mean over jobs, s", [o.excess_mean_s for o in outcomes]),
        ("energy above idle, J per job", [o.energy_j_per_job for o in outcomes]),
    ]
    names = [o.scheduler for o in outcomes]
    figure, axes = plt.subplots(1, 3, figsize=(11, 0.5 * len(names) + 1.5), layout="constrained", sharey=True)
    for axis, (title, values) in zip(axes, panels):
        bars = axis.barh(names, values, color=[OURS] + [OTHERS] * (len(names) - 1))
        axis.bar_label(bars, fmt=_three_figures, padding=3, fontsize=9)
        axis.set_title(title, fontsize=10, loc="left")
        axis.margins(x=0.18)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.suptitle(
        f"{outcomes[0].pods} jobs of a replayed trace through the bridge", fontsize=12, x=0.01, ha="left"
    )
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _three_figures(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def write(outcomes: Sequence[Outcome], path: Path) -> None:
    rows = [asdict(o) | {"violation_rate": o.rate} for o in outcomes]
    path.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
