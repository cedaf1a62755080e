"""The candidate list: what it must hold, how long it gets, and that a recorded state gives it again."""

from pathlib import Path

import numpy as np
import pytest
from scenes import Scene
from worlds import at_random, play, random_world, toy_profile, toy_table

from synergai.envs.candidates import (
    DONE,
    MAX_CANDIDATES,
    N_ACTIONS,
    N_RULES,
    Candidates,
    candidates,
    empty_candidates,
    list_candidates,
    scratch_for,
)
from synergai.envs.features import DUE, FIRST_PICK
from synergai.envs.rules import RULE_NUMBER, RULES, pick
from synergai.envs.state import NONE, ClusterState
from synergai.envs.survey import take_survey

CLASSES = ("gpu-a", "gpu-b", "gpu-c", "gpu-d")
MODELS = ("m0", "m1", "m2")
TABLE = toy_table(
    *(
        toy_profile(m, h, 0.5 + i + 0.7 * k + (i * k) % 3)
        for i, m in enumerate(MODELS)
        for k, h in enumerate(CLASSES)
    )
)
MACHINES = [{"name": h[-1], "hardware": {h: 2}} for h in CLASSES]


def crowd(jobs: int, seed: int = 0, late: bool = False) -> Scene:
    """So many jobs at 100 s, two of four classes busy; deadlines on both sides of now if `late`."""
    rng = np.random.default_rng(seed)
    scene = Scene(TABLE, MACHINES, now_s=100.0)
    for i in range(jobs):
        model = MODELS[rng.integers(3)]
        deadline_s = 100 + rng.uniform(-40 if late else 0.1, 60)
        scene.wait(f"j{i}", model, deadline_s, rng.uniform(0, 99), int(rng.integers(1, 9)))
    for hardware in CLASSES[:2]:
        for _ in range(2):
            scene.run("m0", hardware, f"{hardware[-1]}-0", since_s=99.0, samples=int(rng.integers(2, 9)))
    return scene


@pytest.mark.parametrize("seed", range(12))
def test_every_rules_pick_over_a_long_queue_is_in_the_list(seed: int) -> None:
    scene = crowd(300, seed, late=seed % 2 == 1)
    out = scene.list()
    for rule, name in enumerate(RULES):
        wanted = int(pick(scene.state, scene.scratch.survey, rule))
        shown = int(out.picks[rule])
        assert (DONE if wanted == NONE else wanted) == (DONE if shown == DONE else out.pair[shown]), name
        assert out.mask[shown], name


@pytest.mark.parametrize("seed", range(6))
def test_a_rules_bit_is_on_its_pick_and_nowhere_else(seed: int) -> None:
    out = crowd(300, seed).list()
    for rule in range(N_RULES):
        column = out.rows[:, FIRST_PICK + rule]
        assert np.flatnonzero(column).tolist() == ([] if out.picks[rule] == DONE else [out.picks[rule]])


def test_the_list_of_a_long_queue_is_full_but_no_longer_than_128() -> None:
    out = crowd(300).list()
    assert 60 < out.n[0] <= MAX_CANDIDATES


def test_the_list_of_a_short_queue_holds_every_pair() -> None:
    scene = crowd(20)
    assert scene.list().n[0] == 20 * len(CLASSES)


def test_every_class_with_room_is_in_the_list_of_a_long_queue() -> None:
    out = crowd(300).list()
    assert set(out.klass[: out.n[0]].tolist()) == set(range(len(CLASSES)))


def test_the_extra_rules_pick_is_in_the_list() -> None:
    scene, out = crowd(300), empty_candidates()
    list_candidates(scene.state, scene.scratch, out, RULE_NUMBER["round_robin"])
    assert out.picks[N_RULES] != DONE
    assert out.mask[out.picks[N_RULES]]


