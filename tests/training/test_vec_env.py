"""The batch as a VecEnv: deterministic, the core's own masks and rewards, tape after tape."""

from typing import Any

import numpy as np
import pytest

from synergai.envs import batch as batches
from synergai.envs import scenario
from synergai.envs.candidates import DONE, N_ACTIONS, empty_candidates, scratch_for
from synergai.envs.rules import FALLBACK, RULE_NUMBER
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NONE
from synergai.envs.tape import Setting, make_tape, setting_of
from synergai.envs.world import new_sim, take_reward
from synergai.training.vec_env import FIRST_TAPE, OBSERVATION_SPACE, BatchVecEnv

SIZE = 6


@pytest.fixture(scope="module")
def settings() -> list[Setting]:
    demo = scenario.load("demo")
    return [setting_of(demo.model_copy(update={"load": load})) for load in (0.7, 1.1)]


def fresh(settings: list[Setting], seed: int = 0, **changes: Any) -> BatchVecEnv:
    values = {"size": SIZE, "arrivals": 40, "warm_start": 8, "scale": 0.2} | changes
    env = BatchVecEnv(settings, seed=seed, **values)
    env.reset()
    return env


def random_legal(env: BatchVecEnv, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in env.masks()])


def trajectory(env: BatchVecEnv, steps: int = 150, action_seed: int = 0) -> list[np.ndarray]:
    """Everything that is seen in so many random legal steps."""
    rng = np.random.default_rng(action_seed)
    seen: list[np.ndarray] = []
    for _ in range(steps):
        actions = random_legal(env, rng)
        observation, rewards, dones, _ = env.step(actions)
        seen += [actions, rewards.copy(), dones.copy(), env.time_taus().copy(), env.potentials()]
        seen += [value.copy() for value in observation.values()] + [env.masks().copy()]
    return seen


def test_the_same_seed_gives_the_same_trajectory(settings: list[Setting]) -> None:
    one, two = trajectory(fresh(settings)), trajectory(fresh(settings))
    assert all(np.array_equal(a, b) for a, b in zip(one, two))


def test_another_seed_gives_another_trajectory(settings: list[Setting]) -> None:
    one, two = trajectory(fresh(settings), 5), trajectory(fresh(settings, seed=1), 5)
    assert not all(np.array_equal(a, b) for a, b in zip(one, two))


def test_observations_are_in_the_space(settings: list[Setting]) -> None:
    env = fresh(settings)
    rng = np.random.default_rng(0)
    for _ in range(60):
        observation = env.step(random_legal(env, rng))[0]
        for b in range(SIZE):
            assert OBSERVATION_SPACE.contains({name: value[b] for name, value in observation.items()})


def test_masks_are_those_of_the_core(settings: list[Setting]) -> None:
    env = fresh(settings, warm_start=0)
    rng = np.random.default_rng(1)
    seen: list[list[tuple[np.ndarray, int]]] = [[] for _ in range(SIZE)]
    tapes = [int(seed) for seed in env.batch.sims.tape.seed[:, 0]]
    ended = np.zeros(SIZE, bool)
    while not ended.all():
        actions = random_legal(env, rng)
        for b in np.flatnonzero(~ended):
            seen[b].append((env.masks()[b].copy(), int(actions[b])))
        ended |= env.step(actions)[2]
    for b in range(SIZE):
        tape = make_tape(env.settings[b], tapes[b], 40, tail=0.0)
        sim, out = new_sim(env.settings[b], tape), empty_candidates()
        sim.progress["stop_arrival"] = 40
        scratch = scratch_for(sim.state)
        for mask, action in seen[b]:
            assert advance(sim, scratch, out, NONE)
            assert np.array_equal(out.mask, mask)
            apply_action(sim, scratch, out, action)
        assert not advance(sim, scratch, out, NONE)


