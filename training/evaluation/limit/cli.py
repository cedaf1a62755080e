"""`synergai limit`: one line and exit code 2 for what is wrong."""

from pathlib import Path
from typing import Annotated

import typer

from synergai.envs.cli import fail
from synergai.offline_profiles.options import HardwareOption, ProfilesOption, table_of
from synergai.training.evaluation.options import ArrivalsOption, ScenarioOption


def limit(
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Folder or released name; may be repeated.", show_default="demo")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="How checkpoints are played: `net`, `net+plan`, `reference` (slow); a comma list, or repeat it.",
            show_default="net,net+plan",
        ),
    ] = None,
    schedulers: Annotated[
        str, typer.Option(help="Comma list of rules, with switches as in `synergai:order=edf`.")
    ] = "edf_feasible,edf_likely",
    scenario: ScenarioOption = None,
    load: Annotated[
        list[str] | None,
        typer.Option(help="rho, or a comma list; may be repeated.", show_default="0.8, 0.9, 1.0, 1.1"),
    ] = None,
    tapes: Annotated[int, typer.Option(min=1, max=100_000, help="Of each setting.")] = 1,
    arrivals: ArrivalsOption = None,
    block: Annotated[int, typer.Option(min=1, help="Consecutive jobs that the solver gets at once.")] = 200,
    seconds: Annotated[
        float, typer.Option(min=0.01, help="Of the solver for each block, on one core.")
    ] = 5.0,
    out: Annotated[Path | None, typer.Option(help="Folder for limit.csv and limit.json.")] = None,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """How many deadlines nobody could have met on test tapes, proven, and how far rules and a checkpoint are from that.
    Needs the extra `bound` (docs/evaluation.md)."""
    try:
        import ortools  # noqa: F401 - the extra may not be installed
        import scipy  # noqa: F401
    except ModuleNotFoundError as error:
        fail("limit", f"needs {error.name}: pip install 'synergai[bound]'")
    from importlib.metadata import version

    from rich.console import Console

    from synergai.agents.learned import CheckpointError
    from synergai.envs.scenario import ScenarioError
    from synergai.envs.tape import setting_of
    from synergai.training.evaluation.ask import Ask, policies_of, scenarios_of, words
    from synergai.training.evaluation.evaluate import runners
    from synergai.training.evaluation.limit.found import LOADS, limits
    from synergai.training.evaluation.limit.report import as_table, cells_of, line_of, write

    try:
        rules = words([schedulers])
        checkpoints = ("demo",) if checkpoint is None else checkpoint
        policies = policies_of(Ask(checkpoints=checkpoints, policies=policy or ("net", "net+plan")))
        players = runners(rules, policies)
        asked = scenarios_of(Ask(scenarios=scenario or (), loads=load or LOADS))
        table = table_of(profiles, hardware)
        settings = [setting_of(each, table) for each in asked]
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        names = [player.name for player in players if player.name not in policies]
        founds = limits(
            settings, players, tapes, arrivals, block, seconds, lambda found: typer.echo(line_of(found))
        )
    except (ScenarioError, CheckpointError, OSError, ValueError) as error:
        fail("limit", error)
    console, width = Console(), 60 + 15 * len(players) + 15 * len(policies)
    Console(width=max(console.width, width)).print(as_table(cells_of(founds, names)))
    if out is not None:
        terms = {"block": block, "seconds": seconds, "arrivals": arrivals, "ortools": version("ortools")}
        written = write(founds, names, terms, out)
        typer.echo(f"written: {', '.join(map(str, written))}")
