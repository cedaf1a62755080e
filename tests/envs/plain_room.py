"""What takes room where in the plain simulator, and what it is made of.

Nothing is kept up to date: what is free is what nobody takes, recomputed whenever it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, erf, exp, inf, log, sqrt

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
    """With image and engine cache at hand."""

    def compute_us(self, samples: int) -> float:
        at_hand = samples * (1e6 / self.profile.throughput_sps)
        return max(at_hand, ceil(samples / self.profile.batch) * (1e3 * self.profile.latency_ms))

    def watts(self) -> float:
        return self.profile.active_w - self.profile.idle_w

    @property
    def name(self) -> tuple[str, str, str]:
        return self.model, self.hardware, self.profile.configuration


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
    counted: bool = True
    site: str = ""
    sites: frozenset[str] | None = None
    hardware: frozenset[str] | None = None
    attempt: int = 0
    joules: float = 0.0
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
    """Something that takes room until it is seen to be gone: a job, or a pod of others (no job, no option)."""

    node: str
    cpu: int
    memory: int
    units: int
    start_us: int
    slot: int
    job: PlainJob | None = None
    option: Option | None = None
    finish_us: int = 0
    """Predicted, as are `overhead_us` (before the compute) and `slow`."""
    overhead_us: float = 0.0
    slow: float = 1.0
    compute_us: int = 0
    """When the compute really begins."""
    end_us: int = 0
    seen_us: int = 0
    ended: bool = False
    lost: bool = False

    @property
    def predicted_us(self) -> int:
        return self.finish_us - self.start_us


@dataclass
class Pair:
    job: PlainJob
    option: Option
    node: str
    e_us: int
    overhead_us: float
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
    slowdown: float = 0.0
    warmth: str = "cached"
    """What every node has of every configuration at first: absent, image, cached."""
    running: list[Run] = field(default_factory=list)
    not_ready: set[str] = field(default_factory=set)
    next_start_us: dict[str, int] = field(default_factory=dict)
    cached: set[tuple[str, tuple[str, str, str]]] = field(default_factory=set)
    """(node, name of an option) of which it has the engine cache."""
    images: set[tuple[str, str, str]] = field(default_factory=set)
    """(node, hardware, engine) of which it has the image."""

    def here(self, node: Node | str) -> list[Run]:
        name = node if isinstance(node, str) else node.name
        return [run for run in self.running if run.node == name]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def free(self, node: Node, hardware: str, ended: Sequence[Run] = ()) -> tuple[int, int, int, int]:
        """Cpu, memory, pods and units of the device that nobody takes, once these runs have ended."""
        cpu, memory, pods = node.cpu_milli, node.memory_mib, node.pods
        units = units_of(node, hardware)
        for run in self.here(node):
            if run not in ended:
                cpu -= run.cpu
                memory -= run.memory
                pods -= 1
                units -= run.units if run.option is not None and run.option.hardware == hardware else 0
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
        return self.fits(option.profile, option.hardware, option.site)

    def ready_homes(self, option: Option) -> list[Node]:
        return [node for node in self.homes(option) if node.name not in self.not_ready]

    def left_over(self, node: Node, option: Option) -> float:
        """Dominant share of the node that stays free after the option is placed."""
        cpu, memory, _, units = self.free(node, option.hardware)
        total = units_of(node, option.hardware)
        shares = [(cpu - option.profile.cpu_milli) / node.cpu_milli]
        shares.append((memory - option.profile.memory_mib) / node.memory_mib)
        if total:
            shares.append((units - option.profile.device_units) / total)
        return max(shares)

    def now(self, option: Option) -> Node | None:
        """The warmest, then tightest node with room now."""
        able = [
            node
            for node in self.ready_homes(option)
            if self.enough(self.free(node, option.hardware), option.profile)
        ]

        def order(node: Node) -> tuple[int, float, str]:
            return -self.warm(node.name, option), self.left_over(node, option), node.name

        return min(able, key=order) if able else None

    # start-up states ----------------------------------------------------------------------------------------
    def warm(self, node: str, option: Option) -> int:
        """2 with the engine cache, 1 with the image, 0 with neither."""
        if self.warmth == "cached" or (node, option.name) in self.cached:
            return 2
        has_image = self.warmth == "image" or (node, option.hardware, option.profile.engine) in self.images
        return 1 if has_image else 0

    def start_cost_us(self, node: str, option: Option, at_us: int) -> float:
        profile, warm = option.profile, self.warm(node, option)
        cost = option.startup_us
        if warm == 1:
            cost += 1e6 * max(profile.startup_image_present_s - profile.startup_cached_s, 0.0)
        if warm == 0:
            cost += 1e6 * max(profile.startup_image_absent_s - profile.startup_cached_s, 0.0)
        return cost + max(self.next_start_us.get(node, 0) - at_us, 0)

    def leave_image(self, run: Run) -> None:
        assert run.option is not None
        self.cached.add((run.node, run.option.name))
        self.images.add((run.node, run.option.hardware, run.option.profile.engine))

    # neighbours ---------------------------------------------------------------------------------------------
    def share(self, run: Run) -> int:
        """Of its node, in millionths: of cpu, or of the device's units if that is more."""
        node = self.node(run.node)
        share = run.cpu * 1_000_000 // node.cpu_milli
        if run.option is not None and (units := units_of(node, run.option.hardware)):
            share = max(share, run.units * 1_000_000 // units)
        return share

    def slow(self, others: Sequence[Run]) -> float:
        if self.slowdown == 0.0:
            return 1.0
        return 1.0 + self.slowdown * min(sum(self.share(run) for run in others), 1_000_000) * 1e-6

    def settle(self, node: str, now_us: int) -> None:
        """Somebody came or went: what is left of each compute here takes another time, predicted and true."""
        if self.slowdown == 0.0:
            return
        for run in self.here(node):
            slow = self.slow([other for other in self.here(node) if other is not run])
            if run.option is not None and slow != run.slow:
                from_us = max(now_us, run.start_us + ceil(run.overhead_us))
                if run.finish_us > from_us:
                    run.finish_us = from_us + ceil((run.finish_us - from_us) * slow / run.slow)
                from_us = max(now_us, run.compute_us)
                if run.end_us > from_us and not run.ended and not run.lost:
                    lag_us = run.seen_us - run.end_us
                    run.end_us = from_us + ceil((run.end_us - from_us) * slow / run.slow)
                    run.seen_us = run.end_us + lag_us
            run.slow = slow

    # when there will be room --------------------------------------------------------------------------------
    def expected_end_us(self, run: Run, now_us: int) -> float:
        """The median of what is left of a log-normal run time that has lasted so long already."""
        if run.option is None:
            return inf
        elapsed = now_us - run.start_us
        finish = run.finish_us
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

    def later(self, option: Option, now_us: int) -> tuple[int, Node, list[Run]] | None:
        """When, and on which node, a busy option is expected to have room first, and who is there then."""
        best: tuple[int, Node, list[Run]] | None = None
        for node in self.ready_homes(option):
            known = [run for run in self.here(node) if self.expected_end_us(run, now_us) < inf]
            ends = sorted(known, key=lambda run: (self.expected_end_us(run, now_us), run.slot))
            for k in range(1, len(ends) + 1):
                if self.enough(self.free(node, option.hardware, ends[:k]), option.profile):
                    at_us = int(max(self.expected_end_us(ends[k - 1], now_us), now_us + 1))
                    if best is None or at_us < best[0]:
                        best = (at_us, node, [run for run in self.here(node) if run not in ends[:k]])
                    break
        return best


def units_of(node: Node, hardware: str) -> int:
    return next(device.units for device in node.devices if device.hardware == hardware)


def quantile(p: float) -> float:
    """Of the standard normal: Abramowitz and Stegun 26.2.23, as documented, good to 4.5e-4."""
    t = sqrt(-2.0 * log(min(p, 1.0 - p)))
    above = 2.515517 + t * (0.802853 + t * 0.010328)
    below = 1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308))
    z = t - above / below
    return z if p >= 0.5 else -z
