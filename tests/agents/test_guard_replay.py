"""Replays: what is remembered of arrivals, that policy and fallback meet the same, and who is sent away for it."""

from dataclasses import replace
from functools import cache
from time import sleep

import numpy as np
import pytest
from test_trial import Fool, slowest, worst_weights

from synergai.agents.confidence import Switch
from synergai.agents.heuristics import Rule
from synergai.agents.learned import Learned, read
from synergai.agents.replay import EDGE, LEAST_JOBS, ArrivalLog, Picture, Window, picture_of, replay
from synergai.agents.scheduler import Scheduler
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import Scratch
from synergai.envs.cluster import Cluster
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.simulator import run_rule
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.types import Job
from synergai.envs.world import Sim
from synergai.offline_profiles.table import own_address

HOUR_US = 3600 * 1_000_000
EPOCH_US = 1_795_000_000_000_000


def job(n: int, at_us: int | None = None) -> Job:
    return Job(f"default/{n}", "resnet50", 100, n if at_us is None else at_us, n + 10**7)


def filled(count: int, log: ArrivalLog | None = None) -> ArrivalLog:
    log = ArrivalLog() if log is None else log
    for n in range(count):
        log.add(job(n))
    return log


# the log -------------------------------------------------------------------------------------------------------------
def test_the_log_holds_the_last_jobs_only() -> None:
    log = filled(1000, ArrivalLog(most=300))
    window = log.take()
    assert window is not None
    assert len(log) == len(log._known) == 300
    assert window.jobs[-1].key == "default/999"


