"""The world once more, slow and plain: dictionaries, lists and loops, written from docs/simulator.md and
sharing no code with the compiled one. `test_simulator_agrees` holds the two together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import exp, inf
from typing import TypeAlias

from plain_room import Hold, Option, Pair, PlainJob, Room, Run

from synergai.envs.types import Node
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileTable

SECOND = 1_000_000
SHARE = 0.05
"""Ageing share."""

Factor = Callable[[int, Profile, str, int, int], float]
"""(job, profile, node, now_us, samples) -> how many times longer than predicted the compute really takes."""


Rule: TypeAlias = Callable[["PlainWorld", list[Pair]], Pair | None]


@dataclass
class Windows:
    """What MAEL remembers: when the open window closes, and the backlog of each (hardware, site) as of `planned_us`."""

    closes_us: int | None = None
    planned_us: int = 0
    backlog_us: dict[tuple[str, str], float] = field(default_factory=dict)


@dataclass
class PlainWorld:
    """One cluster on one list of jobs, under one rule."""

    table: ProfileTable
    room: Room
    jobs: list[PlainJob]
    rule: Rule
    fallback: Rule
    """Asked where DONE is illegal and the rule has no START."""
    factor: Factor
    window: tuple[int, int]
    end_us: int
    pod_start_us: float = 0.0
    release_us: int = 0
    now_us: int = 0
    last_round_us: int = 0
    queue: list[PlainJob] = field(default_factory=list)
    credit_us: dict[str, float] = field(default_factory=dict)
    due: dict[str, PlainJob] = field(default_factory=dict)
    options: dict[str, list[Option]] = field(default_factory=dict)
    places: list[tuple[str, str]] = field(default_factory=list)
    """All (hardware, site) in order."""
    turn: int = 0
    """round_robin: the place to look at first."""
    tau_us: float = 0.0
    windows: Windows = field(default_factory=Windows)
    wake_us: int = -1
    """Asked for with DONE."""

    def __post_init__(self) -> None:
        self.places = sorted(
            {(device.hardware, node.site) for node in self.room.nodes for device in node.devices}
        )
        for model in {job.model for job in self.jobs}:
            self.options[model] = [
                self._option(model, hardware, site, profile)
                for hardware, site in self.places
                for profile in self.table.of(model, hardware)
            ]
        for job in self.jobs:
            options = [option for option in self.options[job.model] if self.room.homes(option)]
            job.best_us = min(option.e_us(job.samples) for option in options)
            job.best_energy_j = min(option.watts() * option.e_us(job.samples) * 1e-6 for option in options)
        self.credit_us = {hardware: 0.0 for hardware, _ in self.places}

    def _option(self, model: str, hardware: str, site: str, profile: Profile) -> Option:
        cores = self.table.hardware[hardware].cpu_milli
        load = profile.device_units if profile.device_units else profile.cpu_milli / cores
        fitting = [p for p in self.table.of(model, hardware) if self.room.fits(p, hardware, site)]
        fastest = max(fitting, key=lambda p: p.throughput_sps, default=None)
        startup = 1e6 * profile.startup_cached_s + self.pod_start_us
        return Option(model, hardware, site, profile, profile is fastest, load, startup)

    # what can be done ---------------------------------------------------------------------------------------
    def survey(self) -> list[Pair]:
        """All pairs of the jobs that are not on hold, the ageing share applied."""
        where: dict[int, tuple[Node, int, bool] | None] = {}
        pairs: list[Pair] = []
        for job in self.queue:
            if job.hold is not None:
                continue
            for option in self.options[job.model]:
                if id(option) not in where:
                    where[id(option)] = self._place(option)
                placed = where[id(option)]
                if placed is not None:
                    node, wait_us, has_room = placed
                    may_hold = not has_room and option.dictionary
                    pairs.append(
                        Pair(job, option, node.name, option.e_us(job.samples), wait_us, has_room, may_hold)
                    )
        self._age(pairs)
        return pairs

    def _place(self, option: Option) -> tuple[Node, int, bool] | None:
        node = self.room.now(option)
        if node is not None:
            return node, 0, True
        first = self.room.later(option, self.now_us)
        return None if first is None else (first[1], first[0] - self.now_us, False)

    def _age(self, pairs: list[Pair]) -> None:
        """Ageing: while a class owes its oldest late job a turn, only that job may START there."""
        self.due = {}
        for hardware in self.credit_us:
            late = [p for p in pairs if p.option.hardware == hardware and p.option.dictionary]
            late = [p for p in late if p.job.deadline_us <= self.now_us]
            cost = {id(p): p.e_us * p.option.load for p in late}
            self.credit_us[hardware] = min(self.credit_us[hardware], max(cost.values(), default=0.0))
            able = [p for p in late if p.start]
            if able:
                oldest = min(able, key=lambda p: (p.job.arrival_us, cost[id(p)]))
                if self.credit_us[hardware] > 0 and self.credit_us[hardware] >= cost[id(oldest)]:
                    self.due[hardware] = oldest.job
        for pair in pairs:
            owner = self.due.get(pair.option.hardware)
            if owner is not None and owner is not pair.job:
                pair.start = False

    # rounds -------------------------------------------------------------------------------------------------
    def hold_is_over(self, job: PlainJob) -> bool:
        hold = job.hold
        assert hold is not None
        if hold.until_us <= self.now_us or self.room.now(hold.option) is not None:
            return True
        better = [o for o in self.options[job.model] if self.now_us + o.e_us(job.samples) < hold.finish_us]
        return any(self.room.now(option) is not None for option in better)

    def round(self) -> None:
        self.last_round_us = self.now_us
        self.wake_us = -1
        for job in self.queue:
            if job.hold is not None and self.hold_is_over(job):
                job.hold = None
        while self.queue:
            pair = self.choose(self.survey())
            if pair is None:
                return
            if pair.start:
                self.start(pair)
            else:
                self.hold(pair)

    def choose(self, pairs: list[Pair]) -> Pair | None:
        """The rule's pick; while DONE is illegal a START: its own, the fallback's or the first there is."""
        starts = [pair for pair in pairs if pair.start]
        must_start = not self.room.running and all(job.hold is None for job in self.queue) and starts
        pick = self.rule(self, pairs)
        if not must_start or (pick is not None and pick.start):
            return pick
        pick = self.fallback(self, pairs)
        return pick if pick is not None and pick.start else starts[0]

    def start(self, pair: Pair) -> None:
        job, option = pair.job, pair.option
        cost = pair.e_us * option.load
        if job.deadline_us > self.now_us:
            self.credit_us[option.hardware] += SHARE * cost
        elif self.due.get(option.hardware) is job:
            self.credit_us[option.hardware] = max(self.credit_us[option.hardware] - cost, 0.0)
        factor = self.factor(job.number, option.profile, pair.node, self.now_us, job.samples)
        end_us = self.now_us + option.e_us(job.samples, factor)
        job.start_us, job.option, job.node = self.now_us, option, pair.node
        self.room.running.append(
            Run(job, option, pair.node, self.now_us, pair.e_us, end_us, end_us + self.release_us)
        )
        for other in self.queue:
            if other is not job and job.assigned is not None and other.assigned == job.assigned:
                other.passed += 1
        # the queue has no order of its own: the last job takes the place of one that leaves
        place = self.queue.index(job)
        self.queue[place] = self.queue[-1]
        self.queue.pop()

    def hold(self, pair: Pair) -> None:
        job = pair.job
        finish_us = self.now_us + pair.f_us
        until_us = int(job.deadline_us - pair.e_us - max(0.1 * SECOND, 0.5 * self.room.sigma * pair.e_us))
        if finish_us > job.deadline_us or until_us <= self.now_us:
            until_us = self.now_us + pair.wait_us + SECOND
        job.hold = Hold(pair.option, finish_us, until_us)

    def timers(self) -> list[int]:
        """When a round is due by itself."""
        if not self.queue:
            return []
        times = [self.last_round_us + SECOND]
        times += [self.wake_us] if self.wake_us > self.last_round_us else []
        times += [job.hold.until_us for job in self.queue if job.hold is not None]
        latest = [job.deadline_us - job.best_us for job in self.queue]
        return times + [at_us for at_us in latest if at_us > self.last_round_us]

    def run(self) -> list[PlainJob]:
        """To the end of the tape; returns the jobs with what became of them."""
        coming = sorted(self.jobs, key=lambda job: (job.arrival_us, job.number))
        deadlines = sorted(job.deadline_us for job in self.jobs)
        counted = self.jobs[self.window[0] : self.window[1]]
        while any(job.finish_us < 0 for job in counted):
            timers = self.timers()
            times = timers + [run.end_us for run in self.room.running if not run.ended]
            times += [run.seen_us for run in self.room.running] + [job.arrival_us for job in coming[:1]]
            times += deadlines[:1]
            if not times or min(times) > self.end_us:
                break
            self.now_us = min(times)
            due = min(timers, default=inf) <= self.now_us
            due |= self._end()
            while deadlines and deadlines[0] <= self.now_us:
                deadlines.pop(0)
            for job in self.jobs:
                if job.deadline_us <= self.now_us and job.finish_us < 0:
                    job.violated = True
            while coming and coming[0].arrival_us <= self.now_us:
                self.queue.append(coming.pop(0))
                due = True
            if due and self.queue:
                self.round()
        return self.jobs

    def _end(self) -> bool:
        """Let runs end and be seen to have ended; True if the latter happened."""
        for run in self.room.running:
            if run.end_us == self.now_us:
                run.ended = True
                run.job.finish_us = self.now_us
        before = len(self.room.running)
        self.room.running = [run for run in self.room.running if run.seen_us > self.now_us]
        return len(self.room.running) < before

    # what it was worth --------------------------------------------------------------------------------------
    def rewards(self, tau_us: float, energy_weight: float) -> tuple[float, float, float]:
        """Deadline, excess and energy terms of the whole run, discounted to time 0."""
        beta = 1.0 / (20.0 * tau_us)
        missed = excess = energy = 0.0
        for job in self.jobs:
            if job.violated:
                end_us = job.finish_us if job.finish_us >= 0 else self.now_us
                missed -= exp(-beta * job.deadline_us)
                late = (exp(-beta * job.deadline_us) - exp(-beta * end_us)) / beta
                excess -= 0.02 * late / job.best_us
            if job.option is not None:
                joules = job.option.watts() * job.option.e_us(job.samples) * 1e-6
                energy -= 0.2 * energy_weight * joules / job.best_energy_j * exp(-beta * job.start_us)
        return missed, excess, energy
