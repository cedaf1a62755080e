"""From what a device calls itself to its hardware class, by the rules of hardware.csv.

Lower case, words joined by dashes, the maker in front, `+` written `plus`; `-2s` is one device of two sockets, the
power mode of a Jetson is the end of its name, and a MIG slice is a device: `nvidia-a30-mig-1g.6gb`.
"""

import re
from collections import Counter
from collections.abc import Iterator

from synergai.offline_profiles.host.host import Cpu, Device, Gpu

LONGEST = 63
"""Of a label's name: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/"""

MAKERS = {"GenuineIntel": "intel", "AuthenticAMD": "amd", "ARM": "arm", "Apple": "apple", "NVIDIA": "nvidia"}
_NOISE = re.compile(
    r"\((?:R|TM|C)\)|®|™|@.*$|\bCPU\b|\bProcessors?\b|\bwith Radeon.*$|\b\w+-Core\b|\b\d+th Gen\b|\b\d+(?:nd|rd) Gen\b",
    re.IGNORECASE,
)
CARDS = {
    "h100-pcie": "h100-pcie-80gb",
    "h100-80gb-hbm3": "h100-sxm-80gb",
    "a100-80gb-pcie": "a100-pcie-80gb",
}
"""Cards whose own name says the memory elsewhere than ours, or not at all."""
BOARDS = {
    r"jetson agx orin": "jetson-agx-orin",
    r"(jetson )?orin nx": "jetson-orin-nx",
    r"(jetson )?orin nano": "jetson-orin-nano",
    r"jetson xavier nx": "jetson-xavier-nx",
    r"jetson agx xavier|jetson-agx$|jetson-xavier": "jetson-agx-xavier",
    r"jetson agx thor": "jetson-agx-thor",
    r"jetson nano": "jetson-nano",
    r"jetson[ -]tx2": "jetson-tx2",
}
"""Models of the device tree, without the maker, to the board's name; the first that begins it."""
MODES = {
    ("jetson-orin-nano", "maxn"): "jetson-orin-nano-super",
    ("jetson-orin-nano", "maxn-super"): "jetson-orin-nano-super",
    ("jetson-orin-nano", "25w"): "jetson-orin-nano-super",
    ("jetson-xavier-nx", "20w-6core"): "jetson-xavier-nx-maxn",
}
"""Boards in a power mode that the shipped profiles know by another name: only the Super release of the Orin Nano has
25 W and MAXN, and Xavier NX's mode without limits has no other name."""


def cpu_name(cpu: Cpu) -> str:
    """`intel-xeon-platinum-8380-2s`; empty where the processor does not say what it is."""
    words = _slug(_NOISE.sub(" ", cpu.model))
    maker = MAKERS.get(cpu.vendor, _slug(cpu.vendor))
    if not words:
        return ""
    name = words if not maker or words.split("-")[0] == maker else f"{maker}-{words}"
    return _fit(name, f"-{cpu.sockets}s" if cpu.sockets > 1 else "")


def gpu_name(gpu: Gpu) -> str:
    """`nvidia-a100-sxm-80gb`."""
    words = re.sub(r"^(NVIDIA|Tesla|Quadro(?= RTX)|GeForce|Graphics Device|\s)+", "", gpu.name)
    name = re.sub(r"\bsxm\d\b", "sxm", _slug(words))
    return _fit(f"nvidia-{CARDS.get(name, name)}") if name else ""


def slice_name(gpu: Gpu, profile: str) -> str:
    """`nvidia-a100-sxm-80gb-mig-1g.10gb`."""
    card, made = gpu_name(gpu), _slug(profile)
    return _fit(card, f"-mig-{made}") if card and made else ""


def board_name(model: str, mode: str) -> str:
    """`jetson-agx-orin-30w` or `raspberry-pi-5`; empty for boards of no family that is known here."""
    plain = re.sub(r"^nvidia ", "", model.strip().lower())
    if plain.startswith("raspberry pi"):
        return _fit(_slug(re.sub(r" rev .*$|(?<=pi [45]) model b\b", "", plain)))
    board = next((name for start, name in BOARDS.items() if re.match(start, plain)), "")
    if not board or not mode:
        return ""
    power = _slug(re.sub(r"^mode_", "", mode.lower()))
    return MODES.get((board, power)) or _fit(board, f"-{power}")


def devices(cpu: Cpu, gpus: tuple[Gpu, ...], board: str, mode: str) -> tuple[Device, ...]:
    """A board is one device, accelerator and cores together; of other hosts each processor model and card is."""
    one = board_name(board, mode)
    if one:
        return (Device(one, 1, "jetson" if one.startswith("jetson") else "arm"),)
    counted = Counter(name for gpu in gpus for name in _gpu_names(gpu) if name)
    found = [Device(name, units, "gpu") for name, units in sorted(counted.items())]
    name = "" if is_jetson(board) else cpu_name(cpu)
    return (*found, *((Device(name, 1, "cpu"),) if name else ()))


def is_jetson(board: str) -> bool:
    """Whether a device tree's model is of a Jetson, whatever its power mode."""
    return board_name(board, "maxn").startswith("jetson-")


def _gpu_names(gpu: Gpu) -> Iterator[str]:
    if gpu.mig:
        yield from (slice_name(gpu, profile) for profile in gpu.slices)
    else:
        yield gpu_name(gpu)


def _slug(text: str) -> str:
    """Dots stay between digits and letters, as in `1g.10gb`."""
    plain = re.sub(r"[^a-z0-9.]+", "-", text.lower().replace("+", "plus"))
    return re.sub(r"-?\.-?(?=-|$)|^\.|-(?=\.)", "", re.sub(r"\.{2,}", ".", plain)).strip("-.")


def _fit(name: str, end: str = "") -> str:
    """At most as long as a label's name may be; the end stays, if it is not most of it."""
    end = end[: LONGEST // 2].rstrip("-.")
    return f"{name[: LONGEST - len(end)].rstrip('-.')}{end}"
