"""When jobs arrive: Poisson, in bursts, over a day, or as a recorded trace had it. All have the mean rate that they are
asked for, and draw from the generator that they are given. In a closed loop only the times to think are drawn: the
simulator adds them to the ends of jobs."""

import csv
import gzip
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from synergai.envs.scenario import LOG_SUFFIX, Arrivals, ScenarioError


def arrival_times_s(arrivals: Arrivals, rng: np.random.Generator, count: int, rate_sps: float) -> np.ndarray:
    """Seconds from 0 of so many arrivals at this mean rate. (count,)"""
    gaps = rng.exponential(1.0 / rate_sps, count)
    even = np.cumsum(gaps)
    if arrivals.kind == "bursty":
        return in_bursts(even, arrivals, rng)
    if arrivals.kind == "diurnal":
        return over_days(even, arrivals, rng)
    return even


def in_bursts(even: np.ndarray, arrivals: Arrivals, rng: np.random.Generator) -> np.ndarray:
    """A Markov-modulated Poisson process of two states: Poisson arrivals on a clock that runs `burst` times as fast in
    bursts as between them. `even` are arrivals at the mean rate, seconds."""
    share, burst = arrivals.burst_share, arrivals.burst
    calm = 1.0 / (1.0 - share + burst * share)  # so that the mean over both is 1
    lengths = np.array([arrivals.burst_s * (1.0 - share) / share, arrivals.burst_s])
    state = int(rng.random() < share)
    at_s, clock_s = [0.0], [0.0]
    while clock_s[-1] <= even[-1]:
        stay_s = rng.exponential(lengths[state])
        at_s.append(at_s[-1] + stay_s)
        clock_s.append(clock_s[-1] + stay_s * calm * (burst if state else 1.0))
        state = 1 - state
    return np.interp(even, clock_s, at_s)


def over_days(even: np.ndarray, arrivals: Arrivals, rng: np.random.Generator) -> np.ndarray:
    """Poisson arrivals whose rate swings about its mean like a sine, from a random hour on: the clock of `even`
    (seconds, mean rate) is turned back by bisection."""
    scale = arrivals.period_s / (2.0 * np.pi)
    phase = rng.uniform(0.0, 2.0 * np.pi)

    def clock_s(at_s: np.ndarray) -> np.ndarray:
        return at_s - arrivals.swing * scale * (np.cos(at_s / scale + phase) - np.cos(phase))

    low, high = np.maximum(even - 2.0 * scale, 0.0), even + 2.0 * scale
    for _ in range(60):
        middle = 0.5 * (low + high)
        early = clock_s(middle) < even
        low, high = np.where(early, middle, low), np.where(early, high, middle)
    return high


@cache
def read_trace(name_or_path: str) -> tuple[np.ndarray, np.ndarray]:
    """Arrival seconds from the first one, and sizes as multiples of the median. Shapes (requests,), (requests,)."""
    path = Path(name_or_path)
    try:
        if path.suffix == LOG_SUFFIX:
            from synergai.envs.logged_scenario import trace_of

            rows = [["arrival_ms", "tokens"], *trace_of(path)]
        elif path.suffix == ".csv":
            rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        else:
            packed = (files("synergai.envs") / "traces" / f"{name_or_path}.csv.gz").read_bytes()
            rows = list(csv.reader(gzip.decompress(packed).decode().splitlines()))
        if rows[0] != ["arrival_ms", "tokens"]:
            raise ValueError(f"columns are {rows[0]}, expected arrival_ms,tokens")
        values = np.array(rows[1:], dtype=float)
        if (
            len(values) < 2
            or not np.isfinite(values).all()
            or (np.diff(values[:, 0]) < 0).any()
            or (values[:, 1] <= 0).any()
        ):
            raise ValueError("needs two or more rows, arrivals in order and tokens above 0")
    except (OSError, ValueError, IndexError) as error:
        raise ScenarioError(f"trace {name_or_path!r}: {error}") from None
    return values[:, 0] / 1e3, values[:, 1] / np.median(values[:, 1])


def replay(
    trace: str, rng: np.random.Generator, count: int, rate_sps: float
) -> tuple[np.ndarray, np.ndarray]:
    """A stretch of the trace from a random start (wrapping round), time-scaled to the rate."""
    at_s, size = read_trace(trace)
    gaps = np.diff(at_s, append=at_s[-1] + (at_s[-1] - at_s[0]) / len(at_s))
    index = (rng.integers(len(at_s)) + np.arange(count)) % len(at_s)
    taken = gaps[index] + 1e-6
    arrival_s = np.cumsum(taken)
    return arrival_s * (count / rate_sps / arrival_s[-1]), size[index]
