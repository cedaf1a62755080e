"""`synergai evaluate`, `synergai simulate`: one line and exit code 2 for what is wrong."""

from pathlib import Path
from typing import Annotated

import typer

from synergai.envs.cli import fail
from synergai.offline_profiles.options import HardwareOption, ProfilesOption, table_of
from synergai.training.evaluation.options import ArrivalsOption, ScenarioOption


def evaluate(
    matrix: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of cells to play, e.g. training/evaluation/matrix.yaml.", metavar="FILE"
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario",
            "--scenarios",
            help="Shipped name or YAML file; a comma list, or repeat it. Default: demo, edge and datacenter; with "
            "--matrix they take the place of the scenarios that it names.",
        ),
    ] = None,
    load: Annotated[list[str] | None, typer.Option(help="rho, or a comma list; may be repeated.")] = None,
    trace: Annotated[
        list[str] | None,
        typer.Option(
            "--trace",
            "--traces",
            help="CSV file of arrivals to replay (docs/scenarios.md); a comma list, or repeat it. With --matrix they "
            "take the place of the shipped trace.",
        ),
    ] = None,
    schedulers: Annotated[
        str,
        typer.Option(
            help="Comma list of rules, with switches as in `synergai:order=edf`, and `rollout[:FUTURES[:BASE]]`;"
            " `all` rules, or empty for none."
        ),
    ] = "all",
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Folder or released name; may be repeated.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="How checkpoints are played: `net`, `net+plan`, `reference`; a comma list, or repeat it.",
            show_default="net",
        ),
    ] = None,
    tapes: Annotated[
        int | None, typer.Option(min=2, max=100_000, help="Tapes of the first look.", show_default="32")
    ] = None,
    max_tapes: Annotated[
        int | None,
        typer.Option(min=2, max=100_000, help="Of the last look. Default: 512, or --tapes if that is more."),
    ] = None,
    arrivals: ArrivalsOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes. Default: one per core.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results and pictures. The same command goes on with what it holds."),
    ] = None,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """Schedulers on common tapes: violations, excess and energy. A checkpoint is compared with every rule, tape by
    tape, and gets more tapes until it is known to be no worse, or worse (docs/evaluation.md)."""
    from synergai.agents.learned import CheckpointError
    from synergai.envs.scenario import ScenarioError
    from synergai.training.evaluation.ask import Ask, plan_of
    from synergai.training.evaluation.book import BookError
    from synergai.training.evaluation.evaluate import PlayError
    from synergai.training.evaluation.matrix import MatrixError
    from synergai.training.evaluation.run import run

    try:
        ask = Ask(
            scenarios=scenario or (),
            loads=load or (),
            schedulers=schedulers,
            checkpoints=checkpoint or (),
            policies=policy or ("net",),
            matrix=matrix,
            traces=trace or (),
            tapes=tapes,
            max_tapes=max_tapes,
            arrivals=arrivals,
            seed=seed,
        )
        run(plan_of(ask, table_of(profiles, hardware)), jobs, out)
    except (MatrixError, ScenarioError, CheckpointError, BookError, OSError, ValueError) as error:
        fail("evaluate", error)
    except PlayError as error:
        typer.echo(f"synergai evaluate: {error}", err=True)
        raise typer.Exit(1) from None