def test_the_log_holds_the_last_hours_only() -> None:
    log = ArrivalLog(longest_us=HOUR_US)
    for n in range(10):
        log.add(job(n, n * HOUR_US // 2))
    assert len(log) == len(log._known) == 3


def test_a_job_that_waits_again_is_one_arrival() -> None:
    log = filled(5)
    log.add(replace(job(2), nodes=frozenset({"a"})))
    assert len(log) == 5


def test_too_few_jobs_are_left_for_a_later_window() -> None:
    log = filled(LEAST_JOBS)
    assert log.take() is None
    for n in range(LEAST_JOBS, 2 * LEAST_JOBS):
        log.add(job(n))
    assert log.take() is not None


def test_no_job_is_counted_twice_and_none_at_the_edges() -> None:
    log, counted = ArrivalLog(), []
    for n in range(2000):
        log.add(job(n))
        if n % 200 == 199 and (window := log.take()):
            edge = len(window.jobs) // (2 * EDGE)
            assert edge <= window.first
            assert edge <= len(window.jobs) - window.last
            counted += [j.key for j in window.jobs[window.first : window.last]]
    assert len(set(counted)) == len(counted) > 1500


def test_the_jobs_of_a_window_are_in_order_of_arrival() -> None:
    log = ArrivalLog()
    for n in np.random.default_rng(0).permutation(200):
        log.add(job(int(n)))
    window = log.take()
    assert window is not None
    assert [j.arrival_us for j in window.jobs] == sorted(j.arrival_us for j in window.jobs)


# a replay ------------------------------------------------------------------------------------------------------------
@cache
def demo() -> Setting:
    return setting_of(scenarios.load("demo").model_copy(update={"load": 0.9}))


def cluster(seen: int = 0) -> Cluster:
    """The nodes of `demo`, where so many jobs have come and gone."""
    made = Cluster(demo().table)
    made.set_nodes(demo().catalog.nodes)
    made.refresh(EPOCH_US)
    for job in arrivals(999).jobs[:seen]:
        made.enqueue(job)
        made.withdraw(job.key)
        made.refresh(job.arrival_us)
    return made


def arrivals(seed: int, count: int = 300) -> Window:
    """Of a tape of `demo`, as the bridge would log them."""
    tape, models = make_tape(demo(), seed, count), demo().catalog.models
    jobs = tuple(
        Job(f"j{i}", models[row["model"]], int(row["samples"]), EPOCH_US + int(row["arrival_us"]),
            EPOCH_US + int(row["deadline_us"]))
        for i, row in enumerate(tape.jobs)
    )  # fmt: skip
    return Window(jobs, count // EDGE, count)


def played(window: Window, policy: Scheduler, picture: Picture | None = None, seed: int = 0):
    """To its end, also where kernels are compiled first."""
    return replay(picture or picture_of(cluster()), window, policy, Rule(FALLBACK), seed, limit_s=900.0)


def test_the_fallback_as_policy_makes_no_difference() -> None:
    found = played(arrivals(0), Rule(FALLBACK))
    assert found.policy == found.fallback > 0
    assert found.difference == 0.0


def test_the_same_seed_gives_the_same_replay_and_another_one_other_luck() -> None:
    window, policy = arrivals(0), Rule("fcfs")
    assert played(window, policy) == played(window, policy)
    assert len({played(window, policy, seed=seed).fallback for seed in range(5)}) > 1


def test_a_scheduler_that_only_decides_is_played_like_one_in_compiled_code() -> None:
    class Asked:
        name = "asked"
        decide = staticmethod(Rule("edf").decide)

    window = arrivals(1)
    assert played(window, Asked()) == played(window, Rule("edf"))


def test_jobs_without_a_deadline_are_played_and_not_counted() -> None:
    window = arrivals(0)
    free = tuple(replace(job, deadline_us=None) if i % 2 else job for i, job in enumerate(window.jobs))
    found = played(replace(window, jobs=free), Rule("edf"))
    assert found.jobs == sum(job.deadline_us is not None for job in free[window.first : window.last])


def test_a_job_that_no_node_admits_is_late_under_both() -> None:
    window = arrivals(0, 100)
    nowhere = tuple(replace(job, nodes=frozenset({"gone"})) for job in window.jobs)
    found = played(replace(window, jobs=nowhere), Rule("edf"))
    assert found.policy == found.fallback == found.jobs


def test_a_job_of_a_model_of_its_own_that_is_no_more_is_played_as_the_model_itself() -> None:
    window = arrivals(0, 100)
    own = tuple(replace(job, model=own_address(job.model, "3fa2c1d0")) for job in window.jobs)
    assert played(replace(window, jobs=own), Rule("edf")) == played(window, Rule("edf"))


def test_runs_that_were_seen_to_be_slower_are_slower_in_the_replay() -> None:
    picture, window = picture_of(cluster()), arrivals(0)
    before = played(window, Rule(FALLBACK), picture).fallback
    picture.state.history["log_ratio"], picture.state.history["count"] = np.log(3.0), 50.0
    assert played(window, Rule(FALLBACK), picture).fallback > 2 * before


def test_a_replay_that_takes_too_long_counts_the_deadlines_that_both_have_reached() -> None:
    class Stuck:
        """Plays half of the tape, and then only until it is told to stop."""

        name = "stuck"

        def run(self, sim: Sim, scratch: Scratch) -> None:
            run_rule(sim, scratch, RULE_NUMBER["edf"], len(sim.tape.jobs) // 2)
            while sim.progress[0]["end_us"] > 0:
                sleep(0.001)

        decide = staticmethod(Rule("edf").decide)

    whole = played(arrivals(0), Rule("edf"))
    found = replay(picture_of(cluster()), arrivals(0), Stuck(), Rule("edf"), 0, limit_s=1.0)
    assert 0 < found.jobs < whole.jobs
    assert found.policy == found.fallback


def test_a_picture_does_not_follow_the_cluster_nor_a_replay_the_picture() -> None:
    known, window = cluster(), arrivals(0)
    picture = picture_of(known)
    first = played(window, Rule("edf"), picture)
    known.set_node(replace(demo().catalog.nodes[0], ready=False))
    known.enqueue(window.jobs[0])
    known.refresh(EPOCH_US)
    assert played(window, Rule("edf"), picture) == first


def test_a_cluster_without_nodes_has_no_picture() -> None:
    empty = Cluster(demo().table)
    empty.refresh(EPOCH_US)
    with pytest.raises(ValueError, match="no capacity"):
        picture_of(empty)


# replays and the switch ----------------------------------------------------------------------------------------------
def plays_after(policy: Scheduler, windows: int, count: int) -> bool:
    """Whether the policy still decides after so many windows of about so many jobs."""
    switch, picture = Switch(), picture_of(cluster(seen=300))
    for seed in range(windows):
        switch.take(played(arrivals(seed, count), policy, picture, seed).difference)
        if not switch.policy_plays:
            return False
    return True


@pytest.mark.parametrize(
    "policy", [worst_weights, lambda: Fool(slowest)], ids=["worst weights", "slowest option"]
)
def test_a_harmful_policy_is_switched_off(policy) -> None:
    assert not plays_after(policy(), 15, 80)


@pytest.mark.parametrize("windows", [20, pytest.param(Switch.SPAN, marks=pytest.mark.slow)])
def test_the_released_policy_is_not(windows: int) -> None:
    assert plays_after(Learned(read("demo")), windows, 200)
