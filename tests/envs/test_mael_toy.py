"""MAEL, SLO-MAEL and SynergAI's switches on instances worked out by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from scenes import Pick, Scene
from worlds import hand_tape, simulate, toy_profile, toy_setting, toy_table

from synergai.envs.rules import RULE_NUMBER, pick
from synergai.envs.state import NONE, release, start
from synergai.envs.survey import take_survey
from synergai.envs.switches import rule_number

# seconds:      fast  slow
#   vision        1     3
#   speech        2     2.5
TABLE = toy_table(
    toy_profile("vision", "gpu-fast", 1.0),
    toy_profile("vision", "gpu-slow", 3.0, active_w=12.0),  # 2 W above idle: 6 J against 10 J
    toy_profile("speech", "gpu-fast", 2.0),
    toy_profile("speech", "gpu-slow", 2.5),
)
MACHINES = [{"name": "fast", "hardware": {"gpu-fast": 1}}, {"name": "slow", "hardware": {"gpu-slow": 1}}]
FAST, SLOW = 0, 1


def scene(machines: list[dict[str, object]] = MACHINES) -> Scene:
    return Scene(TABLE, machines)


def assigned(moment: Scene) -> list[int]:
    return moment.state.queue["assigned"][: len(moment.names)].tolist()


def window_us(moment: Scene) -> int:
    return int(0.1 * moment.state.clock[0]["tau_us"])


def plan(moment: Scene, rule: str) -> list[int]:
    """The groups that the jobs of an idle cluster get: the window closes at once."""
    moment.pick(rule)
    return assigned(moment)


# which combination ------------------------------------------------------------------------------------------
def two_models() -> Scene:
    # fast, fast: 2 + 3; fast, slow: 2 + 3; slow, fast: 2.5 + 1; slow, slow: 2.5 + 5.5
    return scene().wait("speech", "speech", 50).wait("vision", "vision", 50)


def one_in_a_hurry() -> Scene:
    # latencies  fast, fast: 1 + 2; slow, fast: 3 + 1. Scores: 1 - 200; 1 + 1, as 4.5 >= 1.5 x 3
    return scene().wait("patient", "vision", 4.5).wait("hurried", "vision", 1.5)


def both_in_a_hurry() -> Scene:
    # scores  fast, fast: 1 - 200; fast, slow: 1 - 300; slow, fast: -300 + 1; slow, slow: -300 - 600
    return scene().wait("first", "vision", 1.5).wait("second", "vision", 1.5)


PLANS: dict[str, tuple[str, Callable[[], Scene], list[int]]] = {
    "mael gives up the fast device where that is better for the sum": ("mael", two_models, [SLOW, FAST]),
    "slo_mael breaks ties of the score by the sum": ("slo_mael", two_models, [SLOW, FAST]),
    "mael does not look at deadlines": ("mael", one_in_a_hurry, [FAST, FAST]),
    "slo_mael spends slack": ("slo_mael", one_in_a_hurry, [SLOW, FAST]),
    "slo_mael adds the scores up": ("slo_mael", both_in_a_hurry, [FAST, FAST]),
    "the published form looks at the last job alone": ("slo_mael_published", both_in_a_hurry, [SLOW, FAST]),
}


@pytest.mark.parametrize("name", PLANS)
def test_assignment(name: str) -> None:
    rule, make, expected = PLANS[name]
    assert plan(make(), rule) == expected


def test_the_time_waited_so_far_is_part_of_the_latency() -> None:
    # the hurried one behind the other: -150 x 2 / 2.9 = -103. The patient one on the slow device: 4.5 >= 1.5 x 3 makes
    # it 1; after a second of waiting 4.5 < 1.5 x 4 makes it -150 x 4 / 4.5 = -133
    fresh = scene().wait("patient", "vision", 4.5, 0.0).wait("hurried", "vision", 2.9)
    waited = scene().wait("patient", "vision", 3.5, -1.0).wait("hurried", "vision", 2.9)
    assert plan(fresh, "slo_mael") == [SLOW, FAST]
    assert plan(waited, "slo_mael") == [FAST, FAST]


def test_a_group_of_two_servers_takes_half_as_long_for_the_next() -> None:
    # the third vision job finds 2 / 2 = 1 s of backlog on the two fast devices, and 1 + 1 is less than 3
    moment = scene([{**MACHINES[0], "count": 2}, MACHINES[1]])
    for name in "abcd":
        moment.wait(name, "vision", 50)
    # latencies on fast: 1, 1.5, 2, 2.5
    assert plan(moment, "mael") == [FAST] * 4
    assert moment.state.groups["backlog_us"].tolist() == [2e6, 0.0]


def test_the_highest_priority_is_assigned_first() -> None:
    # it is the last that the published form looks at, and that gets the fast device for itself
    moment = scene().wait("first", "vision", 1.5).wait("important", "vision", 1.5, priority=1)
    assert plan(moment, "slo_mael_published") == [FAST, SLOW]


# windows ----------------------------------------------------------------------------------------------------
def gathering() -> Scene:
    """Something runs, so DONE is legal."""
    return scene().run("vision", "gpu-slow", "slow-0").wait("x", "vision", 50)


def at_window_end(moment: Scene, rule: str = "mael") -> Pick | None:
    """Opens the window now and goes to its end."""
    assert moment.pick(rule) is None
    moment.state.clock["now_us"] = moment.state.clock[0]["wake_us"]
    return moment.pick(rule)


WINDOWS = [("mael", 0.1), ("mael:window=0.1tau", 0.1), ("mael:window=tau", 1.0), ("slo_mael:window=tau", 1.0)]


@pytest.mark.parametrize(("rule", "taus"), WINDOWS)
def test_arrivals_gather_for_a_window_and_done_asks_to_be_woken_at_its_end(rule: str, taus: float) -> None:
    moment = gathering()
    assert moment.pick(rule) is None
    assert assigned(moment) == [NONE]
    assert moment.state.clock[0]["wake_us"] == int(taus * moment.state.clock[0]["tau_us"])


def test_the_published_window_is_ten_milliseconds() -> None:
    moment = gathering()
    assert moment.pick("slo_mael:window=10ms") is None
    assert moment.state.clock[0]["wake_us"] == 10_000


def test_a_later_job_does_not_move_the_end_of_the_window() -> None:
    moment = gathering()
    moment.pick("mael")
    ends_us = moment.state.clock[0]["wake_us"]
    moment.state.clock["now_us"] = 20_000
    moment.wait("y", "vision", 50)
    assert moment.pick("mael") is None
    assert moment.state.clock[0]["wake_us"] == ends_us


def test_at_the_end_of_the_window_the_job_starts_on_its_group() -> None:
    moment = gathering()
    assert at_window_end(moment) == Pick("START", "x", "fast-0", "gpu-fast")
    assert moment.state.clock[0]["window_us"] == NONE


def test_the_window_closes_at_once_where_done_is_illegal() -> None:
    assert scene().wait("x", "vision", 50).pick("mael") == Pick("START", "x", "fast-0", "gpu-fast")


def test_the_backlog_decays_by_the_time_that_passes() -> None:
    moment = scene().wait("x", "speech", 50, classes=["gpu-fast"])
    moment.pick("mael")
    assert moment.state.groups["backlog_us"].tolist() == [2e6, 0.0]
    moment.state.clock["now_us"] = 500_000
    moment.wait("y", "vision", 50, classes=["gpu-fast"])
    moment.pick("mael")
    assert moment.state.groups["backlog_us"].tolist() == [2.5e6, 0.0]


def test_a_backlog_counts_in_the_next_window() -> None:
    # 2 s on the fast one: a vision job takes 3 s there and 3 s on the slow one, a speech job 4 s against 2.5 s
    moment = scene().wait("x", "speech", 50, classes=["gpu-fast"])
    moment.pick("mael")
    moment.wait("y", "speech", 50)
    moment.pick("mael")
    assert assigned(moment) == [FAST, SLOW]


def test_what_is_too_much_for_one_batch_is_assigned_at_once_after_it() -> None:
    moment = scene()
    for i in range(30):
        moment.wait(f"j{i}", "vision", 50)
    moment.pick("mael")
    assert NONE not in assigned(moment)


def test_looking_twice_changes_nothing_once_all_are_assigned() -> None:
    moment = both_in_a_hurry()
    first = moment.pick("slo_mael")
    before = moment.state.copy()
    assert moment.pick("slo_mael") == first
    assert all(np.array_equal(a, b) for a, b in zip(before, moment.state))


def test_a_recorded_window_closes_with_the_same_assignment() -> None:
    moment = gathering().wait("y", "speech", 50)
    moment.pick("slo_mael")
    twin = scene()
    twin.state, twin.names = moment.state.copy(), moment.names
    picks = []
    for one in (moment, twin):
        one.state.clock["now_us"] = one.state.clock[0]["window_us"]
        picks.append(one.pick("slo_mael"))
    assert picks[0] == picks[1] is not None
    assert assigned(moment) == assigned(twin) != [NONE, NONE]


# queues -----------------------------------------------------------------------------------------------------
def test_an_assigned_job_waits_for_its_busy_group_and_takes_no_other() -> None:
    moment = scene().run("vision", "gpu-fast", "fast-0").wait("x", "vision", 50)
    assert at_window_end(moment) is None
    assert assigned(moment) == [FAST]
    moment.state.clock["now_us"] += 10_000_000
    assert moment.pick("mael") is None  # slow-0 idles
    release(moment.state, 0)
    assert moment.pick("mael") == Pick("START", "x", "fast-0", "gpu-fast")


def test_a_late_job_keeps_nobody_off_a_class_that_it_was_not_assigned_to() -> None:
    moment = scene().run("vision", "gpu-fast", "fast-0").wait("late", "vision", 2)
    assert at_window_end(moment) is None
    assert assigned(moment) == [FAST]
    moment.state.clock["now_us"] += 10_000_000
    moment.state.classes["credit_us"] = 1e9
    moment.wait("other", "speech", 50, classes=["gpu-slow"], priority=1)
    assert moment.pick("fcfs") == Pick("START", "other", "slow-0", "gpu-slow")
    moment.state.queue[0]["assigned"] = NONE
    moment.state.classes["credit_us"] = 1e9
    assert moment.pick("fcfs") == Pick("START", "late", "slow-0", "gpu-slow")


def test_a_job_whose_group_can_no_longer_take_it_is_assigned_anew() -> None:
    moment = scene().run("vision", "gpu-fast", "fast-0").wait("x", "vision", 50)
    at_window_end(moment)
    moment.state.nodes[moment.catalog.node_index["fast-0"]]["ready"] = 0
    assert at_window_end(moment) == Pick("START", "x", "slow-0", "gpu-slow")
    assert assigned(moment) == [SLOW]


ONE = [MACHINES[0]]
# one fast device; at 0 s speech and vision, at 0.5 s vision again
STARTS = {
    # shortest first; then speech, 2 s / 10 after one pick, before vision, 1 s after none
    "mael": [1.0, 0.0, 3.0],
    # deadline - e: 48, 8, 7: least slack first
    "slo_mael": [2.0, 0.0, 1.0],
}


@pytest.mark.parametrize("rule", STARTS)
def test_the_order_of_a_groups_queue(rule: str) -> None:
    setting = toy_setting(TABLE, ONE)
    tape = hand_tape(setting, [0.0, 0.0, 0.5], [50.0, 9.0, 8.0], ["speech", "vision", "vision"])
    starts = simulate(setting, tape, rule).outcomes["start_us"] * 1e-6
    assert starts.tolist() == STARTS[rule]


def test_a_pick_from_a_queue_is_counted_at_the_start_and_not_before() -> None:
    moment = scene().wait("x", "vision", 50).wait("y", "vision", 50)
    moment.pick("mael")
    assert moment.state.groups["picks"].tolist() == [0, 0]
    take_survey(moment.state, moment.scratch.survey)
    pair = moment.scratch.survey.pairs[pick(moment.state, moment.scratch.survey, RULE_NUMBER["mael"])]
    slot = start(moment.state, pair["j"], pair["option"], pair["device"])
    release(moment.state, slot)
    assert moment.state.groups["picks"].tolist() == [1, 0]


# SynergAI's switches ----------------------------------------------------------------------------------------
ECONOMY = toy_table(
    toy_profile("vision", "gpu-fast", 1.0, "full"),
    toy_profile("vision", "gpu-fast", 2.0, "half", active_w=13.0),  # 6 J instead of 10 J
    toy_profile("vision", "gpu-slow", 3.0, active_w=12.0),
)


def of_two() -> Scene:
    return scene().wait("first", "vision", 9.0, arrival_s=-2).wait("second", "speech", 8.9, arrival_s=-1)


def hopeless_and_not() -> Scene:
    return scene().wait("hopeless", "vision", 0.5).wait("possible", "vision", 50, arrival_s=-1)


def fast_is_busy() -> Scene:
    return scene().run("vision", "gpu-fast", "fast-0")


Switched = tuple[Callable[[], Scene], str, Pick | None]
SWITCHED: dict[str, Switched] = {
    "order=slack": (of_two, "order=slack", Pick("START", "second", "fast-0", "gpu-fast")),
    "order=edf": (
        lambda: scene().wait("slack", "speech", 9.0).wait("due", "vision", 8.9),
        "order=edf",
        Pick("START", "due", "fast-0", "gpu-fast"),
    ),
    "order=fifo": (of_two, "order=fifo", Pick("START", "first", "fast-0", "gpu-fast")),
    "the tightest that meets it": (
        lambda: scene().wait("x", "vision", 3.0),
        "choice=tightest",
        Pick("START", "x", "slow-0", "gpu-slow"),
    ),
    "the tightest does not miss it": (
        lambda: scene().wait("x", "vision", 2.9),
        "choice=tightest",
        Pick("START", "x", "fast-0", "gpu-fast"),
    ),
    "the least energy": (
        lambda: scene().wait("x", "vision", 3.0),
        "choice=energy",
        Pick("START", "x", "slow-0", "gpu-slow"),
    ),
    "speech needs less energy on the fast one": (
        lambda: scene().wait("x", "speech", 3.0),
        "choice=energy",
        Pick("START", "x", "fast-0", "gpu-fast"),
    ),
    "hold=on": (
        lambda: fast_is_busy().wait("x", "vision", 2.5),
        "hold=on",
        Pick("HOLD", "x", "fast-0", "gpu-fast"),
    ),
    "hold=off": (lambda: fast_is_busy().wait("x", "vision", 2.5), "hold=off", None),
    "hopeless=last": (hopeless_and_not, "hopeless=last", Pick("START", "possible", "fast-0", "gpu-fast")),
    "hopeless=in_order": (
        hopeless_and_not,
        "hopeless=in_order",
        Pick("START", "hopeless", "fast-0", "gpu-fast"),
    ),
}


@pytest.mark.parametrize("name", SWITCHED)
def test_switch(name: str) -> None:
    make, switch, expected = SWITCHED[name]
    assert make().pick(f"synergai:{switch}") == expected


# deadline -> configuration, hardware
CONFIGURATIONS = [
    ("configuration=throughput", 9.0, "full", "gpu-fast"),
    ("configuration=energy", 9.0, "half", "gpu-fast"),
    ("configuration=energy", 1.9, "full", "gpu-fast"),
    ("configuration=energy:choice=tightest", 9.0, "only", "gpu-slow"),
    ("configuration=energy:choice=tightest", 2.9, "half", "gpu-fast"),
    ("configuration=energy", 0.5, "full", "gpu-fast"),
]


@pytest.mark.parametrize(("switches", "deadline_s", "configuration", "hardware"), CONFIGURATIONS)
def test_configuration(switches: str, deadline_s: float, configuration: str, hardware: str) -> None:
    moment = Scene(ECONOMY, MACHINES).wait("x", "vision", deadline_s)
    assert moment.pick(f"synergai:{switches}") == Pick("START", "x", f"{hardware[4:]}-0", hardware)
    p = pick(moment.state, moment.scratch.survey, rule_number(f"synergai:{switches}"))
    option = moment.scratch.survey.pairs[p]["option"]
    assert moment.catalog.profiles[option].configuration == configuration


def test_the_economical_configuration_is_seen_while_something_runs() -> None:
    setting = toy_setting(ECONOMY, MACHINES)
    tape = hand_tape(setting, [0.0, 0.1], [9.0, 9.0], "vision")
    sim = simulate(setting, tape, "synergai:configuration=energy:choice=energy")
    names = [setting.catalog.profiles[o].configuration for o in sim.outcomes["option"]]
    assert names == ["half", "only"]