def simulate(
    scenario: Annotated[
        str, typer.Option(help="Name of a shipped scenario, a YAML file, or `all` shipped ones.")
    ] = "demo",
    scheduler: Annotated[
        str,
        typer.Option(
            help="A rule by name, with switches as in `synergai:order=edf`, or `rollout[:FUTURES[:BASE]]`;"
            " a comma list or `all` compares them."
        ),
    ] = "synergai",
    checkpoint: Annotated[str | None, typer.Option(help="A trained policy instead of a rule.")] = None,
    policy: Annotated[
        str, typer.Option(help="How the checkpoint is played: `net`, `net+plan`, `reference`.")
    ] = "net",
    seed: Annotated[int, typer.Option(min=0, help="Of the tape.")] = 0,
    load: Annotated[
        float | None, typer.Option(min=0.01, max=5, help="rho, instead of the scenario's.")
    ] = None,
    arrivals: Annotated[int | None, typer.Option(min=20, help="Instead of the scenario's.")] = None,
    events: Annotated[Path | None, typer.Option(help="Write what happened to every job, as CSV.")] = None,
    gantt: Annotated[
        Path | None, typer.Option(help="Draw what ran where and when: a .png, .svg or .html file.")
    ] = None,
    nodes: Annotated[bool, typer.Option("--nodes", help="Also a line per node, with its energy.")] = False,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """One tape under one scheduler or several: the measures, and on request every job's story and a picture."""
    from rich.console import Console

    from synergai.agents.learned import CheckpointError
    from synergai.envs import scenario as scenarios
    from synergai.envs.scenario import ScenarioError
    from synergai.envs.tape import make_tape, setting_of
    from synergai.training.evaluation import gantt as pictures
    from synergai.training.evaluation import tables
    from synergai.training.evaluation.ask import Ask, policies_of
    from synergai.training.evaluation.evaluate import runners
    from synergai.training.evaluation.events import write_events
    from synergai.training.evaluation.playing import play_all

    try:
        loaded = [scenarios.load(name) for name in (scenarios.shipped() if scenario == "all" else [scenario])]
        changes = {} if load is None else {"load": load}
        table = table_of(profiles, hardware)
        settings = [setting_of(asked.model_copy(update=changes), table) for asked in loaded]
        setting = settings[0]
        wanted = [] if checkpoint else [name.strip() for name in scheduler.split(",") if name.strip()]
        checkpoints = [checkpoint] if checkpoint else []
        players = runners(wanted, policies_of(Ask(checkpoints=checkpoints, policies=[policy])))
        if not players:
            raise ValueError("--scheduler names none")
        if (len(players) > 1 or len(settings) > 1) and (events or gantt or nodes):
            raise ValueError("--events, --gantt and --nodes are of one scheduler on one scenario")
        if gantt is not None:
            pictures.check(gantt, len(setting.catalog.nodes))
        for path in (events, gantt):
            if path is not None:
                path.touch()  # cannot be written: known before the work is done
    except (ScenarioError, CheckpointError, OSError, ValueError) as error:
        fail("simulate", error)
    console = Console()
    if len(settings) > 1:
        table = tables.of_scenarios([player.name for player in players], f"QoS violations in %, tape {seed}")
        tapes = [(setting, make_tape(setting, seed, arrivals)) for setting in settings]
        for (setting, _), played in zip(tapes, play_all(tapes, players)):
            tables.add_scenario(table, setting, [measured for _, measured in played])
        Console(width=max(console.width, 26 + 8 * len(players))).print(table)
        return
    (played,) = play_all([(setting, make_tape(setting, seed, arrivals))], players)
    title = f"{setting.scenario.name}, load {setting.scenario.load:g}, tape {seed}"
    rows = [(player.name, measured) for player, (_, measured) in zip(players, played)]
    if len(players) > 1:
        console.print(tables.of_many(rows, title))
        return
    sim = played[0][0]
    title = f"{title}, {rows[0][0]}"
    console.print(tables.of_one(setting, sim, rows[0][1], title))
    if nodes:
        console.print(tables.of_nodes(setting, sim))
    if events is not None:
        write_events(setting, sim, events)
        typer.echo(f"written: {events}")
    if gantt is not None:
        pictures.draw(setting, sim, gantt, title)
        typer.echo(f"written: {gantt}")


def front(
    checkpoint: Annotated[str, typer.Option(help="Folder or released name.")] = "demo",
    weight: Annotated[
        list[str] | None,
        typer.Option(
            help="Of energy, from 0 to 1, or a comma list; may be repeated.",
            show_default="0, 0.05, 0.1, 0.25, 0.5, 1",
        ),
    ] = None,
    scenario: ScenarioOption = None,
    load: Annotated[
        list[str] | None,
        typer.Option(help="rho, or a comma list; may be repeated.", show_default="0.7, 0.9"),
    ] = None,
    tapes: Annotated[int, typer.Option(min=2, max=100_000, help="Of each setting.")] = 4,
    arrivals: ArrivalsOption = None,
    out: Annotated[Path | None, typer.Option(help="Folder for front.json and front.png.")] = None,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """What one checkpoint offers between deadlines and energy, by the weight of energy, beside the rules with their
    switches for energy: hypervolumes, and a picture."""
    import json

    from rich.console import Console

    from synergai.agents.learned import CheckpointError
    from synergai.envs.scenario import ScenarioError
    from synergai.envs.tape import setting_of
    from synergai.training.evaluation import front as fronts
    from synergai.training.evaluation.ask import Ask, scenarios_of, weights_of

    try:
        weights = weights_of(weight or ()) or fronts.WEIGHTS
        table = table_of(profiles, hardware)
        asked = scenarios_of(Ask(scenarios=scenario or (), loads=load or fronts.LOADS))
        settings = [setting_of(each, table) for each in asked]
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        found = fronts.offers(settings, checkpoint, weights, tapes=tapes, arrivals=arrivals)
    except (ScenarioError, CheckpointError, OSError, ValueError) as error:
        fail("front", error)
    compared = [fronts.compare(offered) for offered in found]
    Console().print(fronts.as_table(compared, checkpoint))
    if out is not None:
        report = {"checkpoint": checkpoint, "weights": list(weights), "settings": compared}
        (out / "front.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        fronts.draw(found, out / "front.png")
        typer.echo(f"written: {out / 'front.json'}, {out / 'front.png'}")
