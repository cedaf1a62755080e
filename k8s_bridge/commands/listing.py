"""`synergai jobs`: InferenceJobs as a table, most urgent first."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.commands.book import Book
from synergai.k8s_bridge.explain import phrases
from synergai.k8s_bridge.explain.session import Session
from synergai.k8s_bridge.explain.words import clean, duration, table
from synergai.k8s_bridge.inference.job import PATH, PLURAL, InferenceJob, job_path, read_job

HEAD = (
    "NAME", "MODEL", "SAMPLES", "DEADLINE", "PHASE", "NODE", "HARDWARE/CONFIGURATION", "ATTEMPTS", "AGE", "WHY",
)  # fmt: skip
PAGE = 500
REDRAW_S = 1.0
COLORS = {"Running": "green", "Failed": "red", "Succeeded": "dim"}
Rows = list[tuple[str, ...]]


async def fetch_jobs(client: ApiClient, namespace: str = "") -> list[InferenceJob]:
    """Of a namespace, or all."""
    path, params, found = job_path(namespace) if namespace else f"{PATH}/{PLURAL}", {"limit": str(PAGE)}, []
    while True:
        reply = await client.get(path, params)
        found += [read_job(item) for item in reply.get("items") or ()]
        more = (reply.get("metadata") or {}).get("continue")
        if not more:
            return found
        params = {"limit": str(PAGE), "continue": more}


def in_order(jobs: Iterable[InferenceJob]) -> list[InferenceJob]:
    """What goes on by its deadline, then without one by age; then what has ended, the latest first."""

    def urgency(job: InferenceJob) -> tuple[bool, float, int, str]:
        ended = job.status.ended
        at_us = (-(phrases.ended_us(job) or job.created_us)) if ended else phrases.deadline_us(job)
        return ended, float("inf") if at_us is None else at_us, job.created_us, job.key

    return sorted(jobs, key=urgency)


def rows(jobs: Iterable[InferenceJob], now_us: int, everywhere: bool) -> Rows:
    """Head and a row for each, in order."""
    head = ("NAMESPACE", *HEAD) if everywhere else HEAD
    return [head, *(_row(job, now_us, everywhere) for job in in_order(jobs))]


def _row(job: InferenceJob, now_us: int, everywhere: bool) -> tuple[str, ...]:
    spec, status = job.spec, job.status
    last = status.attempts[-1] if status.attempts else None
    return (
        *((job.namespace,) if everywhere else ()),
        job.name,
        clean(spec.model) if spec else "-",
        str(spec.samples) if spec else "-",
        phrases.deadline(job, now_us),
        phrases.phase(job),
        clean(last.node) or "-" if last else "-",
        phrases.how(last) if last else "-",
        str(len(status.attempts)),
        duration(max(now_us - job.created_us, 0)),
        phrases.why(job),
    )


def nothing(namespace: str) -> str:
    where = f" in namespace {namespace}" if namespace else ""
    return f"no InferenceJobs{where}; `synergai submit` makes one"


def print_table(console: Console, found: Rows, empty: str) -> None:
    """With colours on a terminal, else as plain columns."""
    if len(found) == 1:
        console.print(empty, markup=False, highlight=False, soft_wrap=True)
    elif console.is_terminal:
        console.print(_drawn(found))
    else:
        console.print("\n".join(table(found)), markup=False, highlight=False, soft_wrap=True)


def _drawn(found: Rows) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in found[0]:
        drawn.add_column(name, justify="right" if name in ("SAMPLES", "ATTEMPTS") else "left")
    phase = found[0].index("PHASE")
    for row in found[1:]:
        drawn.add_row(*(Text(cell) for cell in row), style=COLORS.get(row[phase], ""))
    return drawn


async def watch(session: Session, namespace: str, console: Console) -> int:
    """Until the person has seen enough."""
    async with Book(session.client, namespace) as book:
        while not (book.listed or session.stop.is_set()):
            await book.tick()
        if console.is_terminal:
            await _redraw(session, book, namespace, console)
        else:
            await _reprint(session, book, namespace, console)
    return 0


async def _redraw(session: Session, book: Book, namespace: str, console: Console) -> None:
    with Live(console=console, auto_refresh=False) as live:
        while not session.stop.is_set():
            found = rows(book.jobs.values(), session.client.now_us(), not namespace)
            live.update(_drawn(found) if len(found) > 1 else Text(nothing(namespace)), refresh=True)
            book.gone.clear()
            await book.tick(REDRAW_S)


async def _reprint(session: Session, book: Book, namespace: str, console: Console) -> None:
    """Again whenever a job has changed."""
    shown: Sequence[str] | None = None
    while not session.stop.is_set():
        now = sorted(f"{job.key} {job.version}" for job in book.jobs.values())
        if now != shown:
            found = rows(book.jobs.values(), session.client.now_us(), not namespace)
            print_table(console, found, nothing(namespace))
        shown = now
        book.gone.clear()
        await book.tick(REDRAW_S)
