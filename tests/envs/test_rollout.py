"""One sampled future on a copy of the cluster: what goes on there, and that only what can have changed is looked at."""

import numpy as np
import pytest

from synergai.envs import futures as drawing
from synergai.envs import scenario as scenarios
from synergai.envs.candidates import empty_candidates, scratch_for
from synergai.envs.rollout import branch, go_on, next_instant, take_arrivals, world_for
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE
from synergai.envs.survey import survey_for, take_survey
from synergai.envs.tape import make_tape, setting_of
from synergai.envs.world import Sim, new_sim

RULE = "sjf_feasible"
FUTURES = 4
EVERY = 25
"""A moment is looked at after so many decisions."""


def moments(name: str, count: int):
    """Clusters of a tape under load, each at a decision."""
    scenario = scenarios.load(name).model_copy(update={"load": 1.0})
    setting = setting_of(scenario)
    sim = new_sim(setting, make_tape(setting, 5, 300))
    scratch, out = scratch_for(sim.state), empty_candidates()
    for number in range(EVERY * count):
        assert advance(sim, scratch, out, NONE)
        if number % EVERY == EVERY - 1:
            yield sim
        apply_action(sim, scratch, out, out.picks[RULE_NUMBER[RULE]])


def survey_of(sim: Sim):
    survey = survey_for(sim.state)
    take_survey(sim.state, survey)
    return survey


def futures_of(sim: Sim):
    drawn = drawing.futures_for(sim.state, FUTURES)
    horizon_us = np.int64(3 * sim.state.clock[0]["tau_us"])
    drawing.begin(sim.state, drawn)
    for s in range(FUTURES):
        drawing.draw(sim.state, drawn, s, horizon_us, 0)
    return drawn, int(sim.state.clock[0]["now_us"]) + horizon_us


@pytest.mark.parametrize("name", ["demo", "edge", "datacenter", "rough"])
def test_a_look_at_what_got_room_misses_nothing_that_could_start(name: str) -> None:
    started = 0
    for sim in moments(name, 4):
        drawn, until_us = futures_of(sim)
        for s in range(FUTURES):
            world = branch(sim.state, world_for(sim.state), drawn, s, survey_of(sim), 0)
            clock, from_us = world.state.clock[0], int(sim.state.clock[0]["now_us"])
            go_on(world, drawn, s, 0, True, from_us, 0)
            arrived = 0
            while True:
                ended = next_instant(world, drawn, s, arrived, until_us)
                new_from = int(clock["seq"])
                arrived = take_arrivals(world, drawn, s, arrived)
                if not ended and clock["seq"] == new_from:
                    break
                before = int(clock["n_running"])
                go_on(world, drawn, s, new_from, ended, from_us, 0)
                started += int(clock["n_running"]) - before
                left = int(clock["n_queued"])
                waits = world.state.queue[:left]
                late = np.count_nonzero(clock["now_us"] + waits["best_us"] > waits["deadline_us"])
                go_on(world, drawn, s, 0, True, from_us, 0)
                assert left - clock["n_queued"] <= (0 if ended else late)
    assert started > 50


def test_a_branch_leaves_its_cluster_as_it_is() -> None:
    (sim,) = moments("demo", 1)
    before = sim.state.copy()
    drawn, until_us = futures_of(sim)
    world = branch(sim.state, world_for(sim.state), drawn, 0, survey_of(sim), 0)
    go_on(world, drawn, 0, 0, True, 0, 0)
    next_instant(world, drawn, 0, 0, until_us)
    assert all(np.array_equal(a, b) for a, b in zip(before, sim.state))
    assert not np.array_equal(world.state.clock, sim.state.clock)


def test_futures_of_one_moment_differ_and_come_out_the_same_again() -> None:
    (sim,) = moments("demo", 1)
    drawn, _ = futures_of(sim)
    again, _ = futures_of(sim)
    assert np.array_equal(drawn.arrivals, again.arrivals)
    assert np.array_equal(drawn.factor, again.factor)
    assert len(set(drawn.n)) > 1 or len(np.unique(drawn.arrivals["arrival_us"][:, 0])) == FUTURES
    dictionary = sim.state.options["dictionary"] == 1
    assert all(len(np.unique(drawn.factor[:, o])) == FUTURES for o in np.flatnonzero(dictionary))
