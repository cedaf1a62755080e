"""What runs have taught, kept in a ConfigMap: read before a bridge decides, written now and then by the one that does.

Nothing here stops a bridge. What cannot be read is left where it is, and what cannot be written is tried again.
"""

import asyncio
import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import astuple

from synergai.envs.cluster import Cluster
from synergai.envs.learnt import WIDEST_RATIO, Learnt, OptionName
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.table import ProfileTable

log = logging.getLogger(__name__)

MOST_RUNS = 20.0
"""An option is kept as if it had been seen so often at most: the world may have changed until it is read."""
MAX_BYTES = 256 * 1024
"""Of the options that are kept; those with the fewest runs are left out. A ConfigMap may have 1 MiB."""
MAX_REFUSED_BYTES = 640 * 1024
TIMEOUT_S = 1.0
_DATA, _REFUSED = "calibration", "refused"


def to_text(learnt: Mapping[OptionName, Learnt], table: ProfileTable) -> str:
    """As the ConfigMap has it: bounded, without options that no profile is of, in an order of its own."""
    by_runs = sorted(learnt.items(), key=lambda item: (-min(item[1].runs, MOST_RUNS), item[0]))
    rows, room = rows_of(table), MAX_BYTES
    options = []
    for name, found in by_runs:
        row = rows.get((name.model, name.hardware, name.configuration))
        if row is None:
            continue
        ratio = min(max(math.exp(found.log_ratio), 1.0 / WIDEST_RATIO), WIDEST_RATIO)
        runs = {"runs": round(min(found.runs, MOST_RUNS), 3), "ratio": round(ratio, 6)}
        line = {**name._asdict(), "row": row, **runs}
        room -= len(json.dumps(line)) + 2
        if room < 0:
            break
        options.append(line)
    options.sort(key=lambda line: [line[key] for key in OptionName._fields])
    return json.dumps({"schema": keys.SCHEMA, "options": options}, separators=(",", ":"))


def read_text(text: str, table: ProfileTable) -> tuple[dict[OptionName, Learnt], int]:
    """What `to_text` wrote, and how many options were dropped, as their profile has changed or is gone. ValueError
    for anything else."""
    try:
        value = json.loads(text)
        if value["schema"] != keys.SCHEMA:
            raise ValueError(f"its schema is {value['schema']!r}, and {keys.SCHEMA!r} is known here")
        lines = [_line(line) for line in value["options"]]
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"it is no calibration: {error!r}") from error
    rows = rows_of(table)
    kept = {name: found for name, row, found in lines if rows.get(name[:3]) == row}
    return kept, len(lines) - len(kept)


def _line(line: Json) -> tuple[OptionName, str, Learnt]:
    name = OptionName(*(line[key] for key in OptionName._fields))
    runs, ratio = float(line["runs"]), float(line["ratio"])
    if not all(isinstance(part, str) for part in (*name, line["row"])):
        raise TypeError(f"an option is called {name}")
    if not (0.0 < runs < math.inf and 0.0 < ratio < math.inf):
        raise ValueError(f"{' '.join(name)}: {line['runs']!r} runs with a ratio of {line['ratio']!r}")
    ratio = min(max(ratio, 1.0 / WIDEST_RATIO), WIDEST_RATIO)
    return name, line["row"], Learnt(min(runs, MOST_RUNS), math.log(ratio))


def rows_of(table: ProfileTable) -> dict[tuple[str, str, str], str]:
    """A short hash of every profile: what was learnt of one says nothing of another."""
    return {
        (model, profile.hardware, profile.configuration): hashlib.sha256(
            repr(astuple(profile)).encode()
        ).hexdigest()[:12]
        for model in table.models
        for hardware in table.hardware
        for profile in table.of(model, hardware)
    }


def ratios(learnt: Mapping[OptionName, Learnt]) -> Iterator[tuple[str, str, float, float]]:
    """(model, hardware, runs, observed over predicted), over configurations and sites, weighted by runs."""
    runs: Counter[tuple[str, str]] = Counter()
    logs: Counter[tuple[str, str]] = Counter()
    for name, found in learnt.items():
        runs[name.model, name.hardware] += found.runs  # type: ignore[assignment] - counts of runs may be broken
        logs[name.model, name.hardware] += found.runs * found.log_ratio  # type: ignore[assignment]
    for pair, seen in runs.items():
        yield *pair, seen, math.exp(logs[pair] / seen)


