"""Processors and memory, from lscpu and /proc."""

import json
import re
from collections.abc import Iterator, Mapping

from synergai.offline_profiles.host.host import Cpu

_KIB_PER_MIB = 1024


class HostTextError(ValueError):
    """A tool's output or a file that cannot be read; one line that names what is wrong."""


def parse_lscpu(text: str) -> Cpu:
    """From `lscpu` or `lscpu -J`, in English (LC_ALL=C). HostTextError if it is cut, or in another language."""
    fields = _json_fields(text) if text.lstrip().startswith("{") else _plain_fields(text)
    if "CPU(s)" not in fields or "Architecture" not in fields:
        found = ", ".join(list(fields)[:2]) or "nothing"
        raise HostTextError(
            f"lscpu: no 'Architecture' and 'CPU(s)', but {found}; run it as `LC_ALL=C lscpu -J`"
        )
    threads = _online(fields)
    sockets, cores = _layout(fields, threads)
    return Cpu(
        model=_said(fields.get("Model name", "")),
        vendor=_said(fields.get("Vendor ID", "")),
        arch=fields["Architecture"],
        sockets=sockets,
        cores=cores,
        threads=threads,
    )


def _plain_fields(text: str) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return _first((key.strip(), value.strip()) for key, value in pairs)


def _json_fields(text: str) -> dict[str, str]:
    try:
        rows = json.loads(text)["lscpu"]
        return _first((str(key).rstrip(":").strip(), str(value)) for key, value in _nested(rows))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise HostTextError(f"lscpu -J: cut or no JSON of lscpu ({type(error).__name__})") from error


def _nested(rows: list[dict]) -> Iterator[tuple[str, str]]:
    """Newer ones nest what belongs together under `children`."""
    for row in rows:
        yield row["field"], row.get("data") or ""
        yield from _nested(row.get("children") or [])


def _first(pairs: Iterator[tuple[str, str]]) -> dict[str, str]:
    """A host with big and small cores lists its models one after the other; the first counts."""
    fields: dict[str, str] = {}
    for key, value in pairs:
        fields.setdefault(key, value)
    return fields


def _said(value: str) -> str:
    return "" if value in ("-", "unknown", "N/A") else value


def _online(fields: Mapping[str, str]) -> int:
    listed = next((fields[key] for key in fields if key.startswith("On-line CPU(s) list")), "")
    return count_listed(listed) or _number(fields["CPU(s)"])


def count_listed(text: str) -> int:
    """How many processors a list such as `0-3,8-11` names; 0 where it cannot be read."""
    if not re.fullmatch(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*", text):
        return 0
    ends = [part.split("-") for part in text.split(",")]
    return sum(int(pair[-1]) - int(pair[0]) + 1 for pair in ends if int(pair[-1]) >= int(pair[0]))


def _layout(fields: Mapping[str, str], threads: int) -> tuple[int, int]:
    """Sockets and cores; Arm boards have clusters of cores, and no sockets."""
    sockets = _number(fields.get("Socket(s)", ""))
    clusters = _number(fields.get("Cluster(s)", ""))
    by = "socket" if sockets else "cluster"
    each = _number(fields.get(f"Core(s) per {by}", ""))
    per_core = _number(fields.get("Thread(s) per core", "")) or 1
    cores = each * (sockets or clusters)
    # those that are switched off are counted by some versions and not by others
    return sockets or 1, min(cores, threads // per_core) if cores and threads else cores or threads


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def parse_cpuinfo(text: str, arch: str = "") -> Cpu:
    """From /proc/cpuinfo, which no language changes. HostTextError if it names no processor."""
    blocks = [_plain_fields(block) for block in re.split(r"\n\s*\n", text)]
    blocks = [block for block in blocks if "processor" in block]
    if not blocks:
        raise HostTextError("/proc/cpuinfo: it names no processor")
    places = {(block.get("physical id", "0"), block.get("core id", block["processor"])) for block in blocks}
    first = blocks[0]
    return Cpu(
        model=first.get("model name", "") if "vendor_id" in first else "",  # Arm says `ARMv8 Processor rev 1`
        vendor=first.get("vendor_id", ""),
        arch=arch,
        sockets=len({place[0] for place in places}),
        cores=len(places),
        threads=len(blocks),
    )


def parse_meminfo(text: str) -> int:
    """Memory in MiB, from /proc/meminfo. HostTextError without `MemTotal`."""
    found = re.search(r"^MemTotal:\s+(\d{1,15}) kB", text, re.MULTILINE)
    if not found:
        raise HostTextError("/proc/meminfo: it has no line 'MemTotal: N kB'")
    return int(found[1]) // _KIB_PER_MIB