@pytest.mark.parametrize("seed", range(6))
def test_the_job_that_ageing_asks_for_is_in_the_list_and_alone_on_its_class(seed: int) -> None:
    scene = crowd(300, seed, late=True).owe("gpu-c", 1e6)
    out = scene.list()
    due = int(scene.scratch.survey.due[CLASSES.index("gpu-c")]["j"])
    late = scene.state.queue["arrival_us"][scene.state.queue["deadline_us"] <= 100_000_000][
        : len(scene.names)
    ]
    assert scene.state.queue[due]["arrival_us"] == late[late > 0].min()
    n = int(out.n[0])
    there = out.klass[:n] == CLASSES.index("gpu-c")
    assert out.job[:n][there].tolist() == [due]
    assert out.rows[:n, DUE][there].tolist() == [1.0]


def test_actions_are_128_candidates_and_done() -> None:
    assert (N_ACTIONS, DONE) == (129, 128)
    assert crowd(5).list().mask.shape == (129,)


def test_done_is_illegal_on_an_idle_cluster_with_something_to_start() -> None:
    scene = Scene(TABLE, MACHINES).wait("x", "m0", 9)
    assert not scene.list().mask[DONE]


def test_done_is_legal_once_something_runs() -> None:
    scene = Scene(TABLE, MACHINES).wait("x", "m0", 9).run("m0", "gpu-a", "a-0")
    assert scene.list().mask[DONE]


def test_done_is_the_only_action_where_nothing_waits() -> None:
    out = Scene(TABLE, MACHINES).list()
    assert np.flatnonzero(out.mask).tolist() == [DONE]


def test_a_busy_option_is_a_hold_with_its_wait() -> None:
    scene = Scene(TABLE, MACHINES[:1]).wait("x", "m0", 9)
    for _ in range(2):
        scene.run("m0", "gpu-a", "a-0", samples=3)
    scene.list()
    pair = scene.scratch.survey.pairs[0]
    assert (pair["start"], pair["hold"], pair["wait_us"]) == (0, 1, 1_500_000)


def recorded(state: ClusterState, path: Path) -> ClusterState:
    """The state as it comes back from a file."""
    np.savez(path, allow_pickle=False, **dict(zip(ClusterState._fields, state)))
    with np.load(path) as arrays:
        return ClusterState(*(arrays[name] for name in ClusterState._fields))


def assert_same(a: Candidates, b: Candidates) -> None:
    for name, x, y in zip(Candidates._fields, a, b):
        assert x.tobytes() == y.tobytes(), name


def test_a_recorded_state_gives_the_same_list_bit_for_bit(tmp_path: Path) -> None:
    setting, tape = random_world(9)
    checked = 0
    for sim, _, out in play(setting, tape, at_random(2)):
        if sim.progress[0]["in_round"] == 1:
            again = candidates(recorded(sim.state, tmp_path / "state.npz"))
            # `pair` counts in the survey of a scratch of one's own
            assert_same(again._replace(picks=out.picks, pair=out.pair), out)
            checked += 1
    assert checked > 20


def test_a_recorded_long_queue_gives_the_same_list_bit_for_bit(tmp_path: Path) -> None:
    scene = crowd(300, late=True).owe("gpu-d", 30.0)
    back = recorded(scene.state, tmp_path / "state.npz")
    assert_same(candidates(back, scratch_for(back)), scene.list())


def test_a_copy_is_independent() -> None:
    scene = crowd(10)
    copy = scene.state.copy()
    scene.state.queue["deadline_us"] = 0
    assert (copy.queue["deadline_us"][:10] > 0).all()


def test_scratch_that_has_served_another_state_changes_nothing() -> None:
    one, other = crowd(300, seed=1), crowd(300, seed=2, late=True)
    fresh = candidates(one.state.copy())
    used = scratch_for(one.state)
    candidates(other.state, used)
    assert_same(candidates(one.state, used), fresh)


def test_looking_twice_at_a_state_changes_nothing() -> None:
    scene = crowd(300, late=True).owe("gpu-c", 50.0)
    take_survey(scene.state, scene.scratch.survey)
    before = scene.state.copy()
    take_survey(scene.state, scene.scratch.survey)
    for name, x, y in zip(ClusterState._fields, before, scene.state):
        assert np.array_equal(x, y), name
