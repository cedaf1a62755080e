"""What takes room where in the plain simulator, and what it is made of.

Nothing is kept up to date: what is free is what nobody takes, recomputed whenever it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, erf, exp, log, sqrt

from synergai.envs.types import Node
from synergai.offline_profiles.profile import Profile


@dataclass
class Option:
    """A configuration on the nodes of one hardware class and site."""

    model: str
    hardware: str
    site: str
    profile: Profile
    dictionary: bool
    load: float
    startup_us: float

    def e_us(self, samples: int, factor: float = 1.0) -> int:
        """Start-up and compute, rounded up to a microsecond."""
        at_hand = samples * (1e6 / self.profile.throughput_sps)
        by_batch = ceil(samples / self.profile.batch) * (1e3 * self.profile.latency_ms)
        return ceil(self.startup_us + max(at_hand, by_batch) * factor)

    def watts(self) -> float:
        return self.profile.active_w - self.profile.idle_w


@dataclass
class Hold:
    option: Option
    finish_us: int
    until_us: int


@dataclass
class PlainJob:
    number: int
    model: str
    samples: int
    arrival_us: int
    deadline_us: int
    priority: int
    best_us: int = 0
    best_energy_j: float = 0.0
    hold: Hold | None = None
    start_us: int = -1
    finish_us: int = -1
    option: Option | None = None
    node: str = ""
    violated: bool = False
    assigned: tuple[str, str] | None = None
    """MAEL: the (hardware, site) that a window chose."""
    passed: int = 0
    """MAEL: how many others were taken from the queue of its group since."""


@dataclass(eq=False)
class Run:
    """Something that takes room on a node, until the scheduler has seen its end."""

    job: PlainJob
    option: Option
    node: str
    start_us: int
    predicted_us: int
    end_us: int
    seen_us: int
    ended: bool = False


@dataclass
class Pair:
    job: PlainJob
    option: Option
    node: str
    e_us: int
    wait_us: int
    start: bool
    hold: bool

    @property
    def f_us(self) -> int:
        return self.wait_us + self.e_us


@dataclass
class Room:
    """The nodes, and what runs on them."""

    nodes: list[Node]
    sigma: float
    running: list[Run] = field(default_factory=list)
    _homes: dict[int, list[Node]] = field(default_factory=dict)

    def free(self, node: Node, hardware: str, ended: Sequence[Run] = ()) -> tuple[int, int, int, int]:
        """Cpu, memory, pods and units of the device that nobody takes, once these runs have ended."""
        cpu, memory, pods = node.cpu_milli, node.memory_mib, node.pods
        units = next(device.units for device in node.devices if device.hardware == hardware)
        for run in self.running:
            if run.node == node.name and run not in ended:
                cpu -= run.option.profile.cpu_milli
                memory -= run.option.profile.memory_mib
                pods -= 1
                units -= run.option.profile.device_units if run.option.hardware == hardware else 0
        return cpu, memory, pods, units

    @staticmethod
    def enough(free: tuple[int, int, int, int], profile: Profile) -> bool:
        cpu, memory, pods, units = free
        return (
            cpu >= profile.cpu_milli
            and memory >= profile.memory_mib
            and pods >= 1
            and units >= profile.device_units
        )

    def fits(self, profile: Profile, hardware: str, site: str) -> list[Node]:
        """Nodes of this class and site that could take it if they were empty, by name."""
        return [
            node
            for node in self.nodes
            for device in node.devices
            if (device.hardware, node.site) == (hardware, site)
            and self.enough((node.cpu_milli, node.memory_mib, node.pods, device.units), profile)
        ]

    def homes(self, option: Option) -> list[Node]:
        """Nodes that could take the option if they were empty."""
        if id(option) not in self._homes:
            self._homes[id(option)] = self.fits(option.profile, option.hardware, option.site)
        return self._homes[id(option)]

    def left_over(self, node: Node, option: Option) -> float:
        """Dominant share of the node that stays free after the option is placed."""
        cpu, memory, _, units = self.free(node, option.hardware)
        total = next(device.units for device in node.devices if device.hardware == option.hardware)
        shares = [(cpu - option.profile.cpu_milli) / node.cpu_milli]
        shares.append((memory - option.profile.memory_mib) / node.memory_mib)
        if total:
            shares.append((units - option.profile.device_units) / total)
        return max(shares)

    def now(self, option: Option) -> Node | None:
        """The tightest node with room now."""
        able = [n for n in self.homes(option) if self.enough(self.free(n, option.hardware), option.profile)]
        return min(able, key=lambda node: (self.left_over(node, option), node.name)) if able else None

    def expected_end_us(self, run: Run, now_us: int) -> int:
        """The median of what is left of a log-normal run time that has lasted so long already."""
        elapsed = now_us - run.start_us
        finish = run.start_us + run.predicted_us
        if elapsed <= 0:
            return max(finish, now_us + 1)
        z = log(elapsed / run.predicted_us) / self.sigma
        if z < -3.0:
            return finish
        if z > 2.5:
            return now_us + int(0.5 * elapsed) + 1
        survival = 1.0 - 0.5 * (1.0 + erf(z / sqrt(2.0)))
        median = run.predicted_us * exp(self.sigma * quantile(1.0 - 0.5 * survival))
        return run.start_us + max(int(median), elapsed + 1)

    def later(self, option: Option, now_us: int) -> tuple[int, Node] | None:
        """When, and on which node, a busy option is expected to have room first."""
        best: tuple[int, Node] | None = None
        for node in self.homes(option):
            here = [run for run in self.running if run.node == node.name]
            ends = sorted(here, key=lambda run: self.expected_end_us(run, now_us))
            for k in range(1, len(ends) + 1):
                if self.enough(self.free(node, option.hardware, ends[:k]), option.profile):
                    at_us = max(self.expected_end_us(ends[k - 1], now_us), now_us + 1)
                    if best is None or at_us < best[0]:
                        best = (at_us, node)
                    break
        return best


def quantile(p: float) -> float:
    """Of the standard normal: Abramowitz and Stegun 26.2.23, as documented, good to 4.5e-4."""
    t = sqrt(-2.0 * log(min(p, 1.0 - p)))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    z = t - above / below
    return z if p >= 0.5 else -z
