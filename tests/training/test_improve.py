"""What moves cost beside the rule's, what labelling leaves alone, and what the actor learns from it."""

import numpy as np
import pytest
import torch
from worlds import hand_tape, toy_profile, toy_setting, toy_table

from synergai.envs import scenario as scenarios
from synergai.envs.batch import load
from synergai.envs.candidates import DONE
from synergai.envs.features import BACKLOG, soft
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.tape import setting_of
from synergai.training.improve import LEAST, MOST, UNTRIED, distances, expected_costs
from synergai.training.labels import CROWDED_TAUS, Labels
from synergai.training.vec_env import BatchVecEnv


@pytest.fixture(scope="module")
def env() -> BatchVecEnv:
    busy = setting_of(scenarios.load("demo").model_copy(update={"load": 0.9}))
    env = BatchVecEnv([busy], 4, 120, 60, seed=3, scale=1.0)
    env.reset()
    return env


def labels(env: BatchVecEnv, rule: str = "edf_likely", futures: int = 4, threads: int = 1) -> Labels:
    return Labels(env, [rule] * env.num_envs, futures, 2.0, threads)


def snapshot(env: BatchVecEnv) -> list[np.ndarray]:
    sims = env.batch.sims
    everything = (
        *sims.state, *sims.tape, sims.progress, sims.outcomes, *sims.agenda, sims.machines, *sims.program[:-1],
    )  # fmt: skip
    return [array.copy() for array in everything]


@pytest.mark.parametrize("name", ["demo", "rough", "desks"])
def test_labelling_leaves_the_cluster_as_it_was(name: str) -> None:
    env = BatchVecEnv([setting_of(scenarios.load(name))], 4, 120, 60, seed=3, scale=1.0)
    env.reset()
    before = snapshot(env)
    labels(env).costs()
    for old, new in zip(before, snapshot(env)):
        np.testing.assert_array_equal(old, new)


def test_every_legal_pick_of_a_rule_and_done_are_tried_and_the_rules_own_costs_nothing(
    env: BatchVecEnv,
) -> None:
    costs = labels(env, "synergai").costs()
    for b in range(env.num_envs):
        tried = {int(a) for a in np.flatnonzero(np.isfinite(costs[b]))}
        wanted = {int(a) for a in env.batch.shown.picks[b, :-1]} | {DONE}
        assert {a for a in wanted if env.masks()[b, a]} <= tried
        assert costs[b, env.batch.shown.picks[b, RULE_NUMBER["synergai"]]] == 0.0


def test_only_legal_moves_are_tried(env: BatchVecEnv) -> None:
    costs = labels(env).costs()
    assert env.masks()[np.isfinite(costs)].all()


def test_threads_share_the_work_and_change_nothing(env: BatchVecEnv) -> None:
    one, three = (labels(env, threads=threads).costs() for threads in (1, 3))
    np.testing.assert_array_equal(one, three)


def test_a_move_that_misses_a_deadline_costs_one() -> None:
    """A job that the fast machine serves in time and the slow one does not; nothing else happens."""
    table = toy_table(toy_profile("vision", "fast", 1.0), toy_profile("vision", "slow", 30.0))
    machines = [{"name": "a", "hardware": {"fast": 1}}, {"name": "b", "hardware": {"slow": 1}}]
    setting = toy_setting(table, machines)
    env = BatchVecEnv([setting], 1, 2, 0, seed=0, scale=1.0)
    load(env.batch, 0, setting, hand_tape(setting, [0.0, 400.0], [9.0, 900.0]))
    costs, shown = labels(env).costs()[0], env.batch.shown
    by_class = {int(shown.klass[0, i]): costs[i] for i in range(int(shown.n[0, 0]))}
    slow, fast = (by_class[setting.catalog.class_index[name]] for name in ("slow", "fast"))
    assert fast == 0.0
    seconds_late = 21.0  # in units of the second that it takes on the fast one
    assert slow == pytest.approx(1.0 + 0.02 * seconds_late, abs=0.05)


def test_where_much_waits_only_the_rules_move_is_known() -> None:
    busy = setting_of(scenarios.load("demo").model_copy(update={"load": 1.5}))
    env = BatchVecEnv([busy], 8, 400, 380, seed=3, scale=1.0)
    env.reset()
    crowded = env.batch.shown.shared[:, BACKLOG] > soft(CROWDED_TAUS)
    assert 0 < crowded.sum() < 8
    tried = np.isfinite(labels(env).costs()).sum(axis=1)
    assert (tried[crowded] == 1).all()
    assert (tried[~crowded] > 1).all()


INF = float("inf")


def paid(probabilities: list[float], costs: list[float], legal: list[bool] | None = None) -> float:
    masks = torch.tensor([legal or [True] * len(costs)])
    return float(expected_costs(torch.tensor([probabilities]).log(), torch.tensor([costs]), masks))


def test_a_policy_pays_for_its_moves_by_their_chances() -> None:
    assert paid([0.5, 0.25, 0.25], [0.0, 0.2, -0.4]) == pytest.approx(0.05 - 0.1)


def test_costs_are_cut_off_at_either_end() -> None:
    assert paid([0.5, 0.5], [30.0, -30.0]) == pytest.approx(0.5 * (MOST + LEAST))


def test_a_move_that_was_not_tried_is_taken_for_a_bad_one() -> None:
    assert paid([0.5, 0.5], [0.0, INF]) == pytest.approx(0.5 * UNTRIED)


def test_a_move_that_is_not_legal_costs_nothing() -> None:
    assert paid([1.0, 1e-30], [0.0, INF], [True, False]) == pytest.approx(0.0, abs=1e-6)


def test_the_rule_is_at_no_distance_from_itself() -> None:
    targets = torch.tensor([[0.7, 0.3, 0.0]])
    log_probs = torch.log_softmax(torch.tensor([[np.log(0.7), np.log(0.3), -1e9]]).float(), dim=1)
    assert distances(log_probs, targets) == pytest.approx(0.0, abs=1e-6)


def test_distance_is_the_divergence_from_the_rule_in_nats() -> None:
    targets = torch.tensor([[0.5, 0.5, 0.0]])
    log_probs = torch.log(torch.tensor([[0.9, 0.1, 1e-30]]))
    wanted = 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert distances(log_probs, targets) == pytest.approx(wanted, abs=1e-6)
