"""The world once more, slow and plain: dictionaries, lists and loops, written from docs/simulator.md and
sharing no code with the compiled one. `test_simulator_agrees` holds the two together.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil, exp, inf
from typing import TypeAlias

from plain_room import Hold, Option, Pair, PlainJob, Room, Run

from synergai.envs.types import Node
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.table import ProfileTable

SECOND = 1_000_000
SHARE = 0.05
"""Ageing share."""

Factor = Callable[[int, Profile, str, int, int, int], float]
"""(job, profile, node, now_us, samples, attempt) -> how many times longer than predicted the compute really takes."""


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
    patience_us: int
    """How long it goes on after the last arrival of the window that is known."""
    clients: int = 0
    """Of a closed loop: then a job's times count from the end of the job so many before it."""
    end_us: int = 0
    coming: list[PlainJob] = field(default_factory=list)
    """By arrival."""
    deadlines: list[int] = field(default_factory=list)
    sent: list[PlainJob] = field(default_factory=list)
    """Of which it is known when they come."""
    startup_us: float = 0.0
    """Pod start, bind and decision: the scheduler knows them."""
    release_us: int = 0
    decision_us: int = 0
    start_gap_us: int = 0
    bind_again_us: Callable[[int, int], float] = lambda job, attempt: 0.0
    """(job, attempt) -> what binds that failed cost it."""
    transfer_us: Callable[[PlainJob, Option], float] = lambda job, option: 0.0
    changes: list[tuple[int, str, str]] = field(default_factory=list)
    """(when, node, what becomes of it: dies, noticed, closes, opens, back)."""
    pods: list[tuple[int, int, str, int, int]] = field(default_factory=list)
    """Of others: (from, to, node, cpu, memory)."""
    now_us: int = 0
    last_round_us: int = 0
    round_waits: bool = False
    queue: list[PlainJob] = field(default_factory=list)
    credit_us: dict[str, float] = field(default_factory=dict)
    due: dict[str, PlainJob] = field(default_factory=dict)
    options: dict[str, list[Option]] = field(default_factory=dict)
    places: list[tuple[str, str]] = field(default_factory=list)
    """All (hardware, site) in order."""
    turn: int = 0
    """round_robin: the place to look at first."""
    dead: set[str] = field(default_factory=set)
    missed: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    free_slots: list[int] = field(default_factory=list)
    slots: int = 0
    predicted: list[tuple[int, float, PlainJob]] = field(default_factory=list)
    """Of each START: when, and the joules above idle that it was thought to take."""
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
            options = [option for option in self.allowed(job) if self.room.homes(option)]
            job.best_us = min(self.alone_us(job, option) for option in options)
            job.best_energy_j = min(option.watts() * self.alone_us(job, option) * 1e-6 for option in options)
        self.credit_us = {hardware: 0.0 for hardware, _ in self.places}

    def _option(self, model: str, hardware: str, site: str, profile: Profile) -> Option:
        cores = self.table.hardware[hardware].cpu_milli
        load = profile.device_units if profile.device_units else profile.cpu_milli / cores
        fitting = [p for p in self.table.of(model, hardware) if self.room.fits(p, hardware, site)]
        fastest = max(fitting, key=lambda p: p.throughput_sps, default=None)
        startup = 1e6 * profile.startup_cached_s + self.startup_us
        return Option(model, hardware, site, profile, profile is fastest, load, startup)

    def allowed(self, job: PlainJob) -> list[Option]:
        return [
            option
            for option in self.options[job.model]
            if (job.hardware is None or option.hardware in job.hardware)
            and (job.sites is None or option.site in job.sites)
        ]

    def alone_us(self, job: PlainJob, option: Option) -> int:
        """On a node that has the image and nothing else to do."""
        return ceil(option.startup_us + self.transfer_us(job, option) + option.compute_us(job.samples))

    def predict(
        self, job: PlainJob, option: Option, node: str, at_us: int, others: list[Run]
    ) -> tuple[int, float]:
        """Run time of a START then beside these, and what of it comes before the compute."""
        overhead = self.room.start_cost_us(node, option, at_us) + self.transfer_us(job, option)
        return ceil(overhead + option.compute_us(job.samples) * self.room.slow(others)), overhead

    # what can be done ---------------------------------------------------------------------------------------
    def survey(self) -> list[Pair]:
        """All pairs of the jobs that are not on hold, the ageing share applied."""
        where: dict[int, tuple[Node, int, bool, list[Run]] | None] = {}
        pairs: list[Pair] = []
        for job in self.queue:
            if job.hold is not None:
                continue
            for option in self.allowed(job):
                if id(option) not in where:
                    where[id(option)] = self._place(option)
                placed = where[id(option)]
                if placed is not None:
                    node, wait_us, has_room, others = placed
                    e_us, overhead = self.predict(job, option, node.name, self.now_us + wait_us, others)
                    may_hold = not has_room and option.dictionary
                    pairs.append(Pair(job, option, node.name, e_us, overhead, wait_us, has_room, may_hold))
        self._age(pairs)
        return pairs

    def _place(self, option: Option) -> tuple[Node, int, bool, list[Run]] | None:
        node = self.room.now(option)
        if node is not None:
            return node, 0, True, self.room.here(node)
        first = self.room.later(option, self.now_us)
        return None if first is None else (first[1], first[0] - self.now_us, False, first[2])

    def _age(self, pairs: list[Pair]) -> None:
        """Ageing: while a class owes its oldest late job a turn, only that job may START there."""
        self.due = {}
        for hardware in self.credit_us:
            late = [p for p in pairs if p.option.hardware == hardware and p.option.dictionary]
            late = [p for p in late if p.job.deadline_us <= self.now_us]
            late = [p for p in late if p.job.assigned in (None, (hardware, p.option.site))]
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
        for option in self.allowed(job):
            node = self.room.now(option)
            if node is not None:
                e_us, _ = self.predict(job, option, node.name, self.now_us, self.room.here(node))
                if self.now_us + e_us < hold.finish_us:
                    return True
        return False

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
        """The rule's pick; while DONE is illegal a START: its own, that of `fallback` or the first there is."""
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
        job.start_us, job.option, job.node = self.now_us, option, pair.node
        self.predicted.append((self.now_us, option.watts() * pair.e_us * 1e-6, job))
        run = self._take(pair.node, option.profile.cpu_milli, option.profile.memory_mib)
        run.units, run.job, run.option = option.profile.device_units, job, option
        run.slow = self.room.slow([other for other in self.room.here(pair.node) if other is not run])
        run.finish_us, run.overhead_us = self.now_us + pair.e_us, pair.overhead_us
        factor = self.factor(job.number, option.profile, pair.node, self.now_us, job.samples, job.attempt)
        overhead = run.overhead_us + self.bind_again_us(job.number, job.attempt)
        run.compute_us = self.now_us + ceil(overhead)
        run.end_us = self.now_us + ceil(overhead + option.compute_us(job.samples) * run.slow * factor)
        run.seen_us = run.end_us + self.release_us
        run.lost = pair.node in self.dead
        if self.start_gap_us:
            free_us = max(self.room.next_start_us.get(pair.node, 0), self.now_us)
            self.room.next_start_us[pair.node] = free_us + self.start_gap_us
        self.room.settle(pair.node, self.now_us)
        for other in self.queue:
            if other is not job and job.assigned is not None and other.assigned == job.assigned:
                other.passed += 1
        # the queue has no order of its own: the last job takes the place of one that leaves
        place = self.queue.index(job)
        self.queue[place] = self.queue[-1]
        self.queue.pop()

    def _take(self, node: str, cpu: int, memory: int) -> Run:
        """Book room from now on; a slot that came free last is used first."""
        if not self.free_slots:
            self.slots += 1
        slot = self.free_slots.pop() if self.free_slots else self.slots - 1
        run = Run(node, cpu, memory, 0, self.now_us, slot)
        self.room.running.append(run)
        return run

    def _leave(self, run: Run) -> None:
        self.room.running.remove(run)
        self.free_slots.append(run.slot)
        self._charge(run)
        self.room.settle(run.node, self.now_us)

    @staticmethod
    def _charge(run: Run) -> None:
        """What it used above idle; of what was lost that was charged when it was lost."""
        if run.job is not None and run.option is not None and not run.lost:
            run.job.joules += run.option.watts() * (run.end_us - run.start_us) * 1e-6

    def hold(self, pair: Pair) -> None:
        job = pair.job
        finish_us = self.now_us + pair.f_us
        until_us = int(job.deadline_us - pair.e_us - max(0.1 * SECOND, 0.5 * self.room.sigma * pair.e_us))
        if finish_us > job.deadline_us or until_us <= self.now_us:
            until_us = self.now_us + pair.wait_us + SECOND
        job.hold = Hold(pair.option, finish_us, until_us)

    def timers(self) -> list[int]:
        """When a round is due by itself, or waits for the last decision to be out."""
        free_us = self.last_round_us + self.decision_us
        if self.round_waits:
            return [max(free_us, self.now_us)]
        if not self.queue:
            return []
        times = [self.last_round_us + SECOND]
        times += [self.wake_us] if self.wake_us > self.last_round_us else []
        times += [job.hold.until_us for job in self.queue if job.hold is not None]
        latest = [job.deadline_us - job.best_us for job in self.queue]
        times += [at_us for at_us in latest if at_us > self.last_round_us]
        return [max(at_us, free_us) for at_us in times]

    def run(self) -> list[PlainJob]:
        """To the end of the tape; returns the jobs with what became of them."""
        for job in self.jobs[: self.clients] if self.clients else self.jobs:
            self._expect(job)
        counted = [job for job in self.jobs[self.window[0] : self.window[1]] if job.counted]
        while any(job.finish_us < 0 for job in counted):
            timers = self.timers()
            times = timers + [run.end_us for run in self.room.running if not run.ended and not run.lost]
            times += [run.seen_us for run in self.room.running if not run.lost]
            times += [job.arrival_us for job in self.coming[:1]] + self.deadlines[:1]
            times += [change[0] for change in self.changes[:1]] + [pod[0] for pod in self.pods[:1]]
            if not times or min(times) > self.end_us:
                break
            self.now_us = min(times)
            due = min(timers, default=inf) <= self.now_us
            due |= self._end()
            while self.changes and self.changes[0][0] <= self.now_us:
                due |= self._change(*self.changes.pop(0)[1:])
            while self.pods and self.pods[0][0] <= self.now_us:
                self._bring(*self.pods.pop(0)[1:])
            while self.deadlines and self.deadlines[0] <= self.now_us:
                self.deadlines.pop(0)
            for job in self.sent:
                if job.deadline_us <= self.now_us and job.finish_us < 0 and job.counted:
                    job.violated = True
            while self.coming and self.coming[0].arrival_us <= self.now_us:
                self.queue.append(self.coming.pop(0))
                due = True
            if due and self.now_us < self.last_round_us + self.decision_us:
                self.round_waits = True
            elif due:
                self.round_waits = False
                if self.queue:
                    self.round()
        for run in self.room.running:
            self._charge(run)
        return self.jobs

    def _expect(self, job: PlainJob) -> None:
        """It is known now when this job comes."""
        self.sent.append(job)
        self.coming = sorted([*self.coming, job], key=lambda job: (job.arrival_us, job.number))
        self.deadlines = sorted([*self.deadlines, job.deadline_us])
        if job.number < self.window[1]:
            self.end_us = max(self.end_us, job.arrival_us + self.patience_us)
            if job.number >= self.window[0] and job.counted:
                self.end_us = max(self.end_us, job.deadline_us)

    def _answer(self, job: PlainJob) -> None:
        """In a closed loop the end of a job is when its client begins to think about the next; nobody asks for its
        deadline any more."""
        if not self.clients:
            return
        if job.deadline_us in self.deadlines:
            self.deadlines.remove(job.deadline_us)
        for other in self.jobs[job.number + self.clients :][:1]:
            other.arrival_us += self.now_us
            other.deadline_us += self.now_us
            self._expect(other)

    def _end(self) -> bool:
        """Let runs end, then be seen to have ended, then others' pods go; True if the scheduler saw something."""
        seen = False
        order = sorted(self.room.running, key=lambda run: (run.option is None, run.slot))
        for late in (False, True):  # what was to be seen from before comes after what ends now
            for run in order:
                if run.job is None or run.lost or (run.ended != late):
                    continue
                if not late and run.end_us == self.now_us:
                    run.ended = True
                    run.job.finish_us = self.now_us
                    self._answer(run.job)
                    if self.release_us == 0:
                        seen = self._see(run)
                elif late and run.seen_us == self.now_us and run in self.room.running:
                    seen = self._see(run)
        for run in order:
            if run.job is None and run.seen_us == self.now_us:
                self._leave(run)
                seen = True
        return seen

    def _see(self, run: Run) -> bool:
        self.room.leave_image(run)
        self._leave(run)
        return True

    # nodes and others' pods ---------------------------------------------------------------------------------
    def _change(self, node: str, what: str) -> bool:
        """True if the scheduler can see it."""
        if what == "dies":
            self.dead.add(node)
            for run in self.room.here(node):
                if run.job is not None and run.option is not None and not run.ended and not run.lost:
                    run.job.joules += run.option.watts() * (self.now_us - run.start_us) * 1e-6
                    run.lost = True
        elif what == "back":
            self.dead.discard(node)
            self.missed.discard(node)
        elif what == "noticed":
            self.missed.add(node)
        else:
            {"closes": self.closed.add, "opens": self.closed.discard}[what](node)
        was_ready, ready = node not in self.room.not_ready, node not in self.missed | self.closed
        if what == "noticed":
            self._give_back(node)
        if ready == was_ready:
            return what == "noticed"
        (self.room.not_ready.discard if ready else self.room.not_ready.add)(node)
        for job in self.queue:
            job.hold = None
        return True

    def _give_back(self, node: str) -> None:
        """What was lost there waits again, others' pods are gone."""
        for run in reversed(self.room.here(node)):
            if run.job is None:
                self._leave(run)
        lost = [run for run in self.room.here(node) if run.lost and run.job is not None]
        for run in sorted(lost, key=lambda run: run.job.number if run.job else -1):
            self._leave(run)
            job = run.job
            assert job is not None
            job.attempt += 1
            job.start_us, job.option, job.node, job.hold = -1, None, "", None
            self.queue.append(job)

    def _bring(self, to_us: int, name: str, cpu: int, memory: int) -> None:
        node = self.room.node(name)
        free_cpu, free_memory, pods, _ = self.room.free(node, node.devices[0].hardware)
        fits = free_cpu >= cpu and free_memory >= memory and pods > 0
        if fits and name not in self.room.not_ready and name not in self.dead:
            run = self._take(name, cpu, memory)
            run.end_us = run.seen_us = to_us
            self.room.settle(name, self.now_us)

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
        for at_us, joules, job in self.predicted:
            energy -= 0.2 * energy_weight * joules / job.best_energy_j * exp(-beta * at_us)
        return missed, excess, energy
