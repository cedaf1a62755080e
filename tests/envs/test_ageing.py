"""The ageing share: what it earns, what it pays, and that a late job gets its turn."""

import numpy as np
import pytest
from scenes import Scene
from worlds import hand_tape, play, random_world, simulate, toy_profile, toy_setting, toy_table

from synergai.envs import ageing
from synergai.envs.rules import RULE_NUMBER, RULES
from synergai.envs.state import NONE

TABLE = toy_table(toy_profile("m", "gpu", 1.0))
ONE = [{"name": "n", "hardware": {"gpu": 1}}]


def credit_s(scene: Scene) -> float:
    return float(scene.state.classes[0]["credit_us"]) * 1e-6


def due(scene: Scene) -> str | None:
    scene.pick("fcfs")
    j = scene.scratch.survey.due[0]["j"]
    return None if j == NONE else scene.names[scene.state.queue[j]["job"]]


def late_and_fresh() -> Scene:
    """At 10 s: a late job of 4 s, an older late one of 2 s, and one that has time."""
    scene = Scene(TABLE, ONE, now_s=10.0)
    scene.wait("late", "m", 9.0, 5.0, samples=4).wait("older", "m", 9.5, 3.0, samples=2)
    return scene.wait("fresh", "m", 99.0, 9.0, samples=1)


def test_the_oldest_late_job_is_due_once_the_credit_covers_it() -> None:
    assert due(late_and_fresh().owe("gpu", 2.0)) == "older"


def test_no_job_is_due_while_the_credit_does_not_cover_it() -> None:
    assert due(late_and_fresh().owe("gpu", 1.99)) is None


def test_no_job_is_due_without_credit() -> None:
    assert due(late_and_fresh()) is None


def test_a_job_is_late_at_the_instant_of_its_deadline() -> None:
    scene = Scene(TABLE, ONE, now_s=10.0).wait("x", "m", 10.0).owe("gpu", 9.0)
    assert due(scene) == "x"


def test_credit_is_capped_at_the_largest_late_jobs_cost() -> None:
    scene = late_and_fresh().owe("gpu", 100.0)
    due(scene)
    assert credit_s(scene) == 4.0


def test_credit_is_nothing_while_no_job_is_late() -> None:
    scene = Scene(TABLE, ONE).wait("fresh", "m", 99.0).owe("gpu", 100.0)
    due(scene)
    assert credit_s(scene) == 0.0


def test_a_late_job_without_room_is_not_due() -> None:
    scene = late_and_fresh().owe("gpu", 100.0).run("m", "gpu", "n-0", since_s=9.0, samples=9)
    assert due(scene) is None


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_starts_the_due_job(rule: str) -> None:
    pick = late_and_fresh().owe("gpu", 2.0).pick(rule)
    assert pick is not None
    assert pick.job == "older"


ACCOUNTS = [
    ("a job in time earns a twentieth", "fresh", 3.0, 3.05),
    ("the due job pays its cost", "older", 3.0, 1.0),
    ("a late job that is not due neither earns nor pays", "late", 1.0, 1.0),
]


@pytest.mark.parametrize(("name", "job", "before_s", "after_s"), ACCOUNTS, ids=[case[0] for case in ACCOUNTS])
def test_account(name: str, job: str, before_s: float, after_s: float) -> None:
    scene = late_and_fresh().owe("gpu", before_s)
    scene.pick("fcfs")
    survey = scene.scratch.survey
    j = int(np.flatnonzero(scene.state.queue["job"][:3] == scene.names.index(job))[0])
    p = int(np.flatnonzero(survey.pairs["j"][:3] == j)[0])
    ageing.account(scene.state, survey, survey.pairs[p])
    assert credit_s(scene) == pytest.approx(after_s)


def test_cost_is_run_time_by_share_of_the_device() -> None:
    table = toy_table(
        toy_profile("m", "cpu", 1.0, device_units=0, cpu_milli=2000)
    )  # a quarter of its eight cores
    scene = Scene(table, [{"name": "n", "hardware": {"cpu": 1}}], now_s=10.0)
    scene.wait("late", "m", 9.0, samples=4).owe("cpu", 1.0)
    assert due(scene) == "late"
    assert scene.scratch.survey.due[0]["cost_us"] == 1_000_000


@pytest.mark.parametrize("rule", ["sjf_feasible", "synergai"])
def test_a_rule_that_puts_late_jobs_last_serves_one_after_twenty_others(rule: str) -> None:
    # from 1 s on a job in time always waits beside the late one; every START of 1 s earns 0.05 s
    setting = toy_setting(TABLE, ONE)
    arrivals = [0.0, 0.0, *np.arange(1.0, 60.0) - 0.5]
    deadlines = [9.0, 0.5, *np.arange(1.0, 60.0) + 60.0]
    sim = simulate(setting, hand_tape(setting, arrivals, deadlines), rule)
    start_s = sim.outcomes["start_us"] * 1e-6
    before = (start_s < start_s[1]).sum()
    # the first START is before the job is late: it earns nothing that stays
    assert before == 1 + 20


def test_an_overloaded_world_owes_late_jobs_their_turn() -> None:
    setting, tape = random_world(105, count=100, load=2.0)
    shortest = RULE_NUMBER["sjf_feasible"]
    owed = 0
    for _, scratch, _ in play(setting, tape, lambda out: int(out.picks[shortest])):
        owed += int((scratch.survey.due["j"] != NONE).any())
    assert owed > 5
