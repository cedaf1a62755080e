"""Cloning: what the actor is asked to imitate, and that it learns to."""

import numpy as np
import pytest
import torch
from small_runs import policy_for

from synergai.agents.heuristics import ROOM
from synergai.envs import scenario
from synergai.envs.candidates import DONE, MAX_CANDIDATES
from synergai.envs.features import FIRST_PICK, N_ROW
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.tape import Setting, setting_of
from synergai.training.clone import OTHER, OTHER_START, RULE_PICK, _gather, agreement, clone, soft_targets
from synergai.training.policy import ScorerPolicy
from synergai.training.vec_env import BatchVecEnv


@pytest.fixture(scope="module")
def setting() -> Setting:
    return setting_of(scenario.load("demo"))


def lists(seed: int = 0, size: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random rows and masks; the label is always legal."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(size, MAX_CANDIDATES, N_ROW, generator=generator).round()
    masks = torch.rand(size, MAX_CANDIDATES + 1, generator=generator) < 0.2
    labels = torch.randint(MAX_CANDIDATES + 1, (size,), generator=generator)
    masks[torch.arange(size), labels] = True
    return rows, masks, labels


def one(legal: dict[int, str], label: int) -> torch.Tensor:
    """The targets of one list of `start`s, `hold`s, starts `picked` by another rule, and `done`. (129,)"""
    rows = torch.zeros(1, MAX_CANDIDATES, N_ROW)
    masks = torch.zeros(1, MAX_CANDIDATES + 1, dtype=torch.bool)
    for action, kind in legal.items():
        masks[0, action] = True
        if action < MAX_CANDIDATES:
            rows[0, action, ROOM] = float(kind != "hold")
            rows[0, action, FIRST_PICK] = float(kind == "picked")
    return soft_targets(rows, masks, torch.tensor([label]))[0]


@pytest.mark.parametrize("seed", range(4))
def test_targets_are_probabilities(seed: int) -> None:
    targets = soft_targets(*lists(seed))
    assert targets.sum(dim=1) == pytest.approx(torch.ones(6))
    assert (targets >= 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_masked_action_gets_nothing(seed: int) -> None:
    rows, masks, labels = lists(seed)
    assert (soft_targets(rows, masks, labels)[~masks] == 0).all()


@pytest.mark.parametrize("seed", range(4))
def test_no_action_is_likelier_than_the_teachers_pick(seed: int) -> None:
    rows, masks, labels = lists(seed)
    assert soft_targets(rows, masks, labels).argmax(dim=1).tolist() == labels.tolist()


def test_the_only_legal_action_gets_everything() -> None:
    assert one({4: "start"}, 4)[4] == pytest.approx(1.0)


LEFT = {"picked": RULE_PICK, "start": OTHER_START, "hold": OTHER, "done": OTHER}


@pytest.mark.parametrize("kind", LEFT)
def test_what_the_teacher_did_not_pick_gets_its_share_of_the_pick(kind: str) -> None:
    action = DONE if kind == "done" else 1
    targets = one({0: "start", action: kind}, 0)
    assert targets[action] / targets[0] == pytest.approx(LEFT[kind])


@pytest.mark.parametrize("kind", ["start", "hold", "done"])
def test_whatever_the_teacher_picks_counts_fully(kind: str) -> None:
    action = DONE if kind == "done" else 1
    targets = one({0: "start", action: kind}, action)
    assert targets[0] / targets[action] == pytest.approx(OTHER_START)


def cloned(policy: ScorerPolicy, env: BatchVecEnv, teacher: str, decisions: int, rate: float) -> list[int]:
    """Clone; returns how many decisions each update took."""
    env.reset()
    optimizer = torch.optim.Adam(policy.actor.parameters(), lr=rate)
    updates = clone(
        policy, env, [teacher] * env.num_envs, decisions, 512, np.random.default_rng(3), optimizer
    )
    return [update.decisions for update in updates]


def test_a_clone_agrees_with_its_teacher(setting: Setting) -> None:
    env = BatchVecEnv([setting], 16, 80, 20, seed=3, scale=1.0)
    policy = policy_for(env, width=16)
    cloned(policy, env, "synergai", 16_000, rate=1e-2)
    assert agreement(policy, env, ["synergai"] * 16, 2000, np.random.default_rng(4)) > 0.9


def test_cloning_ends_with_the_update_that_reaches_the_number_of_decisions(setting: Setting) -> None:
    env = BatchVecEnv([setting], 4, 60, 0, seed=0, scale=1.0)
    assert cloned(policy_for(env), env, "edf", 2 * 512 + 10, rate=1e-3) == [512, 512, 512]


def test_cloning_from_its_middle_takes_what_is_left(setting: Setting) -> None:
    env = BatchVecEnv([setting], 4, 60, 0, seed=0, scale=1.0)
    policy = policy_for(env)
    env.reset()
    optimizer = torch.optim.Adam(policy.actor.parameters())
    updates = clone(policy, env, ["edf"] * 4, 1024, 512, np.random.default_rng(0), optimizer, done=512)
    assert [update.decisions for update in updates] == [512]


def test_each_cluster_is_cloned_from_its_own_rule(setting: Setting) -> None:
    env = BatchVecEnv([setting], 4, 60, 0, seed=0, scale=1.0)
    teachers = ["edf", "affinity", "fcfs", "llf"]
    env.reset()
    wanted = [env.batch.shown.picks[b, RULE_NUMBER[rule]] for b, rule in enumerate(teachers)]
    _, _, labels = _gather(
        env, np.array([RULE_NUMBER[rule] for rule in teachers]), 1, np.random.default_rng(0)
    )
    assert labels.tolist() == wanted


def test_the_critic_does_not_change(setting: Setting) -> None:
    env = BatchVecEnv([setting], 4, 60, 0, seed=0, scale=1.0)
    policy = policy_for(env)
    before = {name: value.clone() for name, value in policy.critic.state_dict().items()}
    cloned(policy, env, "edf", 64, rate=1e-2)
    assert all(torch.equal(value, before[name]) for name, value in policy.critic.state_dict().items())
