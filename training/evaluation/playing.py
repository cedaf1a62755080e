"""Tapes that are played while somebody watches."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from synergai.envs.candidates import scratch_for
from synergai.envs.metrics import Measures, measure
from synergai.envs.tape import Setting, Tape
from synergai.envs.world import Sim, new_sim
from synergai.training.evaluation.evaluate import Runner

POLL_S = 0.1
SILENT_S = 2.0
"""What is over by then is not worth a bar."""


def play(setting: Setting, tape: Tape, players: Sequence[Runner]) -> list[tuple[Sim, Measures]]:
    """The tape under each of them. On a terminal a bar on standard error says how far it is: compiled code lets go of
    the interpreter, so its progress can be read while it runs."""
    played: list[tuple[Sim, Measures]] = []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(setting.scenario.name, total=len(players) * len(tape.jobs), visible=False)
        with ThreadPoolExecutor(1) as pool:
            for player in players:
                sim = new_sim(setting, tape)
                running = pool.submit(player.run, sim, scratch_for(sim.state))
                while wait([running], POLL_S).not_done:
                    done = len(played) * len(tape.jobs) + int(sim.progress[0]["next_arrival"])
                    told = f"{setting.scenario.name}: {player.name}"
                    bar.update(task, completed=done, description=told, visible=_long(bar))
                running.result()
                played.append((sim, measure(setting, sim)))
    return played


def _long(bar: Progress) -> bool:
    return (bar.tasks[0].elapsed or 0.0) > SILENT_S
