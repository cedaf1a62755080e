"""Processes that play tapes. What they find does not depend on how many there are."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Protocol

from synergai.envs.scenario import Scenario
from synergai.envs.tape import Setting, setting_of
from synergai.offline_profiles.table import ProfileTable
from synergai.training.evaluation.evaluate import Cell, PlayError, Row, evaluate, play, runners

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
REHEARSED = 20
"""Jobs."""


@dataclass(frozen=True)
class Task:
    """One tape of one cell, and who has yet to play it."""

    cell: Cell
    seed: int
    schedulers: tuple[str, ...]
    rehearse: bool = False
    """Only compile what it takes, on a few jobs, with decisions timed and not: no rows."""


@dataclass(frozen=True)
class Stage:
    """What every process must know."""

    worlds: dict[Cell, Scenario]
    rules: tuple[str, ...]
    policies: tuple[str, ...]
    arrivals: int | None = None
    table: ProfileTable = field(default_factory=ProfileTable.default)


class Team(Protocol):
    """Somebody who plays tasks."""

    def play(self, tasks: Sequence[Task]) -> Iterator[Row]:
        """The rows in any order. PlayError names the scenario, load, scheduler and tape that failed."""
        ...


class Alone:
    """In this process, one after another."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._players = {player.name: player for player in runners(stage.rules, stage.policies)}
        self._settings: dict[Cell, Setting] = {}

    def play(self, tasks: Sequence[Task]) -> Iterator[Row]:
        for task in tasks:
            players = [self._players[name] for name in task.schedulers]
            if task.rehearse:
                evaluate(self._setting(task.cell), players, (0, 1), REHEARSED)
            else:
                yield from play(self._setting(task.cell), players, task.seed, self._stage.arrivals)

    def _setting(self, cell: Cell) -> Setting:
        if cell not in self._settings:
            self._settings[cell] = setting_of(self._stage.worlds[cell], self._stage.table)
        return self._settings[cell]


@dataclass
class _Worker:
    process: BaseProcess
    line: Connection
    task: Task | None = None
    played: list[str] = field(default_factory=list)


class Workers:
    """Several processes, one task each at a time. One of them rehearses before any task is given out: it compiles what
    is not yet in the cache of kernels, and the others then find it there."""

    def __init__(self, stage: Stage, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._warm = False
        self._workers: list[_Worker] = []
        with _one_thread_each():
            for _ in range(count):
                line, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(stage, theirs), daemon=True)
                process.start()
                theirs.close()
                self._workers.append(_Worker(process, line))

    def __enter__(self) -> "Workers":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()

    def play(self, tasks: Sequence[Task]) -> Iterator[Row]:
        left = list(reversed(tasks))
        if left and not self._warm:
            left.append(replace(left[-1], rehearse=True))
        while left or self._busy():
            for worker in self._workers:
                if left and worker.task is None and (self._warm or not self._busy()):
                    self._give(worker, left.pop())
            lines = {worker.line: worker for worker in self._busy()}
            for line in wait(list(lines)):
                yield from self._hear(lines[line])  # type: ignore[index] - what was waited for

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.task is not None]

    def _give(self, worker: _Worker, task: Task) -> None:
        worker.task, worker.played = task, []
        with suppress(OSError):  # it has died: found out when it is listened to
            worker.line.send(task)

    def _hear(self, worker: _Worker) -> Iterator[Row]:
        """One message: a row, an error, or None at the end of the task."""
        assert worker.task is not None
        try:
            said = worker.line.recv()
        except (EOFError, OSError):
            worker.process.join()
            at = next(name for name in [*worker.task.schedulers, "the end"] if name not in worker.played)
            raise PlayError(
                f"{worker.task.cell}, {at}, tape {worker.task.seed}: the process that played it died "
                f"(exit code {worker.process.exitcode})"
            ) from None
        if isinstance(said, Row):
            worker.played.append(said.scheduler)
            yield said
        elif isinstance(said, str):
            raise PlayError(said)
        else:
            worker.task = None
            self._warm = True


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started meanwhile keep to one thread: their number is what fills the cores."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(stage: Stage, line: Connection) -> None:
    """Play what comes in until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is told too, and ends its workers
    team = Alone(stage)
    try:
        while True:
            _answer(team, line.recv(), line)
    except (EOFError, OSError):
        return


def _answer(team: Team, task: Task, line: Connection) -> None:
    try:
        for row in team.play([task]):
            line.send(row)
        line.send(None)
    except PlayError as error:
        line.send(str(error))
