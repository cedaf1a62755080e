"""The folder of a training run: what lies where, who may write, and how files survive a crash."""

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from synergai.training.config import TrainConfig, read


class RunError(ValueError):
    """A run cannot begin or go on in this folder; one line that says why."""


class RunFolder:
    """Paths of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.snapshot = path / "snapshot.pt"
        self.stages = path / "stages.json"
        self.checkpoint = path / "checkpoint"
        self.curves = path / "tensorboard"
        self.states = path / "states"
        """Labelled states of a stage that is under way."""

    @property
    def finished(self) -> bool:
        """The list of stages is what a run writes last."""
        return self.stages.exists()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out for as long as this one lives. RunError if one is in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(f"{self.path}: another process is training in it") from None
            yield

    def refuse_to_overwrite(self) -> None:
        """RunError if there is a run whose work would be lost."""
        if self.finished:
            raise RunError(f"{self.path}: holds a finished run; choose another folder, or remove it")
        if self.snapshot.exists():
            raise RunError(f"{self.path}: holds an unfinished run; go on with --resume, or remove it")

    def write_config(self, config: TrainConfig) -> None:
        text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
        write_atomically(self.config, text.encode())

    def read_config(self, asked: Mapping[str, Any]) -> TrainConfig:
        """The settings the run began with. RunError if there are none, or if one that is asked for differs."""
        if not self.config.is_file():
            raise RunError(f"{self.path}: holds no run that could be resumed (no {self.config.name})")
        config = read(self.config)
        for key, value in asked.items():
            if getattr(config, key) != value:
                raise RunError(
                    f"{self.path}: {key} is {getattr(config, key)!r} in the run to resume, not {value!r}; "
                    "a run goes on with the settings it began with"
                )
        return config


def write_atomically(path: Path, content: bytes) -> None:
    """All or nothing, also if the process or the machine dies in the middle."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
