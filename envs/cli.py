"""`synergai scenario`: what ships, and how much a cluster can sustain."""

from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    help="Scenarios: list what ships, show how much load a cluster can sustain.", no_args_is_help=True
)


def fail(verb: str, error: Exception) -> NoReturn:
    """Every problem with what a person gave is a line or two and exit code 2."""
    typer.echo(f"synergai {verb}: {error}", err=True)
    raise typer.Exit(2)


@app.command("list")
def list_shipped() -> None:
    """The scenarios that ship."""
    from synergai.envs import scenario

    for name in scenario.shipped():
        typer.echo(f"{name}: {scenario.load(name).description}")


@app.command()
def capacity(
    scenario: Annotated[str, typer.Argument(help="Name of a shipped scenario, or a YAML file.")] = "demo",
) -> None:
    """lambda*, the most jobs per second that the cluster can sustain of this mix, and what limits it."""
    from rich.console import Console
    from rich.table import Table

    from synergai.envs import scenario as scenarios
    from synergai.envs.scenario import ScenarioError
    from synergai.envs.tape import setting_of

    try:
        setting = setting_of(scenarios.load(scenario))
    except ScenarioError as error:
        fail("scenario capacity", error)
    found, catalog = setting.capacity, setting.catalog
    typer.echo(
        f"{setting.scenario.name}: {found.jobs_per_s:.3f} jobs/s at most (lambda*), mean run time {found.tau_s:.3f} s "
        f"(tau); at load {setting.scenario.load:g} {setting.rate_sps:.3f} jobs/s arrive"
    )
    table = Table(
        "model", *catalog.classes, title="log of opportunity cost over the cheapest option (0: use it)"
    )
    for model in catalog.models:
        cells = []
        for hardware in catalog.classes:
            mine = [
                found.prices[o]
                for o, profile in enumerate(catalog.profiles)
                if profile in setting.table.of(model, hardware)
            ]
            cells.append(f"{min(mine):.2f}" if mine else "-")
        table.add_row(model, *cells)
    Console().print(table)
