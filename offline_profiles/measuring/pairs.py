"""Which pairs are measured as neighbours, and all of them in turn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.measuring.neighbours import (
    Fit,
    NeighbourError,
    Patience,
    Row,
    fit,
    measure_pair,
    to_csv,
)
from synergai.offline_profiles.measuring.strangers import Strangers
from synergai.offline_profiles.measuring.tenants import Place, fits, side_by_side, tenant
from synergai.offline_profiles.whole import write_whole

Pair = tuple[Place, Place]
Say = Callable[[str], object]
QUIET_CORES = 0.1
"""What others may use beside a measurement before it is told."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found."""

    fit: Fit
    strangers_cores: float
    """Used by what else ran on this machine, in the mean."""


def pairs(places: Sequence[Place], node_milli: int) -> list[Pair]:
    """Those that a node books together, each once, also one beside its like. EngineError where there are none."""
    found = [
        pair
        for pair in combinations_with_replacement(places, 2)
        if fits([tenant(one, node_milli) for one in pair], node_milli)
    ]
    if not found:
        raise EngineError(
            f"no two of these settings fit a node of {node_milli} milli-CPU together: take fewer --threads, or "
            "smaller --quotas"
        )
    return found


def survey(
    chosen: Sequence[Pair],
    hardware: str,
    node_milli: int,
    patience: Patience,
    window_s: float,
    out: Path,
    say: Say,
) -> Survey:
    """Measure pair after pair; after each the file has all rows so far. A pair that does not run is told and left out.

    EngineError where none runs, NeighbourError where no factor can be fitted.
    """
    rows: list[Row] = []
    fitted: Fit | None = None
    strangers = Strangers()
    for number, pair in enumerate(chosen):
        names = " beside ".join(one.key for one in pair)
        try:
            rows += _measured(number, pair, node_milli, patience, window_s)
        except (EngineError, NeighbourError) as error:
            say(f"{number + 1}/{len(chosen)} {names}: left out: {error}")
            continue
        told = ", ".join(f"{row.slowdown:.3f} +- {row.half_width:.3f} times as long" for row in rows[-2:])
        say(f"{number + 1}/{len(chosen)} {names}: {told}, {rows[-1].cycles} cycles")
        fitted = fit(rows)
        write_whole(out, to_csv(hardware, rows, fitted))
    if fitted is None:
        raise EngineError("no pair could be measured")
    return Survey(fitted, strangers.cores())


def _measured(
    number: int, pair: Pair, node_milli: int, patience: Patience, window_s: float
) -> tuple[Row, Row]:
    first, second = pair
    with side_by_side(first, second, window_s) as window:
        return measure_pair(number, tenant(first, node_milli), tenant(second, node_milli), window, patience)


def report(found: Survey) -> list[str]:
    """What a person reads; the last line goes into a scenario."""
    fitted = found.fit
    spread = (
        f"+- {fitted.half_width:.3f} (95 %)" if fitted.pairs > 1 else "of one pair, so without an interval"
    )
    lines = [
        f"co-tenant slow-down a = {fitted.factor:.3f} {spread}, of {fitted.rows} rows of {fitted.pairs} pairs; "
        f"the worst row is {fitted.worst:.3f} off",
    ]
    if fitted.factor < 0:
        lines.append("below 0: neighbours cost nothing that this measurement shows")
    if found.strangers_cores > QUIET_CORES:
        lines.append(
            f"others used {found.strangers_cores:.2f} cores of this machine meanwhile, and are in these figures: "
            "repeat it where nothing else runs"
        )
    return [*lines, fitted.scenario]
