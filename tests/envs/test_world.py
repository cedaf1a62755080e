"""What goes on beside the jobs, each part on a toy world whose times can be worked out by hand."""

import numpy as np
import pytest
from worlds import fresh, hand_tape, simulate, toy_profile, toy_setting, toy_table

from synergai.envs import scenario as scenarios
from synergai.envs.batch import load, new_batch, step
from synergai.envs.disturbances import BACK, CHANGE, CLOSES, DIES, NOTICED, OPENS, POD
from synergai.envs.metrics import node_energy_j
from synergai.envs.rules import RULE_NUMBER
from synergai.envs.scenario import Scenario
from synergai.envs.state import NONE, start, take_slot
from synergai.envs.tape import Setting, Tape, make_tape, setting_of
from synergai.envs.world import Sim

SECOND = 1_000_000
ONE_NODE = [{"name": "n", "hardware": {"gpu": 1}}]
TWO_NODES = [{"name": "n", "count": 2, "hardware": {"gpu": 1}}]


def seconds(values: np.ndarray) -> list[float]:
    return [round(float(value) / SECOND, 6) for value in values]


def starts(sim: Sim) -> list[float]:
    return seconds(sim.outcomes["start_us"])


def ends(sim: Sim) -> list[float]:
    return seconds(sim.outcomes["finish_us"])


def with_changes(tape: Tape, *changes: tuple[float, int, int]) -> Tape:
    """(when, node, what becomes of it) beside the jobs of this tape."""
    rows = [(round(at_s * SECOND), node, kind) for at_s, node, kind in changes]
    return tape._replace(changes=np.array(rows, CHANGE))


def with_pod(tape: Tape, from_s: float, to_s: float, cpu_milli: int) -> Tape:
    """A pod of another scheduler on the first node."""
    pod = (round(from_s * SECOND), round(to_s * SECOND), cpu_milli, 256, 0)
    return tape._replace(pods=np.array([pod], POD))


def far_apart(links: list[dict[str, object]], **job: object) -> Setting:
    """A slow gpu at the edge and a fast one in the cloud; jobs come from the edge and bring 1 MiB a sample."""
    table = toy_table(toy_profile("m", "near", 3.0), toy_profile("m", "far", 1.0))
    values = {
        "name": "toy",
        "machines": [
            {"name": "near", "hardware": {"near": 1}, "site": "edge"},
            {"name": "far", "hardware": {"far": 1}, "site": "cloud"},
        ],
        "jobs": {
            "m": {
                "share": 1,
                "samples": 1,
                "samples_log_sd": 0,
                "input_kib": 1024.0,
                "origins": {"edge": 1},
                **job,
            }
        },
        "noise": {"profile_error": 0, "level": 0},
        "world": {"network": links},
        "warm_up": 0,
    }
    return setting_of(Scenario.model_validate(values), table)


def from_edge(setting: Setting, at_s: list[float], deadline_s: list[float]) -> Tape:
    tape = hand_tape(setting, at_s, deadline_s)
    tape.jobs["site"] = setting.catalog.site_index["edge"]
    return tape


# distances -----------------------------------------------------------------------------------------------
def test_input_takes_the_round_trip_and_its_bits_over_the_bandwidth() -> None:
    setting = far_apart([{"between": ["edge", "cloud"], "rtt_s": 0.1, "mbit_s": 8}])
    sim = simulate(setting, from_edge(setting, [0.0], [9.0]), "fcfs")
    assert ends(sim) == [round(0.1 + 1024 * 8192 / 8e6 + 1.0, 6)]  # 2.149 s, and 3 s at the edge


def test_a_job_stays_at_its_site_where_the_way_is_too_long() -> None:
    setting = far_apart([{"between": ["edge", "cloud"], "rtt_s": 0.1, "mbit_s": 4}])
    sim = simulate(setting, from_edge(setting, [0.0], [9.0]), "fcfs")
    assert ends(sim) == [3.0]


def test_sites_without_a_link_are_no_distance_apart() -> None:
    setting = far_apart([])
    assert ends(simulate(setting, from_edge(setting, [0.0], [9.0]), "fcfs")) == [1.0]


def test_capacity_counts_the_way_as_time_on_the_device() -> None:
    near = 1.0 / 3.0
    for mbit_s, far in ((8.0, 1.0 / (0.1 + 1.048576 + 1.0)), (1000.0, 1.0 / (0.1 + 0.008388608 + 1.0))):
        setting = far_apart([{"between": ["edge", "cloud"], "rtt_s": 0.1, "mbit_s": mbit_s}])
        assert setting.capacity.jobs_per_s == pytest.approx(near + far, rel=1e-6)


