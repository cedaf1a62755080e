"""`synergai replay`: what a bridge wrote down, under other schedulers."""

from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synergai.envs.cli import fail
from synergai.offline_profiles.options import HardwareOption, ProfilesOption, table_of

if TYPE_CHECKING:
    from synergai.agents.logged import Logged
    from synergai.envs.metrics import Measures
    from synergai.training.evaluation.evaluate import Runner

SCHEDULERS = "edf_likely,sjf_feasible,llf,synergai,least_allocated"
AS_IT_HAPPENED = "as it happened"
MOST_TOLD = 5


def replay(
    log: Annotated[
        list[Path],
        typer.Argument(help="Decision logs of one bridge, the oldest first: FILE.1 FILE.", metavar="LOG..."),
    ],
    schedulers: Annotated[
        str,
        typer.Option(
            help="Comma list of rules, with switches as in `synergai:order=edf`, and `rollout[:FUTURES[:BASE]]`;"
            " `all` rules, or empty for none."
        ),
    ] = SCHEDULERS,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Folder or released name; may be repeated.")
    ] = None,
    policy: Annotated[
        str, typer.Option(help="How checkpoints are played: `net`, `net+plan`, `reference`, or a comma list.")
    ] = "net",
    tapes: Annotated[int, typer.Option(min=1, max=1000, help="How often each plays, with other luck.")] = 8,
    profiles: ProfilesOption = None,
    hardware: HardwareOption = None,
) -> None:
    """The arrivals of a decision log, on its nodes, in the simulator, under schedulers of your choice; beside what
    really happened (docs/decision-log.md)."""
    from rich.console import Console

    from synergai.agents.learned import CheckpointError
    from synergai.agents.logged import as_it_happened, load_of, logged
    from synergai.envs.decision_log import read_logs
    from synergai.offline_profiles.table import ProfileError
    from synergai.training.evaluation import tables
    from synergai.training.evaluation.ask import Ask, policies_of
    from synergai.training.evaluation.evaluate import runners

    try:
        wanted = [name.strip() for name in schedulers.split(",") if name.strip()]
        players = runners(wanted, policies_of(Ask(checkpoints=checkpoint or (), policies=[policy])))
        if not players:
            raise ValueError("nothing to play: name --schedulers or a --checkpoint")
        found = read_logs(log)
        what = logged(found, table_of(profiles, hardware))
    except (CheckpointError, ProfileError, OSError, ValueError) as error:
        fail("replay", error)
    for line in _notes(what):
        typer.echo(f"synergai replay: {line}", err=True)
    span_s = (what.jobs[-1].arrival_us - what.jobs[0].arrival_us) * 1e-6
    typer.echo(
        f"{', '.join(map(str, log))}: {len(what.jobs)} jobs, {int(what.counted.sum())} of them counted, in "
        f"{span_s:.0f} s on {len(what.known.catalog.nodes)} nodes, load {load_of(what):.2f}; decided by {_who(what)}"
    )
    rows = [(AS_IT_HAPPENED, as_it_happened(what)), *play_all(what, players, range(tapes))]
    Console().print(tables.of_many(rows, f"the log, and {tapes} replays under each"))


def play_all(what: "Logged", players: "list[Runner]", seeds: range) -> "list[tuple[str, Measures]]":
    """The mean over the seeds of each player; players side by side."""
    from synergai.agents.logged import mean_of, play_logged

    def play(player: "Runner") -> "tuple[str, Measures]":
        return player.name, mean_of([play_logged(what, player, seed) for seed in seeds])

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(pool.map(play, players))


def _who(what: "Logged") -> str:
    start = what.log.start
    return f"{start.get('scheduler', 'nobody knows')} {start.get('version', '')}".strip()


def _notes(what: "Logged") -> list[str]:
    """What of the log is not played."""
    problems = what.log.problems
    told = [f"{problem}; left out" for problem in problems[:MOST_TOLD]]
    if len(problems) > MOST_TOLD:
        told.append(f"{len(problems) - MOST_TOLD} more lines are left out")
    return [*told, *what.left_out]
