"""Two engines side by side on this machine, each in a process of its own, and what they do in a window of time."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any  # of JSON

from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.neighbours import Tenant, Window
from synergai.offline_profiles.measuring.quota import limited

ACCELERATOR_MILLI = 1000
"""CPU to feed an accelerator, as the shipped profiles assume for a Jetson."""


@dataclass(frozen=True, slots=True)
class Place:
    """A point of the grid, and how much CPU it may use."""

    point: Point
    quota_milli: int = 0
    """0: as much as its threads take, without a quota."""

    @property
    def key(self) -> str:
        """`magika:1 onnxruntime-fp32-cpu-t1-b1 (300m)`."""
        return f"{self.point.key} ({self.quota_milli}m)" if self.quota_milli else self.point.key


def tenant(place: Place, node_milli: int) -> Tenant:
    """What a node books for it. `node_milli` is the CPU of the node, which here is what this process may use."""
    model, setting = place.point.model, place.point.setting
    units = 1 if setting.unit == "gpu" else 0
    cpu_milli = place.quota_milli or (ACCELERATOR_MILLI if units else setting.threads * 1000)
    share = max(cpu_milli / node_milli, float(units))
    return Tenant(model.name, model.version, setting.configuration, cpu_milli, units, share)


def fits(tenants: Sequence[Tenant], node_milli: int) -> bool:
    """Whether a node books them together: neither its cores nor its one accelerator twice."""
    cpu_milli = sum(one.cpu_milli for one in tenants)
    return cpu_milli <= node_milli and sum(one.device_units for one in tenants) <= 1


@contextmanager
def side_by_side(first: Place, second: Place, window_s: float) -> Iterator[Window]:
    """Both loaded and warm; they end with this. EngineError where one does not load, or ends."""
    with ExitStack() as stack:
        cache = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="synergai-neighbours-")))
        engines = [
            stack.enter_context(_Engine(place, cache / str(i))) for i, place in enumerate((first, second))
        ]

        def window(*running: bool) -> tuple[float, float]:
            told = [engine for engine, runs in zip(engines, running, strict=True) if runs]
            for engine in told:
                engine.tell(window_s)
            speeds = {id(engine): engine.speed_sps() for engine in told}
            return speeds.get(id(engines[0]), 0.0), speeds.get(id(engines[1]), 0.0)

        yield window


class _Engine:
    """A child process with one model; warm once it is entered."""

    def __init__(self, place: Place, cache: Path) -> None:
        cache.mkdir()
        model, setting = place.point.model, place.point.setting
        self._name, self._quota_milli, self._quota = place.key, place.quota_milli, ExitStack()
        self._job = {
            "model": str(model.path), "shapes": {name: list(dims) for name, dims in model.shapes.items()},
            "setting": asdict(setting), "cache": str(cache),
        }  # fmt: skip

    def __enter__(self) -> "_Engine":
        self._child = subprocess.Popen(
            [sys.executable, "-m", "synergai.offline_profiles.measuring.tenant"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
        )  # fmt: skip
        try:
            if self._quota_milli:
                self._quota.enter_context(limited(self._child.pid, self._quota_milli))
            self._send(json.dumps(self._job))
            self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        self._quota.close()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe:
                pipe.close()

    def tell(self, seconds: float) -> None:
        """Run so long, from now."""
        self._send(repr(seconds))

    def speed_sps(self) -> float:
        """Samples per second of what it was told last."""
        answer = self._answer()
        return answer["samples"] / answer["seconds"]

    def _send(self, line: str) -> None:
        assert self._child.stdin is not None, "it is a pipe"
        try:
            self._child.stdin.write(line + "\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise EngineError(f"{self._name}: its process ended with {self._child.wait()}") from None

    def _answer(self) -> Mapping[str, Any]:
        assert self._child.stdout is not None, "it is a pipe"
        line = self._child.stdout.readline()
        if not line:
            raise EngineError(f"{self._name}: its process ended with {self._child.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise EngineError(f"{self._name}: {answer['error']}")
        return answer
