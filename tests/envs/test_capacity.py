"""lambda*, tau and the prices against values worked out by hand, and lambda* as a bound on every rule."""

import numpy as np
import pytest
from worlds import fresh, hand_tape, simulate, toy_profile, toy_setting, toy_table

from synergai.envs import scenario as scenarios
from synergai.envs.arrivals import read_trace
from synergai.envs.capacity import Capacity
from synergai.envs.limits import limits_of
from synergai.envs.mix import ModelLoad
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.scenario import ScenarioError
from synergai.envs.tape import make_tape, mix_of, setting_of
from synergai.offline_profiles.profile import Profile

FAST = {"name": "f", "hardware": {"fast": 1}}
SLOW = {"name": "s", "hardware": {"slow": 1}}
A_FAST, A_SLOW = toy_profile("a", "fast", 1.0), toy_profile("a", "slow", 2.0)
B_FAST, B_SLOW = toy_profile("b", "fast", 1.0), toy_profile("b", "slow", 4.0)
CPU = toy_profile("a", "cpu", 1.0, device_units=0, cpu_milli=3000)

CASES: dict[str, tuple[list[Profile], list[dict[str, object]], float, float]] = {
    # name: profiles, machines, lambda* (1/s), tau (s)
    "one device, one second": ([A_FAST], [FAST], 1.0, 1.0),
    "three of them": ([A_FAST], [{**FAST, "count": 3}], 3.0, 1.0),
    "three units in one node": ([A_FAST], [{"name": "f", "hardware": {"fast": 3}}], 3.0, 1.0),
    "a fast and a slow device add up": ([A_FAST, A_SLOW], [FAST, SLOW], 1.5, 1.0),
    # half of the jobs each: b all on the fast one, a as half a job per second on the slow one and the rest
    # (lambda / 2 - 1/2) on the fast one: lambda / 2 + lambda / 2 - 1/2 = 1
    "each model where it loses least": ([A_FAST, A_SLOW, B_FAST, B_SLOW], [FAST, SLOW], 1.5, 1.0),
    "start-up counts": ([toy_profile("a", "fast", 1.0, startup_cached_s=0.25)], [FAST], 0.8, 1.25),
    "memory can bind before the device": (
        [toy_profile("a", "fast", 1.0, memory_mib=4096)],
        [{"name": "f", "hardware": {"fast": 8}}],
        2.0,
        1.0,
    ),
    "cores bind a cpu, shared in the mean: 8 / 3": (
        [CPU],
        [{"name": "c", "hardware": {"cpu": 1}}],
        8 / 3,
        1.0,
    ),
    "a slower configuration that takes less can win": (
        [
            toy_profile("a", "cpu", 1.0, "wide", device_units=0, cpu_milli=8000),
            toy_profile("a", "cpu", 2.0, "thin", device_units=0, cpu_milli=1000),
        ],
        [{"name": "c", "hardware": {"cpu": 1}}],
        4.0,
        1.0,
    ),
    "what does not fit a node does not count": (
        [toy_profile("a", "fast", 1.0, cpu_milli=9000), A_SLOW],
        [FAST, SLOW],
        0.5,
        2.0,
    ),
    # work-weighted: (1 x 1 + 3 x 3) / (1 + 3)
    "tau weighs by work": ([A_FAST, toy_profile("b", "fast", 3.0)], [FAST], 0.5, 2.5),
}


def capacity_of(name: str) -> Capacity:
    profiles, machines, _, _ = CASES[name]
    return toy_setting(toy_table(*profiles), machines).capacity


