"""Jetson boards: the device tree's model, Jetson Linux, power mode, tegrastats."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from synergai.offline_profiles.host.cpu import HostTextError


def parse_model(text: str) -> str:
    """The board, from /proc/device-tree/model, which ends in a zero byte."""
    return text.replace("\0", "").strip()


def parse_release(text: str) -> str:
    """`36.4.3`, from /etc/nv_tegra_release. HostTextError where it says no release."""
    found = re.search(r"# R(\d+) \(release\), REVISION: (\d+(?:\.\d+)*)", text)
    if not found:
        raise HostTextError("/etc/nv_tegra_release: it has no '# RN (release), REVISION: N'")
    return f"{found[1]}.{found[2]}"


def parse_nvpmodel(text: str) -> str:
    """The power mode's name, from `nvpmodel -q`. HostTextError where it says none."""
    found = re.search(r"(?:^|mode: )NV Power Mode\s*:\s*([A-Za-z0-9_+.-]+)\s*$", text, re.MULTILINE)
    if not found:
        said = next((line.strip() for line in text.splitlines() if line.strip()), "it said nothing")
        raise HostTextError(f"nvpmodel -q: no line 'NV Power Mode: NAME', but: {said[:200]}")
    return found[1]


def parse_mode_files(status: str, configuration: str) -> str:
    """The power mode's name without the tool: /var/lib/nvpmodel/status has its number, /etc/nvpmodel.conf its name."""
    number = re.search(r"pmode:(\d+)", status)
    if not number:
        raise HostTextError("/var/lib/nvpmodel/status: it has no 'pmode:NUMBER'")
    modes = dict(re.findall(r"^<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+?)\s*>", configuration, re.MULTILINE))
    name = modes.get(str(int(number[1])))
    if name is None:
        raise HostTextError(f"/etc/nvpmodel.conf: it has no POWER_MODEL ID={int(number[1])}")
    return name


@dataclass(frozen=True, slots=True)
class Tegrastats:
    """One line of tegrastats."""

    ram_used_mib: int
    ram_total_mib: int
    cpus: tuple[bool, ...]
    """Of each core whether it is on."""
    power_mw: Mapping[str, int]
    """Of each rail, at this moment, in mW: `VDD_GPU_SOC`; empty on boards without sensors."""


def parse_tegrastats(line: str) -> Tegrastats:
    """Of releases 28 to 36. HostTextError where the line is cut before the cores."""
    ram = re.search(r"\bRAM (\d+)/(\d+)MB", line)
    cpus = re.search(r"\bCPU \[([^]]*)\]", line)
    if not ram or not cpus:
        raise HostTextError(f"tegrastats: no 'RAM N/NMB' and 'CPU [...]' in {line[:120]!r}")
    rails = re.findall(r"\b([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?= |$)", line)
    return Tegrastats(
        ram_used_mib=int(ram[1]),
        ram_total_mib=int(ram[2]),
        cpus=tuple(cell.strip() != "off" for cell in cpus[1].split(",")),
        power_mw={name: int(value) for name, value in rails},
    )
