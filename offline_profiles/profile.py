"""What was measured for one model, hardware class and engine configuration."""

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class Hardware:
    """A class of device and the machine it usually sits in."""

    name: str
    kind: str
    """`jetson`, `arm`, `cpu` or `gpu`."""
    resource: str
    """Extended resource that counts its units on Kubernetes (`nvidia.com/gpu`); empty for a CPU."""
    cpu_milli: int
    """Cores of the usual host (for a CPU: of the device), the default of a node of this class."""
    memory_mib: int
    idle_w: float
    basis: str
    """Where these figures come from: `measured`, `derived` or `assumed`, and how."""


@dataclass(frozen=True, slots=True)
class Profile:
    """One row of the profile table. Values are of the whole configuration on one device of the class."""

    model: str
    model_version: str
    hardware: str
    configuration: str
    """Unique per model and hardware: engine, precision, unit, threads, batch: `tensorrt-int8-gpu-b32`."""
    engine: str
    precision: str
    compute_unit: str
    batch: int
    threads: int
    """0 where the engine decides."""
    cpu_milli: int
    memory_mib: int
    device_units: int
    throughput_sps: float
    """Samples per second with all samples at hand (Offline)."""
    latency_ms: float
    """Mean time of one query of `batch` samples (SingleStream)."""
    latency_p50_ms: float
    latency_p90_ms: float
    latency_p95_ms: float
    latency_p99_ms: float
    latency_p999_ms: float
    startup_image_absent_s: float
    startup_image_present_s: float
    startup_cached_s: float
    active_w: float
    """Power of the node while this runs."""
    idle_w: float
    throughput_basis: str
    latency_basis: str
    startup_basis: str
    power_basis: str
    resources_basis: str
    source: str
    licence: str

    def run_time_s(self, samples: int) -> float:
        """Predicted seconds of compute, without start-up, transfer or slow-down (docs/simulator.md)."""
        return max(samples / self.throughput_sps, ceil(samples / self.batch) * self.latency_ms / 1000.0)

    def energy_j(self, samples: int) -> float:
        """Predicted joules above idle for `samples`."""
        return (self.active_w - self.idle_w) * self.run_time_s(samples)
