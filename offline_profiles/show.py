"""Tables for people: which hardware is fastest and most frugal for a model, and where the order flips."""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table

from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileTable

SAMPLES = (1, 32, 2000)
FLIPS_SHOWN = 12


class Entry(NamedTuple):
    """What a hardware class can do for a job of a given size."""

    hardware: str
    fastest: Profile
    run_time_s: float
    frugal: Profile
    joules_per_sample: float


class Flip(NamedTuple):
    """Two hardware classes whose order by run time changes with the size of the job."""

    few: int
    winner_at_few: str
    many: int
    winner_at_many: str
    factor: float
    """How clear it is: the smaller of the two winners' leads."""


def entries(table: ProfileTable, model: str, samples: int) -> list[Entry]:
    """Every hardware class that has the model, fastest first; KeyError if none has."""
    found = [
        _entry(profiles, samples)
        for profiles in (table.of(model, hardware) for hardware in table.hardware)
        if profiles
    ]
    if not found:
        raise KeyError(f"no profile of model {model!r}; known are {', '.join(table.models)}")
    return sorted(found, key=lambda entry: (entry.run_time_s, entry.hardware))


def flips(table: ProfileTable, model: str, sizes: Sequence[int] = SAMPLES) -> list[Flip]:
    """Pairs of hardware classes whose order changes between two job sizes, the clearest first."""
    times = {size: {one.hardware: one.run_time_s for one in entries(table, model, size)} for size in sizes}
    found = [
        flip
        for few, many in combinations(sizes, 2)
        for one, other in combinations(times[few], 2)
        if (flip := _flip(one, other, few, many, times[few], times[many])) is not None
    ]
    return sorted(found, key=lambda flip: (-flip.factor, flip))


def show(table: ProfileTable, model: str, samples: int | None = None) -> RenderableType:
    """Fastest and most frugal hardware for a model at some job sizes (or one), and the flips between them."""
    sizes = SAMPLES if samples is None else (samples,)
    parts: list[RenderableType] = [_ranking(table, model, size) for size in sizes]
    if len(sizes) > 1:
        found = flips(table, model, sizes)
        parts.append(_flip_table(found, model) if found else f"{model}: who is faster never flips")
    return Group(*parts)


def _entry(profiles: Sequence[Profile], samples: int) -> Entry:
    fastest = min(profiles, key=lambda profile: profile.run_time_s(samples))
    frugal = min(profiles, key=lambda profile: profile.energy_j(samples))
    run_time_s = fastest.run_time_s(samples)
    return Entry(fastest.hardware, fastest, run_time_s, frugal, frugal.energy_j(samples) / samples)


def _flip(
    one: str, other: str, few: int, many: int, at_few: dict[str, float], at_many: dict[str, float]
) -> Flip | None:
    lead_few, lead_many = at_few[other] / at_few[one], at_many[other] / at_many[one]
    if (lead_few > 1) == (lead_many > 1) or 1 in (lead_few, lead_many):
        return None
    first, second = (one, other) if lead_few > 1 else (other, one)
    factor = min(max(lead_few, 1 / lead_few), max(lead_many, 1 / lead_many))
    return Flip(few, first, many, second, factor)


def _ranking(table: ProfileTable, model: str, samples: int) -> Table:
    found = entries(table, model, samples)
    least_j = min(entry.joules_per_sample for entry in found)
    unit = "sample" if samples == 1 else "samples"
    view = Table(title=f"{model}, {samples} {unit} (reference {table.reference_s(model, samples):.4g} s)")
    for name in ("hardware", "fastest configuration", "run time s", "most frugal configuration", "J/sample"):
        view.add_column(
            name, justify="right" if name in ("run time s", "J/sample") else "left", overflow="fold"
        )
    for entry in found:
        mark = " *" if entry.joules_per_sample == least_j else ""
        view.add_row(
            entry.hardware,
            entry.fastest.configuration,
            f"{entry.run_time_s:.4g}",
            entry.frugal.configuration,
            f"{entry.joules_per_sample:.3g}{mark}",
        )
    view.caption = "fastest first; * most frugal (energy above idle)"
    return view


def _flip_table(found: Sequence[Flip], model: str) -> Table:
    view = Table(
        title=f"{model}: who is faster flips ({len(found)} times, the clearest {min(len(found), FLIPS_SHOWN)} shown)"
    )
    for name in ("samples", "faster", "samples", "faster", "by at least"):
        view.add_column(name, overflow="fold")
    for flip in found[:FLIPS_SHOWN]:
        view.add_row(
            str(flip.few), flip.winner_at_few, str(flip.many), flip.winner_at_many, f"{flip.factor:.3g}x"
        )
    return view
