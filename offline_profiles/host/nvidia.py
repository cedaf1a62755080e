"""Accelerators, from nvidia-smi."""

import re
from dataclasses import replace

from synergai.offline_profiles.host.cpu import HostTextError
from synergai.offline_profiles.host.host import Gpu

QUERY = "name,memory.total,mig.mode.current"
"""Of `nvidia-smi --query-gpu=... --format=csv`."""
_GPU = re.compile(r"GPU (\d+): (.+?) \(UUID: [^)]*\)")
_SLICE = re.compile(r"MIG (\S+)\s+Device\s+\d+:")
_TEGRA = "nvgpu"
"""In the name of the accelerator of a Jetson, which is no card: `Orin (nvgpu)`."""
_UNIT_MIB = {"MiB": 1, "GiB": 1024}


def parse_list(text: str) -> tuple[Gpu, ...]:
    """From `nvidia-smi -L`. HostTextError, in its own words, where the driver does not answer."""
    gpus: list[Gpu] = []
    for line in _lines(text):
        found = _GPU.fullmatch(line)
        if found:
            gpus.append(Gpu(found[2]))
            continue
        part = _SLICE.match(line)
        if part and gpus:
            gpus[-1] = replace(gpus[-1], mig=True, slices=(*gpus[-1].slices, part[1]))
        elif line != "No devices found.":
            raise HostTextError(f"nvidia-smi -L: {line[:200]}")
    return tuple(gpu for gpu in gpus if _TEGRA not in gpu.name)


def parse_query(text: str) -> tuple[Gpu, ...]:
    """From `nvidia-smi --query-gpu=name,memory.total,mig.mode.current --format=csv`, as HostTextError says."""
    lines = _lines(text)
    if not lines or not lines[0].startswith("name,"):
        said = lines[0][:200] if lines else "it said nothing"
        raise HostTextError(f"nvidia-smi --query-gpu: {said}")
    return tuple(gpu for gpu in map(_row, lines[1:]) if _TEGRA not in gpu.name)


def _lines(text: str) -> list[str]:
    """Without those that warn of something beside the point: `WARNING: infoROM is corrupted at gpu 0000:8A:00.0`."""
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("WARNING:")]


def _row(line: str) -> Gpu:
    cells = [cell.strip() for cell in line.rsplit(",", 2)]
    if len(cells) != 3:
        raise HostTextError(f"nvidia-smi --query-gpu: a row without three cells: {line[:200]}")
    name, memory, mig = cells
    return Gpu(name, _mib(memory), mig == "Enabled")


def _mib(text: str) -> int:
    """0 for `[N/A]`, `[Insufficient Permissions]` and the like."""
    found = re.fullmatch(r"(\d{1,9}) (MiB|GiB)", text)
    return int(found[1]) * _UNIT_MIB[found[2]] if found else 0


def merged(listed: tuple[Gpu, ...], queried: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Slices of the one, memory and mode of the other; the list alone where they do not speak of the same cards."""
    if [gpu.name for gpu in listed] != [gpu.name for gpu in queried]:
        return listed
    return tuple(
        replace(one, memory_mib=other.memory_mib, mig=one.mig or other.mig)
        for one, other in zip(listed, queried, strict=True)
    )
