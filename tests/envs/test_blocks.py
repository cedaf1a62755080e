"""What is remembered of large groups, block by block, is what a look at every device says."""

import numba
import numpy as np
import pytest

from synergai.benchmarks.worlds import resized
from synergai.envs import scenario as scenarios
from synergai.envs.batch import load, new_batch, step
from synergai.envs.candidates import scratch_for
from synergai.envs.place import PLACED, ROOM, find_release, find_room
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.simulator import run_rule
from synergai.envs.state import BLOCK, NEVER_US, NONE, QUEUED, ClusterState
from synergai.envs.survey import Survey, begin, look_up
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.world import new_sim

ANYONE = np.zeros(1, QUEUED)
ANYONE["classes"] = -1
FIELDS = ("device", "room", "release_us", "others_ppm", "startup_us")


@numba.njit(error_model="numpy")
def look_at_every_device(state, survey, queued, o, placed, room):
    find_room(state, queued, state.options[o], placed, survey.counts[0].whole, room)
    if placed.room == 0:
        placed.device = NONE
        placed.release_us = NEVER_US
        ends, ends_of = np.zeros(len(survey.ends), np.int64), np.zeros(len(survey.ends), np.int64)
        find_release(state, ends, ends_of, 1, queued, state.options[o], placed)


@numba.njit(error_model="numpy")
def look(state, survey, anyone, whole, found, plain, room):
    """Every option's placement, looked up as decisions do and the plain way."""
    begin(state, survey)
    survey.counts[0].whole = whole
    for o in range(state.clock[0].n_options):
        found[o] = look_up(state, survey, anyone[0], o)
        look_at_every_device(state, survey, anyone[0], o, plain[o], room[0])


def large(nodes: int, **world: object) -> Setting:
    """`rough`, where nodes die, images are missing and tenants slow each other down, with so many nodes."""
    scenario = resized(scenarios.load("rough"), nodes)
    return setting_of(scenario.model_copy(update=world))


def differences(state: ClusterState, survey: Survey, whole: int) -> list[str]:
    options = int(state.clock[0]["n_options"])
    found, plain = np.zeros(options, PLACED), np.zeros(options, PLACED)
    look(state, survey, ANYONE, whole, found, plain, np.zeros(1, ROOM))
    fields = FIELDS + (("free", "left") if whole else ())
    never = found["device"] == NONE
    assert (never == (plain["device"] == NONE)).all()
    return [
        f"{field} of option {o}"
        for field in fields
        for o in np.flatnonzero(~never & (found[field] != plain[field]))
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rule", ["sjf_feasible", "fcfs"])
def test_blocks_say_what_a_look_at_every_device_says(rule: str, seed: int) -> None:
    setting = large(240, load=1.1)
    assert setting.scenario.world.failures
    sim = new_sim(setting, make_tape(setting, seed, 1500))
    assert sorted(sim.state.groups["n_devices"])[-1] > 2 * BLOCK
    scratch = scratch_for(sim.state)
    busy = 0
    for arrival in range(20, 1500, 20):
        run_rule(sim, scratch, RULE_NUMBER[rule], arrival)
        assert differences(sim.state, scratch.survey, arrival % 40 == 0) == []
        busy += int((scratch.survey.placed["room"] == 0).sum())
    assert busy > 1000  # else no release was looked for
    assert (scratch.survey.bounds["moment"] > 0).any()


def test_a_batch_has_room_for_what_is_known_of_the_largest_group() -> None:
    small, big = (setting_of(resized(scenarios.load("demo"), nodes)) for nodes in (6, 120))
    together, alone = new_batch([small, big], 2, 80), new_batch([big], 1, 80)
    survey = scratch_for(new_sim(big, make_tape(big, 0, 80, tail=0.0)).state).survey
    assert together.scratches.survey.blocks.shape[-1] == survey.blocks.shape[-1] > 1
    assert together.scratches.survey.bounds.shape[-1] >= survey.bounds.shape[-1] > 0
    tape = make_tape(big, 5, 80, tail=0.0)
    load(together, 0, small, make_tape(small, 5, 80, tail=0.0))
    load(together, 1, big, tape)
    load(alone, 0, big, tape)
    for _ in range(100):
        actions = together.shown.picks[:, RULE_NUMBER["edf"]].astype(np.int64)
        np.testing.assert_array_equal(together.shown.rows[1], alone.shown.rows[0])
        step(together, actions)
        step(alone, actions[1:])
        assert together.alive[1] == alone.alive[0]
        if not together.alive.all():
            break
