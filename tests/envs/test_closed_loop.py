"""A closed loop: each client sends its next job when it has thought about the last one's end."""

import numpy as np
import pytest
from worlds import (
    at_random,
    fresh,
    hand_tape,
    play,
    random_world,
    simulate,
    toy_profile,
    toy_setting,
    toy_table,
)

from synergai.envs import scenario as scenarios
from synergai.envs.batch import Batch, load, new_batch, step
from synergai.envs.candidates import empty_candidates
from synergai.envs.metrics import measure
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.scenario import ScenarioError
from synergai.envs.simulator import advance, apply_action, run_rule
from synergai.envs.state import NONE
from synergai.envs.switches import rule_number
from synergai.envs.tape import Setting, Tape, make_tape, setting_of
from synergai.envs.world import ENDED, QUEUED_STATUS, RUNNING_STATUS, WAITING, Sim

SECOND = 1_000_000
WORLDS = range(24)


def one_server(clients: int, units: int = 1, seconds: float = 1.0, **keys: object) -> Setting:
    table = toy_table(toy_profile("m", "gpu", seconds))
    machines = [{"name": "n", "hardware": {"gpu": units}}]
    return toy_setting(table, machines, arrivals={"kind": "closed", "clients": clients}, **keys)


def four_jobs(**keys: object) -> tuple[Setting, Tape]:
    """Two clients of two jobs each, one second long: think 0 and 2 s, and 0.5 and 0.25 s; 1.2 s to the deadline."""
    think_s = np.array([0.0, 0.5, 2.0, 0.25])
    setting = one_server(2, **keys)
    return setting, hand_tape(setting, think_s, think_s + 1.2)


def seconds(values: np.ndarray) -> list[float]:
    return (values / SECOND).tolist()


def test_by_hand_each_client_sends_its_next_job_after_the_end_of_its_last() -> None:
    sim = simulate(*four_jobs(), "fcfs")
    assert seconds(sim.tape.jobs["arrival_us"]) == [0.0, 0.5, 3.0, 2.25]
    assert seconds(sim.outcomes["start_us"]) == [0.0, 1.0, 3.25, 2.25]
    assert seconds(sim.outcomes["finish_us"]) == [1.0, 2.0, 4.25, 3.25]


def test_by_hand_a_deadline_counts_from_when_the_job_is_sent() -> None:
    setting, tape = four_jobs()
    sim = simulate(setting, tape, "fcfs")
    assert seconds(sim.tape.jobs["deadline_us"]) == [1.2, 1.7, 4.2, 3.45]
    assert sim.outcomes["violated"].tolist() == [0, 1, 1, 0]
    measured = measure(setting, sim)
    assert (measured.jobs, measured.violations, measured.wait_mean_s) == (4, 2, pytest.approx(0.75 / 4))


def test_a_client_has_its_answer_when_the_run_ends_and_not_when_its_room_is_back() -> None:
    sim = simulate(*four_jobs(delays={"release_s": 0.1}), "fcfs")
    assert seconds(sim.tape.jobs["arrival_us"]) == [0.0, 0.5, 3.0, 2.35]
    assert seconds(sim.outcomes["start_us"]) == [0.0, 1.1, 3.45, 2.35]


def test_a_tape_can_be_played_again() -> None:
    setting, tape = four_jobs()
    kept = tape.jobs.copy()
    first, again = simulate(setting, tape, "fcfs"), simulate(setting, tape, "fcfs")
    np.testing.assert_array_equal(tape.jobs, kept)
    np.testing.assert_array_equal(first.outcomes, again.outcomes)


def test_jobs_that_are_not_sent_any_more_are_not_counted() -> None:
    setting, tape = four_jobs()
    tape.jobs["arrival_us"][3] = 3600 * SECOND
    sim, scratch = fresh(setting, tape)
    run_rule(sim, scratch, rule_number("fcfs"), 3)
    assert measure(setting, sim).jobs == 3


def in_system(sim: Sim) -> np.ndarray:
    """The jobs that wait or run, as rows."""
    status = sim.outcomes["status"]
    return np.flatnonzero((status == QUEUED_STATUS) | (status == RUNNING_STATUS))


@pytest.mark.parametrize("number", WORLDS)
def test_no_client_has_two_jobs_in_the_system_and_none_is_skipped(number: int) -> None:
    setting, tape = random_world(number, everything=number % 2 == 1, closed=True)
    clients = setting.clients
    for sim, _, _ in play(setting, tape, at_random(number)):
        owners = in_system(sim) % clients
        assert len(set(owners.tolist())) == len(owners) <= clients
        came = sim.outcomes["status"] != WAITING
        assert came.sum() == sim.progress[0]["next_arrival"]
        for client in range(min(clients, len(came))):
            mine = sim.outcomes["status"][client::clients]
            assert (mine[:-1][mine[1:] != WAITING] == ENDED).all()


@pytest.mark.parametrize("number", WORLDS)
def test_two_policies_meet_the_same_jobs_after_the_same_thoughts(number: int) -> None:
    setting, tape = random_world(number, closed=True)
    clients, runs = setting.clients, [simulate(setting, tape, rule) for rule in ("fcfs", "random")]
    for sim in runs:
        jobs, came = sim.tape.jobs, sim.outcomes["status"] != WAITING
        later = np.flatnonzero(came)[np.flatnonzero(came) >= clients]
        ends_us = sim.outcomes["finish_us"][later - clients]
        np.testing.assert_array_equal(jobs["arrival_us"][later] - ends_us, tape.jobs["arrival_us"][later])
        np.testing.assert_array_equal(
            jobs["deadline_us"] - jobs["arrival_us"], tape.jobs["deadline_us"] - tape.jobs["arrival_us"]
        )
        for name in ("samples", "model", "priority", "counted", "site", "classes"):
            np.testing.assert_array_equal(jobs[name], tape.jobs[name])


