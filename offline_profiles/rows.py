"""Reads CSV rows into `Profile`, `Hardware` and `ReferenceRow`: every bad row is named, none is kept."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from synergai.offline_profiles.profile import Hardware, Profile

# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
RESOURCE = re.compile(r"([a-z0-9.-]+/[A-Za-z0-9._-]+)?")
BASIS = re.compile(r"measured|(derived|assumed): \S.*")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf)", re.ASCII)
KINDS = ("arm", "cpu", "gpu", "jetson")
QUANTILES = ("latency_p50_ms", "latency_p90_ms", "latency_p95_ms", "latency_p99_ms", "latency_p999_ms")
STARTUPS = ("startup_cached_s", "startup_image_present_s", "startup_image_absent_s")
NAMES = frozenset({"model", "model_version", "hardware", "configuration", "name"})
POSITIVE = frozenset({"throughput_sps", "latency_ms", "batch"})
MAY_BE_EMPTY = frozenset({"resource"})
LEAST, MOST = 1e-6, 1e9
"""Of a number, where it must be above 0 and in any case: the world counts microseconds in 64 bits."""
SHOWN = 60
"""Characters of a bad cell in an error."""


class ProfileError(ValueError):
    """A profile file is wrong; the message has one line for each bad row."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Problem(NamedTuple):
    """One thing wrong with one row."""

    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """What deadlines are measured against: one profile as it was when the reference was frozen."""

    model: str
    """As the table addresses it: the name, with `:version` unless that is 1."""
    hardware: str
    configuration: str
    batch: int
    throughput_sps: float
    latency_ms: float


Row = TypeVar("Row", Profile, Hardware, ReferenceRow)


@dataclass(frozen=True, slots=True)
class Placed(Generic[Row]):
    """A value and the place it was read from."""

    value: Row
    place: str


def columns(kind: type[Row]) -> tuple[str, ...]:
    """The CSV header of a kind of row: its fields, in order."""
    return tuple(field.name for field in fields(kind))


def read_rows(kind: type[Row], text: str, file: str, problems: list[str]) -> list[Placed[Row]]:
    """The good rows of a CSV text; what is wrong with the others is appended to `problems`."""
    reader = csv.DictReader(io.StringIO(text), strict=True)
    found: list[Placed[Row]] = []
    read = 0
    try:
        header_problems = _header_problems(columns(kind), reader.fieldnames or ())
        read = reader.line_num
        place = f"{file}, line {max(read, 1)}"
        problems.extend(f"{place}, column {column}: {reason}" for column, reason in header_problems)
        if header_problems:
            return []
        for raw in reader:
            place, read = f"{file}, line {reader.line_num - _line_breaks(raw)}", reader.line_num
            row = _row(kind, raw, place, problems)
            if row is not None:
                found.append(Placed(row, place))
    except csv.Error as error:
        problems.append(f"{file}, line {read + 1}, column ?: not CSV: {error}")
    return found


def read_text(path: Path, problems: list[str]) -> str | None:
    """The text of a file, or None and a problem."""
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror or error}")
    except UnicodeDecodeError as error:
        at, byte = error.object[: error.start].count(b"\n") + 1, error.object[error.start]
        problems.append(f"{path}, line {at}, column ?: not UTF-8 (byte 0x{byte:02x})")
    return None


