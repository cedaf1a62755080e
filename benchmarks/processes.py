"""Programs that a figure runs beside itself, and what they spend."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from synergai.benchmarks.figure import BenchError

START_TIMEOUT_S = 240.0
"""Of a process; the first one after a change of the kernels compiles them."""


@contextlib.asynccontextmanager
async def process(command: Sequence[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, or this Python where the command begins with an option; output in a file, ended at the end."""
    program = [sys.executable, *command] if command[0].startswith("-") else command
    with log.open("wb") as output:
        running = await asyncio.create_subprocess_exec(
            *program, stdout=output, stderr=output, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            yield running
        finally:
            if running.returncode is None:
                running.terminate()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(running.wait(), 5.0)
            if running.returncode is None:
                running.kill()
                await running.wait()


async def until(fact: Callable[[], bool], running: asyncio.subprocess.Process, log: Path) -> None:
    """Wait for a process to say something. BenchError with its last words if it does not."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while not fact():
        if running.returncode is not None or time.monotonic() > deadline:
            last = (said(log).strip().splitlines() or ["nothing"])[-1]
            raise BenchError(f"{log.stem} did not start; it said: {last}")
        await asyncio.sleep(0.05)


def said(log: Path) -> str:
    """All that a program wrote."""
    return log.read_text(encoding="utf-8", errors="replace")


def cpu_s(pid: int) -> float:
    """User and system time of a process and of those that it waited for, by proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def command_of(mentions: str) -> tuple[int, list[str]]:
    """The only process here that was started with that argument, and all of its arguments. BenchError for none or
    several."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if mentions in arguments:
                found.append((int(folder.name), arguments))
    if len(found) != 1:
        raise BenchError(
            f"{len(found)} processes of this machine were started with {mentions}; one is needed"
        )
    return found[0]