# in a batch --------------------------------------------------------------------------------------------
def batch_of_two(rule: int, until_arrival: int) -> tuple[Batch, Setting, Tape]:
    """An open and a closed loop side by side; the second's setting and tape."""
    batch_settings = [random_world(3)[0], random_world(3, closed=True)[0]]
    batch = new_batch(batch_settings, 2, 40)
    tapes = [make_tape(setting, 1, 40, tail=0.0) for setting in batch_settings]
    for b, (setting, tape) in enumerate(zip(batch_settings, tapes)):
        load(batch, b, setting, tape, rule, until_arrival)
    return batch, batch_settings[1], tapes[1]


def test_in_a_batch_it_goes_as_it_does_alone_and_is_cut_off_with_the_windows_last_arrival() -> None:
    rule = RULE_NUMBER["fcfs"]
    batch, setting, tape = batch_of_two(NONE, until_arrival=0)
    while batch.alive[1]:
        step(batch, batch.shown.picks[:, rule].astype(np.int64))
    sim, scratch = fresh(setting, tape)
    sim.progress["stop_arrival"] = 40
    out = empty_candidates()
    while advance(sim, scratch, out, NONE):
        apply_action(sim, scratch, out, int(out.picks[rule]))
    assert sim.progress[0]["next_arrival"] == 40
    np.testing.assert_array_equal(batch.sims.outcomes[1][: len(tape.jobs)], sim.outcomes)
    np.testing.assert_array_equal(batch.sims.tape.jobs[1][: len(tape.jobs)], sim.tape.jobs)


# theory ---------------------------------------------------------------------------------------------------
def repairman_sps(clients: int, servers: int, think_s: float, service_s: float) -> float:
    """Throughput of M/M/c//N, the machine repairman: a birth-death chain over the jobs in the system.
    https://en.wikipedia.org/wiki/Machine_repair_problem"""
    weights = [1.0]
    for n in range(1, clients + 1):
        weights.append(weights[-1] * (clients - n + 1) / think_s * service_s / min(n, servers))
    thinking = sum((clients - n) * weight for n, weight in enumerate(weights)) / sum(weights)
    return thinking / think_s


@pytest.mark.slow
@pytest.mark.parametrize(("clients", "servers", "think_s"), [(6, 1, 0.08), (3, 1, 0.01), (12, 4, 0.02)])
def test_throughput_is_that_of_the_machine_repairman(clients: int, servers: int, think_s: float) -> None:
    jobs, service_s, sample_s = 200_000, 0.01, 1e-8
    rng = np.random.default_rng([clients, servers])
    samples = np.maximum(np.round(rng.exponential(service_s / sample_s, jobs)), 1).astype(np.int64)
    thoughts_s = rng.exponential(think_s, jobs)
    setting = one_server(clients, servers, sample_s, samples=service_s / sample_s, load=0.5)
    sim = simulate(setting, hand_tape(setting, thoughts_s, thoughts_s + 1e6, samples=samples), "fcfs")
    finish_us = sim.outcomes["finish_us"]
    last_us = min(finish_us[client::clients].max() for client in range(clients))
    found = (finish_us <= last_us).sum() / (last_us / SECOND)
    assert found == pytest.approx(repairman_sps(clients, servers, think_s, service_s), rel=0.01)


# the load -------------------------------------------------------------------------------------------------
ONE = [{"name": "n", "hardware": {"gpu": 1}}]


def test_a_load_says_how_many_clients_there_are_or_how_long_they_think() -> None:
    # at most one job a second, one second long: at load 0.5 a client comes round every C / 0.5 seconds
    assert one_server(4, load=0.5).think_s == pytest.approx(7.0)
    thinkers = {"kind": "closed", "think_s": 7.0}
    assert toy_setting(toy_table(toy_profile("m", "gpu", 1.0)), ONE, load=0.5, arrivals=thinkers).clients == 4


def test_clients_too_few_for_the_load_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"arrivals\.clients: 1 cannot make a load of 1\.5 .*; 2 can"):
        one_server(1, load=1.5)
    assert one_server(2, load=1.5).think_s == pytest.approx(1 / 3)


def test_jobs_that_do_not_wait_arrive_at_the_offered_rate() -> None:
    setting = setting_of(scenarios.load("desks").model_copy(update={"load": 0.05}))
    sim = simulate(setting, make_tape(setting, 1, 4000), "sjf_feasible")
    arrivals = int(sim.progress[0]["next_arrival"])
    assert arrivals / (sim.state.clock[0]["now_us"] / SECOND) == pytest.approx(setting.rate_sps, rel=0.05)


def test_quick_clients_go_on_until_the_slowest_is_through_with_the_window() -> None:
    setting = setting_of(scenarios.load("desks"))
    sim = simulate(setting, make_tape(setting, 1, 1000), "sjf_feasible")
    assert sim.progress[0]["left"] == 0
    last = sim.outcomes["status"][-setting.clients :]
    assert (last == WAITING).all()
