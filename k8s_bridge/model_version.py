"""Which version of what decides."""

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Any  # a folder, or one within the package

from synergai import __version__


def model_version(checkpoint: str) -> str:
    """The beginning of the SHA-256 of a checkpoint's weights; for rules, the version of the package. Never raises:
    whether a checkpoint can be used is found out where it is read."""
    if not checkpoint:
        return __version__
    from synergai.agents.learned import (
        WEIGHTS_FILE,
    )  # brings in the network's code, which a rule does not need

    folder: Any = (
        Path(checkpoint) if Path(checkpoint).is_dir() else files("synergai.checkpoints") / checkpoint
    )
    try:
        return hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()[:12]
    except OSError:
        return "unknown"
