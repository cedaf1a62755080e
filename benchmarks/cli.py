"""`synergai bench`: lists the figures, measures one or all of them, prints JSON lines."""

import json
from typing import Annotated, Any, Literal

import typer

from synergai.envs.cli import fail


def bench(
    name: Annotated[str, typer.Argument(help="A figure, or `all`; none lists them.")] = "",
    scenario: Annotated[str | None, typer.Option(help="Name of a shipped scenario, or a YAML file.")] = None,
    load: Annotated[float | None, typer.Option(min=0.01, max=5, help="rho; the scenario's.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, max=5000, help="Of a cluster of its kinds.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=10_000, help="That wait for a decision.")] = None,
    pods: Annotated[int | None, typer.Option(min=2, max=50_000, help="That wait for the bridge.")] = None,
    arrive: Annotated[
        float | None, typer.Option(min=0, max=1e5, help="Pods a second; 0 is all at once.")
    ] = None,
    futures: Annotated[int | None, typer.Option(min=2, max=1024, help="That the planner samples.")] = None,
    cluster: Annotated[
        Literal["embedded", "real"] | None, typer.Option(help="`real` is that of KUBECONFIG.")
    ] = None,
    checkpoint: Annotated[str | None, typer.Option(help="Folder, or a released name.")] = None,
    config: Annotated[str | None, typer.Option(help="Of training; the default one.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.01, max=3600, help="To measure for.")] = None,
    repeats: Annotated[int | None, typer.Option(min=1, max=100_000, help="Of every decision.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of tapes and networks.")] = None,
) -> None:
    """Measure figures of speed afresh, a JSON line each (docs/benchmarks.md)."""
    from synergai.benchmarks.figure import FIGURES, MissingExtra, measure, options_of

    given: dict[str, Any] = {
        "scenario": scenario, "load": load, "nodes": nodes, "jobs": jobs, "pods": pods, "arrive": arrive,
        "futures": futures, "cluster": cluster, "checkpoint": checkpoint, "config": config, "seconds": seconds,
        "repeats": repeats, "seed": seed,
    }  # fmt: skip
    given = {option: value for option, value in given.items() if value is not None}
    if not name:
        for figure, entry in FIGURES.items():
            typer.echo(f"{figure}: {entry.what}")
        return
    try:
        if name != "all":
            typer.echo(json.dumps(measure(name, given)))
            return
        for figure in FIGURES:
            try:
                known = options_of(figure)
            except MissingExtra as missing:
                typer.echo(f"synergai bench: left out: {missing}", err=True)
                continue
            line = measure(figure, {option: given[option] for option in known if option in given})
            typer.echo(json.dumps(line))
    except (OSError, ValueError) as error:
        fail("bench", error)
