"""A host and its devices, as values."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """What profiles are measured on: one label of a node."""

    name: str
    """A hardware class, in the words of hardware.csv: `nvidia-t4`."""
    units: int
    """How many of it the host has; of a CPU 1, however many sockets and cores it has."""
    kind: str = "cpu"
    """`jetson`, `arm`, `cpu` or `gpu`, as in hardware.csv."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator of the PCI bus."""

    name: str
    """As its driver says it: `NVIDIA A100-SXM4-80GB`."""
    memory_mib: int = 0
    """0 where the driver does not say."""
    mig: bool = False
    """Whether it is in MIG mode, where only its slices are devices."""
    slices: tuple[str, ...] = ()
    """Profiles of its MIG slices, one each: `1g.10gb`."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """The processors of a host, those that are switched off left out where that is known."""

    model: str = ""
    """As the processor says it; empty where it does not."""
    vendor: str = ""
    arch: str = ""
    """`x86_64`, `aarch64`; empty where nothing says so."""
    sockets: int = 0
    cores: int = 0
    """Of all sockets."""
    threads: int = 0
    """Logical processors that are on: what Kubernetes counts as CPUs."""


@dataclass(frozen=True, slots=True)
class Host:
    """What a host shows of itself. Zero and empty mean that it does not say."""

    cpu: Cpu
    memory_mib: int
    cpu_quota_milli: int
    """What the control groups of this process let it use, in milli-CPU; 0 without a limit."""
    gpus: tuple[Gpu, ...]
    board: str
    """Of the device tree: `NVIDIA Jetson AGX Orin Developer Kit`; empty on most servers."""
    l4t: str
    """Release of Jetson Linux: `36.4.3`; empty elsewhere."""
    power_mode: str
    """Of a Jetson, as nvpmodel names it: `MAXN`, `MODE_30W`."""
    kernel: str
    devices: tuple[Device, ...]
    problems: tuple[str, ...] = ()
    """What could not be read though it is there; one line each, with the tool or file."""

    @property
    def arch(self) -> str:
        """`x86_64`, `aarch64`; empty where nothing says so."""
        return self.cpu.arch

    def to_json(self) -> str:
        """Every field, as one JSON object with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)
