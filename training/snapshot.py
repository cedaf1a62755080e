"""How far a run has come, in one file: enough to go on after the process was killed.

A snapshot is taken between two updates, before anything is evaluated or drawn at that step. Who resumes does both
again, and nothing of the curves is lost or doubled.
"""

import io
import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synergai.envs.features import schema_hash
from synergai.training.folder import RunError, write_atomically

FORMAT = 1
Tensors = dict[str, torch.Tensor]


@dataclass
class Progress:
    """Counters and results of a run."""

    stage: int = 0
    done: int = 0
    """Decisions of this stage."""
    step: int = 0
    """Decisions of all stages."""
    evaluated: int = 0
    """`done` at the last evaluation of this stage."""
    resumes: int = 0
    seconds: float = 0.0
    commits: list[str] = field(default_factory=list)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    best_rate: float = float("inf")
    """Violation rate of the best weights so far."""
    drawn: dict[str, float] = field(default_factory=dict)
    """Figures of the last update, not yet in the curves."""


@dataclass(frozen=True)
class Snapshot:
    """Progress and everything that learns."""

    progress: Progress
    policy: Tensors
    best: Tensors
    """Weights with the fewest violations so far; empty before the first evaluation."""
    optimizer: dict[str, Any]
    """Of the stage under way."""
    random: dict[str, Any]
    """Of torch and numpy's global generator; see `random_state`."""


def save(path: Path, snapshot: Snapshot) -> None:
    """Write it, all or nothing."""
    content = {
        "format": FORMAT,
        "features": schema_hash(),
        **vars(snapshot),
        "progress": asdict(snapshot.progress),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path) -> Snapshot:
    """Read a snapshot, running no code from it. RunError names the file."""
    if not zipfile.is_zipfile(path):  # torch would take it for its old format
        raise RunError(f"{path}: is no snapshot")
    try:
        content = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise RunError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path}: is no snapshot of format {FORMAT}")
    if content["features"] != schema_hash():
        raise RunError(
            f"{path}: made for features {content['features']!r}, this version has {schema_hash()!r}: train anew"
        )
    parts = {name: content[name] for name in ("policy", "best", "optimizer", "random")}
    return Snapshot(Progress(**content["progress"]), **parts)


def random_state() -> dict[str, Any]:
    """Of the generators that training draws from without passing them on."""
    numpy_state: Any = np.random.get_state(legacy=False)  # stable-baselines3 shuffles with it
    inner = numpy_state["state"]
    return {
        "torch": torch.get_rng_state(),
        "key": torch.as_tensor(inner["key"].astype(np.int64)),
        "pos": int(inner["pos"]),
    }


def set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    key = state["key"].numpy().astype(np.uint32)
    np.random.set_state({"bit_generator": "MT19937", "state": {"key": key, "pos": state["pos"]}})
