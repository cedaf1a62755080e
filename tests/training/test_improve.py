"""Branches of the simulator: what they cost, what they leave alone, and what the actor learns from them."""

import numpy as np
import pytest
import torch
from worlds import hand_tape, toy_profile, toy_setting, toy_table

from synergai.envs import scenario as scenarios
from synergai.envs.batch import load
from synergai.envs.candidates import DONE
from synergai.envs.features import BACKLOG
from synergai.envs.lookahead import LATENESS, Look
from synergai.envs.reward import DISCOUNT_TAUS, ENERGY_WEIGHT, EXCESS_WEIGHT
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.tape import setting_of
from synergai.training.branches import Branches
from synergai.training.improve import LOGIT_COST, UNTRIED_GAP, cost_error, distances, untried_excess
from synergai.training.vec_env import BatchVecEnv


@pytest.fixture(scope="module")
def env() -> BatchVecEnv:
    busy = setting_of(scenarios.load("demo").model_copy(update={"load": 0.9}))
    env = BatchVecEnv([busy], 4, 120, 60, seed=3, scale=1.0)
    env.reset()
    return env


def branches(env: BatchVecEnv, rule: str, taus: float, threads: int = 1) -> Branches:
    return Branches(env, [rule] * env.num_envs, Look(taus), threads)


def snapshot(env: BatchVecEnv) -> list[np.ndarray]:
    sims = env.batch.sims
    everything = (
        *sims.state, *sims.tape, sims.progress, sims.outcomes, *sims.agenda, sims.machines, *sims.program[:-1],
    )  # fmt: skip
    return [array.copy() for array in everything]


@pytest.mark.parametrize(
    ("name", "rule"), [("demo", "synergai"), ("rough", "synergai"), ("demo", "mael"), ("desks", "edf")]
)
def test_a_branch_leaves_the_cluster_as_it_was(name: str, rule: str) -> None:
    scenario = scenarios.load(name)
    if scenario.world.failures is not None:
        often = scenario.world.failures.model_copy(update={"per_node_hour": 60.0})
        scenario = scenario.model_copy(
            update={"world": scenario.world.model_copy(update={"failures": often})}
        )
    env = BatchVecEnv([setting_of(scenario)], 4, 120, 60, seed=3, scale=1.0)
    env.reset()
    before = snapshot(env)
    branches(env, rule, 30.0).costs()
    for old, new in zip(before, snapshot(env)):
        np.testing.assert_array_equal(old, new)


def test_every_legal_pick_of_a_rule_and_done_are_tried(env: BatchVecEnv) -> None:
    costs = branches(env, "synergai", 1.0).costs()
    for b in range(env.num_envs):
        tried = {int(a) for a in np.flatnonzero(np.isfinite(costs[b]))}
        wanted = {int(a) for a in env.batch.shown.picks[b, :-1]} | {DONE}
        assert {a for a in wanted if env.masks()[b, a]} <= tried


def test_only_legal_moves_are_tried(env: BatchVecEnv) -> None:
    costs = branches(env, "synergai", 1.0).costs()
    assert env.masks()[np.isfinite(costs)].all()