class Calibration:
    """Between one cluster's history and one ConfigMap."""

    def __init__(
        self,
        client: ApiClient,
        cluster: Cluster,
        namespace: str = keys.BRIDGE_NAMESPACE,
        *,
        active: Callable[[], bool] = lambda: True,
        on_write: Callable[[str], None] = lambda result: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`active` says whether this bridge is the one that decides and may write."""
        self._client = client
        self._cluster = cluster
        self._paths = f"/api/v1/namespaces/{namespace}/configmaps"
        self._where = f"{namespace}/{keys.CALIBRATION_CONFIGMAP}"
        self._active = active
        self._on_write = on_write
        self._sleep = sleep
        self._was_read = False
        self._there: Json | None = None
        """As it was read or written last; None where there is none."""
        self._told = ""

    async def run(self, every_s: float) -> None:
        """Until cancelled."""
        while True:
            await self._sleep(every_s)
            await self.write()

    async def read(self) -> None:
        """Take over what was kept, where that can be read; in a bounded time."""
        try:
            self._there = await self._client.request("GET", self._path, retry="never", timeout_s=TIMEOUT_S)
        except ApiError as error:
            self._there = None
            self._was_read = error.status == 404
            if not self._was_read:
                self._tell(f"what was learnt of run times cannot be read from {self._where}: {error}")
            return
        self._was_read = True
        text = _data(self._there).get(_DATA)
        if text is None:
            return
        try:
            learnt, dropped = read_text(text, self._cluster.table)
        except ValueError as error:
            log.warning(
                "%s is not used, %s; it will be kept there as %r beside what is learnt from now on",
                self._where, error, _REFUSED,
            )  # fmt: skip
            self._there = _refused(self._there, text)
            return
        self._cluster.learn(learnt)
        log.info(
            "read from %s how long the runs of %d options take; %d others have other profiles now",
            self._where, len(learnt), dropped,
        )  # fmt: skip

    async def write(self) -> bool:
        """Keep what was learnt, if this bridge decides and there is news; whether it is on the API server now."""
        if not self._active():
            return False
        if not self._was_read:
            await self.read()  # what is there must not be lost
        if not self._was_read:
            return False
        try:
            return await self._write(to_text(self._cluster.learnt(), self._cluster.table))
        except ApiError as error:
            self._on_write("failed")
            self._was_read = False  # somebody else may have written
            self._tell(f"what was learnt of run times cannot be kept in {self._where}: {error}")
        except Exception:  # pods are bound, whatever becomes of this
            self._on_write("failed")
            log.exception("what was learnt of run times cannot be kept")
        return False

    async def _write(self, text: str) -> bool:
        there = self._there
        if there is None:
            if text == to_text({}, self._cluster.table):
                return False
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": keys.CALIBRATION_CONFIGMAP}}
            body = made | {"data": {_DATA: text}}
            self._there = await self._client.post(self._paths, body, retry="never", timeout_s=TIMEOUT_S)
        elif _data(there).get(_DATA) == text:
            return True
        else:
            body = there | {"data": _data(there) | {_DATA: text}}  # with its resourceVersion
            self._there = await self._client.request(
                "PUT", self._path, body=body, retry="never", timeout_s=TIMEOUT_S
            )
        self._told = ""
        self._on_write("written")
        return True

    @property
    def _path(self) -> str:
        return f"{self._paths}/{keys.CALIBRATION_CONFIGMAP}"

    def _tell(self, problem: str) -> None:
        """Once, until it is well again."""
        if self._told != problem:
            self._told = problem
            log.warning(problem)


def _data(there: Json) -> dict[str, str]:
    return there.get("data") or {}


def _refused(there: Json, text: str) -> Json:
    """The same with what cannot be used under another key, as far as there is room."""
    kept = text.encode()[:MAX_REFUSED_BYTES].decode(errors="ignore")
    others = {name: value for name, value in _data(there).items() if name != _DATA}
    return there | {"data": others | {_REFUSED: kept}}
