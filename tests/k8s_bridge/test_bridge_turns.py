"""Pods that depend on each other take turns."""

from bridge_fakes import ANNOTATIONS, raw_node, raw_pod
from bridge_world import World

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.turns import AT_ONCE
from synergai.k8s_bridge.entries import Stage

PORT = {"containers": [{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}]}


def world(pods: int, nodes: int = 9) -> World:
    made = World(slots=9, nodes=nodes)
    for n in range(pods):
        made.pod(raw_pod(f"p{n}", **PORT))
    return made


def count(made: World, stage: Stage) -> int:
    return made.pods.counts()[stage.value]


def test_only_a_few_that_are_alike_are_in_the_queue():
    made = world(AT_ONCE + 3)
    assert (count(made, Stage.QUEUED), count(made, Stage.IN_LINE)) == (AT_ONCE, 3)


def test_all_of_them_have_their_turn():
    made = world(AT_ONCE + 3)
    assert len({order.node for order in made.round()}) == AT_ONCE + 3


def test_one_that_is_deleted_in_the_queue_lets_the_next_in():
    made = world(AT_ONCE + 1)
    made.pod(raw_pod("p0", **PORT), "DELETED")
    made.pods.follow(made.now_us)
    assert (count(made, Stage.QUEUED), count(made, Stage.IN_LINE)) == (AT_ONCE, 0)


def test_one_that_is_deleted_in_line_has_no_turn():
    made = world(AT_ONCE + 2)
    made.pod(raw_pod(f"p{AT_ONCE}", **PORT), "DELETED")
    assert len(made.round()) == AT_ONCE + 1


def test_the_most_urgent_is_next():
    made = world(AT_ONCE)
    made.pod(raw_pod("late", ANNOTATIONS | {keys.ANNOTATION_DEADLINE: "90s"}, **PORT))
    made.pod(raw_pod("soon", ANNOTATIONS | {keys.ANNOTATION_DEADLINE: "30s"}, **PORT))
    made.pod(raw_pod("p0", **PORT), "DELETED")
    made.pods.follow(made.now_us)
    assert (made.stage("default/soon"), made.stage("default/late")) == (Stage.QUEUED, Stage.IN_LINE)


def test_those_whose_turn_comes_when_nothing_is_left_wait_for_a_node():
    made = world(AT_ONCE + 2, nodes=1)
    assert len(made.round()) == 1
    assert count(made, Stage.PARKED) == AT_ONCE + 1
    made.node(raw_node("more"))
    assert len(made.round()) == 1
