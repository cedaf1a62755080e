"""Tapes that are played while somebody watches."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Event
from typing import TypeAlias

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


Played: TypeAlias = tuple[Sim, Measures]


def play_all(tapes: Sequence[tuple[Setting, Tape]], players: Sequence[Runner]) -> list[list[Played]]:
    """Every tape under each of the players, a list by tape; players run side by side, one on each core. On a terminal a
    bar on standard error says how far it is: compiled code lets go of the interpreter, so its progress can be read
    while it runs."""
    sims = [[new_sim(setting, tape) for setting, tape in tapes] for _ in players]
    stop = Event()
    columns = (TextColumn("{task.percentage:.0f} %"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar.add_task("", total=len(players) * sum(len(tape.jobs) for _, tape in tapes), visible=False)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            running = [pool.submit(_play_tapes, player, own, stop) for player, own in zip(players, sims)]
            try:
                while wait(running, POLL_S).not_done:
                    done = sum(int(sim.progress[0]["next_arrival"]) for own in sims for sim in own)
                    bar.update(bar.task_ids[0], completed=done, visible=_long(bar))
            except BaseException:  # Ctrl-C: only the tapes under way are played to their ends
                stop.set()
                raise
        for task in running:
            task.result()
    return [[(own[k], measure(tapes[k][0], own[k])) for own in sims] for k in range(len(tapes))]


def _play_tapes(player: Runner, sims: Sequence[Sim], stop: Event) -> None:
    for sim in sims:
        if stop.is_set():
            return
        player.run(sim, scratch_for(sim.state))


def _long(bar: Progress) -> bool:
    return (bar.tasks[0].elapsed or 0.0) > SILENT_S