# constraints ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("wish", [{"sites": ["edge"]}, {"hardware": ["near"]}])
def test_a_job_runs_only_where_it_may(wish: dict[str, object]) -> None:
    setting = far_apart([], **wish)
    tape = make_tape(setting, 1, 20)
    sim = simulate(setting, tape, "random")
    hardware = {setting.catalog.profiles[o].hardware for o in sim.outcomes["option"] if o != NONE}
    assert hardware == {"near"}


def test_capacity_counts_only_where_jobs_may_run() -> None:
    assert far_apart([], sites=["edge"]).capacity.jobs_per_s == pytest.approx(1.0 / 3.0, rel=1e-6)


def test_jobs_come_as_often_of_each_kind_as_the_scenario_says() -> None:
    setting = far_apart(
        [],
        origins={"edge": 3, "shop": 1},
        priorities=[{"priority": 0, "share": 4}, {"priority": 9, "share": 1}],
        namespaces={"a": 1, "b": 1},
        best_effort=0.25,
    )
    jobs = make_tape(setting, 3, 4000).jobs
    at_shop = jobs["site"] == setting.catalog.site_index["shop"]
    assert at_shop.mean() == pytest.approx(0.25, abs=0.03)
    assert (jobs["priority"] == 9).mean() == pytest.approx(0.2, abs=0.03)
    assert (jobs["namespace"] == 1).mean() == pytest.approx(0.5, abs=0.03)
    assert (jobs["counted"] == 0).mean() == pytest.approx(0.25, abs=0.03)


def test_a_job_without_a_deadline_is_served_and_not_counted() -> None:
    setting = far_apart([], best_effort=1.0)
    sim = simulate(setting, make_tape(setting, 1, 20), "edf")
    assert sim.progress[0]["left"] == 0
    assert not sim.outcomes["violated"].any()


# start-up ------------------------------------------------------------------------------------------------
def cold(state: str) -> Setting:
    start_up = {"startup_image_absent_s": 7.0, "startup_image_present_s": 3.0, "startup_cached_s": 1.0}
    table = toy_table(toy_profile("m", "gpu", 2.0, **start_up), toy_profile("other", "gpu", 2.0, **start_up))
    return toy_setting(table, ONE_NODE, world={"startup_states": state})


@pytest.mark.parametrize(("state", "first_s"), [("absent", 7.0), ("image", 3.0), ("cached", 1.0)])
def test_the_first_run_on_a_node_pays_for_what_is_missing_there(state: str, first_s: float) -> None:
    setting = cold(state)
    sim = simulate(setting, hand_tape(setting, [0.0, 20.0], [30.0, 30.0], "m"), "fcfs")
    assert ends(sim) == [first_s + 2.0, 20.0 + 1.0 + 2.0]
    assert seconds(sim.outcomes["predicted_us"]) == [first_s + 2.0, 3.0]


def test_an_image_serves_the_other_models_of_its_engine() -> None:
    setting = cold("absent")
    sim = simulate(setting, hand_tape(setting, [0.0, 20.0], [30.0, 40.0], ["m", "other"]), "fcfs")
    assert ends(sim) == [9.0, 20.0 + 3.0 + 2.0]


def test_place_takes_the_node_that_has_the_image() -> None:
    profile = toy_profile("m", "gpu", 2.0, startup_image_absent_s=7.0, startup_image_present_s=7.0)
    setting = toy_setting(toy_table(profile), TWO_NODES, world={"startup_states": "absent"})
    tape = hand_tape(setting, [0.0, 0.0, 10.0], [50.0] * 3)
    tape.jobs["arrival_us"][1] = 10 * SECOND
    sim = simulate(setting, hand_tape(setting, [0.0, 20.0], [50.0] * 2), "fcfs")
    assert sim.outcomes["node"].tolist() == [0, 0]
    assert ends(sim) == [9.0, 22.0]


