"""Asks a host what it is: runs its tools, each with a time limit, and reads its files."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from synergai.offline_profiles.host import cpu as cpu_text
from synergai.offline_profiles.host import names, nvidia, tegra
from synergai.offline_profiles.host.cgroup import quota_milli
from synergai.offline_profiles.host.cpu import HostTextError
from synergai.offline_profiles.host.host import Cpu, Gpu, Host

LIMIT_S = 15.0
"""For each tool; a driver that wakes up many cards takes seconds."""
COMMANDS = {
    "lscpu": ("lscpu", "-J"),
    "nvidia-smi-L": ("nvidia-smi", "-L"),
    "nvidia-smi-query": ("nvidia-smi", f"--query-gpu={nvidia.QUERY}", "--format=csv"),
    "nvpmodel": ("nvpmodel", "-q"),
    "uname": ("uname", "-m"),
}
"""What is asked, by the name of the file that a recording keeps the answer in: `commands/lscpu`."""
_WORDS = {"LC_ALL": "C", "LANG": "C", "LANGUAGE": "C"}
_Found = TypeVar("_Found")
Tool = Callable[[str], "Answer"]


class Answer(NamedTuple):
    """Of one tool."""

    text: str
    """What it printed; empty where it is not installed."""
    problem: str = ""
    """Why there is no answer though the tool is there."""


def run_tool(name: str, limit_s: float = LIMIT_S) -> Answer:
    """Run one of COMMANDS in English. Nothing where it is not installed; it is killed after `limit_s` seconds."""
    command = COMMANDS[name]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=limit_s, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, **_WORDS},
        )  # fmt: skip
    except FileNotFoundError:
        return Answer("")
    except subprocess.TimeoutExpired:
        return Answer("", f"{' '.join(command)}: no answer in {limit_s:g} s")
    except OSError as error:
        return Answer("", f"{' '.join(command)}: {error.strerror or error}")
    text = done.stdout.decode(errors="replace")
    said = (done.stderr.decode(errors="replace").strip() or text.strip()).splitlines()
    if done.returncode and not text.strip():
        return Answer("", f"{' '.join(command)}: {said[0][:200] if said else f'exit code {done.returncode}'}")
    return Answer(text)


def recorded_tool(folder: Path) -> Tool:
    """Answers of a recording instead: `folder/commands/NAME`."""

    def answer(name: str) -> Answer:
        return Answer(_text(folder / "commands" / name))

    return answer


def describe(root: Path = Path("/"), tool: Tool = run_tool) -> Host:
    """The host whose files are under `root`, as its tools see it. Never fails: what cannot be read is a problem.

    In a container that sees the host's files in /host the root is that; of a recording, `recorded_host` makes it.
    """
    look = _Look(root, tool)
    cpu, memory_mib = look.cpu(), look.memory_mib()
    board = look.board()
    l4t = look.file("etc/nv_tegra_release", tegra.parse_release) or ""
    jetson = bool(l4t) or names.is_jetson(board)
    mode = look.power_mode() if jetson else ""
    gpus = () if jetson else look.gpus()
    return Host(
        cpu=cpu,
        memory_mib=memory_mib,
        cpu_quota_milli=quota_milli(root),
        gpus=gpus,
        board=board,
        l4t=l4t,
        power_mode=mode,
        kernel=(look.file("proc/sys/kernel/osrelease", str.strip) or ""),
        devices=names.devices(cpu, gpus, board, mode),
        problems=tuple(look.problems),
    )


def recorded_host(folder: Path) -> Host:
    """From a folder with `commands/` and the files of a host; HostTextError where it is no such folder."""
    if not (folder / "commands").is_dir() and not (folder / "proc").is_dir():
        raise HostTextError(f"{folder}: no recording of a host, as it has neither commands/ nor proc/")
    return describe(folder, recorded_tool(folder))


class _Look:
    """One look at a host; collects what could not be read."""

    def __init__(self, root: Path, tool: Tool) -> None:
        self._root, self._tool = root, tool
        self.problems: list[str] = []

    def file(self, path: str, parse: Callable[[str], _Found]) -> _Found | None:
        """None where there is no such file, or it says nothing that can be read."""
        text = _text(self._root / path)
        return self._parsed(text, parse) if text else None

    def asked(self, name: str, parse: Callable[[str], _Found]) -> _Found | None:
        """None where the tool is not there, or its answer cannot be read."""
        answer = self._tool(name)
        if answer.problem:
            self.problems.append(answer.problem)
        return self._parsed(answer.text, parse) if answer.text.strip() else None

    def _parsed(self, text: str, parse: Callable[[str], _Found]) -> _Found | None:
        try:
            return parse(text)
        except HostTextError as error:
            self.problems.append(str(error))
            return None

    def cpu(self) -> Cpu:
        """lscpu names Arm cores, which /proc does not; /proc speaks no language."""
        found = self.asked("lscpu", cpu_text.parse_lscpu)
        if found:
            return found
        arch = self._tool("uname").text.strip()
        found = self.file("proc/cpuinfo", lambda text: cpu_text.parse_cpuinfo(text, arch))
        if found is None:
            self.problems.append("neither lscpu nor /proc/cpuinfo say what processor this is")
        return found or Cpu(arch=arch)

    def board(self) -> str:
        """The first is a link to the second, which containers may not follow."""
        paths = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
        return next((found for path in paths if (found := self.file(path, tegra.parse_model))), "")

    def memory_mib(self) -> int:
        """A recording of a Jetson may have a line of tegrastats instead, which is never run here: it does not end."""
        found = self.file("proc/meminfo", cpu_text.parse_meminfo)
        if found is None:
            line = self.file("commands/tegrastats", tegra.parse_tegrastats)
            found = line.ram_total_mib if line else None
        return found or 0

    def gpus(self) -> tuple[Gpu, ...]:
        listed = self.asked("nvidia-smi-L", nvidia.parse_list) or ()
        queried = self.asked("nvidia-smi-query", nvidia.parse_query) if listed else None
        found = nvidia.merged(listed, queried or ())
        for number, gpu in enumerate(found):
            if gpu.mig and not gpu.slices:
                self.problems.append(f"nvidia-smi -L: GPU {number} is in MIG mode and has no slices")
        return found

    def power_mode(self) -> str:
        """By the tool; else by what it wrote last."""
        mode = self.asked("nvpmodel", tegra.parse_nvpmodel)
        if mode:
            return mode
        configuration = _text(self._root / "etc/nvpmodel.conf")
        status = "var/lib/nvpmodel/status"
        mode = self.file(status, lambda text: tegra.parse_mode_files(text, configuration))
        if not mode:
            self.problems.append(f"neither `nvpmodel -q` nor /{status} say the power mode")
        return mode or ""


def _text(path: Path) -> str:
    """Empty where it is not there, or may not be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
