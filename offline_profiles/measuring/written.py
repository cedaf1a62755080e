"""From results to the three files: profiles, hardware, and what this host is and how it was measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any  # of JSON

from synergai import __version__
from synergai.offline_profiles.build import MEMORY_STEP_MIB
from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.host.host import Host
from synergai.offline_profiles.measuring.assumed import Assumptions
from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.grid import Point, allowed_milli
from synergai.offline_profiles.measuring.loadgen import version as loadgen_version
from synergai.offline_profiles.measuring.measure import Result
from synergai.offline_profiles.power import Power
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import ProfileError, read_rows, write_rows

MARGIN = 1.1
"""On the peak memory: the next run is not the same to the byte, and a limit that is met kills."""
CPU_STEP_MILLI = 500
"""To which the CPU that feeds an accelerator is rounded up."""
LICENCE = "own measurement"


@dataclass(frozen=True, slots=True)
class Machine:
    """What is measured, and by what name."""

    host: Host
    hardware: Hardware
    assumptions: Assumptions
    idle_w: float | None
    """As a meter showed it before anything ran; None without one."""


def profile(machine: Machine, point: Point, result: Result) -> Profile:
    """One row."""
    setting, found = point.setting, result.measured
    present_s, cached_s = result.startups_s
    pull = machine.assumptions.pull()
    power = _power(machine, point, result)
    quantiles = [round(value, 6) for value in found.latency_quantiles_ms]
    return Profile(
        point.model.name, point.model.version, machine.hardware.name, setting.configuration,
        setting.engine, setting.precision, setting.unit, setting.batch, setting.threads,
        cpu_milli=_cpu_milli(machine, point, result),
        memory_mib=_stepped(result.peak_memory_mib * MARGIN, MEMORY_STEP_MIB),
        device_units=0 if setting.unit == "cpu" else 1,
        throughput_sps=found.throughput_sps,
        latency_ms=found.latency_ms,
        latency_p50_ms=quantiles[0],
        latency_p90_ms=quantiles[1],
        latency_p95_ms=quantiles[2],
        latency_p99_ms=quantiles[3],
        latency_p999_ms=quantiles[4],
        startup_image_absent_s=present_s + pull.seconds,
        startup_image_present_s=present_s,
        startup_cached_s=cached_s,
        active_w=power.active_w,
        idle_w=power.idle_w,
        throughput_basis="measured",
        latency_basis="measured",
        startup_basis=f"derived: measured with the image there; without it, {pull.basis} on top",
        power_basis=power.basis,
        resources_basis=_resources_basis(machine, setting.unit),
        source=_source(result, setting.engine),
        licence=LICENCE,
    )  # fmt: skip


def texts(
    machine: Machine, results: Mapping[str, Result], points: Sequence[Point], effort: Effort
) -> tuple[str, str, str]:
    """Profiles and hardware as CSV, the host as JSON. What is written is what the reader of profiles takes."""
    rows = [profile(machine, point, results[point.key]) for point in points if point.key in results]
    profiles, hardware = write_rows(Profile, rows), write_rows(Hardware, [machine.hardware])
    problems: list[str] = []
    read_rows(Profile, profiles, "what was measured", problems)
    read_rows(Hardware, hardware, "this machine", problems)
    if problems:
        raise ProfileError(problems)
    return profiles, hardware, _host(machine, results, effort)


def hardware_class(
    name: str, kind: str, resource: str, host: Host, assumptions: Assumptions, idle_w: float | None
) -> Hardware:
    """The row that describes this machine. EngineError where the host does not show its memory."""
    if not host.memory_mib:
        raise EngineError("this host does not show how much memory it has (/proc/meminfo)")
    given_w = assumptions.given.idle_w
    idle = "idle power " + ("given" if given_w is not None else "assumed" if idle_w is None else "measured")
    quota = " by its CPU quota" if host.cpu_quota_milli else ""
    node_w = assumptions.idle_w() if idle_w is None or given_w is not None else idle_w
    basis = f"derived: what this host shows{quota}; {idle}"
    return Hardware(name, kind, resource, allowed_milli(host), host.memory_mib, node_w, basis)


def _cpu_milli(machine: Machine, point: Point, result: Result) -> int:
    """Its threads as far as the quota goes; on an accelerator, what it was seen to use."""
    allowed = allowed_milli(machine.host)
    if point.setting.unit == "cpu":
        return min(point.setting.threads * 1000, allowed)
    return min(_stepped(result.measured.cpu_milli, CPU_STEP_MILLI), allowed)


def _resources_basis(machine: Machine, unit: str) -> str:
    quota = ", or the CPU quota" if machine.host.cpu_quota_milli else ""
    cpu = (
        f"its threads{quota}" if unit == "cpu" else f"cpu as it was used, to whole {CPU_STEP_MILLI} milli-CPU"
    )
    return f"derived: {cpu}; peak memory of the measuring process and a tenth, to whole {MEMORY_STEP_MIB} MiB"


def _power(machine: Machine, point: Point, result: Result) -> Power:
    found = result.measured
    if machine.idle_w is not None and found.active_w is not None:
        given_w = machine.assumptions.given.idle_w
        idle_w = machine.idle_w if given_w is None else given_w
        how = "" if given_w is None else ", above idle as given"
        # a meter is no better than a few per cent: less than idle is idle
        above_w = max(0.0, found.active_w - machine.idle_w)
        return Power(idle_w + above_w, idle_w, f"derived: {found.power_covers}{how}")
    share = _cpu_milli(machine, point, result) / (1000 * max(1, machine.host.cpu.threads))
    return machine.assumptions.power(point.setting.unit, point.setting.threads, share)


def _source(result: Result, engine: str) -> str:
    found = result.measured
    return (
        f"synergai profile {__version__} with LoadGen {loadgen_version()} and {engine} {result.engine_version}: "
        f"{found.runs} runs; 95 % intervals: throughput +-{found.throughput_half_width:.1%}, "
        f"latency +-{found.latency_half_width:.1%}; {found.queries} queries"
    )


def _host(machine: Machine, results: Mapping[str, Result], effort: Effort) -> str:
    value: dict[str, Any] = {
        "host": json.loads(machine.host.to_json()),
        "hardware": machine.hardware.name,
        "effort": asdict(effort),
        "loadgen": loadgen_version(),
        "synergai": __version__,
        "points": {key: result.to_json() for key, result in results.items()},
    }
    return json.dumps(value, indent=1) + "\n"


def _stepped(value: float, step: int) -> int:
    """Rounded up to a whole number of steps, at least one."""
    return max(1, ceil(value / step)) * step
