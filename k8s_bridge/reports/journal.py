"""The decision log: one JSON object per line, scenario time (docs/decision-log.md). Bounded; no bridge stops for what
becomes of its file."""

import json
import logging
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

Fields = dict[str, object]
MIB = 1024 * 1024
KEPT = ".1"
"""Behind the name of the file before; there are two at most."""


class Journal:
    """Appends to a file; a full one becomes FILE.1, in place of the one before, and the next begins."""

    def __init__(
        self, path: Path | str, max_mb: float = 0.0, on_lost: Callable[[], None] = lambda: None
    ) -> None:
        """Of both files together; 0 has no bound. OSError where the file cannot be opened now; later everything that
        is not written is counted by `on_lost`."""
        self.preface: Callable[[], Iterable[tuple[str, Fields]]] = lambda: ()
        """What a file must begin with to be of use by itself: asked before the first line of each."""
        self.on_lost = on_lost
        self._path = os.fspath(path)
        self._limit = int(max_mb * MIB / 2)
        self._fd = self._open()
        self._size = os.fstat(self._fd).st_size
        self._torn = self._ends_torn()
        self._begins = True
        self._well = True

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """What comes from now on does not go on from what was written: the preface is due again."""
        self._begins = True

    def write(self, kind: str, fields: Fields) -> None:
        """One line, or none where that cannot be."""
        try:
            if self._limit and self._size >= self._limit:
                self._rotate()
            if self._begins:
                self._begins = False
                for before, told in self.preface():
                    self._put(before, told)
            self._put(kind, fields)
            if not self._well:
                self._well = True
                log.info("%s is written again", self._path)
        except OSError as error:
            self._lose(error)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._fd)

    def _put(self, kind: str, fields: Fields) -> None:
        line = json.dumps({"kind": kind, **fields}, separators=(",", ":"), default=sorted)
        data = (b"\n" if self._torn else b"") + line.encode() + b"\n"
        written = os.write(self._fd, data)
        self._size += written
        self._torn = written < len(data)  # the disk is full: what comes next begins on a line of its own
        if self._torn:
            raise OSError(28, os.strerror(28))

    def _lose(self, error: OSError) -> None:
        self.on_lost()
        if self._well:
            self._well = False
            log.warning(
                "%s is not written: %s; pods are bound all the same", self._path, error.strerror or error
            )

    def _rotate(self) -> None:
        os.replace(self._path, self._path + KEPT)
        opened = self._open()
        self.close()
        self._fd, self._size, self._torn, self._begins = opened, 0, False, True
        self._size = os.fstat(opened).st_size

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def _ends_torn(self) -> bool:
        """Whether the last line was cut short, as by a kill."""
        if self._size == 0:
            return False
        try:
            with open(self._path, "rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False  # no file that can be read, such as a pipe
