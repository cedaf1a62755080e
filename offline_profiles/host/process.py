"""What the kernel says of this process."""

from pathlib import Path


def peak_memory_mib(root: Path = Path("/")) -> float | None:
    """The most that was resident at once; None where the system does not say."""
    try:
        lines = (root / "proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
        (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(kib) / 1024
    except (OSError, ValueError, IndexError):
        return None
