"""The rows of an evaluation by cell, scheduler and tape, kept in a folder that a later run can go on from."""

import csv
import fcntl
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from synergai.envs.metrics import Measures
from synergai.training.evaluation.evaluate import Cell, Row

ROWS_FILE = "results.csv"
PLAN_FILE = "plan.json"
MEASURES: dict[str, Any] = {field.name: field.type for field in fields(Measures)}
"""Name to int or float."""
COLUMNS = (
    "scenario", "load", "scheduler", "tape", "violation_rate", *MEASURES, "born_hopeless", "decision_us_p50",
    "decision_us_p99",
)  # fmt: skip


class BookError(ValueError):
    """A folder cannot be used for this evaluation."""


class Book:
    """Rows in memory."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[tuple[Cell, str], dict[int, Row]] = {}
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        self._rows.setdefault((row.cell, row.scheduler), {})[row.seed] = row

    def has(self, cell: Cell, scheduler: str, seed: int) -> bool:
        return seed in self._rows.get((cell, scheduler), {})

    def of(self, cell: Cell, scheduler: str) -> list[Row]:
        """The rows of one scheduler in one cell, by tape."""
        return [row for _, row in sorted(self._rows.get((cell, scheduler), {}).items())]

    def rows(self) -> list[Row]:
        """All rows by cell, scheduler and tape."""
        return [row for key in sorted(self._rows) for row in self.of(*key)]

    def pairs(self, cell: Cell, ours: str, rule: str, field: str) -> tuple[np.ndarray, np.ndarray]:
        """One measure of two schedulers on the tapes that both have played. (tapes,), (tapes,)"""
        mine, other = self._rows.get((cell, ours), {}), self._rows.get((cell, rule), {})
        common = sorted(mine.keys() & other.keys())
        return values([mine[seed] for seed in common], field), values([other[seed] for seed in common], field)


def values(rows: Sequence[Row], field: str) -> np.ndarray:
    """One measure by tape. (tapes,)"""
    return np.array([getattr(row.measures, field) for row in rows], float)


class KeptBook(Book):
    """The same, with every row written to `results.csv` as it comes. One process at a time may hold a folder."""

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        """Go on with what the folder holds. BookError if that is of another plan, or somebody is at it."""
        super().__init__()
        self.path = folder / ROWS_FILE
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / PLAN_FILE).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BookError(f"{folder}: another evaluation is writing there") from None
        _agree(folder, self._lock, identity)
        for row in _read(self.path):
            super().add(row)
        self.found = len(self.rows())
        self._file = self.path.open("a", newline="", encoding="utf-8")

    def add(self, row: Row) -> None:
        super().add(row)
        self._file.write(_line(_cells(row)))
        self._file.flush()

    def __enter__(self) -> "KeptBook":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._lock.close()

    def sort(self) -> None:
        """Put the file into an order that does not tell who played which tape when."""
        part = self.path.with_suffix(".part")
        part.write_text(
            "".join(map(_line, [COLUMNS, *map(_cells, self.rows())])), encoding="utf-8", newline=""
        )
        os.replace(part, self.path)


def _agree(folder: Path, file: IO[str], identity: dict[str, Any]) -> None:
    """Note the plan in a new folder; refuse a folder with another one."""
    file.seek(0)
    text = file.read()
    if not text and (folder / ROWS_FILE).exists():
        raise BookError(f"{folder}: holds {ROWS_FILE} but no {PLAN_FILE}: take another folder for --out")
    if not text:
        file.write(json.dumps(identity, indent=2) + "\n")
        file.flush()
        return
    try:
        there = json.loads(text)
        odd = [key for key in {**there, **identity} if there.get(key) != identity.get(key)]
    except (ValueError, AttributeError, TypeError):
        raise BookError(f"{folder / PLAN_FILE}: is not the plan of an evaluation") from None
    if odd:
        raise BookError(
            f"{folder}: holds another evaluation ({', '.join(odd)} differ{'s' if len(odd) == 1 else ''}): "
            f"take another folder for --out; {PLAN_FILE} tells what that one is"
        )


def _read(path: Path) -> list[Row]:
    """The rows of a file, made with its heading if there is none. A last line without an end is cut off."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if not whole:
        path.write_text(_line(COLUMNS), encoding="utf-8", newline="")
        return []
    if whole != text:
        os.truncate(path, len(whole.encode()))
    found = []
    lines = csv.reader(io.StringIO(whole, newline=""))
    if tuple(next(lines)) != COLUMNS:
        raise BookError(f"{path}:1: columns are not those of this version")
    for number, line in enumerate(lines, start=2):
        try:
            found.append(_row(dict(zip(COLUMNS, line, strict=True))))
        except (ValueError, KeyError) as error:
            raise BookError(f"{path}:{number}: {error}") from None
    return found


def _row(cells: dict[str, str]) -> Row:
    p50, p99 = cells["decision_us_p50"], cells["decision_us_p99"]
    return Row(
        Cell(cells["scenario"], float(cells["load"])),
        cells["scheduler"],
        int(cells["tape"]),
        Measures(**{name: kind(cells[name]) for name, kind in MEASURES.items()}),
        float(cells["born_hopeless"]),
        (float(p50), float(p99)) if p50 else None,
    )


def _cells(row: Row) -> list[object]:
    measures = asdict(row.measures).values()
    timed = row.decision_us or ("", "")
    rate = row.measures.violation_rate
    return [*row.cell, row.scheduler, row.seed, rate, *measures, row.born_hopeless, *timed]


def _line(cells: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
