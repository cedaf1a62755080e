"""`synergai train`, `synergai evaluate`, `synergai simulate`: one line and exit code 2 for what is wrong."""

from pathlib import Path
from typing import Annotated

import typer

from synergai.envs.cli import fail
from synergai.offline_profiles.options import HardwareOption, ProfilesOption, table_of

ScenarioOption = Annotated[str, typer.Option(help="Name of a shipped scenario, or a YAML file.")]


def train(
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint, curves and settings of this run.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings; docs/training.md lists them.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the file's.")] = None,
    decisions: Annotated[int | None, typer.Option(min=0, help="Of PPO, instead of the file's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in OUT, with the settings it began with.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Train: clone the SynergAI heuristic, then improve it by PPO. Watch it with `tensorboard --logdir OUT`."""
    try:
        import torch  # noqa: F401 - the extra may not be installed
    except ImportError:
        fail(
            "train",
            ImportError("needs torch and stable-baselines3: pip install 'synergai[train]', or make install"),
        )
    from synergai.envs.scenario import ScenarioError
    from synergai.training import train as verbs
    from synergai.training.config import ConfigError, read
    from synergai.training.folder import RunError, RunFolder

    changes = {key: value for key, value in (("seed", seed), ("decisions", decisions)) if value is not None}
    try:
        settings = None if config is None else read(config).model_copy(update=changes)
        if resume:
            finished = RunFolder(out).finished
            folder = verbs.resume(out, changes if settings is None else dict(settings), quiet)
            if finished:
                typer.echo(f"{out}: the run is complete, there is nothing to resume")
        elif settings is None:
            raise ConfigError("--config is missing: a YAML file of settings; or go on with a run by --resume")
        else:
            folder = verbs.train(settings, out, quiet)
    except (ConfigError, RunError, ScenarioError, OSError, ValueError) as error:
        fail("train", error)
    typer.echo(f"checkpoint: {folder}\ncurves: tensorboard --logdir {out}")


def export(
    checkpoint: Annotated[str, typer.Option(help="Folder, or a released name.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
) -> None:
    """A checkpoint's network as an ONNX model, which a run also writes beside its weights."""
    from synergai.agents.learned import CheckpointError, read

    try:
        from synergai.training.onnx_model import write_onnx
    except ImportError:
        fail("export", ImportError("needs onnx: pip install 'synergai[train]', or make install"))
    try:
        sha256 = write_onnx(read(checkpoint).weights, out)
    except (CheckpointError, OSError) as error:
        fail("export", error)
    typer.echo(f"written: {out} (sha256 {sha256})")


def certify(
    checkpoint: Annotated[Path, typer.Option(help="Folder of the checkpoint.")],
    evaluation: Annotated[Path, typer.Option(help="Folder that `synergai evaluate --out` wrote.")],
) -> None:
    """Write into a checkpoint's card in which cells an evaluation found it no worse than every rule."""
    from synergai.agents.learned import CheckpointError
    from synergai.training.card import CertifyError
    from synergai.training.card import certify as write

    try:
        found = write(checkpoint, evaluation)
    except (CertifyError, CheckpointError, OSError) as error:
        fail("certify", error)
    for policy, cells in found.items():
        typer.echo(f"{policy}: certified in {cells} cells")


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
    arrivals: Annotated[int | None, typer.Option(min=20, help="Per tape, instead of the scenario's.")] = None,
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