def test_pods_of_one_node_start_one_after_the_other() -> None:
    table = toy_table(toy_profile("m", "gpu", 2.0))
    machines = [{"name": "n", "hardware": {"gpu": 3}}]
    setting = toy_setting(table, machines, delays={"pod_start_s": 1.0, "start_gap_s": 0.5})
    sim = simulate(setting, hand_tape(setting, [0.0] * 3, [9.0] * 3), "fcfs")
    assert ends(sim) == [3.0, 3.5, 4.0]
    assert seconds(sim.outcomes["predicted_us"]) == [3.0, 3.5, 4.0]


# neighbours ----------------------------------------------------------------------------------------------
def shared_node(slowdown: float) -> Setting:
    table = toy_table(toy_profile("m", "gpu", 4.0))
    machines = [{"name": "n", "hardware": {"gpu": 2}}]
    return toy_setting(table, machines, world={"co_tenant_slowdown": slowdown})


def test_a_neighbour_slows_down_what_is_left_of_a_run() -> None:
    setting = shared_node(1.0)
    sim = simulate(setting, hand_tape(setting, [0.0, 2.0], [20.0, 20.0]), "fcfs")
    # with half of the units taken by the other, compute takes 1.5 times as long: at 2 s the first has 2 s to do, 3 s
    # beside its neighbour; that one has done 2 of its 4 s by 5 s, and is alone from then on
    assert ends(sim) == [5.0, 7.0]


def test_the_scheduler_is_told_of_the_neighbours_there_are() -> None:
    setting = shared_node(1.0)
    sim = simulate(setting, hand_tape(setting, [0.0, 2.0], [20.0, 20.0]), "fcfs")
    assert seconds(sim.outcomes["predicted_us"]) == [4.0, 6.0]


def test_energy_is_that_of_the_time_it_really_took() -> None:
    setting = shared_node(1.0)
    sim = simulate(setting, hand_tape(setting, [0.0, 2.0], [20.0, 20.0]), "fcfs")
    np.testing.assert_allclose(sim.outcomes["energy_j"], [50.0, 50.0])  # 10 W above idle
    np.testing.assert_allclose(sim.machines["energy_j"], [100.0])


def test_start_up_is_not_slowed_down() -> None:
    table = toy_table(toy_profile("m", "gpu", 4.0, startup_cached_s=2.0))
    machines = [{"name": "n", "hardware": {"gpu": 2}}]
    setting = toy_setting(table, machines, world={"co_tenant_slowdown": 1.0})
    sim = simulate(setting, hand_tape(setting, [0.0, 0.0], [30.0, 30.0]), "fcfs")
    assert ends(sim) == [8.0, 8.0]  # 2 s, and 4 s of compute at 1.5 times as long


# decisions and binds -------------------------------------------------------------------------------------
def test_what_comes_while_a_decision_is_made_waits_for_the_next_round() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    machines = [{"name": "n", "hardware": {"gpu": 2}}]
    setting = toy_setting(table, machines, delays={"decision_s": 0.3, "bind_s": 0.1})
    sim = simulate(setting, hand_tape(setting, [1.0, 1.1], [9.0, 9.0]), "fcfs")
    assert starts(sim) == [1.0, 1.3]
    assert ends(sim) == [2.4, 2.7]  # each begins when its decision is out and bound


def test_a_bind_that_fails_is_made_again_and_the_scheduler_did_not_know() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    delays = {"bind_s": 0.5, "bind_failures": 0.5}
    setting = toy_setting(table, ONE_NODE, delays=delays)
    sim = simulate(setting, hand_tape(setting, np.arange(60) * 100.0, np.arange(60) * 100.0 + 50.0), "fcfs")
    took = sim.outcomes["finish_us"] - sim.outcomes["start_us"]
    assert (sim.outcomes["predicted_us"] == 1.5 * SECOND).all()
    tries = (took - 1.5 * SECOND) / (1.5 * SECOND)  # each the bind and a second
    assert set(tries.tolist()) >= {0.0, 1.0, 2.0}
    assert (tries % 1.0 == 0.0).all()


# nodes ---------------------------------------------------------------------------------------------------
def test_what_a_dead_node_ran_waits_again_when_that_is_noticed() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 10.0)), TWO_NODES)
    tape = hand_tape(setting, [0.0], [60.0])
    sim = simulate(setting, with_changes(tape, (4.0, 0, DIES), (7.0, 0, NOTICED), (50.0, 0, BACK)), "fcfs")
    assert (starts(sim), ends(sim)) == ([7.0], [17.0])
    assert sim.outcomes[0]["node"] == 1
    assert sim.outcomes[0]["attempt"] == 1
    np.testing.assert_allclose(
        sim.outcomes["energy_j"], [40.0 + 100.0]
    )  # 10 W above idle for 4 s and for 10 s