def test_rewards_are_the_sum_of_the_cores_terms_times_the_scale(settings: list[Setting]) -> None:
    env = fresh(settings[:1], size=1, warm_start=0, scale=0.3)
    tape = make_tape(settings[0], int(env.batch.sims.tape.seed[0, 0]), 40, tail=0.0)
    sim, out = new_sim(settings[0], tape), empty_candidates()
    sim.progress["stop_arrival"] = 40
    scratch = scratch_for(sim.state)
    advance(sim, scratch, out, NONE)
    take_reward(sim)
    rng, done = np.random.default_rng(2), False
    while not done:
        actions = random_legal(env, rng)
        _, rewards, (done,), _ = env.step(actions)
        apply_action(sim, scratch, out, int(actions[0]))
        advance(sim, scratch, out, NONE)
        assert rewards[0] == pytest.approx(0.3 * sum(take_reward(sim)), rel=1e-5, abs=1e-7)


def test_some_rewards_are_not_zero(settings: list[Setting]) -> None:
    env = fresh(settings[1:], arrivals=120)
    rng = np.random.default_rng(0)
    total = sum(env.step(random_legal(env, rng))[1].sum() for _ in range(300))
    assert total < -1.0


def test_elapsed_time_is_the_clocks_in_mean_run_times(settings: list[Setting]) -> None:
    env = fresh(settings)
    rng = np.random.default_rng(0)
    before = env.batch.sims.state.clock["now_us"][:, 0].copy()
    _, _, dones, _ = env.step(random_legal(env, rng))
    after = env.batch.sims.state.clock["now_us"][:, 0]
    tau_us = np.array([setting.capacity.tau_s * 1e6 for setting in env.settings])
    assert env.time_taus()[~dones] == pytest.approx(((after - before) / tau_us)[~dones])


def first_ends(env: BatchVecEnv) -> tuple[np.ndarray, list[dict[str, Any]]]:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        _, _, dones, infos = env.step(random_legal(env, rng))
        if dones.any():
            return dones, infos
    raise AssertionError("no episode ended")


def test_an_ended_episode_is_truncated_and_the_others_say_nothing(settings: list[Setting]) -> None:
    dones, infos = first_ends(fresh(settings))
    assert [info == {"TimeLimit.truncated": True} for info in infos] == dones.tolist()


def test_an_ended_episode_starts_again_on_another_tape(settings: list[Setting]) -> None:
    env = fresh(settings)
    before = env.batch.sims.tape.seed[:, 0].copy()
    dones, _ = first_ends(env)
    assert ((env.batch.sims.tape.seed[:, 0] != before) == dones).all()
    assert env.batch.alive.all()


def test_ended_episodes_are_counted(settings: list[Setting]) -> None:
    env = fresh(settings)
    dones, _ = first_ends(env)
    assert env.jobs == 40 * dones.sum()
    assert 0 <= env.violations <= env.jobs


def test_tapes_are_those_of_training(settings: list[Setting]) -> None:
    env = fresh(settings)
    first_ends(env)
    assert (env.batch.sims.tape.seed >= FIRST_TAPE).all()


def test_siblings_start_from_the_same_moment_of_the_same_tape(settings: list[Setting]) -> None:
    env = fresh(settings, siblings=3)
    clock, tape = env.batch.sims.state.clock["now_us"][:, 0], env.batch.sims.tape.seed[:, 0]
    for family in (slice(0, 3), slice(3, 6)):
        assert len(set(clock[family])) == len(set(tape[family])) == 1
    assert tape[0] != tape[3]


def test_siblings_meet_the_same_tapes_whenever_they_get_there(settings: list[Setting]) -> None:
    env = fresh(settings, siblings=3)
    tapes: list[list[int]] = [[] for _ in range(SIZE)]
    rng = np.random.default_rng(0)
    while min(map(len, tapes)) < 3:
        dones = env.step(random_legal(env, rng))[2]
        for b in np.flatnonzero(dones):
            tapes[b].append(int(env.batch.sims.tape.seed[b, 0]))
    assert tapes[0][:3] == tapes[1][:3] == tapes[2][:3]


