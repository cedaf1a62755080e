"""`synergai scenario`: what ships, whether a file can be run, and how much a cluster can sustain."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from synergai.offline_profiles.options import HardwareOption, ProfilesOption, table_of

if TYPE_CHECKING:
    from synergai.envs.tape import Setting

app = typer.Typer(
    help="Scenarios: list what ships, check a file, show how much load a cluster can sustain.",
    no_args_is_help=True,
)


def fail(verb: str, error: object) -> NoReturn:
    """Every problem with what a person gave is a line and exit code 2."""
    for line in str(error).splitlines():
        typer.echo(f"synergai {verb}: {line}", err=True)
    raise typer.Exit(2)


@app.command("list")
def list_shipped() -> None:
    """The scenarios that ship."""
    from synergai.envs import scenario

    for name in scenario.shipped():
        typer.echo(f"{name}: {scenario.load(name).description}")


@app.command()
def check(
    scenario: Annotated[
        str, typer.Argument(help="A YAML file, or name of a shipped scenario.", metavar="FILE")
    ],
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """Read a scenario and see that it can be run: ok with lambda*, or every problem and exit code 2."""
    setting = _setting("scenario check", scenario, profiles, hardware)
    typer.echo(f"{scenario}: ok, {_summary(setting)}")


@app.command()
def capacity(
    scenario: Annotated[str, typer.Argument(help="Name of a shipped scenario, or a YAML file.")] = "demo",
    json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """lambda*, the most jobs per second that the cluster can sustain of this mix, and what limits it."""
    from json import dumps

    from rich.console import Console

    from synergai.envs.limits import limits_of

    setting = _setting("scenario capacity", scenario, profiles, hardware)
    limits = limits_of(setting)
    if json:
        typer.echo(dumps(limits.as_json()))
        return
    typer.echo(f"{setting.scenario.name}: {_summary(setting)}")
    for table in limits.tables():
        Console().print(table)


def _setting(verb: str, scenario: str, profiles: list[Path] | None, hardware: Path | None) -> "Setting":
    from synergai.envs.scenario import ScenarioError, load
    from synergai.envs.tape import setting_of
    from synergai.offline_profiles.table import ProfileError

    try:
        return setting_of(load(scenario), table_of(profiles, hardware))
    except (ScenarioError, ProfileError) as error:
        fail(verb, error)


def _summary(setting: "Setting") -> str:
    found = setting.capacity
    text = (
        f"{found.jobs_per_s:.3f} jobs/s at most (lambda*), mean run time {found.tau_s:.3f} s (tau); at load "
        f"{setting.scenario.load:g} {setting.rate_sps:.3f} jobs/s arrive"
    )
    if setting.clients:
        text += f" if none has to wait, from {setting.clients} clients who think for {setting.think_s:.1f} s"
    return text
