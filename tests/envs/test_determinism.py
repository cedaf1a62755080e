"""Equal seeds give equal trajectories, and a job's luck does not depend on who schedules it."""

import numpy as np
import pytest
from worlds import at_random, play, random_world, simulate

from synergai.envs import noise
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.state import compute_us
from synergai.envs.tape import Tape, make_tape
from synergai.envs.world import Sim, true_factor


def true_run_us(sim: Sim, job: int, attempt: int, option: int, node: int, samples: int) -> int:
    """Of this attempt alone on its node: start-up, and the compute as it turns out."""
    record = sim.state.options[option]
    factor = true_factor(sim, job, attempt, option, node, samples)
    return int(np.ceil(record["startup_us"] + compute_us(record, samples) * factor))


def same(a: Tape, b: Tape) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b))


def test_a_seed_makes_one_tape() -> None:
    setting, _ = random_world(3)
    assert same(make_tape(setting, 8, 50), make_tape(setting, 8, 50))


def test_another_seed_makes_another_tape() -> None:
    setting, _ = random_world(3)
    assert not same(make_tape(setting, 8, 50), make_tape(setting, 9, 50))


@pytest.mark.parametrize("rule", RULE_NUMBER)
def test_a_rule_on_a_tape_has_one_outcome(rule: str) -> None:
    setting, tape = random_world(3)
    first, again = simulate(setting, tape, rule), simulate(setting, tape, rule)
    np.testing.assert_array_equal(first.outcomes, again.outcomes)


def test_a_seed_of_random_actions_has_one_trajectory() -> None:
    setting, tape = random_world(4)
    first, again = (
        [(out.rows.copy(), out.mask.copy()) for _, _, out in play(setting, tape, at_random(1))]
        for _ in range(2)
    )
    assert len(first) == len(again)
    assert all(np.array_equal(a, b) for one, two in zip(first, again) for a, b in zip(one, two))


def test_two_rules_on_one_tape_see_the_same_job_noise() -> None:
    setting, tape = random_world(4)
    one, two = simulate(setting, tape, "fcfs"), simulate(setting, tape, "sjf_feasible")
    one.state.clock["now_us"] = two.state.clock["now_us"] = 1_000_000
    for job, row in enumerate(tape.jobs):
        model = one.state.models[row["model"]]
        for o in range(model["first_option"], model["first_option"] + model["n_options"]):
            times = [true_run_us(sim, job, 0, o, 0, row["samples"]) for sim in (one, two)]
            assert times[0] == times[1]


@pytest.mark.parametrize("number", [1, 4, 12, 15, 30])
def test_simulator_and_world_draw_the_same_run_time(number: int) -> None:
    setting, tape = random_world(number)
    sim = simulate(setting, tape, "fcfs")
    scenario, catalog = setting.scenario, setting.catalog
    levels = scenario.noise
    world = noise.World(setting.table, number, levels.profile_error, levels.level, levels.stragglers)
    started = np.flatnonzero(sim.outcomes["start_us"] >= 0)
    assert len(started) > 10
    for job in started:
        row = sim.outcomes[job]
        sim.state.clock["now_us"] = row["start_us"]
        drawn_us = true_run_us(sim, job, 0, row["option"], row["node"], tape.jobs[job]["samples"])
        profile, node = catalog.profiles[row["option"]], catalog.nodes[row["node"]].name
        samples = int(tape.jobs[job]["samples"])
        seconds = world.run_time_s(int(job), 0, profile, samples, node, row["start_us"] * 1e-6)
        assert drawn_us == pytest.approx((seconds + scenario.delays.pod_start_s) * 1e6, abs=1.01)


def test_another_attempt_has_other_luck() -> None:
    setting, tape = random_world(4)
    sim = simulate(setting, tape, "fcfs")
    assert setting.scenario.noise.level > 0
    model = sim.state.models[tape.jobs[0]["model"]]
    times = {int(true_run_us(sim, 0, attempt, model["first_option"], 0, 50)) for attempt in range(4)}
    assert len(times) == 4


SPREAD = [
    ("within a run of 1 sample", 1, 0.1),
    ("run to run, 10,000 samples", 10_000, 0.05),
]


@pytest.mark.parametrize(("name", "samples", "least"), SPREAD)
def test_run_noise_has_the_documented_spread(name: str, samples: int, least: float) -> None:
    logs = np.log([noise.run_factor(5, 1.0, 0.01, job, 0, 11, 12, samples) for job in range(20_000)])
    body = logs[logs < 0.6]  # without stragglers
    expected = np.hypot(0.05, 0.1 / np.sqrt(samples))
    assert body.std() == pytest.approx(expected, rel=0.03), name
    assert expected >= least
    assert np.median(logs) == pytest.approx(0.0, abs=0.005)


def test_one_run_in_a_hundred_is_two_to_five_times_as_long() -> None:
    factors = np.array([noise.run_factor(5, 1e-9, 0.01, job, 0, 11, 12, 100) for job in range(50_000)])
    stragglers = factors[factors > 1.5]
    assert len(stragglers) / len(factors) == pytest.approx(0.01, rel=0.15)
    assert stragglers.min() >= 1.999
    assert stragglers.max() <= 5.001


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.99, 1.01), (1.0, 1.999, 5.001)])
def test_with_the_share_of_stragglers_at_none_or_all_nobody_or_everybody_is_one(
    share: float, least: float, most: float
) -> None:
    factors = [noise.run_factor(5, 1e-9, share, job, 0, 11, 12, 100) for job in range(1000)]
    assert least <= min(factors)
    assert max(factors) <= most


def test_profile_errors_have_the_asked_for_spread() -> None:
    keys = [(noise.name_key(f"m{i}"), noise.name_key(f"h{i}"), noise.name_key(f"c{i}")) for i in range(4000)]
    logs = np.log([noise.persistent_factor(3, 0.4, *key) for key in keys])
    assert logs.std() == pytest.approx(0.4, rel=0.05)


def test_the_default_profile_error_is_the_root_sum_of_squares_of_its_parts() -> None:
    assert np.sqrt(np.square(noise.ERROR_PARTS).sum()) == pytest.approx(noise.ERROR, abs=0.005)


def test_no_profile_error_and_no_level_make_predictions_exact() -> None:
    assert noise.persistent_factor(3, 0.0, 1, 2, 3) == 1.0
    assert noise.node_factor(3, 0.0, 1) == 1.0
    assert noise.run_factor(3, 0.0, 0.01, 1, 0, 2, 3, 10) == 1.0
