"""Repeats both scenarios in turn until their means are known well enough, or the time is up."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.interval import Interval, interval, quantile
from synergai.offline_profiles.measuring.loadgen import LoadGen
from synergai.offline_profiles.measuring.meters import Meter

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one point."""

    throughput_sps: float
    throughput_half_width: float
    """Of the 95 % confidence interval, as a share of the mean; so below."""
    latency_ms: float
    latency_half_width: float
    latency_quantiles_ms: tuple[float, ...]
    """50, 90, 95, 99 and 99.9 %, of the queries of all runs together."""
    queries: int
    """That the quantiles are of."""
    runs: int
    """Of each scenario."""
    cpu_milli: float
    """Mean CPU use of the process in the Offline runs."""
    active_w: float | None
    """Mean power in the Offline runs; None where nothing shows it."""
    power_covers: str


def measure(
    query: Callable[[], object], batch: int, effort: Effort, query_s: float, meter: Meter | None
) -> Measured:
    """In turn, as a machine that grows slower then tells on both; `query_s` is what one query takes about."""
    load = LoadGen(query, batch)
    start_s = time.monotonic()
    latencies_s: list[float] = []
    means_s: list[float] = []
    throughputs_sps: list[float] = []
    watts: list[float] = []
    used_s = offline_s = 0.0
    while True:
        run = load.single_stream(effort.run_s, query_s)
        latencies_s += run
        means_s.append(fmean(run))
        end, cpu_s, wall_s = meter.begin() if meter else None, _cpu_s(), time.monotonic()
        throughputs_sps.append(load.offline(effort.run_s, query_s))
        used_s, offline_s = used_s + _cpu_s() - cpu_s, offline_s + time.monotonic() - wall_s
        shown_w = end() if end else None
        watts += [] if shown_w is None else [shown_w]
        throughput, latency = interval(throughputs_sps), interval(means_s)
        if _enough(throughput, latency, effort, time.monotonic() - start_s):
            break
    latencies_s.sort()
    return Measured(
        throughput_sps=throughput.mean,
        throughput_half_width=throughput.half_width,
        latency_ms=latency.mean * 1000,
        latency_half_width=latency.half_width,
        latency_quantiles_ms=tuple(quantile(latencies_s, share) * 1000 for share in QUANTILES),
        queries=len(latencies_s),
        runs=throughput.runs,
        cpu_milli=used_s / offline_s * 1000,
        active_w=fmean(watts) if watts else None,
        power_covers=meter.covers if meter else "",
    )


def _enough(throughput: Interval, latency: Interval, effort: Effort, spent_s: float) -> bool:
    """Of one run nothing is known of the next, so there are two however long they take."""
    if spent_s >= effort.most_s:
        return throughput.runs > 1
    worst = max(throughput.half_width, latency.half_width)
    return throughput.runs >= effort.least_runs and worst <= effort.precision


def _cpu_s() -> float:
    """Of all threads of this process."""
    spent = os.times()
    return spent.user + spent.system
