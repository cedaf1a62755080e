"""Sends a trace: each job at its time, and then how they went."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from synergai.envs.cli import fail
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.clock import SECOND_US
from synergai.k8s_bridge.commands.book import TICK_S, Book
from synergai.k8s_bridge.commands.creating import create_job
from synergai.k8s_bridge.commands.trace import Arrival
from synergai.k8s_bridge.commands.wish import dated, job_of, stem
from synergai.k8s_bridge.explain import phrases
from synergai.k8s_bridge.explain.api import AskError, problem
from synergai.k8s_bridge.explain.session import INTERRUPTED, Session
from synergai.k8s_bridge.explain.words import duration
from synergai.k8s_bridge.inference.job import InferenceJob
from synergai.k8s_bridge.pods import Json
from synergai.k8s_bridge.submit import paced

PLAIN_S = 5.0
"""Between two lines where there is no terminal."""
FOLLOWED = 16
"""Namespaces that are watched one by one; with more of them a trace is not waited for."""


@dataclass(slots=True)
class Tally:
    """How far it is."""

    total: int
    created: dict[str, InferenceJob] = field(default_factory=dict)
    """By uid, as they are known to be."""
    refused: str = ""
    """Why sending was given up."""

    def see(self, books: list[Book]) -> None:
        for book in books:
            for uid in self.created.keys() & (book.jobs.keys() | book.gone.keys()):
                self.created[uid] = book.jobs.get(uid) or book.gone[uid]

    def count(self, gone: set[str]) -> dict[str, int]:
        """Jobs by what became of them."""
        counts: dict[str, int] = dict.fromkeys(("in time", "late", "complete", "failed", "deleted"), 0)
        for uid, job in self.created.items():
            if job.status.ended:
                words = phrases.outcome(job)
                counts[words.partition(" by ")[0] if words else "complete"] += 1
            elif uid in gone:
                counts["deleted"] += 1
        return counts


def bodies(arrivals: list[Arrival], submission: str, namespace: str) -> list[Json]:
    """The objects, with deadlines as the trace has them; their names are fixed, so that none is created twice."""
    width = len(str(len(arrivals)))
    return [
        job_of(
            f"{stem(one.model)}-{submission}-{n:0{width}d}", one.namespace or namespace, submission, one.spec
        )
        for n, one in enumerate(arrivals, 1)
    ]


async def replay(
    session: Session, arrivals: list[Arrival], jobs: list[Json], speed: float, wait: bool, console: Console
) -> int:
    """`jobs` are the arrivals' `bodies`. Until all are created, and if it is to `wait` have ended; the exit code."""
    namespaces = sorted({job["metadata"]["namespace"] for job in jobs})
    if wait and len(namespaces) > FOLLOWED:
        raise AskError(
            f"the trace has {len(namespaces)} namespaces, {FOLLOWED} can be waited for: add --no-wait"
        )
    start_us = await session.now_us()
    tally = Tally(len(arrivals))
    async with AsyncExitStack() as stack:
        books = [await stack.enter_async_context(Book(session.client, name)) for name in namespaces if wait]
        show = stack.enter_context(_bar(console, tally.total))
        sending = asyncio.create_task(_send(session, arrivals, jobs, start_us, speed, tally))
        stack.callback(sending.cancel)
        trouble = await _until_over(session, sending, books, tally, show)
        await sending
        tally.see(books)
        gone = {uid for book in books for uid in book.gone}
    return _sum_up(tally, gone, wait and not trouble, session.stop.is_set(), trouble)


async def _until_over(
    session: Session,
    sending: asyncio.Task[None],
    books: list[Book],
    tally: Tally,
    show: Callable[[Tally, int], None],
) -> str:
    """Shows how it goes; why the jobs could not be followed, empty where they could."""
    trouble = ""
    while not session.stop.is_set():
        ended = 0
        if not trouble:
            tally.see(books)
            ended = sum(tally.count({uid for book in books for uid in book.gone}).values())
        show(tally, ended)
        if sending.done() and (trouble or not books or ended == len(tally.created)):
            break
        try:
            if books and not trouble:
                await asyncio.gather(*(book.tick() for book in books))
            else:
                await _pause(session.stop, TICK_S)
        except ApiError as error:
            trouble = problem(error)
    return trouble


async def _send(
    session: Session, arrivals: list[Arrival], jobs: list[Json], start_us: int, speed: float, tally: Tally
) -> None:
    """Each at its time. One that is refused ends it, as what follows would be another trace."""
    client = session.client

    async def send(arrival: Arrival, body: Json) -> None:
        due_us = start_us + round(arrival.at_s * SECOND_US / speed)
        try:
            job = await create_job(client, body | {"spec": dated(body["spec"], due_us, speed)})
        except AskError as error:
            tally.refused = tally.refused or f"{arrival.row}: {error}"
            session.stop.set()
        else:
            tally.created[job.uid] = job

    works = [(one.at_s, partial(send, one, job)) for one, job in zip(arrivals, jobs)]
    await paced(
        client,
        works,
        speed=speed,
        start_us=start_us,
        sleep=lambda seconds: _pause(session.stop, seconds),
        stopped=session.stop.is_set,
    )


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


@contextmanager
def _bar(console: Console, total: int) -> Iterator[Callable[[Tally, int], None]]:
    """A bar; where there is no terminal a line now and then."""
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, TimeElapsedColumn(), console=console) as bars:
        task = bars.add_task("created", total=total, note="")
        yield lambda tally, ended: bars.update(task, completed=len(tally.created), note=f"{ended} ended")


def _plain(console: Console) -> Callable[[Tally, int], None]:
    told, told_s = "", -PLAIN_S
    loop = asyncio.get_running_loop()

    def show(tally: Tally, ended: int) -> None:
        nonlocal told, told_s
        text = f"{len(tally.created)} of {tally.total} created, {ended} ended"
        if text != told and loop.time() - told_s >= PLAIN_S:
            console.print(text, markup=False, highlight=False, soft_wrap=True)
            told, told_s = text, loop.time()

    return show


def _sum_up(tally: Tally, gone: set[str], waited: bool, stopped: bool, trouble: str) -> int:
    counts = tally.count(gone)
    parts = [f"{count} {what}" for what, count in counts.items() if count] if waited else []
    still = len(tally.created) - sum(counts.values())
    parts += [f"{still} go on"] if still and waited else []
    text = f"{len(tally.created)} of {tally.total} jobs created"
    typer.echo(f"{text}: {', '.join(parts)}" if parts else text)
    worst = max((_late_us(job) for job in tally.created.values()), default=0)
    if waited and worst > 0:
        typer.echo(f"the latest {duration(worst)} after its deadline")
    why = tally.refused or (trouble and f"the jobs cannot be followed: {trouble}")
    if why:
        fail("submit", why)
    if stopped:
        return INTERRUPTED
    return 1 if counts["failed"] + counts["deleted"] else 0


def _late_us(job: InferenceJob) -> int:
    """By how much a job that is complete missed its deadline."""
    at_us, end_us = phrases.deadline_us(job), phrases.ended_us(job)
    if at_us is None or end_us is None or not phrases.outcome(job).startswith("late"):
        return 0
    return end_us - at_us
