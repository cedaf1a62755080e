"""Waits for one job, and says how it goes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.commands.book import Book
from synergai.k8s_bridge.explain import phrases
from synergai.k8s_bridge.explain.api import AskError, problem
from synergai.k8s_bridge.explain.session import INTERRUPTED, Session
from synergai.k8s_bridge.explain.words import span
from synergai.k8s_bridge.inference.job import InferenceJob

Tell = Callable[[str, str], None]
"""Takes what is new only when something happens, and what changes by itself."""


async def follow(session: Session, job: InferenceJob, console: Console) -> int:
    """Until it ends, is deleted, or the person has seen enough; the exit code."""
    client = session.client
    try:
        async with Book(client, job.namespace, job.name) as book:
            with teller(console) as tell:
                while not (job.status.ended or job.uid in book.gone or session.stop.is_set()):
                    tell(state(job, book.lost), _left(job, client.now_us()))
                    await book.tick()
                    job = book.jobs.get(job.uid) or book.gone.get(job.uid) or job
    except ApiError as error:
        raise AskError(
            f"{job.key} was created and goes on, but cannot be followed: {problem(error)}"
        ) from error
    if job.status.ended:
        return _end(job)
    if job.uid in book.gone:
        typer.echo(f"{job.name} was deleted before it ended", err=True)
        return 1
    typer.echo(f"{job.name} goes on. {_hint(job)}", err=True)
    return INTERRUPTED


@contextmanager
def teller(console: Console) -> Iterator[Tell]:
    """One line that is kept up to date; where there is no terminal a line for each thing that is new."""
    if console.is_terminal:
        with console.status("") as line:
            yield lambda what, rest: line.update(Text(f"{what}{rest}", no_wrap=True, overflow="ellipsis"))
        return
    last = ""

    def tell(what: str, rest: str) -> None:
        nonlocal last
        if what != last:
            console.print(f"{what}{rest}", markup=False, highlight=False, soft_wrap=True)
        last = what

    yield tell


def state(job: InferenceJob, lost: bool = False) -> str:
    """`Running on orin-7 (jetson-agx-orin-maxn) as trt-int8-b8, attempt 2`, `Pending: Queued`."""
    last = job.status.attempts[-1] if job.status.attempts else None
    placed = phrases.place(last) if last is not None and last.end is None else ""
    parts = [f"{phrases.phase(job)} {placed}".rstrip(), f"attempt {len(job.status.attempts)}" if last else ""]
    text = ", ".join(part for part in parts if part)
    text += f": {phrases.why(job)}" if phrases.why(job) else ""
    return f"{text}; the API server does not answer, trying on" if lost else text


def _left(job: InferenceJob, now_us: int) -> str:
    at_us = phrases.deadline_us(job)
    return f"; deadline {span(at_us - now_us)}" if at_us is not None else ""


def _end(job: InferenceJob) -> int:
    failed = job.status.condition("Failed")
    if failed is not None and failed.status:
        typer.echo(f"{job.name} failed: {phrases.why(job, 1000)}", err=True)
        typer.echo(f"`synergai explain job {job.name} -n {job.namespace}` says more", err=True)
        return 1
    spare = phrases.outcome(job)
    typer.echo(f"{job.name} is complete {phrases.where(job)}".rstrip() + (f", {spare}" if spare else ""))
    return 0


def _hint(job: InferenceJob) -> str:
    return (
        f"`synergai jobs -n {job.namespace} --watch` watches it, "
        f"`synergai cancel {job.name} -n {job.namespace}` ends it"
    )