def test_a_lost_job_keeps_its_arrival_and_its_deadline() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 10.0)), TWO_NODES)
    tape = hand_tape(setting, [0.0], [12.0])
    sim = simulate(setting, with_changes(tape, (4.0, 0, DIES), (7.0, 0, NOTICED), (50.0, 0, BACK)), "fcfs")
    assert sim.outcomes[0]["violated"] == 1
    assert ends(sim) == [17.0]


def test_what_is_started_on_a_node_that_nobody_knows_is_dead_is_lost_too() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 2.0)), ONE_NODE)
    tape = with_changes(hand_tape(setting, [1.0], [60.0]), (0.5, 0, DIES), (5.0, 0, NOTICED), (9.0, 0, BACK))
    sim = simulate(setting, tape, "fcfs")
    assert (starts(sim), ends(sim)) == ([9.0], [11.0])
    np.testing.assert_allclose(sim.outcomes["energy_j"], [20.0])


def test_a_run_that_had_ended_is_not_lost_with_its_node() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 2.0)), ONE_NODE, delays={"release_s": 3.0})
    tape = with_changes(hand_tape(setting, [0.0], [60.0]), (2.5, 0, DIES), (2.5, 0, NOTICED), (9.0, 0, BACK))
    sim = simulate(setting, tape, "fcfs")
    assert ends(sim) == [2.0]
    assert sim.outcomes[0]["attempt"] == 0


def test_a_closed_node_finishes_what_it_runs_and_takes_nothing_new() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 4.0)), ONE_NODE)
    tape = with_changes(hand_tape(setting, [0.0, 2.0], [60.0, 60.0]), (1.0, 0, CLOSES), (30.0, 0, OPENS))
    sim = simulate(setting, tape, "fcfs")
    assert (starts(sim), ends(sim)) == ([0.0, 30.0], [4.0, 34.0])


def test_a_change_of_nodes_changes_what_the_cluster_is_said_to_sustain() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 4.0)), TWO_NODES)
    tape = with_changes(hand_tape(setting, [5.0], [60.0]), (1.0, 0, CLOSES))
    sim = simulate(setting, tape, "fcfs")
    assert sim.state.clock[0]["capacity_sps"] == pytest.approx(0.25, rel=1e-6)
    assert setting.capacity.jobs_per_s == pytest.approx(0.5, rel=1e-6)


def test_holds_are_let_go_when_a_node_changes() -> None:
    table = toy_table(toy_profile("m", "fast", 4.0), toy_profile("m", "slow", 30.0))
    machines = [{"name": "f", "hardware": {"fast": 1}}, {"name": "s", "hardware": {"slow": 1}}]
    setting = toy_setting(table, machines)
    tape = hand_tape(setting, [0.0, 0.5], [60.0, 10.0])
    fast = setting.catalog.node_index["f-0"]
    sim = simulate(setting, with_changes(tape, (1.0, fast, CLOSES)), "sjf_feasible")
    assert sim.outcomes[1]["held_us"] == SECOND // 2
    assert starts(sim)[1] == 1.0  # hopeless now: on what there is


def test_nodes_die_as_often_as_the_scenario_says() -> None:
    table = toy_table(toy_profile("m", "gpu", 1.0))
    machines = [{"name": "n", "count": 50, "hardware": {"gpu": 1}}]
    failures = {"per_node_hour": 2.0, "repair_s": 60.0, "unnoticed_s": 10.0}
    setting = toy_setting(table, machines, world={"failures": failures})
    tape = make_tape(setting, 4, 200_000)
    deaths = tape.changes[tape.changes["kind"] == DIES]
    span_h = (1.5 * 250_000 / setting.rate_sps + 660.0) / 3600.0
    deaths = deaths[deaths["at_us"] < span_h * 3600e6]
    per_node_hour = len(deaths) / span_h / 50
    assert per_node_hour == pytest.approx(
        2.0 / (1.0 + 2.0 * 63.0 / 3600.0), rel=0.1
    )  # some of the time they are dead


def test_a_dead_node_does_not_idle() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 10.0)), TWO_NODES)
    tape = with_changes(hand_tape(setting, [0.0], [60.0]), (4.0, 0, DIES), (7.0, 0, NOTICED), (9.0, 0, BACK))
    sim = simulate(setting, tape, "fcfs")
    energy_j = node_energy_j(setting, sim)  # a toy idles at 10 W
    np.testing.assert_allclose(energy_j, [[10.0 * (17.0 - 5.0), 40.0], [10.0 * 17.0, 100.0]])


