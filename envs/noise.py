"""Randomness of the world: counter-based hashes, independent of any decision.

Every number is a hash of (seed, stream, what it belongs to), so two schedulers on one tape see the same job noise, and
a simulated node outside the simulator draws the same numbers. Things are named by hashes of their names, not by index.
Log-sds are those of docs/simulator.md; all factors have median one.
"""

import hashlib
from collections.abc import Mapping
from math import cos, exp, log, pi, sqrt

import numpy as np

from synergai.envs.compile import kernel, small_kernel
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileTable

ERROR = 0.23
"""Default root sum of squares of the three persistent errors below: model, hardware, and their pair."""
ERROR_PARTS = (0.15, 0.10, 0.15)
NODE_SD = 0.05
DRIFT_SD = 0.03
DRIFT_TIME_S = 600.0
DRIFT_STEP_S = 60.0
RUN_SD = 0.05
WITHIN_SD = 0.1
"""Divided by the square root of the samples."""
STRAGGLER_SHARE = 0.01
STRAGGLER_FACTORS = (2.0, 5.0)

STREAM_MODEL, STREAM_HARDWARE, STREAM_PAIR, STREAM_NODE = 1, 2, 3, 4
STREAM_DRIFT, STREAM_RUN, STREAM_WITHIN, STREAM_STRAGGLER, STREAM_BIND = 5, 6, 7, 8, 9
MAX_BINDS = 20
"""An attempt that failed to bind so often binds."""


def name_key(*names: str) -> int:
    """A 63-bit number for a name, the same on every machine."""
    digest = hashlib.sha256("\0".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


@small_kernel
def mix(x, y):
    """One step of splitmix64 over two words."""
    z = np.uint64(x) + np.uint64(0x9E3779B97F4A7C15) * (np.uint64(y) + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@small_kernel
def uniform(seed, stream, a, b):
    """In (0, 1), from four integers."""
    x = mix(mix(mix(np.uint64(seed), np.uint64(stream)), np.uint64(a)), np.uint64(b))
    return ((x >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@small_kernel
def normal(seed, stream, a, b):
    """Standard normal (Box-Muller) from four integers."""
    u = uniform(seed, stream, a, b)
    v = uniform(seed, stream + 1000, a, b)
    return sqrt(-2.0 * log(u)) * cos(2.0 * pi * v)


@kernel
def persistent_factor(seed, error, model_key, hardware_key, configuration_key):
    """How wrong the profile of this pair is in this world: drawn per model, per hardware and per pair."""
    scale = error / sqrt(0.15**2 + 0.10**2 + 0.15**2)
    pair = mix(np.uint64(hardware_key), np.uint64(configuration_key))
    log_factor = 0.15 * normal(seed, 1, model_key, 0)
    log_factor += 0.10 * normal(seed, 2, hardware_key, 0)
    log_factor += 0.15 * normal(seed, 3, model_key, pair)
    return exp(scale * log_factor)


@kernel
def node_factor(seed, level, node_key):
    return exp(level * 0.05 * normal(seed, 4, node_key, 0))


@kernel
def drift_series(seed, level, node_key, out):
    """AR(1) over steps of 60 s with a memory of 600 s; fills `out` with factors."""
    memory = exp(-60.0 / 600.0)
    fresh = sqrt(1.0 - memory * memory)
    x = normal(seed, 5, node_key, 0)
    for k in range(len(out)):
        if k > 0:
            x = memory * x + fresh * normal(seed, 5, node_key, k)
        out[k] = exp(level * 0.03 * x)


@small_kernel
def run_factor(seed, level, stragglers, job, attempt, hardware_key, configuration_key, samples):
    """Of one attempt of one job on one (hardware, configuration): run to run, within the run, and a share of
    stragglers."""
    key = mix(
        mix(np.uint64(job), np.uint64(attempt)), mix(np.uint64(hardware_key), np.uint64(configuration_key))
    )
    factor = exp(level * 0.05 * normal(seed, 6, key, 0))
    factor *= exp(level * 0.1 / sqrt(max(samples, 1)) * normal(seed, 7, key, 0))
    if level > 0.0 and uniform(seed, 8, job, attempt) < stragglers:
        factor *= 2.0 + 3.0 * uniform(seed, 8, job, attempt + 1000)
    return factor


@kernel
def failed_binds(seed, share, job, attempt):
    """How many binds of this attempt fail, each with this chance."""
    key = mix(np.uint64(job), np.uint64(attempt))
    failed = 0
    while failed < MAX_BINDS and uniform(seed, STREAM_BIND, key, failed) < share:
        failed += 1
    return failed


def total_log_sd(error: float = ERROR) -> float:
    """Of a run time around its prediction, stragglers left out: what a policy is told as sigma."""
    return float(np.sqrt(error**2 + NODE_SD**2 + DRIFT_SD**2 + RUN_SD**2))


class World:
    """The true run times of one seed, for whoever plays a node outside the simulator.

    `level` 0 switches everything but the persistent profile error off, `error` 0 switches that off.
    """

    def __init__(
        self,
        table: ProfileTable,
        seed: int,
        error: float = ERROR,
        level: float = 1.0,
        stragglers: float = STRAGGLER_SHARE,
    ) -> None:
        self.table = table
        self.seed = seed
        self.error = error
        self.level = level
        self.stragglers = stragglers
        self._drift: dict[str, np.ndarray] = {}

    def drift(self, node: str, at_s: float) -> float:
        """The node's slow drift at this time of the scenario."""
        step = max(int(at_s / DRIFT_STEP_S), 0)
        series = self._drift.get(node)
        if series is None or step >= len(series):
            series = np.empty(max(2 * step, 64))
            drift_series(self.seed, self.level, name_key(node), series)
            self._drift[node] = series
        return float(series[step])

    def run_time_s(
        self, job: int, attempt: int, profile: Profile, samples: int, node: str, at_s: float
    ) -> float:
        """Seconds of start-up (engine cache present) and compute of this attempt, as the simulator would have it."""
        model_key = name_key(profile.model, profile.model_version)
        hardware_key = name_key(profile.hardware)
        configuration_key = name_key(profile.configuration)
        factor = persistent_factor(self.seed, self.error, model_key, hardware_key, configuration_key)
        factor *= node_factor(self.seed, self.level, name_key(node)) * self.drift(node, at_s)
        own = (job, attempt, hardware_key, configuration_key, samples)
        factor *= run_factor(self.seed, self.level, self.stragglers, *own)
        return profile.startup_cached_s + profile.run_time_s(samples) * float(factor)


def option_keys(profile: Profile) -> Mapping[str, int]:
    """The three names of a profile as the compiled world wants them."""
    return {
        "model": name_key(profile.model, profile.model_version),
        "hardware": name_key(profile.hardware),
        "configuration": name_key(profile.configuration),
    }
