"""Constraints may admit one device of a node and not another; models of jobs' own share what runs teach."""

from dataclasses import replace

from worlds import toy_profile, toy_table

from synergai.agents.heuristics import Rule
from synergai.envs.cluster import Cluster
from synergai.envs.types import Decision, Device, Job, Node
from synergai.offline_profiles.table import own_address

FAST, SLOW = toy_profile("net", "gpu", 1.0), toy_profile("net", "cpu", 10.0, device_units=0)
BOTH = Node("both", (Device("gpu", 4), Device("cpu", 0)), 8000, 8192)
PLAIN = Node("plain", (Device("cpu", 0),), 8000, 8192)


def job(**changes: object) -> Job:
    return replace(Job("default/a", "net", 5, 0, 10**9), **changes)


def started(cluster: Cluster, wanted: Job) -> Decision:
    cluster.enqueue(wanted)
    (decision,) = cluster.round(0, Rule("sjf_feasible"))
    return decision


def cluster(*nodes: Node) -> Cluster:
    made = Cluster(toy_table(FAST, SLOW))
    made.set_nodes(nodes)
    return made


def test_without_constraints_the_fastest_device_is_taken() -> None:
    decision = started(cluster(BOTH, PLAIN), job())
    assert (decision.node, decision.hardware) == ("both", "gpu")


def test_a_device_that_is_barred_is_not_taken_and_the_nodes_other_one_is() -> None:
    decision = started(cluster(BOTH), job(barred=frozenset({("both", "gpu")})))
    assert (decision.node, decision.hardware) == ("both", "cpu")


def test_what_is_barred_on_one_node_is_admitted_on_another() -> None:
    decision = started(cluster(BOTH, PLAIN), job(barred=frozenset({("both", "gpu"), ("both", "cpu")})))
    assert (decision.node, decision.hardware) == ("plain", "cpu")


def test_a_job_all_of_whose_devices_are_barred_waits() -> None:
    made = cluster(PLAIN)
    made.enqueue(job(barred=frozenset({("plain", "cpu")})))
    assert list(made.round(0, Rule("sjf_feasible"))) == []
    assert made.queued() == 1


def test_devices_stay_barred_when_nodes_come() -> None:
    made = cluster(BOTH)
    made.enqueue(job(barred=frozenset({("both", "gpu")})))
    made.set_node(PLAIN)
    (decision,) = made.round(0, Rule("sjf_feasible"))
    assert decision.hardware == "cpu"


def test_a_run_of_a_model_of_its_own_teaches_the_model_itself_and_the_other_way_round() -> None:
    own = own_address("net", "3fa2c1d0")
    made = Cluster(toy_table(FAST, SLOW, replace(FAST, model="net@3fa2c1d0")))
    made.set_nodes([BOTH])
    for n, model in enumerate((own, "net")):
        before = made.learnt()
        decision = started(made, job(key=f"default/{n}", model=model, hardware=frozenset({"gpu"})))
        made.release(decision.job, 0, observed_run_s=15.0)
        (learnt,) = made.learnt().values()
        assert learnt.runs == n + 1
        assert before != made.learnt()
    seen = [record for record in made.state.history if record["count"] > 0]
    assert len(seen) == 2
    assert seen[0] == seen[1]
