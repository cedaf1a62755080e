"""The one end of a runner: by its own, or by whoever stops it. Nothing is written after it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from synergai.k8s_bridge.runner import report
from synergai.k8s_bridge.runner.refusal import Status

STOPS = {signal.SIGTERM: Status.STOPPED, signal.SIGINT: Status.INTERRUPTED}


class Ending:
    """First come, first served: whoever ends it, the others wait until the process is gone."""

    def __init__(self, path: Path | None) -> None:
        """`path` of the termination message; None where nobody reads one."""
        self.path = path
        self._one = threading.Lock()

    def refused(self, status: int, why: str) -> NoReturn:
        """With the reason on stderr and as the termination message."""
        self._one.acquire()
        say(why)
        self._leave(status, report.failure(why))

    def done(self, text: str) -> NoReturn:
        """With the report as the termination message and on stdout."""
        self._one.acquire()
        self._leave(0, text, text)

    def _leave(self, status: int, text: str, shown: str = "") -> NoReturn:
        """Without what engines do when they are taken apart: the pod is over when this process is."""
        try:
            if self.path is not None:
                report.write(self.path, text)
        except OSError as error:
            say(f"{self.path}: the report cannot be written: {error}")
        with contextlib.suppress(OSError, ValueError):  # nobody reads it
            print(shown, end="\n" if shown else "", flush=True)
        os._exit(status)


def say(text: str) -> None:
    """On stderr."""
    safe = text.encode("ascii", "backslashreplace").decode()
    with contextlib.suppress(OSError, ValueError):
        print(f"synergai run: {safe}", file=sys.stderr, flush=True)


def listen(ending: Ending, far: Callable[[], str]) -> None:
    """From now on a signal ends this process, whatever its other threads do: as the first process of a container it
    would have none by default, and an engine's call may last. `far` says how far it is. Called before there are
    other threads, so that all of them leave signals to this one."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)

    def wait() -> None:
        number = signal.Signals(signal.sigwait(STOPS))
        ending.refused(STOPS[number], f"stopped by {number.name}{far()}")

    threading.Thread(target=wait, daemon=True).start()
