"""`synergai sim-to-real`: jobs on a cluster under several schedulers, and how far the simulator told the truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail
from synergai.offline_profiles.options import table_of

if TYPE_CHECKING:
    from synergai.agents.scheduler import Scheduler
    from synergai.benchmarks.sim_to_real.recording import Place
    from synergai.benchmarks.sim_to_real.workload import Asked, Recipe
    from synergai.k8s_bridge.api.client import ApiClient
    from synergai.offline_profiles.table import ProfileTable

app = typer.Typer(
    help="Jobs on a cluster and the same in the simulator (docs/sim-to-real.md).", no_args_is_help=True
)
SCHEDULERS = "demo,edf_likely,synergai,slo_mael_greedy,least_allocated"
CALIBRATION, WORKLOAD, PARAMETERS = "calibration", "workload.json", "parameters.json"
Profiles = Annotated[
    Path | None, typer.Option(help="CSV of the profiles of these nodes, as `synergai profile` writes it.")
]
Hardware = Annotated[Path | None, typer.Option(help="CSV of their hardware classes.")]
Schedulers = Annotated[str, typer.Option(help="Comma list of rules and checkpoints, each in its turn.")]
Out = Annotated[Path, typer.Option(help="Folder of the recordings, tables and pictures.")]


@app.command()
def run(
    models: Annotated[str, typer.Option(help="Comma list of the models that are asked for.")],
    profiles: Profiles = None,
    hardware: Hardware = None,
    kubeconfig: Annotated[str, typer.Option(help="KUBECONFIG, or the usual places.")] = "",
    namespace: Annotated[str, typer.Option(help="Where the jobs go; it should hold no others.")] = "default",
    schedulers: Schedulers = SCHEDULERS,
    jobs: Annotated[int, typer.Option(min=10, max=5000, help="Per scheduler.")] = 100,
    calibrate: Annotated[
        int, typer.Option(min=5, max=1000, help="Jobs that the cluster is measured with first.")
    ] = 20,
    load: Annotated[
        float, typer.Option(min=0.05, max=3, help="Arrivals over the most that the nodes sustain.")
    ] = 0.7,
    job_s: Annotated[float, typer.Option(min=0.1, max=600, help="Median run on the fastest class.")] = 7.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    speed: Annotated[
        float, typer.Option(min=0.1, max=1000, help="Of an embedded cluster; real ones have 1.")
    ] = 1.0,
    slowdown: Annotated[
        float, typer.Option(min=0, max=10, help="As `synergai profile neighbours` found it.")
    ] = 0.0,
    out: Out = Path("out/sim-to-real"),
) -> None:
    """Jobs of a replayed trace on the cluster, which has the nodes' labels and InferenceRuntimes; then the report."""
    import asyncio

    from synergai.benchmarks.sim_to_real.recording import Place
    from synergai.benchmarks.sim_to_real.workload import Recipe
    from synergai.k8s_bridge.api.client import ApiError
    from synergai.k8s_bridge.api.credentials import CredentialsError

    names = _names(schedulers)
    recipe = Recipe(tuple(_names(models)), jobs, load, job_s, seed)
    rows = (str(profiles.resolve()),) if profiles else ()
    place = Place(kubeconfig, namespace, rows, str(hardware.resolve()) if hardware else "", speed=speed)
    try:
        table = _table(profiles, hardware)
        out.mkdir(parents=True, exist_ok=True)
        asyncio.run(_record_all(names, recipe, calibrate, place, table, out))
        _report(names, table, slowdown, out)
    except (ApiError, CredentialsError, OSError, ValueError) as error:
        fail("sim-to-real run", error)


@app.command()
def report(
    profiles: Profiles = None,
    hardware: Hardware = None,
    schedulers: Schedulers = SCHEDULERS,
    slowdown: Annotated[float, typer.Option(min=0, max=10)] = 0.0,
    out: Out = Path("out/sim-to-real"),
) -> None:
    """The same tables and pictures of recordings that are there."""
    try:
        _report(_names(schedulers), _table(profiles, hardware), slowdown, out)
    except (OSError, ValueError) as error:
        fail("sim-to-real report", error)
    except KeyError as error:  # the recordings are of other profiles
        fail("sim-to-real report", error.args[0])


