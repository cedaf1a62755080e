"""A model's profiles as a picture: time and energy a sample over the size of the job. Lines that cross are flips."""

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from synergai.offline_profiles.show import Entry, Flip, entries, flips
from synergai.offline_profiles.table import ProfileTable

matplotlib.use("Agg")

SIZES = tuple(2**power for power in range(12))
"""Between them lie saw teeth: a job of 33 samples pays for two batches of 32."""
# Okabe and Ito's colours, which people with any colour vision can tell apart: https://jfly.uni-koeln.de/color/
COLOURS = {"gpu": "#0072b2", "cpu": "#d55e00", "jetson": "#009e73", "arm": "#cc79a7"}
KINDS = {"gpu": "GPU", "cpu": "CPU", "jetson": "Jetson", "arm": "Arm board"}
FORMATS = (".png", ".svg", ".pdf")
LABEL_GAP = 0.036
"""Between the names at the right, as a share of the panel's height."""
STROKE = {"arrowstyle": "-", "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
LEAST_J = 1e-6
"""A logarithmic axis has no zero."""


class Lead(NamedTuple):
    """A hardware class is the best one from a size of job to another."""

    hardware: str
    first: int
    last: int


def draw(table: ProfileTable, model: str, path: Path) -> None:
    """Writes the picture; KeyError for an unknown model, ValueError for a format that is not FORMATS."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"{path}: a picture ends in {', '.join(FORMATS)}")
    found = {samples: entries(table, model, samples) for samples in SIZES}
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(15, 7.5), layout="constrained")
    _panel(left, table, lines_of(found, milliseconds_a_sample), "run time a sample, ms", "fastest")
    _panel(right, table, lines_of(found, joules_a_sample), "energy above idle a sample, J", "most frugal")
    kinds = {table.hardware[one.hardware].kind for one in found[1]}
    handles = [
        Line2D([], [], color=COLOURS[kind], label=name) for kind, name in KINDS.items() if kind in kinds
    ]
    handles.append(Line2D([], [], color="black", linewidth=6, alpha=0.15, label="the best at each size"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    figure.suptitle(
        f"{model}: each hardware class with its best configuration for jobs of that size", fontsize=13
    )
    clearest = flips(table, model, SIZES)[:1]
    for flip in clearest:
        _ring(left, lines_of(found, milliseconds_a_sample), flip)
    try:
        figure.savefig(path, dpi=130)
    finally:
        plt.close(figure)


def milliseconds_a_sample(entry: Entry, samples: int) -> float:
    return 1000.0 * entry.run_time_s / samples


def joules_a_sample(entry: Entry, samples: int) -> float:
    return max(entry.joules_per_sample, LEAST_J)


def lines_of(
    found: dict[int, list[Entry]], value: Callable[[Entry, int], float]
) -> dict[str, dict[int, float]]:
    """By hardware class, what it takes at each size."""
    lines: dict[str, dict[int, float]] = {}
    for samples, row in found.items():
        for entry in row:
            lines.setdefault(entry.hardware, {})[samples] = value(entry, samples)
    return lines


def leads(lines: dict[str, dict[int, float]]) -> list[Lead]:
    """Who has the least, from one size to the next flip."""
    sizes = sorted(next(iter(lines.values())))
    best = [min(lines, key=lambda hardware: (lines[hardware][size], hardware)) for size in sizes]
    runs = [list(group) for _, group in groupby(zip(best, sizes), key=lambda pair: pair[0])]
    return [Lead(run[0][0], run[0][1], run[-1][1]) for run in runs]


def _panel(
    axes: Axes, table: ProfileTable, lines: dict[str, dict[int, float]], title: str, praise: str
) -> None:
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for hardware, line in lines.items():
        colour = COLOURS[table.hardware[hardware].kind]
        axes.plot(list(line), list(line.values()), color=colour, linewidth=1.3)
    found = leads(lines)
    for lead in found:
        _mark(axes, lead, lines[lead.hardware], is_first=lead is found[0])
    axes.set_xlim(SIZES[0], SIZES[-1])
    axes.set_xticks(SIZES, [str(size) for size in SIZES], fontsize=8)
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.set_xlabel("samples of the job")
    axes.set_ylabel(title)
    axes.grid(alpha=0.25)
    axes.set_title(f"{praise}: " + _sentence(found), fontsize=9)
    _name_lines(axes, table, lines, {lead.hardware for lead in found})


def _mark(axes: Axes, lead: Lead, line: dict[int, float], is_first: bool) -> None:
    """A wide grey stroke under the leader, and a dotted line where it took the lead."""
    sizes = [size for size in line if lead.first <= size <= lead.last]
    axes.plot(
        sizes,
        [line[size] for size in sizes],
        color="black",
        linewidth=8,
        alpha=0.15,
        solid_capstyle="round",
        marker="o",
        markersize=2,
    )
    if not is_first:
        axes.axvline(lead.first, color="black", linestyle=":", linewidth=1)


def _ring(axes: Axes, lines: dict[str, dict[int, float]], flip: Flip) -> None:
    """The clearest flip: both lines thick, a ring where they cross, and words."""
    one, other = lines[flip.winner_at_few], lines[flip.winner_at_many]
    for line, style in ((one, "-"), (other, "--")):
        axes.plot(list(line), list(line.values()), color="black", linewidth=1.6, linestyle=style, zorder=3)
    gaps = {size: float(np.log(one[size] / other[size])) for size in SIZES if flip.few <= size <= flip.many}
    before, after = next((a, b) for a, b in pairwise(gaps) if gaps[a] <= 0 < gaps[b])
    share = gaps[before] / (gaps[before] - gaps[after])
    x = np.exp(np.interp(share, (0, 1), np.log((before, after))))
    y = np.exp(np.interp(share, (0, 1), np.log((one[before], one[after]))))
    axes.plot([x], [y], "o", markersize=13, markerfacecolor="none", markeredgecolor="black", zorder=4)
    words = (
        f"clearest flip: {flip.winner_at_few} (solid) leads at {flip.few},\n"
        f"{flip.winner_at_many} (dashed) at {flip.many}, each by {flip.factor:.1f}x or more"
    )
    axes.set_title(f"{axes.get_title()}\n{words}", fontsize=9)


def _sentence(found: Sequence[Lead]) -> str:
    """`a, from 8 samples b`; long tales in lines of two."""
    words = [
        lead.hardware if lead is found[0] else f"from {lead.first} samples {lead.hardware}" for lead in found
    ]
    return ",\n".join(", ".join(words[i : i + 2]) for i in range(0, len(words), 2))


def _name_lines(
    axes: Axes, table: ProfileTable, lines: dict[str, dict[int, float]], leaders: set[str]
) -> None:
    """Each line's name at its right end, moved apart where they would lie on each other."""
    low, high = np.log(axes.get_ylim())
    order = sorted(lines, key=lambda hardware: lines[hardware][SIZES[-1]])
    ends = [(np.log(lines[hardware][SIZES[-1]]) - low) / (high - low) for hardware in order]
    for hardware, end, place in zip(order, ends, apart(ends)):
        colour = COLOURS[table.hardware[hardware].kind]
        axes.annotate(
            hardware,
            xy=(1.0, end),
            xytext=(1.06, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            color=colour,
            fontweight="bold" if hardware in leaders else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )


def apart(ends: Sequence[float]) -> list[float]:
    """Rising places in the panel, a gap or more apart and near where they want to be; a crowd shares its middle."""
    gap = min(LABEL_GAP, 1.0 / max(len(ends), 1))
    blocks: list[tuple[float, int]] = []
    for end in ends:
        blocks.append((end, 1))
        while len(blocks) > 1 and blocks[-1][0] - blocks[-2][0] < gap * (blocks[-1][1] + blocks[-2][1]) / 2:
            (one, many), (other, more) = blocks[-2:]
            half = gap * (many + more - 1) / 2
            middle = (one * many + other * more) / (many + more)
            blocks[-2:] = [(min(max(middle, half), 1.0 - half), many + more)]
    return [middle + (i - (count - 1) / 2) * gap for middle, count in blocks for i in range(count)]
