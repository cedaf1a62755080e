"""What is finished of a run, line by line, so that a killed run goes on where it stopped."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any  # of JSON

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.engines.store import MODEL, ModelFile
from synergai.offline_profiles.host.host import Host
from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.measure import Result

SCHEMA = 1


def conditions(
    points: tuple[Point, ...], host: Host, hardware: str, effort: Effort, versions: Mapping[str, str]
) -> dict[str, Any]:
    """What must be the same for results to stand side by side; each entry by the words that a refusal calls it."""
    shown = json.loads(host.to_json())
    shown.pop("problems", None)
    return {
        "schema": SCHEMA,
        "hardware class": hardware,
        "host": shown,
        "grid": [point.key for point in points],
        "model files": {_name(one): one.sha256() for one in {p.model.path: p.model for p in points}.values()},
        "shapes": {p.model.name: {k: list(v) for k, v in p.model.shapes.items()} for p in points},
        "effort": asdict(effort),
        "versions": dict(versions),
    }


@dataclass
class Journal:
    """A file that is appended to. Use as a context."""

    path: Path
    results: dict[str, Result]
    """By the key of their point."""
    _file: IO[str]

    @staticmethod
    def open(path: Path, wanted: Mapping[str, Any], anew: bool) -> "Journal":
        """With what is finished under the same conditions. EngineError names what differs, and touches nothing."""
        try:
            file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise EngineError(f"{path}: cannot be written: {error.strerror or error}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kept = b"" if anew else _whole_lines(path)
            journal = Journal(path, _read(path, kept, wanted) if kept else {}, file)
            os.truncate(path, len(kept))
            if not kept:
                journal._line(dict(wanted))
        except BlockingIOError:
            file.close()
            raise EngineError(f"{path}: is being written by another run") from None
        except BaseException:
            file.close()
            raise
        return journal

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, point: Point, result: Result) -> None:
        """On disk when it returns."""
        self.results[point.key] = result
        self._line({"point": point.key, "result": result.to_json()})

    def done(self) -> None:
        """All is written elsewhere."""
        self.path.unlink(missing_ok=True)

    def _line(self, value: dict[str, Any]) -> None:
        self._file.write(json.dumps(value) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def _whole_lines(path: Path) -> bytes:
    """A line without an end was being written when the run was killed."""
    whole = path.read_bytes()
    return whole[: whole.rfind(b"\n") + 1]


def _read(path: Path, kept: bytes, wanted: Mapping[str, Any]) -> dict[str, Result]:
    results = {}
    for number, line in enumerate(kept.decode(errors="replace").splitlines(), 1):
        try:
            value = json.loads(line)
            if number == 1:
                _check(path, dict(value), wanted)
            else:
                results[str(value["point"])] = Result.from_json(value["result"])
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            why = f"is damaged ({type(error).__name__})"
            raise EngineError(f"{path}, line {number}: {why}; --anew starts again") from error
    return results


def _check(path: Path, given: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    now = json.loads(json.dumps(wanted))
    changed = [name for name in now if given.get(name) != now[name]]
    if changed:
        what = "; ".join(_difference(name, given.get(name), now[name]) for name in changed)
        raise EngineError(f"{path}: was begun under other conditions: {what}; --anew starts again")


def _difference(name: str, before: object, now: object) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        return f"{name} ({', '.join(' '.join(key.split()) for key in keys)})"  # those of a damaged file too
    if isinstance(before, list) and isinstance(now, list):
        gone, new = [x for x in before if x not in now], [x for x in now if x not in before]
        words = [f"{len(gone)} points gone" if gone else "", f"{len(new)} points new" if new else ""]
        return f"{name} ({', '.join(word for word in words if word) or 'another order'})"
    return f"{name} ({before!r}, now {now!r})"


def _name(model: ModelFile) -> str:
    """`tiny:1`, or `tiny:1 model.int8.onnx` of a file of a precision's own."""
    file = model.path.name
    return f"{model.name}:{model.version}" + ("" if file == MODEL else f" {file}")
