"""A file of arrivals as InferenceJobs to send. What is wrong is named with its line, before anything is sent."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from synergai.k8s_bridge.commands.wish import NAMESPACE, OPTIONS, Wish
from synergai.k8s_bridge.explain.api import AskError
from synergai.k8s_bridge.pods import Json

COLUMNS = (
    "arrival_s", "arrival_ms", "model", "samples", "tokens", "deadline_s", "priority_class", "namespace", "hardware",
    "site",
)  # fmt: skip
_TEXTS = ("model", "priority_class", "hardware", "site")
_NAMES = {field: option.removeprefix("--").replace("-", "_") for field, option in OPTIONS.items()} | {
    "spec.deadline.after": "deadline_s"
}
Row = tuple[str, Mapping[str, str]]
"""File and line, and the values by column."""
_MOST_PROBLEMS = 5
_LONGEST_S = 10 * 366 * 86_400


@dataclass(frozen=True, slots=True)
class Arrival:
    """One job of a trace."""

    row: str
    """File and line."""
    at_s: float
    """Seconds from the first arrival."""
    model: str
    namespace: str
    """Empty: that of all the others."""
    spec: Json
    """With a deadline from its arrival on, in the trace's seconds, or an absolute one."""


class _Problem(ValueError):
    """A value that cannot be used."""


def read_arrivals(source: str, wish: Wish) -> list[Arrival]:
    """Of a CSV file, or of what scenarios can replay: a shipped trace by its name, or a decision log.

    What a row leaves out is as in `wish`; `tokens` are sizes as multiples of their median, which is the wish's samples.
    """
    rows = list(_csv(Path(source)) if source.endswith(".csv") else _known(source))
    if not rows:
        raise AskError(f"{source}: no arrivals")
    first_s = min(_times(rows), default=0.0)
    middle, found, problems = _median_tokens(rows), [], []
    for place, row in rows:
        try:
            found.append(_arrival(place, row, wish, middle, first_s))
        except (_Problem, AskError) as error:
            problems.append(f"{place}: {error}")
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        raise AskError("\n".join(problems[:_MOST_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])))
    return sorted(found, key=lambda one: one.at_s)


def _csv(path: Path) -> Iterator[Row]:
    """Each row with its place. AskError for a file that is none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_head(path, reader.fieldnames or ())
            for row in reader:
                place = f"{path} line {reader.line_num}"
                if None in row or None in row.values():
                    raise AskError(f"{place}: it has not as many values as there are columns")
                yield place, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AskError(f"trace {path}: {error}") from error


def _check_head(path: Path, columns: object) -> None:
    names = list(columns) if isinstance(columns, list) else []
    unknown = [name for name in names if name not in COLUMNS]
    if unknown or len({"arrival_s", "arrival_ms"} & set(names)) != 1 or len(set(names)) < len(names):
        what = f"unknown column {unknown[0]!r}" if unknown else f"columns are {','.join(names) or 'missing'}"
        raise AskError(
            f"{path} line 1: {what}; expected arrival_s or arrival_ms, and of {', '.join(COLUMNS[2:])} what is known"
        )


def _known(source: str) -> Iterator[Row]:
    from synergai.envs.arrivals import read_trace
    from synergai.envs.scenario import ScenarioError

    try:
        arrival_s, sizes = read_trace(source)
    except ScenarioError as error:
        raise AskError(f"{error}; a file of your own ends in .csv") from None
    for n, (at_s, size) in enumerate(zip(arrival_s.tolist(), sizes.tolist()), 1):
        yield f"{source} arrival {n}", {"arrival_s": repr(at_s), "tokens": repr(size)}


def _times(rows: list[Row]) -> Iterator[float]:
    for _, row in rows:
        try:
            yield _at_s(row)
        except _Problem:  # is said with its line
            continue


def _median_tokens(rows: list[Row]) -> float:
    sizes = []
    for _, row in rows:
        try:
            sizes.append(_number(row, "tokens"))
        except _Problem:
            continue
    return median(sizes) if sizes else 1.0


def _at_s(row: Mapping[str, str]) -> float:
    return _number(row, "arrival_s") if "arrival_s" in row else _number(row, "arrival_ms") / 1e3


def _number(row: Mapping[str, str], name: str) -> float:
    text = row.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= _LONGEST_S * 1e3:
        raise _Problem(f"{name} is {text!r}; write a number from 0 on")
    return value


def _arrival(place: str, row: Mapping[str, str], wish: Wish, middle: float, first_s: float) -> Arrival:
    given = {name: row[name].strip() for name in _TEXTS if row.get(name, "").strip()}
    wish = replace(wish, **given)
    if row.get("samples", "").strip():
        wish = replace(wish, samples=_whole(row["samples"].strip()))
    elif row.get("tokens", "").strip() and wish.samples is not None:
        wish = replace(wish, samples=max(round(wish.samples * _number(row, "tokens") / middle), 1))
    if row.get("deadline_s", "").strip():
        wish = replace(wish, deadline=f"{_number(row, 'deadline_s'):.6f}s")
    namespace = row.get("namespace", "").strip()
    if namespace and not NAMESPACE.fullmatch(namespace):
        raise _Problem(f"namespace is {namespace[:80]!r}; write lower case letters, digits and '-'")
    return Arrival(place, _at_s(row) - first_s, wish.model, namespace, wish.spec(_NAMES))


def _whole(text: str) -> int:
    """What is no number is refused by the job's own rule, as any other number that is not allowed."""
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise _Problem(f"samples is {text[:80]!r}; write a whole number")
    return int(text)
