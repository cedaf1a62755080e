"""How far schedulers are from what nobody can beat, as figures and files."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from synergai.training.evaluation.limit.found import Found


def line_of(found: Found) -> str:
    """What one tape came to."""
    played = ", ".join(f"{name} {late}" for name, late in found.played.items())
    where = f"{found.scenario}, load {found.load:g}, tape {found.tape}"
    return f"{where}: of {found.jobs} jobs {found.bound} late for anybody; {played}"


def cells_of(founds: Sequence[Found], rules: Sequence[str]) -> list[dict[str, Any]]:
    """A scenario and load each: rates over all tapes, and which share of the way from the best rule to the bound each
    other scheduler goes."""
    keys = dict.fromkeys((found.scenario, found.load) for found in founds)
    return [_cell([f for f in founds if (f.scenario, f.load) == key], rules) for key in keys]


def _cell(own: Sequence[Found], rules: Sequence[str]) -> dict[str, Any]:
    jobs = max(sum(found.jobs for found in own), 1)
    blocks = [block for found in own for block in found.blocks]
    rates = {name: sum(found.played[name] for found in own) / jobs for name in own[0].played}
    bound = sum(found.bound for found in own) / jobs
    foresight = [found.foresight for found in own if found.foresight is not None]
    ruled = {name: rate for name, rate in rates.items() if name in rules}
    best = min(ruled, key=lambda name: ruled[name]) if ruled else ""
    return {
        "scenario": own[0].scenario,
        "load": own[0].load,
        "tapes": len(own),
        "jobs": jobs,
        "bound": bound,
        "by_blocks": sum(found.by_blocks for found in own) / jobs,
        "by_windows": sum(found.by_windows for found in own) / jobs,
        "hopeless": sum(found.hopeless for found in own) / jobs,
        "blocks": len(blocks),
        "solved": sum(block.solved for block in blocks),
        "foresight": sum(foresight) / jobs if len(foresight) == len(own) else None,
        "violation_rate": rates,
        "best_rule": best,
        "closed": {
            name: closed(rates[best], rate, bound)
            for name, rate in rates.items()
            if best and name not in rules
        },
    }


def closed(rule: float, ours: float, bound: float) -> float | None:
    """Share of the way from the rule to the bound; None if there is no way."""
    return None if rule <= bound else (rule - ours) / (rule - bound)


def as_table(cells: Sequence[dict[str, Any]]) -> Table:
    """Violations in percent."""
    table = Table(title="violations in %: proven to happen, with foresight, and played", title_justify="left")
    table.add_column("scenario, load", no_wrap=True)
    names, policies = list(cells[0]["violation_rate"]), list(cells[0]["closed"])
    headers = ("proven", "solved", "foresight", *names, *(f"{name} closes" for name in policies))
    for header in headers:
        table.add_column(header, justify="right")
    for cell in cells:
        foresight = cell["foresight"]
        shares = [cell["closed"].get(name) for name in policies]
        table.add_row(
            f"{cell['scenario']}, {cell['load']:g}",
            f"{100 * cell['bound']:.2f}",
            f"{cell['solved']} of {cell['blocks']}",
            "" if foresight is None else f"{100 * foresight:.2f}",
            *(f"{100 * cell['violation_rate'][name]:.2f}" for name in names),
            *("" if share is None else f"{100 * share:.0f} %" for share in shares),
        )
    return table


def write_csv(founds: Sequence[Found], path: Path) -> None:
    """A line per tape."""
    plain = ("scenario", "load", "tape", "jobs", "hopeless", "bound", "by_blocks", "by_windows", "foresight")
    names = list(founds[0].played)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*plain, "blocks", "solved", *names])
        for found in founds:
            solved = sum(block.solved for block in found.blocks)
            figures = [getattr(found, field) for field in plain]
            writer.writerow([*figures, len(found.blocks), solved, *(found.played[name] for name in names)])


def as_json(founds: Sequence[Found], rules: Sequence[str], terms: dict[str, Any]) -> dict[str, Any]:
    """All figures: what was asked, cells, and each tape with its blocks."""
    tapes = []
    for found in founds:
        blocks = [{**block._asdict(), "solved": block.solved} for block in found.blocks]
        tapes.append({**asdict(found), "bound": found.bound, "blocks": blocks})
    return {**terms, "cells": cells_of(founds, rules), "tapes": tapes}


def write(founds: Sequence[Found], rules: Sequence[str], terms: dict[str, Any], folder: Path) -> list[Path]:
    """limit.csv and limit.json."""
    paths = [folder / "limit.csv", folder / "limit.json"]
    write_csv(founds, paths[0])
    paths[1].write_text(json.dumps(as_json(founds, rules, terms), indent=1) + "\n", encoding="utf-8")
    return paths
