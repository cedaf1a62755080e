"""How a copy of a cluster goes on alone: who starts next, where, and who looks again."""

import numpy as np
from worlds import hand_tape, toy_profile, toy_setting, toy_table

from synergai.envs.continuation import have_seen, next_start
from synergai.envs.simulator import start_job
from synergai.envs.state import NONE, ClusterState, hold, observe
from synergai.envs.survey import Survey, forget, look_for_room, survey_for
from synergai.envs.world import Sim, arrive, new_sim

SECOND = 1_000_000
FAST_AND_SLOW = toy_table(toy_profile("vision", "fast", 1.0), toy_profile("vision", "slow", 3.0))
MACHINES = [{"name": "a", "hardware": {"fast": 1}}, {"name": "b", "hardware": {"slow": 1}}]
FAST, SLOW = 0, 1


def cluster(deadlines: list[float]) -> Sim:
    """One machine that takes a second for a job and one that takes three; these jobs wait."""
    setting = toy_setting(FAST_AND_SLOW, MACHINES)
    sim = new_sim(setting, hand_tape(setting, [0.0] * len(deadlines), deadlines))
    for _ in deadlines:
        arrive(sim)
    assert sim.state.options["per_sample_us"][FAST] < sim.state.options["per_sample_us"][SLOW]
    return sim


def looking(state: ClusterState) -> tuple[Survey, np.ndarray]:
    """As if all had looked at everything just now."""
    survey, seen = survey_for(state), np.zeros(len(state.groups), np.int64)
    forget(survey)
    have_seen(state, seen)
    return survey, seen


def next_of(sim: Sim) -> tuple[int, int] | None:
    """The job that starts next and its option, where everything is new to everybody."""
    survey, seen = looking(sim.state)
    j, o, _ = next_start(sim.state, survey, seen, 0, True)
    return None if j == NONE else (int(sim.state.queue[j]["job"]), int(o))


def begin(sim: Sim) -> None:
    """Start the next one."""
    survey, seen = looking(sim.state)
    j, o, e_us = next_start(sim.state, survey, seen, 0, True)
    placed = look_for_room(sim.state, survey, sim.state.queue[j], o)
    start_job(sim, j, o, placed["device"], e_us)


def test_the_first_deadline_takes_the_fastest_and_the_next_what_is_in_time() -> None:
    sim = cluster([9.0, 8.0])
    assert next_of(sim) == (1, FAST)
    begin(sim)
    assert next_of(sim) == (0, SLOW)


def test_a_job_waits_for_room_that_is_in_time() -> None:
    sim = cluster([2.0, 2.5])
    begin(sim)
    assert next_of(sim) is None


def test_what_was_seen_of_runs_counts() -> None:
    sim = cluster([1.4, 9.0])
    for _ in range(20):
        observe(sim.state, FAST, SECOND, 2 * SECOND)
    assert next_of(sim) == (1, FAST)


def test_a_job_that_is_too_late_for_anything_comes_behind_the_others() -> None:
    sim = cluster([0.5, 2.0])
    assert next_of(sim) == (1, FAST)
    begin(sim)
    assert next_of(sim) == (0, SLOW)


def test_a_job_on_hold_waits_for_its_option() -> None:
    sim = cluster([80.0, 90.0])
    begin(sim)
    hold(sim.state, 0, FAST, SECOND, SECOND)
    assert next_of(sim) is None


def test_who_has_looked_looks_again_only_where_something_changed() -> None:
    sim = cluster([60.0])
    survey, seen = looking(sim.state)
    assert next_start(sim.state, survey, seen, 1, True)[0] == NONE
    assert next_start(sim.state, survey, seen, 1, False)[0] == NONE
    seen[int(sim.state.options[SLOW]["group"])] -= 1
    j, o, _ = next_start(sim.state, survey, seen, 1, True)
    assert (j, o) == (0, SLOW)
