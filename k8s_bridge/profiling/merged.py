"""What the Jobs gave, in the files that one machine's run writes, with as many classes as were measured."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any  # of JSON

from synergai.k8s_bridge.explain.api import AskError
from synergai.k8s_bridge.nodes import NodeFacts
from synergai.k8s_bridge.profiling.pods import Failed
from synergai.offline_profiles.measuring.cli import BEGIN, END
from synergai.offline_profiles.measuring.run import Files, Places
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import Row, read_rows, read_text, write_rows


@dataclass(frozen=True, slots=True)
class Part:
    """Of one class."""

    profiles: Sequence[Profile]
    hardware: Hardware
    host: Mapping[str, Any]


@dataclass
class Merged:
    """The files, by class. `add` writes them each time, so that what is measured is not lost."""

    places: Places
    parts: dict[str, Part] = field(default_factory=dict)

    @staticmethod
    def open(places: Places, anew: bool) -> "Merged":
        """With the classes that are there already. AskError where the files are not ours, which `anew` replaces."""
        merged = Merged(places)
        if not places.profiles.exists():
            return merged
        problems: list[str] = []
        profiles = _read(Profile, places.profiles, problems)
        hardware = {one.name: one for one in _read(Hardware, places.hardware, problems)}
        if problems and anew:
            return merged
        if problems:
            raise AskError("\n".join([*problems, "--anew starts again"]))
        hosts = _hosts(places.host)
        for name, one in hardware.items():
            mine = [row for row in profiles if row.hardware == name]
            if mine:
                merged.parts[name] = Part(mine, one, hosts.get(name, {}))
        return merged

    def add(self, part: Part) -> None:
        self.parts[part.hardware.name] = part
        ordered = [self.parts[name] for name in sorted(self.parts)]
        hosts = {part.hardware.name: part.host for part in ordered}
        self.places.write(
            Files(
                profiles=write_rows(Profile, [row for part in ordered for row in part.profiles]),
                hardware=write_rows(Hardware, [part.hardware for part in ordered]),
                host=json.dumps({"hosts": hosts}, indent=1) + "\n",
            )
        )


def part_of(log: str, hardware: str, node: NodeFacts) -> Part:
    """From a Job's log; Failed says what is wrong with it. Cores and memory are those that the node gives to pods."""
    problems: list[str] = []
    profiles = [
        one.value for one in read_rows(Profile, framed(log, "PROFILE"), "what its pod measured", problems)
    ]
    described = read_rows(Hardware, framed(log, "HARDWARE"), "what its pod says of the machine", problems)
    if problems:
        raise Failed("; ".join(problems))
    if len(described) != 1 or not profiles or {row.hardware for row in profiles} != {hardware}:
        raise Failed("its pod measured something else")
    try:
        host = dict(json.loads(framed(log, "HOST")))
    except (TypeError, ValueError) as error:
        raise Failed("what its pod says of its host is no JSON") from error
    mine = replace(described[0].value, cpu_milli=node.cpu_milli, memory_mib=node.memory_mib)
    return Part(profiles, mine, {**host, "node": node.name})


def framed(log: str, name: str) -> str:
    """The last text between the marker lines; Failed where there is none."""
    begin, end = BEGIN.format(name), END.format(name)
    lines = log.splitlines()
    if begin not in lines:
        raise Failed(f"its log has no {begin}")
    start = len(lines) - 1 - lines[::-1].index(begin)
    if end not in lines[start:]:
        raise Failed(f"its log has no {end}")
    return "".join(f"{line}\n" for line in lines[start + 1 : lines.index(end, start)])


def _read(kind: type[Row], path: Path, problems: list[str]) -> list[Row]:
    text = read_text(path, problems)
    return [] if text is None else [one.value for one in read_rows(kind, text, str(path), problems)]


def _hosts(path: Path) -> dict[str, Any]:
    """Nothing where it cannot be read: it is for people."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["hosts"])
    except (OSError, KeyError, TypeError, ValueError):
        return {}
