"""Which code this is."""

import subprocess
from pathlib import Path

HERE = Path(__file__).resolve()


def commit() -> str:
    """The git commit of the code, `-dirty` where files had changed; `unknown` outside a checkout."""
    try:
        _git("ls-files", "--error-unmatch", HERE.name)  # no package that lies in somebody else's checkout
        return _git("describe", "--always", "--dirty", "--abbrev=12")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*words: str) -> str:
    """What git says in this folder."""
    done = subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()
