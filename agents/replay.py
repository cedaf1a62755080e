"""What the last arrivals would have come to under the policy, and under the fallback: the same jobs and the same luck,
on the cluster as it is known, twice through the simulator.

What stands in for the truth is what the runs that were seen leave open: each option's profile error is drawn around
what is expected of it (`envs.calibration`), then run to run, drift and stragglers as `envs.noise` has them. A replay
knows no failures, no pods of others beyond the room that they take now, and of a job's own requests nothing.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from math import exp, sqrt
from threading import Event, Timer

import numpy as np

from synergai.agents.heuristics import Rule
from synergai.agents.scheduler import Scheduler
from synergai.envs import noise
from synergai.envs.calibration import known_ratio, unknown
from synergai.envs.candidates import DONE, empty_candidates, scratch_for
from synergai.envs.capacity import Capacity
from synergai.envs.catalog import Catalog
from synergai.envs.cluster import Cluster
from synergai.envs.disturbances import CHANGE, POD
from synergai.envs.program import Program
from synergai.envs.scenario import Scenario
from synergai.envs.simulator import advance, apply_action, run_rule
from synergai.envs.state import NEVER_US, NONE, ClusterState
from synergai.envs.tape import TAPE_JOB, TRUTH, Setting, Tape, best_effort_deadline_us
from synergai.envs.types import ANYWHERE, Action, Job, Reach
from synergai.envs.world import Sim, new_sim
from synergai.offline_profiles.table import base_address

MOST_JOBS = 4096
LONGEST_US = 24 * 3600 * 1_000_000
"""How many arrivals are remembered, over how much scenario time; and how long behind the last one a replay goes on."""
EDGE = 4
"""One part in so many of what is played is warm-up, another only keeps the cluster busy behind what is counted."""
LEAST_JOBS = 50
"""A window that counts fewer waits for more: half of them a point apart is one job."""
LONGEST_PLAY_S = 20.0
"""Of one side of a replay, real time: under a policy that serves hardly anything rounds get long."""
AFTER_STEPS = 60
"""Minutes of drift behind the last arrival; then it stands still."""
LEARNT = (
    "energy_weight", "slowdown", "tau_us", "capacity_sps", "work_short", "work_long", "gap_mean_s", "gap_square_s2"
)  # fmt: skip
"""Fields of the clock that a replay begins with."""


@dataclass(frozen=True)
class Window:
    """Jobs in order of arrival; those from `first` on, before `last`, are counted."""

    jobs: tuple[Job, ...]
    first: int
    last: int


class ArrivalLog:
    """The last arrivals, each counted in one window at most."""

    def __init__(self, most: int = MOST_JOBS, longest_us: int = LONGEST_US) -> None:
        self.most = most
        self.longest_us = longest_us
        self._jobs: deque[Job] = deque()
        self._known: set[tuple[str, int]] = set()
        self._new = 0
        """How many of the last ones no window has counted."""

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """A job that waits from now on. One that waits again is known by its key and arrival."""
        name = (job.key, job.arrival_us)
        if name in self._known:
            return
        self._jobs.append(job)
        self._known.add(name)
        self._new += 1
        while len(self._jobs) > self.most or self._jobs[0].arrival_us < job.arrival_us - self.longest_us:
            first = self._jobs.popleft()
            self._known.discard((first.key, first.arrival_us))
        self._new = min(self._new, len(self._jobs))

    def waiting(self) -> int:
        """How many jobs the next window would count."""
        before, edge = self._parts()
        return max(before + self._new - 2 * edge, 0)

    def take(self) -> Window | None:
        """The next window; None, and all is left for a later one, while it would count fewer than `LEAST_JOBS`."""
        before, edge = self._parts()
        if self.waiting() < LEAST_JOBS:
            return None
        first = len(self._jobs) - self._new - before
        jobs = sorted(islice(self._jobs, first, None), key=lambda job: job.arrival_us)
        self._new = edge
        return Window(tuple(jobs), edge, len(jobs) - edge)

    def _parts(self) -> tuple[int, int]:
        """How many counted jobs go before the new ones, and how many are not counted at either end."""
        edge = self._new // EDGE
        return min(len(self._jobs) - self._new, edge), edge


@dataclass(frozen=True)
class Picture:
    """What is known of a cluster, apart from what waits and runs."""

    catalog: Catalog
    state: ClusterState
    program: Program


def picture_of(cluster: Cluster) -> Picture:
    """A copy, independent of what becomes of the cluster. ValueError while it cannot serve anything."""
    program = cluster.program
    if program is None or cluster.state.clock[0]["capacity_sps"] <= 0.0:
        raise ValueError("no capacity is known of this cluster")
    return Picture(cluster.catalog, cluster.state.copy(), program.copy())


@dataclass(frozen=True)
class Replayed:
    """Violations among the counted jobs that have a deadline."""

    jobs: int
    policy: int
    fallback: int

    @property
    def difference(self) -> float:
        """Violations per job under the policy less those under the fallback, in [-1, 1]."""
        return (self.policy - self.fallback) / max(self.jobs, 1)


def replay(
    picture: Picture,
    window: Window,
    policy: Scheduler,
    fallback: Scheduler,
    seed: int,
    limit_s: float = LONGEST_PLAY_S,
    before_play: Callable[[], None] = lambda: None,
) -> Replayed:
    """Play the window under both; the same seed is the same luck. A play that takes longer than `limit_s` ends there,
    and the deadlines up to the instant that both have reached are counted. `before_play` is called where Python has
    done its part and compiled code goes on."""
    setting, tape = setting_of_picture(picture), tape_of_window(picture, window, seed)
    sims = [begin(picture, window, setting, tape) for _ in (policy, fallback)]
    before_play()
    cut = [_play_within(sim, scheduler, limit_s) for sim, scheduler in zip(sims, (policy, fallback))]
    until_us = min(
        (int(sim.state.clock[0]["now_us"]) for sim, was in zip(sims, cut) if was), default=NEVER_US
    )
    jobs = tape.jobs[window.first : window.last]
    known = (jobs["counted"] == 1) & (jobs["deadline_us"] <= until_us)
    late = [int(sim.outcomes["violated"][window.first : window.last][known].sum()) for sim in sims]
    return Replayed(int(known.sum()), *late)


def _play_within(sim: Sim, scheduler: Scheduler, limit_s: float) -> bool:
    """Whether it was cut short: the simulator looks at every event how long it may go on."""
    cut = Event()

    def end() -> None:
        cut.set()
        sim.progress[0]["end_us"] = NONE

    timer = Timer(limit_s, end)
    timer.daemon = True
    timer.start()
    try:
        play(sim, scheduler)
    finally:
        timer.cancel()
    return cut.is_set()


def play(sim: Sim, scheduler: Scheduler) -> None:
    """To the end of the tape; in one compiled call, which lets go of the interpreter, where the scheduler has one."""
    scratch, run = scratch_for(sim.state), getattr(scheduler, "run", None)
    if isinstance(scheduler, Rule):
        run_rule(sim, scratch, scheduler.number, np.iinfo(np.int64).max)
    elif run is not None:
        run(sim, scratch)
    else:
        out = empty_candidates()
        while advance(sim, scratch, out, getattr(scheduler, "extra_rule", NONE)):
            decision = scheduler.decide(sim.state, out)
            apply_action(sim, scratch, out, DONE if decision.action == Action.DONE else decision.candidate)


def setting_of_picture(picture: Picture) -> Setting:
    """Its nodes and profiles, as a scenario has them."""
    clock = picture.state.clock[0]
    prices = picture.state.options["price"][: len(picture.catalog.profiles)]
    capacity = Capacity(float(clock["capacity_sps"]), float(clock["tau_us"]), 0.0, prices)
    # nodes and jobs are the picture's; of a scenario only its defaults are wanted
    scenario = Scenario.model_construct(name="replay", machines=[], jobs={})
    return Setting(scenario, picture.catalog.table, picture.catalog, capacity, picture.program)


def begin(picture: Picture, window: Window, setting: Setting, tape: Tape) -> Sim:
    """The empty cluster at the first arrival, with all that has been learnt."""
    # what is solved each minute is written into the program
    sim = new_sim(setting, tape)._replace(program=picture.program.copy())
    jobs = tape.jobs[window.first : window.last]
    # what is missed is known then
    last_us = int(jobs["deadline_us"][jobs["counted"] == 1].max(initial=0))
    sim.progress[0]["end_us"] = min(last_us, int(tape.jobs[-1]["arrival_us"]) + LONGEST_US)
    for name in ("options", "history", "models"):
        getattr(sim.state, name)[:] = getattr(picture.state, name)
    for name in LEARNT:
        sim.state.clock[0][name] = picture.state.clock[0][name]
    admitted = [picture.catalog.admitted(reach) for reach in _reaches(window)]
    return sim._replace(state=sim.state._replace(admitted=np.array(admitted, np.bool_)))


def _reaches(window: Window) -> list[Reach]:
    """The different sets of devices that jobs may run on; the first is any."""
    return list(dict.fromkeys([ANYWHERE, *(job.reach for job in window.jobs)]))


def tape_of_window(picture: Picture, window: Window, seed: int) -> Tape:
    """These jobs, from time 0 on, with luck of this seed."""
    jobs = _rows(picture.catalog, window)
    steps = int(jobs["arrival_us"][-1] * 1e-6 / noise.DRIFT_STEP_S) + AFTER_STEPS
    drift = np.ones((len(picture.catalog.nodes), steps))
    for node, series in zip(picture.catalog.nodes, drift):
        noise.drift_series(seed, 1.0, noise.name_key(node.name), series)
    return Tape(
        jobs=jobs,
        by_deadline=np.argsort(jobs["deadline_us"], kind="stable").astype(np.int64),
        truth=_truth(picture, seed),
        drift=drift,
        window=np.array([window.first, window.last], np.int64),
        seed=np.array([seed]),
        changes=np.zeros(0, CHANGE),
        pods=np.zeros(0, POD),
    )


def _rows(catalog: Catalog, window: Window) -> np.ndarray:
    """The jobs as a tape has them, from time 0 on. Shape (jobs,) TAPE_JOB."""
    signatures = {reach: row for row, reach in enumerate(_reaches(window))}
    jobs, from_us = window.jobs, window.jobs[0].arrival_us
    arrival_us = np.array([job.arrival_us for job in jobs])
    deadline_us = np.array([_deadline_us(catalog, job) for job in jobs])
    rows = np.zeros(len(jobs), TAPE_JOB)
    rows["arrival_us"] = arrival_us - from_us
    rows["deadline_us"] = np.maximum(deadline_us, arrival_us) - from_us
    rows["samples"] = [job.samples for job in jobs]
    rows["model"] = [catalog.model_index[_known(catalog, job)] for job in jobs]
    rows["counted"] = [job.deadline_us is not None for job in jobs]
    rows["priority"] = [job.priority for job in jobs]
    rows["classes"] = [catalog.class_mask(job.hardware) for job in jobs]
    rows["site"] = [catalog.site_index.get(job.site, 0) for job in jobs]
    rows["signature"] = [signatures[job.reach] for job in jobs]
    return rows


def _deadline_us(catalog: Catalog, job: Job) -> int:
    if job.deadline_us is not None:
        return job.deadline_us
    return best_effort_deadline_us(catalog.table, _known(catalog, job), job.samples, job.arrival_us)


def _known(catalog: Catalog, job: Job) -> str:
    """Its model as it is known by now: one that was of its own since may be no more."""
    return job.model if job.model in catalog.model_index else base_address(job.model)


def _truth(picture: Picture, seed: int) -> np.ndarray:
    """How wrong each option's profile may be, by what was seen of it. Shape (options,) TRUTH."""
    luck = np.random.default_rng([seed, 0x7265]).standard_normal(len(picture.catalog.profiles))
    truth = np.zeros(len(picture.state.options), TRUTH)
    for o, profile in enumerate(picture.catalog.profiles):
        seen, keys = picture.state.history[o], noise.option_keys(profile)
        sd = sqrt(unknown(float(picture.state.options[o]["sigma"]), float(seen["count"])))
        truth[o] = (exp(known_ratio(seen) + sd * luck[o]), keys["hardware"], keys["configuration"])
    return truth
