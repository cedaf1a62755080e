"""How a copy of a cluster goes on alone: who starts where, and when it looks again."""

import numpy as np
from worlds import hand_tape, toy_profile, toy_setting, toy_table

from synergai.envs.continuation import have_seen, step_alone
from synergai.envs.simulator import start_job
from synergai.envs.state import NONE, hold
from synergai.envs.survey import forget, survey_for
from synergai.envs.world import Sim, arrive, new_sim

SECOND = 1_000_000
FAST_AND_SLOW = toy_table(toy_profile("vision", "fast", 1.0), toy_profile("vision", "slow", 3.0))
MACHINES = [{"name": "a", "hardware": {"fast": 1}}, {"name": "b", "hardware": {"slow": 1}}]


def cluster(arrivals: list[float], deadlines: list[float]) -> Sim:
    """One machine that takes a second for a job and one that takes three; a job at 1,000 s keeps the tape open."""
    setting = toy_setting(FAST_AND_SLOW, MACHINES)
    return new_sim(setting, hand_tape(setting, [*arrivals, 1000.0], [*deadlines, 2000.0]))


def alone(sim: Sim, until_s: float, look_s: float = -1.0) -> None:
    survey, seen = survey_for(sim.state), np.zeros(len(sim.state.groups), np.int64)
    forget(survey)
    have_seen(sim.state, seen)
    look_us = int(look_s * SECOND) if look_s >= 0 else NONE
    while step_alone(sim, survey, seen, look_us, int(until_s * SECOND)):
        pass


def starts(sim: Sim) -> list[float | None]:
    return [None if at == NONE else round(at / SECOND, 2) for at in sim.outcomes["start_us"][:-1].tolist()]


def machines(sim: Sim) -> list[int]:
    return sim.outcomes["node"][:-1].tolist()


def test_the_first_deadline_takes_the_fastest_and_the_next_what_is_in_time() -> None:
    sim = cluster([0.0, 0.0], [9.0, 5.0])
    alone(sim, 1.0)
    assert starts(sim) == [0.0, 0.0]
    assert machines(sim)[1] != machines(sim)[0]
    ran = sim.outcomes["predicted_us"]
    assert ran[1] < ran[0]


def test_a_job_waits_for_room_that_is_in_time() -> None:
    sim = cluster([0.0, 0.1], [2.0, 2.5])
    alone(sim, 3.0)
    assert starts(sim) == [0.0, 1.0]
    assert machines(sim)[0] == machines(sim)[1]


def test_a_job_that_is_too_late_for_anything_runs_behind_the_others() -> None:
    sim = cluster([0.0, 0.0, 0.0], [0.5, 1.5, 9.0])
    alone(sim, 4.5)
    assert starts(sim)[1:] == [0.0, 0.0]
    assert starts(sim)[0] == 1.0


def with_two_jobs() -> tuple[Sim, int]:
    """The first runs on the fast machine, with this option; the second waits."""
    sim = cluster([0.0, 0.0], [80.0, 90.0])
    arrive(sim)
    arrive(sim)
    fast = int(np.argmin(sim.state.options["per_sample_us"]))
    device = int(sim.state.groups[sim.state.options[fast]["group"]]["first_device"])
    start_job(sim, 0, fast, device, SECOND)
    return sim, fast


def test_after_a_done_it_looks_again_at_the_instant_that_it_is_told() -> None:
    sim, _ = with_two_jobs()
    alone(sim, 5.0, look_s=0.5)
    assert starts(sim) == [0.0, 0.5]
    assert machines(sim)[1] != machines(sim)[0]


def test_a_job_on_hold_waits_for_its_option() -> None:
    sim, fast = with_two_jobs()
    hold(sim.state, 0, fast, SECOND, SECOND)
    alone(sim, 5.0, look_s=0.5)
    assert starts(sim) == [0.0, 1.0]
    assert machines(sim)[1] == machines(sim)[0]
