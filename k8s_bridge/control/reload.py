"""Follows the file of the settings, and the files that they name, while the bridge runs: what is good is handed over
between two rounds, what is not is told and changes nothing."""

import asyncio
import hashlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from synergai.agents.scheduler import Scheduler
from synergai.envs.mix import ModelLoad
from synergai.k8s_bridge.config import CHANGEABLE, ConfigError, Settings, load_settings
from synergai.k8s_bridge.control.mode import MODES
from synergai.k8s_bridge.replays import in_thread
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.offline_profiles.table import ProfileTable

log = logging.getLogger(__name__)

POLL_S = 0.25
"""Between looks; what two of them have seen counts, as the first may meet a file that is half written, or empty and so
all defaults. A mounted ConfigMap is swapped by links to other folders, so that nothing less than reading helps."""
DECIDERS = frozenset({"scheduler", "checkpoint", "policy", "plan_budget_ms", "fallback", "guard_budget_ms"})
"""Keys that make another scheduler."""
TABLES = frozenset({"profiles", "expect", "pod_start_s"})
"""Keys that make another picture of the cluster."""


class LoadError(Exception):
    """What settings name cannot be used; one line."""


@dataclass(frozen=True)
class Source:
    """Where settings come from: a file, and options of the command line that win over it."""

    path: str
    options: dict[str, object]

    def load(self) -> Settings:
        return load_settings(self.path, **self.options)

    def content(self) -> bytes:
        """Empty where it cannot be read, which `load` will tell."""
        try:
            return Path(self.path).read_bytes()
        except OSError:
            return b""


@dataclass(frozen=True)
class Change:
    """What is in force from the next round on; None where that part is not new."""

    settings: Settings
    scheduler: Scheduler | None = None
    table: ProfileTable | None = None
    mix: dict[str, ModelLoad] | None = None
    """Of the table, where that is new."""


Load = Callable[[Settings, bool, bool], Change]
"""Loads and tries the scheduler, the table, or both, of settings; LoadError. Called in a thread."""


class Reloads:
    """Looks four times a second. A more cautious mode is handed over at once; the rest of a file as a whole, when all
    that it names is loaded and tried."""

    def __init__(
        self,
        source: Source,
        settings: Settings,
        load: Load,
        metrics: Metrics,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`settings` are those in force."""
        self.on_change: Callable[[], None] = lambda: None
        self._source = source
        self._settings = settings
        self._load = load
        self._metrics = metrics
        self._sleep = sleep
        self._named = settings
        """What the file said last, good or not: its files are looked at too."""
        self._last: object = None
        self._seen: object = None
        """What two looks have seen, and was followed."""
        self._prints = _prints(settings)
        """Of the checkpoint and profiles in force."""
        self._refused = ""
        self._changes: list[Change] = []
        self._loading: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self.look()
                await self._sleep(POLL_S)
        finally:
            if self._loading:
                self._loading.cancel()

    @property
    def news(self) -> bool:
        """Whether something waits to be taken."""
        return bool(self._changes)

    def take(self) -> list[Change]:
        """What has changed since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def look(self) -> None:
        """Begin to load what two looks have seen the same; a load that is under way is given up then."""
        content, before = self._source.content(), self._last
        self._last = content, _prints(self._named)
        if self._last == self._seen or self._last != before:
            return
        if self._loading:
            self._loading.cancel()
        try:
            wanted = self._named = self._source.load()
        except ConfigError as error:
            self._refuse(str(error))
            return
        finally:
            prints = _prints(self._named)
            self._seen = self._last = content, prints
        wanted = self._without_what_needs_a_restart(wanted)
        if MODES.index(wanted.mode) > MODES.index(self._settings.mode):
            self._hand_over(Change(self._settings.model_copy(update={"mode": wanted.mode})))
        self._loading = asyncio.get_running_loop().create_task(self._follow(wanted, prints))

    def _without_what_needs_a_restart(self, wanted: Settings) -> Settings:
        keys = sorted(_differing(self._settings, wanted) - CHANGEABLE)
        self._metrics.restart_needed.set(len(keys))
        if keys:
            log.warning("SettingsNeedRestart: %s: what the file says counts after a restart", ", ".join(keys))
        return wanted.model_copy(update={key: getattr(self._settings, key) for key in keys})

    async def _follow(self, wanted: Settings, prints: dict[str, str]) -> None:
        stale = {name for name in prints if prints[name] != self._prints[name]}
        keys = _differing(self._settings, wanted) | stale
        decider, tables = bool(keys & DECIDERS), bool(keys & TABLES)
        change = Change(wanted)
        try:
            if decider or tables:
                change = await in_thread(lambda: self._load(wanted, decider, tables))
        except Exception as error:  # whatever a file holds, what is in force goes on
            self._refuse(str(error) if isinstance(error, LoadError) else repr(error))
            return
        self._refused = ""
        self._metrics.settings_refused.set(0)
        if keys:
            self._prints = prints
            log.info("SettingsApplied: %s; settings: %s", ", ".join(sorted(keys)), wanted.model_dump_json())
            self._hand_over(change)

    def _hand_over(self, change: Change) -> None:
        self._settings = change.settings
        self._metrics.reloads.labels("applied").inc()
        self._changes.append(change)
        self.on_change()

    def _refuse(self, why: str) -> None:
        if why == self._refused:
            return
        self._refused = why
        self._metrics.settings_refused.set(1)
        self._metrics.reloads.labels("refused").inc()
        log.warning("SettingsRefused: %s; what was in force stays", why)


def _differing(a: Settings, b: Settings) -> set[str]:
    return {name for name in Settings.model_fields if getattr(a, name) != getattr(b, name)}


def _prints(settings: Settings) -> dict[str, str]:
    """By key, something that changes whenever the files behind it do."""
    folder = Path(settings.checkpoint)
    files = [folder / name for name in ("card.json", "weights.safetensors")] if settings.checkpoint else []
    return {"checkpoint": _print(files), "profiles": _print(map(Path, settings.profiles))}


def _print(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:  # a released checkpoint goes by its name; of one that is gone, loading tells
            continue
        digest.update(f"{path}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns};".encode())
    return digest.hexdigest()