def _table(profiles: Path | None, hardware: Path | None) -> "ProfileTable":
    return table_of([profiles] if profiles else [], hardware)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _is_rule(name: str) -> bool:
    from synergai.agents.registry import names

    return name.partition(":")[0] in names()


def _scheduler(name: str) -> "Scheduler":
    """As the bridge has it: a rule, or a checkpoint behind the guard. ValueError where there is neither."""
    from synergai.k8s_bridge.config import Settings
    from synergai.k8s_bridge.startup import StartupError, load_scheduler

    chosen = {"scheduler" if _is_rule(name) else "checkpoint": name}
    try:
        return load_scheduler(Settings.model_validate(chosen))
    except StartupError as error:
        raise ValueError(str(error)) from None


async def _record_all(
    names: list[str], recipe: "Recipe", calibrate: int, place: "Place", table: "ProfileTable", out: Path
) -> None:
    from dataclasses import replace

    from synergai.benchmarks.sim_to_real import parameters, workload
    from synergai.benchmarks.sim_to_real.recording import nodes_of
    from synergai.benchmarks.sim_to_real.stages import read_recording
    from synergai.k8s_bridge.api import credentials
    from synergai.k8s_bridge.api.client import ApiClient

    for name in names:
        _scheduler(name)  # a wrong one is told of before anything runs
    async with ApiClient(credentials.load(place.kubeconfig)) as client:
        nodes = await nodes_of(client, table)
        first = replace(recipe, jobs=calibrate, job_s=recipe.job_s / 2, seed=recipe.seed + 1)
        jobs = workload.workload(first, nodes, table, 0.0)
        await _record(client, CALIBRATION, "least_allocated", "", jobs, place, out)
        measured = parameters.measure(read_recording(out / CALIBRATION).stages, table)
        place = replace(place, pod_start_s=round(measured.pod_start_s, 2))
        jobs = workload.workload(recipe, nodes, table, place.pod_start_s)
        workload.save(jobs, out / WORKLOAD)
        for name in names:
            rule, checkpoint = (name, "") if _is_rule(name) else ("", name)
            await _record(client, name, rule, checkpoint, jobs, place, out)


async def _record(
    client: "ApiClient", name: str, rule: str, checkpoint: str, jobs: "list[Asked]", place: "Place", out: Path
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from synergai.benchmarks.sim_to_real.recording import record

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(name, total=len(jobs))

    def show(ended: int, _: int) -> None:
        bar.start()
        bar.update(task, completed=ended)

    try:
        await record(client, rule, checkpoint, jobs, place, out / name, show)
    finally:
        if bar.live.is_started:  # what is refused has no bar
            bar.stop()


def _report(names: list[str], table: "ProfileTable", slowdown: float, out: Path) -> None:
    from synergai.benchmarks.sim_to_real import parameters, picture, report
    from synergai.benchmarks.sim_to_real.comparison import Compared, Comparison, compare
    from synergai.benchmarks.sim_to_real.stages import read_recording

    measured = parameters.measure(read_recording(out / CALIBRATION).stages, table, slowdown)
    measured.save(out / PARAMETERS)
    recordings = [read_recording(out / name) for name in names]

    def all_of(known: list[parameters.Parameters]) -> tuple[Compared, ...]:
        return tuple(
            compare(one, lambda name=one.name: _scheduler(name), table, what)
            for one, what in zip(recordings, known)
        )

    own = [parameters.measure(one.stages, table, slowdown) for one in recordings]
    nothing = [parameters.Parameters()] * len(recordings)
    found = Comparison(measured, all_of(nothing), all_of([measured] * len(recordings)), all_of(own))
    text = report.write(found, out)
    picture.draw_flows(found, out / "flows.png")
    picture.draw_rates(found, out / "rates.png")
    typer.echo(text, nl=False)
    typer.echo(f"\nwritten: {out}/{report.MARKDOWN}, {report.JSON}, flows.png, rates.png", err=True)
