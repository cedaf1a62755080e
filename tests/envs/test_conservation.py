"""In any world, under any legal actions, nothing is lost, doubled, over-committed or out of range."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import at_random, fresh, hand_tape, play, random_world, toy_profile, toy_setting, toy_table

from synergai.envs.candidates import DONE, MAX_CANDIDATES, N_RULES, Candidates, Scratch, empty_candidates
from synergai.envs.features import CANDIDATE, GLOBAL, JOB
from synergai.envs.metrics import node_energy_j
from synergai.envs.rules import RULE_NUMBER, pick
from synergai.envs.simulator import advance, apply_action
from synergai.envs.state import NEVER_US, NONE, ClusterState, book, take_slot
from synergai.envs.world import ENDED, QUEUED_STATUS, RUNNING_STATUS, Sim, take_reward

anywhere = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
worlds = given(number=st.integers(0, 999), seed=st.integers(0, 2**32 - 1))

ROW_LOW, ROW_HIGH = (np.array([getattr(f, side) for f in CANDIDATE + JOB]) for side in ("low", "high"))
SHARED_LOW, SHARED_HIGH = (np.array([getattr(f, side) for f in GLOBAL]) for side in ("low", "high"))


def decisions(number: int, seed: int) -> Iterator[tuple[Sim, Scratch, Candidates]]:
    """Odd seeds play in a world in which everything goes on."""
    setting, tape = random_world(number, count=20, everything=seed % 2 == 1)
    return play(setting, tape, at_random(seed))


def used(state: ClusterState) -> np.ndarray:
    return state.running[state.running["used"] == 1]


@anywhere
@worlds
def test_free_room_is_what_nobody_takes_and_never_negative(number: int, seed: int) -> None:
    for sim, _, _ in decisions(number, seed):
        state = sim.state
        for free, total, taken in (
            ("cpu_free", "cpu_milli", "cpu_milli"),
            ("memory_free", "memory_mib", "memory_mib"),
        ):
            booked = np.bincount(used(state)["node"], used(state)[taken], minlength=len(state.nodes))
            np.testing.assert_array_equal(state.nodes[free], state.nodes[total] - booked)
            assert (state.nodes[free] >= 0).all()
        pods = np.bincount(used(state)["node"], minlength=len(state.nodes))
        np.testing.assert_array_equal(state.nodes["pods_free"], state.nodes["pods"] - pods)
        assert (state.nodes["pods_free"] >= 0).all()


@anywhere
@worlds
def test_free_units_are_what_nobody_takes_and_never_negative(number: int, seed: int) -> None:
    for sim, _, _ in decisions(number, seed):
        devices = sim.state.devices
        there = used(sim.state)[used(sim.state)["device"] != NONE]
        booked = np.bincount(there["device"], there["units"], minlength=len(devices))
        np.testing.assert_array_equal(devices["units_free"], devices["units"] - booked)
        assert (devices["units_free"] >= 0).all()


@anywhere
@worlds
def test_every_job_that_came_is_in_exactly_one_place(number: int, seed: int) -> None:
    for sim, _, _ in decisions(number, seed):
        clock, status = sim.state.clock[0], sim.outcomes["status"]
        waiting = sim.state.queue["job"][: clock["n_queued"]].tolist()
        held = [int(job) for job in used(sim.state)["job"] if job != NONE]
        others = (used(sim.state)["job"] == NONE).sum()
        assert sorted(waiting) == np.flatnonzero(status == QUEUED_STATUS).tolist()
        still = [job for job in held if status[job] == RUNNING_STATUS]
        assert sorted(still) == np.flatnonzero(status == RUNNING_STATUS).tolist()
        assert len(waiting) + len(still) + (status == ENDED).sum() == sim.progress[0]["next_arrival"]
        assert len(held) + others == clock["n_running"]


@anywhere
@worlds
def test_a_job_runs_once_after_it_arrived_and_for_its_whole_run(number: int, seed: int) -> None:
    *_, (sim, _, _) = decisions(number, seed)
    ended = sim.outcomes["status"] == ENDED
    outcomes, jobs = sim.outcomes[ended], sim.tape.jobs[ended]
    assert (outcomes["start_us"] >= jobs["arrival_us"]).all()
    assert (outcomes["finish_us"] > outcomes["start_us"]).all()
    assert (outcomes["option"] >= 0).all()


@anywhere
@worlds
def test_time_never_runs_back(number: int, seed: int) -> None:
    times = [int(sim.state.clock[0]["now_us"]) for sim, _, _ in decisions(number, seed)]
    assert times == sorted(times)


@anywhere
@worlds
def test_violated_are_exactly_the_jobs_unfinished_at_their_deadline(number: int, seed: int) -> None:
    *_, (sim, _, _) = decisions(number, seed)
    now_us = sim.state.clock[0]["now_us"]
    finish = np.where(sim.outcomes["finish_us"] >= 0, sim.outcomes["finish_us"], NEVER_US)
    deadline = sim.tape.jobs["deadline_us"]
    passed = (deadline <= now_us) & (finish > deadline) & (sim.tape.jobs["counted"] == 1)
    np.testing.assert_array_equal(sim.outcomes["violated"] == 1, passed)


@anywhere
@worlds
def test_nodes_use_at_least_what_they_idle_at_and_all_that_jobs_use(number: int, seed: int) -> None:
    setting, tape = random_world(number, count=20, everything=seed % 2 == 1)
    *_, (sim, _, _) = play(setting, tape, at_random(seed))
    idle_j, active_j = node_energy_j(setting, sim).T
    assert (idle_j >= 0.0).all()
    assert (active_j >= -1e-6).all()
    assert active_j.sum() == pytest.approx(sim.outcomes["energy_j"].sum(), rel=1e-9, abs=1e-6)


@anywhere
@worlds
def test_the_deadline_term_without_discount_counts_the_violations(number: int, seed: int) -> None:
    setting, tape = random_world(number, count=20, everything=seed % 2 == 1)
    sim, scratch = fresh(setting, tape)
    sim.progress["tau_us"] = 1e30
    out, choose, total = empty_candidates(), at_random(seed), 0.0
    while advance(sim, scratch, out, NONE):
        total += take_reward(sim)[0]
        apply_action(sim, scratch, out, choose(out))
    total += take_reward(sim)[0]
    assert total == -(sim.outcomes["violated"] == 1).sum()


@anywhere
@worlds
def test_every_rules_pick_is_in_the_list_and_legal(number: int, seed: int) -> None:
    for sim, scratch, out in decisions(number, seed):
        if sim.progress[0]["in_round"] == 0:
            continue
        for name, rule in RULE_NUMBER.items():
            if rule >= N_RULES:
                continue
            shown = int(out.picks[rule])
            assert out.mask[shown], name
            wanted = int(pick(sim.state, scratch.survey, rule))
            if out.mask[DONE]:
                assert (DONE if wanted == NONE else wanted) == (DONE if shown == DONE else out.pair[shown]), (
                    name
                )


@anywhere
@worlds
def test_the_list_has_no_pair_twice(number: int, seed: int) -> None:
    for _, _, out in decisions(number, seed):
        n = int(out.n[0])
        assert n <= MAX_CANDIDATES
        pairs = set(zip(out.job[:n].tolist(), out.option[:n].tolist()))
        assert len(pairs) == n


@anywhere
@worlds
def test_features_are_finite_and_in_their_declared_range(number: int, seed: int) -> None:
    for _, _, out in decisions(number, seed):
        rows = out.rows[: out.n[0]]
        assert np.isfinite(rows).all()
        assert np.isfinite(out.shared).all()
        assert ((rows >= ROW_LOW) & (rows <= ROW_HIGH)).all()
        assert ((out.shared >= SHARED_LOW) & (out.shared <= SHARED_HIGH)).all()


@anywhere
@worlds
def test_rows_beyond_the_count_are_zero_and_masked(number: int, seed: int) -> None:
    for _, _, out in decisions(number, seed):
        n = int(out.n[0])
        assert not out.rows[n:].any()
        assert not out.mask[n:DONE].any()


@anywhere
@worlds
def test_a_start_has_room_and_a_hold_has_none(number: int, seed: int) -> None:
    for sim, scratch, out in decisions(number, seed):
        if sim.progress[0]["in_round"] == 0:
            continue
        state = sim.state
        for i in range(out.n[0]):
            pair = scratch.survey.pairs[out.pair[i]]
            option, device = state.options[pair["option"]], state.devices[pair["device"]]
            node = state.nodes[device["node"]]
            room = (
                node["cpu_free"] >= option["cpu_milli"]
                and node["memory_free"] >= option["memory_mib"]
                and node["pods_free"] >= 1
                and device["units_free"] >= option["units"]
            )
            assert room == (pair["start"] == 1)
            assert (pair["wait_us"] == 0) == room


@anywhere
@worlds
def test_done_is_illegal_only_where_nothing_runs_or_is_held_and_a_start_is_legal(
    number: int, seed: int
) -> None:
    for sim, scratch, out in decisions(number, seed):
        if sim.progress[0]["in_round"] == 0:
            continue
        clock = sim.state.clock[0]
        held = (sim.state.queue["hold_option"][: clock["n_queued"]] != NONE).any()
        starts = (scratch.survey.pairs["start"][: scratch.survey.counts[0]["n_pairs"]] == 1).any()
        assert out.mask[DONE] == (clock["n_running"] > 0 or held or not starts)
        if not out.mask[DONE]:
            legal = scratch.survey.pairs[out.pair[np.flatnonzero(out.mask)]]
            assert (legal["start"] == 1).all()


@anywhere
@worlds
def test_a_job_on_hold_is_no_candidate_so_it_is_held_once_a_round(number: int, seed: int) -> None:
    for sim, _, out in decisions(number, seed):
        if sim.progress[0]["in_round"] == 1:
            shown = sim.state.queue[out.job[: out.n[0]]]
            assert (shown["hold_option"] == NONE).all()


@anywhere
@worlds
def test_while_a_class_owes_a_late_job_only_that_job_may_start_there(number: int, seed: int) -> None:
    for sim, scratch, out in decisions(number, seed):
        if sim.progress[0]["in_round"] == 0:
            continue
        for h, due in enumerate(scratch.survey.due):
            if due["j"] == NONE:
                continue
            there = (out.klass[: out.n[0]] == h) & (scratch.survey.pairs["start"][out.pair[: out.n[0]]] == 1)
            assert set(out.job[: out.n[0]][there].tolist()) == {int(due["j"])}


def test_a_policy_that_never_starts_anything_has_every_job_violated() -> None:
    # DONE is illegal on an idle cluster, so something else has to run there; it takes no room
    table = toy_table(toy_profile("m", "gpu", 1.0))
    setting = toy_setting(table, [{"name": "n", "hardware": {"gpu": 1}}])
    tape = hand_tape(setting, np.arange(20.0), np.arange(20.0) + 5.0)
    sim, scratch = fresh(setting, tape)
    book(sim.state, take_slot(sim.state), NONE, NONE, NONE, 0, 0, 0, 0, 0, NEVER_US // 2, NEVER_US)
    out = empty_candidates()
    while advance(sim, scratch, out, NONE):
        apply_action(sim, scratch, out, DONE)
    assert (sim.outcomes["start_us"] == NONE).all()
    assert (sim.outcomes["violated"] == 1).all()


def test_a_policy_that_is_done_wherever_it_may_runs_one_job_at_a_time() -> None:
    setting, tape = random_world(5)
    for sim, _, _ in play(setting, tape, lambda out: DONE if out.mask[DONE] else int(np.argmax(out.mask))):
        assert sim.state.clock[0]["n_running"] <= 1


def test_late_jobs_are_served_and_not_dropped() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    setting = toy_setting(table, [{"name": "n", "hardware": {"gpu": 1}}])
    tape = hand_tape(setting, np.zeros(10), np.full(10, 1.5))
    *_, (sim, _, _) = play(setting, tape, at_random(0))
    assert (sim.outcomes["status"] == ENDED).all()
    assert (sim.outcomes["violated"] == 1).sum() == 9