def test_the_clock_of_an_environment_never_runs_back(settings: list[Setting]) -> None:
    env = fresh(settings)
    rng = np.random.default_rng(0)
    last = env.clock_taus()
    for _ in range(400):
        env.step(random_legal(env, rng))
        assert (env.clock_taus() >= last).all()
        last = env.clock_taus()


def test_settings_go_to_families_in_turn(settings: list[Setting]) -> None:
    env = fresh(settings, siblings=2)
    loads = [setting.scenario.load for setting in env.settings]
    assert loads == [0.7, 0.7, 1.1, 1.1, 0.7, 0.7]


def test_families_must_divide_the_batch(settings: list[Setting]) -> None:
    with pytest.raises(ValueError, match="6 environments cannot be split into families of 4"):
        fresh(settings, siblings=4)


def test_without_a_warm_start_every_episode_begins_empty(settings: list[Setting]) -> None:
    env = fresh(settings, warm_start=0)
    assert (env.batch.sims.progress["next_arrival"][:, 0] <= 3).all()


def test_a_warm_start_has_run_the_fallback_up_to_so_many_arrivals(settings: list[Setting]) -> None:
    env = fresh(settings, warm_start=30, size=12)
    came = env.batch.sims.progress["next_arrival"][:, 0]
    assert came.max() > 5
    assert came.max() <= 32


@pytest.mark.parametrize("b", [0, SIZE - 1])
def test_an_illegal_action_is_refused_by_cluster_and_number(settings: list[Setting], b: int) -> None:
    env = fresh(settings)
    actions = env.batch.shown.picks[:, RULE_NUMBER[FALLBACK]].astype(np.int64)
    actions[b] = int(np.flatnonzero(~env.masks()[b])[0])
    with pytest.raises(ValueError, match=f"cluster {b}: action {actions[b]} is not legal"):
        env.step(actions)


@pytest.mark.parametrize("size", [2, 3])
def test_a_refused_step_changes_nothing(settings: list[Setting], size: int) -> None:
    env = fresh(settings, size=size)
    before = env.masks().copy(), env.batch.sims.state.clock["now_us"].copy()
    illegal = np.array([np.flatnonzero(~mask)[0] for mask in env.masks()])
    with pytest.raises(ValueError, match="not legal"):
        env.step(illegal)
    assert np.array_equal(env.masks(), before[0])
    assert np.array_equal(env.batch.sims.state.clock["now_us"], before[1])


def test_the_masks_that_sb3_asks_for_are_copies(settings: list[Setting]) -> None:
    env = fresh(settings)
    given = env.env_method("action_masks")
    assert np.array_equal(np.stack(given), env.masks())
    assert not any(np.shares_memory(mask, env.masks()) for mask in given)


def test_no_other_method_is_there(settings: list[Setting]) -> None:
    with pytest.raises(AttributeError, match="'render'"):
        fresh(settings).env_method("render")


def test_a_cluster_that_is_over_stands_still(settings: list[Setting]) -> None:
    batch = batches.new_batch(settings[:1], 1, 20)
    batches.load(batch, 0, settings[0], make_tape(settings[0], 5, 20, tail=0.0))
    while batch.alive[0]:
        batches.step(batch, batch.shown.picks[:, 0].astype(np.int64))
    now_us = batch.sims.state.clock["now_us"].copy()
    batches.step(batch, np.array([DONE]))
    assert np.array_equal(batch.sims.state.clock["now_us"], now_us)
    assert batch.rewards.sum() == 0.0
    assert batch.dt_us[0] == 0


def test_there_are_as_many_actions_as_logits(settings: list[Setting]) -> None:
    assert fresh(settings).action_space.n == N_ACTIONS
