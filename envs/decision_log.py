"""Reads what a bridge wrote down (`--decisions`): nodes, arrivals, decisions and how they ended. The lines are in
docs/decision-log.md; all times are scenario time."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any  # a line holds anything until it is read

from synergai.envs.learnt import Learnt, OptionName
from synergai.envs.types import Device, Job, Node

SCHEMA = "1"
DAMAGED = 0.05
"""A log of which a larger share of the lines cannot be read is refused."""
Json = dict[str, Any]


class LogError(ValueError):
    """A decision log cannot be used; the message names file and line."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    """What a node was from an instant on; None where it was gone."""

    at_us: int
    name: str
    node: Node | None


@dataclass(frozen=True, slots=True)
class Ended:
    """How a pod ended."""

    at_us: int
    cause: str
    hardware: str = ""
    configuration: str = ""
    observed_s: float | None = None
    predicted_s: float | None = None
    seen_us: int | None = None
    """When the bridge saw it; None in a log of an earlier version."""


@dataclass
class DecisionLog:
    """What the files hold, in order of time."""

    start: Json = field(default_factory=dict)
    """The first line that says what decided, and how; empty where there is none."""
    jobs: list[Job] = field(default_factory=list)
    """By arrival, each once, without those that were withdrawn before they had started."""
    nodes: list[NodeChange] = field(default_factory=list)
    learnt: dict[OptionName, Learnt] = field(default_factory=dict)
    """What was known of run times at the beginning."""
    started_us: dict[str, int] = field(default_factory=dict)
    """When a job was started last, by key."""
    ended: dict[str, Ended] = field(default_factory=dict)
    first_us: int = 0
    last_us: int = 0
    """Of all lines."""
    problems: list[str] = field(default_factory=list)
    """Lines that were left out: `FILE:LINE: why`."""


def read_logs(paths: Sequence[Path | str]) -> DecisionLog:
    """All files as one log, in the order given: the oldest first. LogError where there is nothing to use, or too much
    of it is damaged."""
    book = _Book()
    for path in paths:
        for place, line in _lines(Path(path)):
            book.read(place, line)
    log = book.done()
    if len(log.problems) > DAMAGED * book.lines:
        raise LogError(
            f"{log.problems[0]}; {len(log.problems)} of {book.lines} lines cannot be read, more than "
            f"{100 * DAMAGED:g} %"
        )
    if not log.jobs:
        raise LogError(
            f"{paths[-1] if paths else 'no file'}: no arrival in it; a bridge writes them with `decisions`"
        )
    if not log.nodes:
        raise LogError(f"{paths[-1]}: no node in it; it was not written from a bridge's start on")
    return log


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", line
    except OSError as error:
        raise LogError(f"{path}: cannot be read: {error.strerror or error}") from None


class _Book:
    def __init__(self) -> None:
        self.lines = 0
        self._log = DecisionLog()
        self._jobs: dict[str, Job] = {}
        self._done: list[Job] = []
        self._times: list[int] = []

    def read(self, place: str, text: str) -> None:
        self.lines += 1
        try:
            line = json.loads(text)
            kind = line["kind"]
            take = getattr(self, f"_{kind}", None) if kind in _KINDS else None
            if take is not None:
                take(line)
        except LogError as error:
            raise LogError(f"{place}: {error}") from None
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            self._log.problems.append(f"{place}: {_why(error)}")

    def done(self) -> DecisionLog:
        log = self._log
        log.jobs = sorted([*self._done, *self._jobs.values()], key=lambda job: (job.arrival_us, job.key))
        log.nodes.sort(key=lambda change: change.at_us)
        log.first_us, log.last_us = min(self._times, default=0), max(self._times, default=0)
        return log

    def _at(self, line: Json, name: str = "nowUs") -> int:
        at_us = _whole(line[name])
        self._times.append(at_us)
        return at_us

    def _start(self, line: Json) -> None:
        if line["schema"] != SCHEMA:
            raise LogError(f"schema {line['schema']!r}; this version reads {SCHEMA!r}")
        self._at(line)
        self._log.start = self._log.start or line

    def _learnt(self, line: Json) -> None:
        if not self._log.learnt:
            self._log.learnt = dict(_learnt_of(option) for option in line["options"])

    def _node(self, line: Json) -> None:
        node = None if line["node"] is None else _node_of(line["node"])
        self._log.nodes.append(NodeChange(self._at(line), _text(line["name"]), node))

    def _arrival(self, line: Json) -> None:
        job = _job_of(line["job"])
        self._at(line)
        self._jobs.setdefault(job.key, job)  # it is told again when it waits again

    def _withdrawn(self, line: Json) -> None:
        self._at(line)
        self._jobs.pop(_text(line["pod"]), None)

    def _decision(self, line: Json) -> None:
        at_us, decision = self._at(line), line["decision"]
        if line["action"] == "START" and decision["job"] in self._jobs:
            self._log.started_us[_text(decision["job"])] = at_us

    def _outcome(self, line: Json) -> None:
        key = _text(line["pod"])
        ended = Ended(
            self._at(line, "endedUs"),
            _text(line["cause"]),
            _text(line.get("hardware", "")),
            _text(line.get("configuration", "")),
            _seconds(line.get("observedS")),
            _seconds(line.get("predictedS")),
            _whole(line["seenUs"]) if "seenUs" in line else None,
        )
        job = self._jobs.pop(key, None)
        if job is None:
            return  # it began before the log does
        name = f"{key}#{len(self._done)}"  # the name may come again
        self._done.append(replace(job, key=name))
        self._log.ended[name] = ended
        if key in self._log.started_us:
            self._log.started_us[name] = self._log.started_us.pop(key)


_KINDS = frozenset({"start", "learnt", "node", "arrival", "withdrawn", "decision", "outcome"})
"""Others are of no use here, or of a later version."""


def _why(error: Exception) -> str:
    return f"no {error} in it" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"[:200]


def _learnt_of(option: Json) -> tuple[OptionName, Learnt]:
    runs, ratio = _seconds(option["runs"]), _seconds(option["ratio"])
    if not runs or not ratio:
        raise ValueError(f"{runs} runs with a ratio of {ratio}")
    return OptionName(*(_text(option[name]) for name in OptionName._fields)), Learnt(runs, math.log(ratio))


def _node_of(value: Json) -> Node:
    devices = tuple(Device(_text(device["hardware"]), _whole(device["units"])) for device in value["devices"])
    return Node(
        name=_text(value["name"]),
        devices=devices,
        cpu_milli=_whole(value["cpu_milli"]),
        memory_mib=_whole(value["memory_mib"]),
        pods=_whole(value["pods"]),
        site=_text(value["site"]),
        ready=value["ready"] is True,
    )


def _job_of(value: Json) -> Job:
    deadline, hardware, nodes = value["deadline_us"], value["hardware"], value["nodes"]
    job = Job(
        key=_text(value["key"]),
        model=_text(value["model"]),
        samples=_whole(value["samples"]),
        arrival_us=_whole(value["arrival_us"]),
        deadline_us=None if deadline is None else _whole(deadline),
        priority=_whole(value["priority"]),
        namespace=_text(value["namespace"]),
        site=_text(value["site"]),
        hardware=None if hardware is None else frozenset(map(_text, hardware)),
        nodes=None if nodes is None else frozenset(map(_text, nodes)),
        barred=frozenset((_text(node), _text(name)) for node, name in value.get("barred", ())),
    )
    if job.samples < 1:
        raise ValueError(f"{job.key} has {job.samples} samples")
    return job


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**62:
        raise ValueError(f"{value!r} is no whole number")
    return value


def _seconds(value: object) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 < value < math.inf:
        raise ValueError(f"{value!r} is no number above 0")
    return float(value)
