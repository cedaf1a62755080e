"""Measures one point through child processes: its start-up, then its speed, memory and power."""

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any  # of JSON

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.repeats import Measured

CHILD = "synergai.offline_profiles.measuring.child"
PATIENCE_S = 1800.0
"""Beyond what measuring takes: TensorRT compiles for minutes."""


@dataclass(frozen=True, slots=True)
class Result:
    """Of one point."""

    measured: Measured
    present_s: tuple[float, ...]
    """Process start to first answer with an empty engine cache, each start."""
    cached_s: tuple[float, ...]
    """The same with the cache of the start before."""
    peak_memory_mib: float
    engine_version: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Result":
        """KeyError or TypeError where it is something else."""
        measured = dict(value["measured"])
        measured["latency_quantiles_ms"] = tuple(measured["latency_quantiles_ms"])
        return Result(
            Measured(**measured),
            tuple(value["present_s"]),
            tuple(value["cached_s"]),
            float(value["peak_memory_mib"]),
            str(value["engine_version"]),
        )

    @property
    def startups_s(self) -> tuple[float, float]:
        """With an empty cache and with a full one; the second is no slower, whatever chance says."""
        present_s = median(self.present_s)
        return present_s, min(present_s, median(self.cached_s))


def measure_point(point: Point, effort: Effort) -> Result:
    """EngineError where the engine does not run it so."""
    present_s, cached_s = [], []
    with tempfile.TemporaryDirectory(prefix="synergai-profile-") as folder:
        cache = Path(folder)
        for number in range(effort.starts):
            cache = Path(folder) / str(number)
            cache.mkdir()
            present_s.append(_start(point, cache)[0])
            cached_s.append(_start(point, cache)[0])
        _, answer = _start(point, cache, effort)
    found = {field.name: answer[field.name] for field in fields(Measured)}
    found["latency_quantiles_ms"] = tuple(found["latency_quantiles_ms"])
    return Result(
        Measured(**found),
        tuple(present_s),
        tuple(cached_s),
        answer["peak_memory_mib"],
        answer["engine_version"],
    )


def _start(point: Point, cache: Path, effort: Effort | None = None) -> tuple[float, dict[str, Any]]:
    """Seconds to the first answer of a new process, and all that it says; it ends with us, however we end."""
    job = {
        "model": str(point.model.path), "shapes": {k: list(v) for k, v in point.model.shapes.items()},
        "setting": asdict(point.setting), "cache": str(cache), "effort": asdict(effort) if effort else None,
    }  # fmt: skip
    limit_s = PATIENCE_S + (effort.most_s if effort else 0)
    with tempfile.TemporaryFile() as noise:
        started_s = time.monotonic()
        child = subprocess.Popen(
            [sys.executable, "-m", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=noise,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            answer = _asked(child, json.dumps(job).encode() + b"\n", limit_s)
        finally:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
        if answer is None:
            noise.seek(0)
            raise EngineError(f"{point.key}: {_death(child.returncode, noise.read())}")
    if "error" in answer:
        raise EngineError(answer["error"])
    return answer["answered_at_s"] - started_s, answer


def _asked(child: "subprocess.Popen[bytes]", job: bytes, limit_s: float) -> dict[str, Any] | None:
    """The answer; None where the child died without one, or said nothing for too long."""
    assert child.stdin is not None, "it is a pipe"
    assert child.stdout is not None, "it is a pipe"
    try:
        child.stdin.write(job)
        child.stdin.flush()
        if not select.select([child.stdout], [], [], limit_s)[0]:
            return None
        answer = json.loads(child.stdout.readline())
        child.wait(limit_s)
        return answer
    except (BrokenPipeError, subprocess.TimeoutExpired, ValueError):
        with suppress(subprocess.TimeoutExpired):
            child.wait(1.0)
        return None


def _death(code: int | None, noise: bytes) -> str:
    said = noise.decode(errors="replace").strip().splitlines()
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    if code == -9:
        how += ", as happens when memory runs out or nothing is heard for half an hour"
    return f"its process {how}" + (f": {said[-1][:300]}" if said else "")
