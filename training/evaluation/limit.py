"""How far schedulers are from what nobody can beat: violations that are proven to happen, violations that a schedule
with foresight has, and what schedulers have on the same jobs."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from synergai.envs.candidates import scratch_for
from synergai.envs.metrics import measure
from synergai.envs.tape import Setting, Tape, make_tape
from synergai.envs.world import new_sim
from synergai.training.evaluation import exact, windows
from synergai.training.evaluation.evaluate import Runner
from synergai.training.evaluation.exact import GRID_US, Block
from synergai.training.evaluation.foresight import by_deadline
from synergai.training.evaluation.relaxed import Relaxed, relax, sure

LOADS = ("0.8", "0.9", "1.0", "1.1")
RULES = ("edf_feasible", "edf_likely")
BLOCK = 200
SECONDS = 5.0


@dataclass(frozen=True)
class Found:
    """One tape. Violations among its counted jobs."""

    scenario: str
    load: float
    tape: int
    jobs: int
    hopeless: int
    """Late even alone, by the run times that they really have."""
    by_blocks: int
    """Proven: the sum over blocks."""
    by_windows: int
    """Proven: the linear program over all jobs."""
    foresight: int | None
    """Of a schedule that somebody who knew everything could have made; None where the world allows no such claim."""
    blocks: tuple[Block, ...]
    played: dict[str, int]
    """By scheduler."""

    @property
    def bound(self) -> int:
        """No scheduler has fewer."""
        return max(self.by_blocks, self.by_windows)


def limit_of(
    setting: Setting,
    seed: int,
    players: Sequence[Runner],
    arrivals: int | None = None,
    block: int = BLOCK,
    seconds: float = SECONDS,
) -> Found:
    """One tape: bounds, and each scheduler. `seconds` for each block, and as much as for all of them for the program
    over all jobs. ValueError: of such a world nothing is known to bound it."""
    tape = make_tape(setting, seed, arrivals)
    relaxed = relax(setting, tape)
    blocks = tuple(exact.solve(each, seconds) for each in relaxed.blocks(block))
    return Found(
        scenario=setting.scenario.name,
        load=setting.scenario.load,
        tape=seed,
        jobs=len(relaxed.works),
        hopeless=relaxed.hopeless,
        by_blocks=sum(each.jobs - each.most for each in blocks),
        by_windows=len(relaxed.works) - windows.most_in_time(relaxed, seconds * len(blocks)),
        foresight=_with_foresight(setting, tape, relaxed),
        blocks=blocks,
        played={player.name: _violations(setting, tape, player) for player in players},
    )


def _with_foresight(setting: Setting, tape: Tape, relaxed: Relaxed) -> int | None:
    try:
        known = sure(setting, tape, GRID_US)
    except ValueError:
        return None
    return len(relaxed.works) - len(by_deadline(known))


def _violations(setting: Setting, tape: Tape, player: Runner) -> int:
    sim = new_sim(setting, tape)
    player.run(sim, scratch_for(sim.state))
    return measure(setting, sim).violations


def limits(
    settings: Iterable[Setting],
    players: Sequence[Runner],
    tapes: int,
    arrivals: int | None = None,
    block: int = BLOCK,
    seconds: float = SECONDS,
    progress: Callable[[Found], None] = lambda found: None,
) -> list[Found]:
    """The test tapes 0, 1, ... of every setting."""
    founds = []
    for setting in settings:
        for seed in range(tapes):
            founds.append(limit_of(setting, seed, players, arrivals, block, seconds))
            progress(founds[-1])
    return founds


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