def test_the_same_branch_costs_the_same(env: BatchVecEnv) -> None:
    first, second = (branches(env, "edf", 1.0).costs() for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_threads_share_the_work_and_change_nothing(env: BatchVecEnv) -> None:
    one, three = (branches(env, "synergai", 1.0, threads).costs() for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_a_longer_look_ahead_meets_what_the_rule_itself_would(env: BatchVecEnv) -> None:
    rule = RULE_NUMBER["synergai"]
    costs = branches(env, "synergai", 2.0).costs()
    own = costs[np.arange(env.num_envs), env.batch.shown.picks[:, rule]]
    assert np.isfinite(own).all()
    assert (own >= 0.0).all()


def test_jobs_that_wait_at_the_end_of_a_branch_are_in_each_others_way() -> None:
    """Ten jobs of a second each on one machine, due at 3.5 s: each alone could be in time, seven cannot."""
    setting = toy_setting(
        toy_table(toy_profile("vision", "gpu-fast", 1.0)), [{"name": "a", "hardware": {"gpu-fast": 1}}]
    )
    env = BatchVecEnv([setting], 1, 11, 0, seed=0, scale=1.0)
    load(env.batch, 0, setting, hand_tape(setting, [0.0] * 10 + [100.0], [3.5] * 10 + [200.0]))
    costs = branches(env, "edf_feasible", 1.5).costs()[0]
    discounted = 7.0 * np.exp(-3.5 / DISCOUNT_TAUS)
    assert discounted <= costs[np.isfinite(costs)].min() < discounted + 0.5


def test_a_late_run_is_charged_to_its_end() -> None:
    """A job that is late by then takes 1 s or 100 s; a branch sees 6 s at most of either."""
    table = toy_table(toy_profile("vision", "fast", 1.0), toy_profile("vision", "slow", 100.0))
    machines = [{"name": "a", "hardware": {"fast": 1}}, {"name": "b", "hardware": {"slow": 1}}]
    setting = toy_setting(table, machines)
    env = BatchVecEnv([setting], 1, 2, 0, seed=0, scale=1.0)
    load(env.batch, 0, setting, hand_tape(setting, [0.0, 400.0], [0.5, 900.0]))
    costs = branches(env, "edf_feasible", 2.0).costs()[0]
    shown = env.batch.shown
    by_class = {int(shown.klass[0, i]): costs[i] for i in range(int(shown.n[0, 0]))}
    slow, fast = (by_class[setting.catalog.class_index[name]] for name in ("slow", "fast"))
    tau_s = setting.capacity.tau_s
    share = np.exp(-6.0 / DISCOUNT_TAUS)
    assert slow - fast > 0.8 * LATENESS * EXCESS_WEIGHT * share * (99.5 - 6.0 * tau_s)


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_a_move_costs_its_energy_by_the_weight_of_energy(weight: float) -> None:
    """Equally fast, one machine at ten times the other's power; nothing else happens, and nobody is late."""
    thrifty = toy_profile("vision", "thrifty", 1.0, active_w=1.0, idle_w=0.0)
    table = toy_table(thrifty, toy_profile("vision", "hungry", 1.0, active_w=10.0, idle_w=0.0))
    machines = [{"name": "a", "hardware": {"thrifty": 1}}, {"name": "b", "hardware": {"hungry": 1}}]
    setting = toy_setting(table, machines, energy_weight=weight)
    env = BatchVecEnv([setting], 1, 2, 0, seed=0, scale=1.0)
    load(env.batch, 0, setting, hand_tape(setting, [0.0, 400.0], [99.0, 900.0]))
    costs, shown = branches(env, "edf_feasible", 2.0).costs()[0], env.batch.shown
    by_class = {int(shown.klass[0, i]): costs[i] for i in range(int(shown.n[0, 0]))}
    hungry, thrifty_cost = (by_class[setting.catalog.class_index[name]] for name in ("hungry", "thrifty"))
    assert hungry - thrifty_cost == pytest.approx(weight * ENERGY_WEIGHT * (10 - 1), abs=1e-9)


def test_where_much_waits_some_states_are_left_out() -> None:
    busy = setting_of(scenarios.load("demo").model_copy(update={"load": 1.1}))
    env = BatchVecEnv([busy], 8, 120, 100, seed=3, scale=1.0)
    env.reset()
    crowded = env.batch.shown.shared[:, BACKLOG] > 0.5
    assert 0 < crowded.sum() < 8
    look = Look(1.0, crowded_taus=1.0, crowded_every=2)
    some = Branches(env, ["edf"] * 8, look)
    first, second = (np.isfinite(some.costs()).any(axis=1) for _ in range(2))
    assert first[~crowded].all()
    assert (first ^ second)[crowded].all()


UNTRIED = float("inf")


def logits_for(costs: list[float]) -> torch.Tensor:
    """Logits that say exactly this; what was not tried is far behind."""
    return torch.tensor([[-c / LOGIT_COST if c != UNTRIED else -1e3 for c in costs]])


def test_logits_that_tell_the_costs_are_without_error() -> None:
    costs = [1.0, 3.0, 2.5, UNTRIED]
    assert cost_error(logits_for(costs) + 7.0, torch.tensor([costs])) == pytest.approx(0.0, abs=1e-6)


def test_the_error_falls_with_a_logit_that_comes_nearer_to_its_cost() -> None:
    costs = torch.tensor([[1.0, 3.0, UNTRIED]])
    far, near = (cost_error(logits_for([1.0, x, UNTRIED]), costs) for x in (1.0, 2.0))
    assert near < far


def test_a_state_where_nothing_was_tried_teaches_nothing() -> None:
    costs = torch.tensor([[UNTRIED, UNTRIED]])
    logits = torch.tensor([[3.0, -3.0]])
    assert cost_error(logits, costs) == 0.0
    assert untried_excess(logits, costs, torch.ones(1, 2, dtype=torch.bool)) == 0.0


def test_a_move_that_was_not_tried_must_stay_behind_those_that_were() -> None:
    costs, masks = torch.tensor([[1.0, UNTRIED]]), torch.ones(1, 2, dtype=torch.bool)
    behind = torch.tensor([[0.0, -UNTRIED_GAP]])
    assert untried_excess(behind, costs, masks) == 0.0
    assert untried_excess(behind + torch.tensor([[0.0, 0.5]]), costs, masks) == pytest.approx(0.25)


def test_a_move_that_is_not_legal_may_score_as_it_likes() -> None:
    costs, masks = torch.tensor([[1.0, UNTRIED]]), torch.tensor([[True, False]])
    assert untried_excess(torch.tensor([[0.0, 9.0]]), costs, masks) == 0.0


def test_the_rule_is_at_no_distance_from_itself() -> None:
    targets = torch.tensor([[0.7, 0.3, 0.0]])
    log_probs = torch.log_softmax(torch.tensor([[np.log(0.7), np.log(0.3), -1e9]]).float(), dim=1)
    assert distances(log_probs, targets) == pytest.approx(0.0, abs=1e-6)


def test_distance_is_the_divergence_from_the_rule_in_nats() -> None:
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    log_probs = torch.log(torch.tensor([[0.9, 0.1, 1e-30]]))
    wanted = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert distances(log_probs, targets) == pytest.approx(wanted, abs=1e-6)
