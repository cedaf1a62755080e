"""Every so often the last arrivals are played again under policy and fallback, beside the daemon's loop, and the guard
is told who decides.

Compiled code lets go of the interpreter, so a thread is enough (docs/bridge.md has what it costs). What goes wrong
there is counted and told, and leaves the guard as it was.
"""

import asyncio
import copy
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from synergai.agents.confidence import Switch
from synergai.agents.guard import Guarded
from synergai.agents.replay import LEAST_JOBS, ArrivalLog, Replayed, picture_of, replay
from synergai.agents.scheduler import Scheduler
from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.reports.report import Report

log = logging.getLogger(__name__)

NICE = 10
T = TypeVar("T")


class Replays:
    """The windowed replay guard of one daemon."""

    def __init__(
        self,
        guard: Guarded | None,
        cluster: Cluster,
        every_s: float,
        report: Report,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """`every_s` is real time; while this bridge does not lead, or has no policy, nothing is played."""
        self.arrivals = ArrivalLog()
        self._guard = guard
        self._cluster = cluster
        self._every_s = every_s
        self._report = report
        self._leads = leads
        self._players: tuple[Scheduler, Scheduler] | None = None
        self._switch = Switch()
        self._windows = 0

    def follow(self, guard: Guarded | None) -> None:
        """Judge another policy from now on, by other arrivals."""
        self._guard, self._players, self._switch = guard, None, Switch()
        self.arrivals = ArrivalLog()

    async def run(self) -> None:
        """Until cancelled; nothing that happens in a replay ends it."""
        while True:
            await asyncio.sleep(self._every_s)
            if self._leads() and self._guard:
                await self.turn()

    async def turn(self) -> None:
        """One replay, if enough has arrived, and what follows from it."""
        guard = self._guard
        assert guard is not None, "there is a policy to judge"
        try:
            window = self.arrivals.take()
            if window is None:
                self._report.replay_skipped(self.arrivals.waiting())
                return
            picture = picture_of(self._cluster)
            if self._players is None:  # schedulers keep working memory that two threads must not share
                self._players = copy.deepcopy((guard.primary, guard.fallback))
            (policy, fallback), seed = self._players, self._windows
            found = await in_thread(
                lambda: replay(picture, window, policy, fallback, seed, before_play=lower_priority)
            )
            if guard is self._guard:  # else another came meanwhile
                self._judge(guard, found)
        except Exception as error:  # the cluster is scheduled with or without replays
            log.warning("a replay failed; the guard stays as it was", exc_info=error)
            self._report.replay_failed()

    def _judge(self, guard: Guarded, found: Replayed) -> None:
        self._windows += 1
        if found.jobs < LEAST_JOBS:  # few have deadlines, or there was no time for more
            self._report.replay_skipped(found.jobs)
            return
        switched = self._switch.take(found.difference)
        guard.policy_plays = self._switch.policy_plays
        self._report.replayed(found, self._switch.policy_plays, switched, self._switch.evidence)


def lower_priority() -> None:
    """Of this thread alone, on Linux; elsewhere it stays as it is. Only where the interpreter is not needed any more:
    whoever waits for it would wait for a thread that everybody goes before."""
    with suppress(AttributeError, OSError):
        who = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, who, os.getpriority(os.PRIO_PROCESS, who) + NICE)


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises, from a thread that nobody waits for if this is cancelled: the default executor's
    threads would hold up the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type] - None only beside an error, or where T allows it

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as problem:
            error = problem
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="replay", daemon=True).start()
    return await done
