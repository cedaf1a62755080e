"""The planner leaves its base rule where that is surely wrong, and nowhere else."""

import numpy as np
import pytest
from scenes import Pick, Scene
from worlds import fresh, random_world, toy_profile, toy_table

from synergai.agents.learned import load
from synergai.agents.planner import Planner, Terms, terms_of
from synergai.agents.policies import make_policy, parts_of
from synergai.agents.registry import make
from synergai.envs.candidates import DONE, empty_candidates, list_candidates
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE

# seconds:   fast 1, slow 3
TABLE = toy_table(toy_profile("vision", "gpu-fast", 1.0), toy_profile("vision", "gpu-slow", 3.0))
MACHINES = [{"name": "fast", "hardware": {"gpu-fast": 1}}, {"name": "slow", "hardware": {"gpu-slow": 1}}]


def scene() -> Scene:
    return Scene(TABLE, MACHINES)


def decide(moment: Scene, planner: Planner) -> Pick | None:
    out = moment.list()
    chosen = planner.decide(moment.state, out).candidate
    return None if chosen < 0 else moment.name(out.pair[chosen])


def test_it_waits_for_the_fast_device_where_its_base_would_start_too_late_on_the_slow_one() -> None:
    # fast is free at 1 s: done at 2 s; on slow at 3 s; due at 2.5 s
    moment = scene().run("vision", "gpu-fast", "fast-0").wait("x", "vision", 2.5)
    assert moment.pick("fcfs") == Pick("START", "x", "slow-0", "gpu-slow")
    chosen = decide(moment, Planner("rollout:8:fcfs"))
    assert chosen is None or chosen == Pick("HOLD", "x", "fast-0", "gpu-fast")


def test_it_starts_the_job_in_a_hurry_where_its_base_takes_the_first_to_come() -> None:
    # fast serves only one of them by 1.5 s, slow the other by 30 s
    moment = scene().wait("patient", "vision", 30, arrival_s=-1).wait("hurried", "vision", 1.5)
    assert moment.pick("fcfs") == Pick("START", "patient", "fast-0", "gpu-fast")
    chosen = decide(moment, Planner("rollout:8:fcfs"))
    assert chosen == Pick("START", "hurried", "fast-0", "gpu-fast") or chosen == Pick(
        "START", "patient", "slow-0", "gpu-slow"
    )


def test_no_gain_is_enough_where_a_thousand_standard_errors_are_asked_for() -> None:
    moment = scene().wait("patient", "vision", 30, arrival_s=-1).wait("hurried", "vision", 1.5)
    strict = Planner(terms=Terms(8, "edf", z=1000.0))
    assert decide(moment, strict) == moment.pick("edf")


def test_without_time_it_does_what_its_base_does_and_says_so() -> None:
    moment = scene().wait("patient", "vision", 30, arrival_s=-1).wait("hurried", "vision", 1.5)
    hasty = Planner(terms=Terms(32, "fcfs", budget_us=1e-3))
    assert decide(moment, hasty) == moment.pick("fcfs")
    decision = hasty.decide(moment.state, moment.list())
    assert decision.reason == "rollout: fcfs, as there is no time to plan"


def test_with_time_enough_a_budget_changes_nothing() -> None:
    moment = scene().wait("patient", "vision", 30, arrival_s=-1).wait("hurried", "vision", 1.5)
    patient = Planner(terms=Terms(32, "fcfs", budget_us=60e6))
    assert decide(moment, patient) == decide(moment, Planner(terms=Terms(32, "fcfs")))
    reason = patient.decide(moment.state, moment.list()).reason
    assert reason == "rollout: better than fcfs in 32 futures"


def test_a_checkpoint_and_its_planner_are_told_apart_by_name() -> None:
    assert [parts_of(name) for name in ("demo", "runs/a/checkpoint+plan", "demo+reference")] == [
        ("demo", "net"), ("runs/a/checkpoint", "net+plan"), ("demo", "reference")]  # fmt: skip
    planner = make_policy("demo+plan", budget_us=500.0)
    assert isinstance(planner, Planner)
    assert (planner.name, planner.terms) == ("demo+plan", Terms(32, "demo", budget_us=500.0))


def test_planning_changes_nothing_of_the_state() -> None:
    moment = scene().run("vision", "gpu-fast", "fast-0").wait("x", "vision", 2.5).wait("y", "vision", 9)
    out = moment.list()
    before = moment.state.copy()
    Planner("rollout:8").decide(moment.state, out)
    assert all(np.array_equal(a, b) for a, b in zip(before, moment.state))


def test_planning_over_windows_changes_nothing_of_the_state() -> None:
    moment = scene().run("vision", "gpu-fast", "fast-0").wait("x", "vision", 2.5).wait("y", "vision", 9)
    planner, out = Planner("rollout:8:mael"), empty_candidates()
    moment.pick("mael")
    moment.state.clock["now_us"] = moment.state.clock[0]["window_us"]
    list_candidates(moment.state, moment.scratch, out, planner.extra_rule)
    assert (moment.state.queue["assigned"][:2] >= 0).all()
    before = moment.state.copy()
    planner.decide(moment.state, out)
    assert all(np.array_equal(a, b) for a, b in zip(before, moment.state))


def test_one_moment_has_one_answer() -> None:
    moment = scene().wait("x", "vision", 2.5).wait("y", "vision", 3.0)
    assert decide(moment, Planner("rollout:8")) == decide(moment, Planner("rollout:8"))


def test_a_name_says_futures_and_base() -> None:
    assert terms_of("rollout:8:edf") == Terms(8, "edf")
    assert make("rollout:16").name == "rollout:16"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("rollout:x", "FUTURES is 'x'"),
        ("rollout:8:best", "BASE is 'best'"),
        ("rollout:8:edf:2", "edf has no switches"),
    ],
)
def test_a_wrong_name_is_told(name: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Planner(name)


def test_a_planner_on_a_policy_decides_one_by_one_as_over_a_whole_tape() -> None:
    outcomes = []
    for one_by_one in (False, True):
        sim, scratch = fresh(*random_world(3, count=60))
        planner, out = (
            Planner("rollout:4:demo", release_s=sim.progress[0]["release_us"] * 1e-6),
            empty_candidates(),
        )
        if not one_by_one:
            planner.run(sim, scratch)
        while one_by_one and advance(sim, scratch, out, NONE):
            chosen = planner.decide(sim.state, out).candidate
            apply_action(sim, scratch, out, DONE if chosen < 0 else chosen)
        outcomes.append(sim.outcomes)
    np.testing.assert_array_equal(*outcomes)
    sim, scratch = fresh(*random_world(3, count=60))
    load("demo").run(sim, scratch)
    assert (sim.outcomes["start_us"] != outcomes[0]["start_us"]).any()  # else nothing was planned


def test_a_planner_on_a_policy_starts_the_job_in_a_hurry_too() -> None:
    moment = scene().wait("patient", "vision", 30, arrival_s=-1).wait("hurried", "vision", 1.5)
    chosen = decide(moment, Planner("rollout:16:demo"))
    assert chosen != Pick("START", "patient", "fast-0", "gpu-fast")