# pods of others ------------------------------------------------------------------------------------------
def test_a_pod_of_others_takes_its_room_while_it_is_there() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 2.0)), ONE_NODE)  # 8 cores; a job takes one
    sim = simulate(setting, with_pod(hand_tape(setting, [1.0], [60.0]), 0.0, 12.0, 7500), "fcfs")
    assert starts(sim) == [12.0]


def test_a_pod_of_others_that_does_not_fit_when_it_comes_stays_away() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 2.0)), ONE_NODE)
    sim = simulate(setting, with_pod(hand_tape(setting, [0.0, 3.0], [60.0, 60.0]), 1.0, 12.0, 7500), "fcfs")
    assert starts(sim) == [0.0, 3.0]


def test_nobody_waits_for_a_pod_of_which_nothing_is_known() -> None:
    table = toy_table(toy_profile("m", "fast", 2.0), toy_profile("m", "slow", 9.0))
    machines = [{"name": "f", "hardware": {"fast": 1}}, {"name": "s", "hardware": {"slow": 1}}]
    setting = toy_setting(table, machines)
    sim = simulate(setting, with_pod(hand_tape(setting, [1.0], [60.0]), 0.0, 500.0, 7500), "sjf_feasible")
    assert setting.catalog.node_index["f-0"] == 0
    assert starts(sim) == [1.0]
    assert setting.catalog.profiles[sim.outcomes[0]["option"]].hardware == "slow"


def test_a_pod_of_others_slows_down_its_neighbours() -> None:
    setting = toy_setting(
        toy_table(toy_profile("m", "gpu", 4.0)), ONE_NODE, world={"co_tenant_slowdown": 1.0}
    )
    sim = simulate(setting, with_pod(hand_tape(setting, [0.0], [60.0]), 2.0, 90.0, 4000), "fcfs")
    assert ends(sim) == [5.0]  # 2 s of compute left, beside half of the cores


def test_a_slot_serves_again_after_a_pod_has_gone() -> None:
    setting = toy_setting(toy_table(toy_profile("m", "gpu", 2.0)), ONE_NODE)
    tape = with_pod(hand_tape(setting, [5.0, 6.0], [60.0, 60.0]), 0.0, 3.0, 1000)
    sim = simulate(setting, tape, "fcfs")
    assert ends(sim) == [7.0, 9.0]
    assert sim.state.clock[0]["n_running"] == 0
    assert sim.state.clock[0]["running_top"] == 1


def test_a_start_takes_what_the_survey_said_it_would() -> None:
    setting = shared_node(0.5)
    sim, _ = fresh(setting, hand_tape(setting, [0.0], [9.0]))
    state = sim.state
    state.nodes[0]["busy_ppm"] = 400_000
    queued = state.queue[0]
    queued["samples"], queued["model"], queued["classes"] = 1, 0, -1
    state.clock[0]["n_queued"] = 1
    slot = start(state, 0, 0, 0)
    assert state.running[slot]["run_us"] == round(4.0 * 1.2 * SECOND)
    assert take_slot(state) != slot


def test_nothing_goes_on_by_default() -> None:
    tape = make_tape(toy_setting(toy_table(toy_profile("m", "gpu", 1.0)), ONE_NODE), 1, 20)
    assert len(tape.changes) == len(tape.pods) == 0


def test_a_cluster_in_a_batch_with_a_rougher_one_has_no_deaths_of_its_own() -> None:
    rough, calm = (setting_of(scenarios.load(name)) for name in ("rough", "kiosk"))
    tape = make_tape(calm, 5, 60, tail=0.0)
    batch = new_batch([rough, calm], 1, 60)
    load(batch, 0, calm, tape)
    rule = RULE_NUMBER["sjf_feasible"]
    while batch.alive[0]:
        step(batch, batch.shown.picks[:, rule].astype(np.int64))
    alone = simulate(calm, tape, "sjf_feasible").outcomes
    started = alone["start_us"] < tape.jobs["arrival_us"][-1]
    np.testing.assert_array_equal(batch.sims.outcomes[0]["start_us"][started], alone["start_us"][started])
    assert not batch.sims.machines["dead"].any()