def write_rows(kind: type[Row], rows: Iterable[Row]) -> str:
    """The CSV text of rows; `read_rows` gives back the same values to six digits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns(kind))
    for row in rows:
        writer.writerow([_written(getattr(row, name)) for name in columns(kind)])
    return out.getvalue()


def _written(value: str | int | float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _line_breaks(raw: Mapping[str, str | list[str] | None]) -> int:
    """In quoted cells: the reader counts to the last line of a row, people look for the first."""
    cells = [cell for value in raw.values() for cell in (value if isinstance(value, list) else [value])]
    return sum(cell.count("\n") for cell in cells if cell)


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def _header_problems(wanted: Sequence[str], found: Sequence[str]) -> list[Problem]:
    known = set(wanted) & set(found)
    if 2 * len(known) < len(wanted):
        return [Problem("?", f"not its header, with {len(known)} of the columns {','.join(wanted)}")]
    missing = [Problem(name, "is missing") for name in wanted if name not in found]
    unknown = [
        Problem(name if name.isprintable() else _shown(name), f"is unknown; known are {', '.join(wanted)}")
        for name in found
        if name not in wanted
    ]
    twice = [Problem(name, "is there twice") for name in sorted(set(found)) if list(found).count(name) > 1]
    return missing + unknown + twice


def _row(kind: type[Row], raw: dict[str, str], place: str, problems: list[str]) -> Row | None:
    if None in raw or None in raw.values():
        problems.append(f"{place}, column ?: has {'more' if None in raw else 'fewer'} fields than the header")
        return None
    values: dict[str, str | int | float] = {}
    bad: list[Problem] = []
    for field in fields(kind):
        try:
            values[field.name] = _value(field.name, field.type, raw[field.name])
        except ValueError as error:
            bad.append(Problem(field.name, str(error)))
    row = None if bad else kind(**values)  # type: ignore[arg-type]  # checked by type just above
    if row is not None:
        bad = RULES[kind](row)
    problems.extend(f"{place}, column {column}: {reason}" for column, reason in bad)
    return None if bad else row


def _value(name: str, kind: object, text: str) -> str | int | float:
    if kind is str:
        return _word(name, text)
    if not NUMBER.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not a number")
    try:
        number = int(text) if kind is int else float(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"{_shown(text)} is not {wanted}") from None
    if kind is float and not isfinite(number):
        raise ValueError(f"{_shown(text)} is not finite")
    if number < 0:
        raise ValueError(f"{_shown(text)} is negative")
    if number == 0 and name in POSITIVE:
        raise ValueError("0 must be above 0")
    if number > MOST or (0 < number < LEAST and name in POSITIVE):
        raise ValueError(f"{_shown(text)} is not from {LEAST:g} to {MOST:g}")
    return number


def _word(name: str, text: str) -> str:
    if not text and name not in MAY_BE_EMPTY:
        raise ValueError("is empty")
    if not text.isprintable():
        raise ValueError(f"{_shown(text)} holds a line break or another character that cannot be printed")
    if name in NAMES and not LABEL.fullmatch(text.split(":")[0] if name == "model" else text):
        raise ValueError(f"{_shown(text)} is not a label value (letters, digits, '-', '_', '.'; at most 63)")
    if name.endswith("basis") and not BASIS.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not 'measured', 'derived: how' or 'assumed: why'")
    if name == "kind" and text not in KINDS:
        raise ValueError(f"{_shown(text)} is none of {', '.join(KINDS)}")
    if name == "resource" and not RESOURCE.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not an extended resource such as nvidia.com/gpu")
    return text


def _rising(row: Profile, names: Sequence[str]) -> list[Problem]:
    return [
        Problem(high, f"{getattr(row, high):g} is below {low} {getattr(row, low):g}")
        for low, high in pairwise(names)
        if getattr(row, high) < getattr(row, low)
    ]


def _profile_problems(row: Profile) -> list[Problem]:
    bad = _rising(row, QUANTILES) + _rising(row, STARTUPS)
    if row.idle_w > row.active_w:
        bad.append(Problem("idle_w", f"{row.idle_w:g} is above active_w {row.active_w:g}"))
    if ":" in row.model:
        bad.append(Problem("model", f"{row.model!r} holds a colon; the version has its own column"))
    if not (row.cpu_milli or row.device_units):
        bad.append(Problem("cpu_milli", "0, and device_units is 0 too: it would take nothing"))
    return bad


def _hardware_problems(row: Hardware) -> list[Problem]:
    bad = [
        Problem(name, "0 must be above 0") for name in ("cpu_milli", "memory_mib") if not getattr(row, name)
    ]
    if row.kind == "cpu" and row.resource:
        bad.append(Problem("resource", f"{row.resource!r}, but a CPU has no units"))
    return bad


RULES: dict[type, Callable[..., list[Problem]]] = {
    Profile: _profile_problems,
    Hardware: _hardware_problems,
    ReferenceRow: lambda row: [],
}
