"""How much of the processors this process may use, from its control groups, version 1 or 2."""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def quota_milli(root: Path = Path("/")) -> int:
    """The least of all groups that it is in, in milli-CPU; 0 without a limit, or where there are no groups."""
    return min((limit for limit in map(_limit, cpu_groups(root)) if limit), default=0)


def throttled_s(root: Path = Path("/")) -> float | None:
    """For how long threads of its own group waited for the next period; None where the kernel does not tell."""
    for group in cpu_groups(root):
        values = dict(
            line.split() for line in _text(group / "cpu.stat").splitlines() if len(line.split()) == 2
        )
        for name, per_s in (("throttled_usec", 1e6), ("throttled_time", 1e9)):
            if values.get(name, "").isdigit():
                return int(values[name]) / per_s
    return None


def cpu_groups(root: Path = Path("/")) -> Iterator[Path]:
    """The folders of the groups that limit its processor time, from its own upwards, of version 2 or 1; in a container
    those of the host are not there, and its own is the mount."""
    mount = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if number == "0" and not controllers:
            at = mount
        elif "cpu" in controllers.split(","):
            at = next(
                (mount / name for name in (controllers, "cpu") if (mount / name).is_dir()), mount / "cpu"
            )
        else:
            continue
        inner = PurePosixPath(path.removeprefix("/"))
        yield from [at] if ".." in inner.parts else [at / one for one in (inner, *inner.parents)]


def _limit(group: Path) -> int:
    return parse_v2(_text(group / "cpu.max")) or parse_v1(
        _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    )


def parse_v2(text: str) -> int:
    """`cpu.max`: `150000 100000` or `max 100000`; 0 where it does not limit or cannot be read."""
    return parse_v1(*(text.split() + ["", ""])[:2])


def parse_v1(quota: str, period: str) -> int:
    """The two numbers of microseconds; -1 or `max` is no limit. Less than a milli-CPU counts as one."""
    quota, period = quota.strip(), period.strip()
    if not (re.fullmatch(r"\d{1,15}", quota) and re.fullmatch(r"[1-9]\d{0,14}", period)):
        return 0
    return max(int(quota) * 1000 // int(period), 1)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
