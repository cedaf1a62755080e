"""`synergai profile neighbours`: how much engines on this machine slow each other down."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.offline_profiles.measuring.options import (
    Batches,
    Engines,
    HardwareName,
    Model,
    Models,
    MostSeconds,
    Precision,
    Threads,
)
from synergai.offline_profiles.options import fail, numbers, positive, words

if TYPE_CHECKING:
    from synergai.offline_profiles.measuring.pairs import Pair

VERB = "profile neighbours"


def neighbours(
    models: Models,
    out: Annotated[Path, typer.Option(help="CSV of pairs to write.", metavar="FILE")],
    model: Model = None,
    hardware: HardwareName = "",
    engines: Engines = "onnxruntime",
    unit: Annotated[str, typer.Option(help="cpu, gpu or both.", metavar="UNIT,UNIT")] = "cpu",
    threads: Threads = "",
    batches: Batches = "1",
    quotas: Annotated[
        str,
        typer.Option(
            help="CPU quotas in milli, as pods' limits; needs root.", metavar="N,N", show_default="none"
        ),
    ] = "",
    precision: Precision = 2.0,
    most_seconds: MostSeconds = 60.0,
    window: Annotated[
        float, typer.Option(help="How long the two run alone or side by side at a time.", metavar="S")
    ] = 1.0,
) -> None:
    """Measure pairs of engines alone and side by side, and fit the factor by which neighbours slow each other down.

    Pairs are those that a node books together. The last line is for a scenario (docs/interference.md).
    """
    from synergai.offline_profiles.engines.engine import EngineError
    from synergai.offline_profiles.measuring.neighbours import NeighbourError, Patience
    from synergai.offline_profiles.measuring.pairs import report, survey

    positive(VERB, precision=precision, most_seconds=most_seconds, window=window)
    patience = Patience(precision=precision / 100, most_s=most_seconds)
    try:
        chosen, name, node_milli = _chosen(
            models, model or [], hardware, words(engines), words(unit), numbers(VERB, "threads", threads),
            numbers(VERB, "batches", batches), numbers(VERB, "quotas", quotas),
        )  # fmt: skip
        typer.echo(f"{len(chosen)} pairs, at most {len(chosen) * most_seconds:.0f} s of measuring", err=True)
        found = survey(
            chosen, name, node_milli, patience, window, out, lambda text: typer.echo(text, err=True)
        )
    except (EngineError, NeighbourError) as error:
        fail(VERB, str(error))
    except OSError as error:
        fail(VERB, f"{error.filename or out}: {error.strerror or error}")
    typer.echo(f"written: {out}", err=True)
    typer.echo("\n".join(report(found)))


def _chosen(
    folder: Path, models: list[str], hardware: str, engines: tuple[str, ...], units: tuple[str, ...],
    threads: tuple[int, ...], batches: tuple[int, ...], quotas: tuple[int, ...],
) -> "tuple[list[Pair], str, int]":  # fmt: skip
    """The pairs, the hardware's name, and the CPU of the node in milli."""
    from synergai.offline_profiles.engines.engine import EngineError, adapter
    from synergai.offline_profiles.engines.store import ModelStore
    from synergai.offline_profiles.host.probe import describe
    from synergai.offline_profiles.measuring.grid import Grid, allowed_milli, points
    from synergai.offline_profiles.measuring.pairs import pairs
    from synergai.offline_profiles.measuring.tenants import Place
    from synergai.offline_profiles.rows import LABEL

    if not units or set(units) - {"cpu", "gpu"}:
        raise EngineError(f"--unit: {','.join(units)!r} is neither cpu nor gpu nor both")
    host, found = describe(), ModelStore(folder).chosen(models)
    name = hardware or (host.devices[0].name if host.devices else "unknown")
    if not LABEL.fullmatch(name):
        raise EngineError(f"--hardware: {name!r} is not a label value (letters, digits, '-', '_', '.')")
    made = [adapter(engine) for engine in engines]
    grids = [Grid(unit, (), threads if unit == "cpu" else (), batches) for unit in units]
    if any(not 10 <= quota <= 1_000_000 for quota in quotas):
        raise EngineError("--quotas: they are from 10 to 1000000 milli-CPU")
    every = [
        Place(point, quota)
        for grid in grids
        for point in points(found, made, grid, host)
        for quota in quotas or (0,)
    ]
    node_milli = allowed_milli(host)
    return pairs(every, node_milli), name, node_milli
