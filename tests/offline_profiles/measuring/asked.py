"""How `synergai profile run` is asked for little."""

from pathlib import Path

from typer.testing import CliRunner, Result

from synergai.cli import app
from synergai.offline_profiles.measuring.effort import Effort

BRIEF = Effort(run_s=0.1, precision=0.9, least_runs=2, most_s=1.0, starts=1)
"""--quick is not quick enough for so many tests."""


def command(folder: Path, out: str, *more: str) -> list[str]:
    return [
        "profile", "run", "--models", str(folder), "--out", out, "--quick", "--hardware", "test-cpu", "--threads", "1",
        "--batches", "1,2", *more,
    ]  # fmt: skip


def profiled(folder: Path, out: str, *more: str) -> Result:
    return CliRunner().invoke(app, command(folder, out, *more), catch_exceptions=False)