@pytest.mark.parametrize("name", CASES)
def test_lambda_star(name: str) -> None:
    assert capacity_of(name).jobs_per_s == pytest.approx(CASES[name][2], rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_tau(name: str) -> None:
    assert capacity_of(name).tau_s == pytest.approx(CASES[name][3], rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_prices_are_not_negative_and_the_cheapest_of_a_model_is_zero(name: str) -> None:
    profiles, machines, _, _ = CASES[name]
    setting = toy_setting(toy_table(*profiles), machines)
    prices = setting.capacity.prices
    assert (prices >= 0).all()
    models = np.array([profile.model for profile in setting.catalog.profiles])
    for model in set(models):
        assert prices[models == model].min() == 0.0


def price(hardware: str, model: str, *profiles: Profile) -> float:
    setting = toy_setting(toy_table(*profiles), [FAST, SLOW])
    found = [(p.model, p.hardware) for p in setting.catalog.profiles].index((model, hardware))
    return float(setting.capacity.prices[found])


def test_two_options_that_the_best_plan_mixes_cost_the_same() -> None:
    four = (A_FAST, A_SLOW, B_FAST, B_SLOW)
    assert price("fast", "a", *four) == pytest.approx(0.0, abs=0.01)
    assert price("slow", "a", *four) == pytest.approx(0.0, abs=0.01)


def test_an_option_that_the_best_plan_leaves_alone_costs_more() -> None:
    # a second on the slow device is worth half of one on the fast: b pays 4 x 1/2 instead of 1
    assert price("slow", "b", A_FAST, A_SLOW, B_FAST, B_SLOW) == pytest.approx(np.log(2.0), abs=0.01)


def test_sizes_are_averaged_over_their_log_normal() -> None:
    assert ModelLoad(1.0, 1000.0, 1.5).bins().mean() == pytest.approx(np.exp(1.5**2 / 2))


def test_a_replayed_trace_brings_its_own_sizes() -> None:
    scenario = scenarios.load("demo")
    _, sizes = read_trace(scenario.arrivals.trace)
    assert mix_of(scenario)["resnet50"].bins().mean() == pytest.approx(sizes.mean(), rel=1e-3)


def test_a_tape_brings_as_much_work_as_the_load_says() -> None:
    setting = setting_of(scenarios.load("demo"))
    jobs = make_tape(setting, 3, 19_000, tail=0.0).jobs
    mix = mix_of(setting.scenario)
    for m, model in enumerate(setting.catalog.models):
        expected = mix[model].samples * mix[model].bins().mean()
        assert jobs["samples"][jobs["model"] == m].mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("rule", RULE_NUMBER)
def test_no_rule_serves_more_than_lambda_star(rule: str) -> None:
    setting = toy_setting(toy_table(A_FAST, A_SLOW), [FAST, SLOW])
    n = 45
    sim = simulate(setting, hand_tape(setting, np.zeros(n), np.full(n, 1e5)), rule)
    makespan_s = sim.outcomes["finish_us"].max() * 1e-6
    assert (sim.outcomes["finish_us"] > 0).all()
    assert n <= setting.capacity.jobs_per_s * makespan_s + 1e-6


def test_a_model_that_nothing_serves_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"no hardware of this cluster has a profile of model 'b'"):
        toy_setting(toy_table(A_FAST, B_SLOW), [FAST])


def test_the_state_carries_lambda_star_tau_and_prices() -> None:
    setting = toy_setting(toy_table(A_FAST, A_SLOW), [FAST, SLOW])
    sim, _ = fresh(setting, hand_tape(setting, [0.0], [9.0]))
    clock = sim.state.clock[0]
    assert clock["capacity_sps"] == setting.capacity.jobs_per_s
    assert clock["tau_us"] == setting.capacity.tau_us
    np.testing.assert_array_equal(sim.state.options["price"], setting.capacity.prices)


SHIPPED = {
    "assistant": (0.499, 9.30), "cameras": (1.090, 12.74), "campus": (7.324, 4.67), "clinic": (0.467, 21.23),
    "continuum": (95.005, 5.17), "desks": (0.918, 4.47),
    "crossing": (1.837, 4.35), "datacenter": (1.475, 8.20), "demo": (0.725, 7.13), "edge": (1.248, 7.31),
    "flash-sale": (1.396, 4.69), "kiosk": (0.409, 7.18), "openb": (51.769, 65.56), "shop-floor": (3.246, 5.69),
    "rough": (1.665, 6.01), "xeons": (3.740, 1.68),
}  # fmt: skip
"""lambda* and tau, as docs/scenarios.md tells them; a change of profiles or of the program changes them there too."""


@pytest.mark.parametrize("name", scenarios.shipped())
def test_a_shipped_scenario_keeps_its_lambda_star_and_tau(name: str) -> None:
    found = setting_of(scenarios.load(name)).capacity
    assert (round(found.jobs_per_s, 3), round(found.tau_s, 2)) == SHIPPED[name]


@pytest.mark.parametrize("name", scenarios.shipped())
def test_what_binds_is_busy_and_no_class_is_busier_than_it_can_be(name: str) -> None:
    limits = limits_of(setting_of(scenarios.load(name)))
    assert all(share <= 1.0 + 1e-9 for share in limits.use.values())
    for resource, dual in limits.duals:
        if dual > 1e-9 and resource.what in limits.use:
            assert limits.use[resource.what] == pytest.approx(1.0)


def test_the_duals_are_worth_lambda_star() -> None:
    setting = setting_of(scenarios.load("demo"))
    assert sum(dual for _, dual in limits_of(setting).duals) == pytest.approx(setting.capacity.jobs_per_s)


def test_jobs_with_less_time_than_any_run_takes_are_born_hopeless() -> None:
    table = toy_table(A_FAST, B_SLOW)
    setting = toy_setting(table, [FAST, SLOW], deadlines={"tightness": [(0.5, 0.9)]})
    assert limits_of(setting).born_hopeless == {"a": 1.0, "b": 1.0}
