"""Options that several verbs share: which settings, and how long their tapes are."""

from typing import Annotated

import typer

ScenarioOption = Annotated[
    list[str] | None,
    typer.Option(
        "--scenario", help="Shipped name or YAML file, or a comma list. Default: demo, edge and datacenter."
    ),
]
ArrivalsOption = Annotated[
    int | None, typer.Option("--arrivals", min=20, help="Per tape, instead of the scenario's.")
]
