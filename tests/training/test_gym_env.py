"""The Gymnasium view: the checker's contract, and what is said of illegal actions."""

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from synergai.envs.env import SynergaiEnv
from synergai.envs.reward import TERMS
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.scenario import ScenarioError

ID = "synergai.envs.env:synergai/Cluster-v0"
ARRIVALS = 30


@pytest.fixture
def env() -> SynergaiEnv:
    return SynergaiEnv("demo", ARRIVALS)


Step = tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]


def episode(env: SynergaiEnv, seed: int = 0) -> Iterator[Step]:
    """Random legal steps to the end."""
    rng = np.random.default_rng(seed)
    _, info = env.reset(seed=seed)
    over = False
    while not over:
        step = env.step(rng.choice(np.flatnonzero(info["action_mask"])))
        yield step
        over, info = step[2] or step[3], step[4]


def test_gymnasiums_checker_has_nothing_to_say() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gymnasium.make(ID, arrivals=ARRIVALS).unwrapped, skip_render_check=True)


def test_the_id_makes_the_environment() -> None:
    assert isinstance(gymnasium.make(ID, scenario="demo").unwrapped, SynergaiEnv)


def test_a_random_legal_episode_ends_truncated_and_only_at_its_end(env: SynergaiEnv) -> None:
    steps = list(episode(env))
    assert not any(terminated for _, _, terminated, _, _ in steps)
    assert [truncated for *_, truncated, _ in steps] == [False] * (len(steps) - 1) + [True]


def test_every_observation_is_in_the_space(env: SynergaiEnv) -> None:
    observation, _ = env.reset(seed=3)
    assert env.observation_space.contains(observation)
    assert all(env.observation_space.contains(step[0]) for step in episode(env, seed=3))


def test_an_observation_does_not_change_afterwards(env: SynergaiEnv) -> None:
    observation, info = env.reset(seed=1)
    before = {name: value.copy() for name, value in observation.items()}
    env.step(info["action_mask"].argmax())
    assert all(np.array_equal(observation[name], value) for name, value in before.items())


def test_the_reward_is_the_sum_of_its_terms(env: SynergaiEnv) -> None:
    for _, reward, _, _, info in episode(env):
        assert reward == pytest.approx(sum(info["reward_terms"].values()))
        assert tuple(info["reward_terms"]) == TERMS


def test_no_reward_term_is_positive(env: SynergaiEnv) -> None:
    assert all(max(info["reward_terms"].values()) <= 0.0 for *_, info in episode(env))


def test_seconds_passed_add_up_to_the_clock(env: SynergaiEnv) -> None:
    env.reset(seed=0)
    start_us = int(env.sim.state.clock[0]["now_us"])
    passed_s = sum(info["dt_s"] for *_, info in episode(env, seed=0))
    assert passed_s == pytest.approx((int(env.sim.state.clock[0]["now_us"]) - start_us) * 1e-6)


def test_a_legal_action_is_carried_out(env: SynergaiEnv) -> None:
    assert not any(info["replaced"] for *_, info in episode(env))


def test_an_illegal_action_is_replaced_by_the_fallbacks_and_said_so(env: SynergaiEnv) -> None:
    _, info = env.reset(seed=2)
    twin = SynergaiEnv("demo", ARRIVALS)
    twin.reset(seed=2)
    found = env.step(int(np.flatnonzero(~info["action_mask"])[0]))
    expected = twin.step(twin._out.picks[RULE_NUMBER[FALLBACK]])
    assert found[4]["replaced"]
    assert not expected[4]["replaced"]
    assert all(np.array_equal(found[0][name], value) for name, value in expected[0].items())


@pytest.mark.parametrize("action", [-1, 129, 10_000])
def test_an_action_that_does_not_exist_is_refused(env: SynergaiEnv, action: int) -> None:
    env.reset(seed=0)
    with pytest.raises(ValueError, match=f"action {action} does not exist; they are 0 to 128"):
        env.step(action)  # type: ignore[arg-type] - plain int on purpose


def test_the_same_seed_gives_the_same_episode(env: SynergaiEnv) -> None:
    one, two = [step[1] for step in episode(env, 5)], [step[1] for step in episode(env, 5)]
    assert one == two


def test_a_tape_can_be_asked_for(env: SynergaiEnv) -> None:
    env.reset(seed=1, options={"tape": 77})
    assert env.sim.tape.seed[0] == 77


def test_without_a_seed_the_next_episode_is_another(env: SynergaiEnv) -> None:
    env.reset(seed=1)
    first = int(env.sim.tape.seed[0])
    env.reset()
    assert env.sim.tape.seed[0] != first


def test_the_mask_is_told_the_same_both_ways(env: SynergaiEnv) -> None:
    _, info = env.reset(seed=0)
    assert np.array_equal(env.action_masks(), info["action_mask"])
    assert not np.shares_memory(env.action_masks(), env.action_masks())


def test_an_unknown_scenario_is_refused_by_name() -> None:
    with pytest.raises(ScenarioError, match="no scenario 'nowhere'"):
        SynergaiEnv("nowhere")
