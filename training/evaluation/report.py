"""Results as a table for a terminal, files for others, and pictures."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
from rich.table import Table

from synergai.training.evaluation.evaluate import Row, bootstrap, column, gain

matplotlib.use("Agg")
FIELDS = ("excess_mean_s", "excess_p99_s", "wait_mean_s", "flow_p95_s", "energy_j_per_job")


def order(rows: Sequence[Row]) -> list[str]:
    """Schedulers from the fewest violations to the most."""
    names = list(dict.fromkeys(row.scheduler for row in rows))
    return sorted(names, key=lambda name: column(rows, name, "violation_rate").mean())


def summary(rows: Sequence[Row], ours: str | None = None) -> dict[str, Any]:
    """Per scheduler the mean of every measure, the violation rate's interval, and `ours`'s paired gain over it."""
    result: dict[str, Any] = {}
    for name in order(rows):
        rate = bootstrap(column(rows, name, "violation_rate"))
        entry: dict[str, Any] = {
            "tapes": sum(row.scheduler == name for row in rows),
            "violation_rate": rate.mean,
            "ci95": [rate.low, rate.high],
            **{field: float(column(rows, name, field).mean()) for field in FIELDS},
        }
        if ours is not None and ours != name:
            paired = gain(rows, ours, name)
            entry["gain"] = {"mean": paired.mean, "ci95": [paired.low, paired.high]}
        result[name] = entry
    return result


def table(rows: Sequence[Row], ours: str | None = None, title: str = "") -> Table:
    """The same for a person."""
    heads = [
        "scheduler",
        "violations",
        "95 % interval",
        "excess mean",
        "excess p99",
        "wait mean",
        "energy/job",
    ]
    shown = Table(*heads, *(["fewer by " + ours] if ours else []), title=title)
    for name, entry in summary(rows, ours).items():
        low, high = entry["ci95"]
        cells = [
            name,
            f"{100 * entry['violation_rate']:.2f} %",
            f"{100 * low:.2f} to {100 * high:.2f}",
            f"{entry['excess_mean_s']:.3f} s",
            f"{entry['excess_p99_s']:.2f} s",
            f"{entry['wait_mean_s']:.3f} s",
            f"{entry['energy_j_per_job']:.0f} J",
        ]
        if ours:
            paired = entry.get("gain")
            cells.append(
                f"{100 * paired['mean']:.2f} [{100 * paired['ci95'][0]:.2f}, {100 * paired['ci95'][1]:.2f}]"
                if paired
                else ""
            )
        shown.add_row(*cells, style="bold" if name == ours else None)
    return shown


def write_results(rows: Sequence[Row], path: Path) -> None:
    """One line per scheduler and tape."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scheduler", "tape", "violation_rate", *asdict(rows[0].measures)])
        for row in rows:
            writer.writerow(
                [row.scheduler, row.seed, row.measures.violation_rate, *asdict(row.measures).values()]
            )


def write_summary(rows: Sequence[Row], ours: str | None, facts: dict[str, Any], path: Path) -> None:
    text = json.dumps({**facts, "schedulers": summary(rows, ours)}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def draw(rows: Sequence[Row], ours: str | None, title: str, path: Path) -> None:
    """Violation rates with their intervals, the fewest on top."""
    from matplotlib import pyplot as plt

    names = order(rows)[::-1]
    rates = [bootstrap(column(rows, name, "violation_rate")) for name in names]
    means = [100 * rate.mean for rate in rates]
    errors = [[100 * (r.mean - r.low) for r in rates], [100 * (r.high - r.mean) for r in rates]]
    figure, axes = plt.subplots(figsize=(7.5, 0.45 * len(names) + 1.4), layout="constrained")
    colours = ["#0b6e4f" if name == ours else "#9aa5b1" for name in names]
    axes.barh(names, means, xerr=errors, color=colours, error_kw={"ecolor": "#30363d", "capsize": 3})
    axes.set_xlabel("jobs that missed their deadline, % (95 % interval over tapes)")
    axes.set_title(title, loc="left", fontsize=11)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)
