"""What runs have taught outlives the numbers of options, nodes that go, and one run that says nonsense."""

import numpy as np
import pytest
from worlds import toy_profile, toy_table

from synergai.envs.calibration import known_ratio
from synergai.envs.cluster import Cluster
from synergai.envs.learnt import WIDEST_LOG, Learnt, OptionName
from synergai.envs.types import Device, Job, Node
from synergai.offline_profiles.table import ProfileTable


def table() -> ProfileTable:
    return toy_table(toy_profile("net", "gpu-a", 0.01))


def node(name: str = "n0", site: str = "") -> Node:
    return Node(name, (Device("gpu-a", 4),), 64_000, 64_000, site=site)


def cluster(*nodes: Node) -> Cluster:
    made = Cluster(table())
    made.set_nodes(nodes or [node()])
    return made


def run(made: Cluster, times_as_long: float, on: str = "n0", key: str = "a") -> None:
    (profile,) = table().of("net", "gpu-a")
    made.adopt(Job(key, "net", 100, 0), on, "gpu-a", profile.configuration, 0)
    predicted_s = made.predicted_s(key)
    assert predicted_s is not None
    made.release(key, 10**6, times_as_long * predicted_s)


def option(site: str = "") -> OptionName:
    (profile,) = table().of("net", "gpu-a")
    return OptionName("net", "gpu-a", profile.configuration, site)


def test_what_was_learnt_is_told_by_name() -> None:
    made = cluster()
    assert made.learnt() == {}
    run(made, 2.0)
    assert made.learnt() == {option(): Learnt(1.0, pytest.approx(np.log(2.0), abs=1e-5))}


def test_another_cluster_that_is_told_predicts_the_same() -> None:
    taught, told = cluster(), cluster()
    for n in range(7):
        run(taught, 1.5, key=f"k{n}")
    told.learn(taught.learnt())
    assert told.state.history.tobytes() == taught.state.history.tobytes()


def test_what_is_told_before_the_nodes_are_known_counts_when_they_come() -> None:
    made = Cluster(table())
    made.learn({option(): Learnt(5.0, 0.3)})
    made.set_node(node())
    assert made.state.history[0].tolist() == (0.3, 5.0)


def test_a_node_that_goes_and_comes_back_has_not_been_forgotten() -> None:
    made = cluster()
    run(made, 2.0)
    made.remove_node("n0")
    made.set_node(node())
    assert made.state.history["count"].tolist() == [1.0]
    assert made.learnt().keys() == {option()}


def test_sites_keep_what_each_has_learnt_when_nodes_change() -> None:
    made = cluster(node("n0", "a"), node("n1", "b"))
    run(made, 2.0, "n0")
    run(made, 0.5, "n1")
    made.set_node(node("n2", "c"))
    learnt = made.learnt()
    assert learnt[option("a")].log_ratio == pytest.approx(np.log(2.0), abs=1e-5)
    assert learnt[option("b")].log_ratio == pytest.approx(np.log(0.5), abs=1e-5)


def test_a_new_site_begins_with_what_the_others_know() -> None:
    made = cluster(node("n0", "a"))
    run(made, 2.0)
    made.set_node(node("n1", "b"))
    assert made.state.history["count"].tolist() == [1.0, 1.0]


def test_of_two_histories_the_one_of_more_runs_counts() -> None:
    made = cluster()
    run(made, 2.0)
    made.learn({option(): Learnt(0.5, 1.0)})
    assert made.learnt()[option()].runs == 1.0
    made.learn({option(): Learnt(3.0, 1.0)})
    assert made.learnt() == {option(): Learnt(3.0, 1.0)}


@pytest.mark.parametrize("times_as_long", [1e-6, 1e-3, 1e3, 1e6])
def test_a_run_that_says_nonsense_is_soon_outvoted(times_as_long: float) -> None:
    made = cluster()
    run(made, times_as_long)
    assert abs(made.state.history[0]["log_ratio"]) == pytest.approx(WIDEST_LOG, abs=1e-3)
    for n in range(20):
        run(made, 1.0, key=f"k{n}")
    assert abs(np.exp(known_ratio(made.state.history[0])) - 1.0) < 0.05


def test_one_in_twenty_that_says_nonsense_moves_no_prediction_far() -> None:
    made = cluster()
    for n in range(20):
        run(made, 1.0, key=f"k{n}")
    run(made, 1e3)
    assert np.exp(known_ratio(made.state.history[0])) < 1.55


def test_what_is_told_is_bounded_too() -> None:
    made = cluster()
    made.learn({option(): Learnt(5.0, 100.0)})
    assert made.learnt()[option()].log_ratio == WIDEST_LOG


def test_an_option_of_no_profile_harms_nothing() -> None:
    made = cluster()
    made.learn({OptionName("another", "gpu-z", "x"): Learnt(5.0, 1.0)})
    assert made.state.history["count"].tolist() == [0.0]


def test_a_copy_of_the_state_has_what_was_learnt() -> None:
    made = cluster()
    made.learn({option(): Learnt(5.0, 0.3)})
    assert made.state.copy().history[0].tolist() == (0.3, 5.0)
