"""What each job of a recording went through, and when: by the bridge's log and the runners' own stamps."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from synergai.benchmarks.sim_to_real.recording import DECISIONS, RUNS
from synergai.envs.decision_log import DecisionLog, LogError, read_logs
from synergai.envs.types import Job
from synergai.k8s_bridge.clock import SECOND_US, parse_time_us
from synergai.k8s_bridge.pods import Json
from synergai.offline_profiles.table import base_address


@dataclass(frozen=True, slots=True)
class Stages:
    """One job that ran; times are scenario microseconds on the clock of the log."""

    key: str
    """As the log names it."""
    model: str
    samples: int
    node: str
    hardware: str
    configuration: str
    arrival_us: int
    deadline_us: int
    decided_us: int
    began_us: int
    """When the runner's process began: pod start is over."""
    finished_us: int
    """The answer was there."""
    seen_us: int
    """Its room was free again for the bridge."""
    compute_s: float
    """The queries alone."""

    @property
    def late(self) -> bool:
        return self.finished_us > self.deadline_us

    @property
    def pod_start_s(self) -> float:
        """From the decision to the runner's first instant: bind, kubelet, container."""
        return (self.began_us - self.decided_us) / SECOND_US

    @property
    def startup_s(self) -> float:
        """From there to the end, without the queries: interpreter, engine, model."""
        return (self.finished_us - self.began_us) / SECOND_US - self.compute_s

    @property
    def release_s(self) -> float:
        return (self.seen_us - self.finished_us) / SECOND_US


@dataclass(frozen=True)
class Recording:
    """One scheduler's run."""

    name: str
    log: DecisionLog
    stages: tuple[Stages, ...]
    """By arrival, of the jobs that succeeded."""
    failed: tuple[str, ...]
    """Of the others: `JOB: why`."""


def read_recording(folder: Path) -> Recording:
    """LogError names what is missing or cannot be read."""
    log, runs = read_logs([folder / DECISIONS]), _runs(folder / RUNS)
    stages, failed = [], []
    for job in log.jobs:
        pod = job.key.partition("#")[0]
        found = _stages(job, runs.get(pod), log)
        if isinstance(found, Stages):
            stages.append(found)
        else:
            failed.append(f"{pod}: {found}")
    if not stages:
        raise LogError(f"{folder}: no job has succeeded; {failed[0] if failed else 'there was none'}")
    stages.sort(key=lambda run: (run.arrival_us, run.key))
    return Recording(folder.name, log, tuple(stages), tuple(failed))


def _runs(path: Path) -> dict[str, Json]:
    try:
        return {run["pod"]: run for run in json.loads(path.read_text(encoding="utf-8"))["runs"]}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise LogError(f"{path}: {error!r}") from None


def _stages(job: Job, run: Json | None, log: DecisionLog) -> Stages | str:
    """Or why there are none."""
    ended, started_us = log.ended.get(job.key), log.started_us.get(job.key)
    if run is None or ended is None or started_us is None or run["phase"] != "Succeeded":
        return _why(run)
    try:
        times = _times(run["report"], log.start, ended.at_us)
    except (LookupError, TypeError, ValueError, OverflowError):
        return "its runner reported nothing that can be read"
    if job.deadline_us is None or not times.compute_s > 0.0:
        return "it had no deadline, or computed nothing"
    return Stages(
        key=job.key,
        model=base_address(job.model),
        samples=job.samples,
        node=run["node"],
        hardware=ended.hardware,
        configuration=ended.configuration,
        arrival_us=job.arrival_us,
        deadline_us=job.deadline_us,
        decided_us=started_us,
        began_us=times.began_us,
        finished_us=times.finished_us,
        seen_us=ended.seen_us or ended.at_us,
        compute_s=times.compute_s,
    )


def _why(run: Json | None) -> str:
    if run is None:
        return "there is no pod of it"
    return run["reason"] or run["message"] or run["phase"]


class _Times(NamedTuple):
    began_us: int
    finished_us: int
    compute_s: float


def _times(report: Json, start: Mapping[str, Any], ended_us: int) -> _Times:
    """A runner that tells only how long it ran is taken to have begun so long before its end, and to have done nothing
    else; so the simulated ones are."""
    speed, epoch_us = float(start.get("speed", 1.0)), int(start.get("epochUs", 0))

    def scenario(name: str) -> int | None:
        if report.get(name) is None:
            return None
        return epoch_us + round((parse_time_us(report[name]) - epoch_us) * speed)

    finished_us = scenario("finishedAt") or ended_us
    run_s = float(report["runSeconds"])
    began_us = scenario("processStartedAt")
    if began_us is None:
        began_us = finished_us - round(run_s * SECOND_US)
    compute_s = report.get("computeSeconds")
    return _Times(began_us, finished_us, run_s if compute_s is None else float(compute_s))
