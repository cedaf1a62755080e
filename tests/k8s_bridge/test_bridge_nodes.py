"""Nodes: devices by label, room net of others, and why a node is not used."""

import pytest
from bridge_fakes import raw_node, table

from synergai.envs.types import Device
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.admission.requests import Requests
from synergai.k8s_bridge.nodes import NodeFacts, read_node, to_node

HARDWARE = table().hardware


def facts(raw) -> NodeFacts:
    return read_node(raw, HARDWARE)


def test_a_label_per_device_gives_the_devices():
    assert facts(raw_node("a", {"gpu-a": "4", "xeon": "1"})).devices == (
        Device("gpu-a", 4),
        Device("xeon", 0),
    )


def test_units_follow_the_device_plugin_when_it_has_lost_some():
    raw = raw_node("a", {"gpu-a": "4"})
    raw["status"]["allocatable"]["nvidia.com/gpu"] = "3"
    assert facts(raw).devices == (Device("gpu-a", 3),)


@pytest.mark.parametrize(
    ("devices", "named"),
    [
        ({"tpu": "1"}, "names hardware without profiles"),
        ({"gpu-a": "1", "tpu": "1"}, "names hardware without profiles"),
        ({"gpu-a": "many"}, "'many'"),
        ({"gpu-a": "0"}, "'0'"),
        ({"gpu-a": "-1"}, "'-1'"),
    ],
)
def test_a_bad_hardware_label_is_a_problem(devices, named):
    assert named in facts(raw_node("a", devices)).problem


def test_a_node_without_a_hardware_label_is_a_problem():
    raw = raw_node("a")
    raw["metadata"]["labels"] = {keys.LABEL_DEDICATED: "true"}
    assert "no hardware label" in facts(raw).problem


def test_a_node_that_is_not_dedicated_is_left_alone():
    raw = raw_node("a")
    del raw["metadata"]["labels"][keys.LABEL_DEDICATED]
    assert "dedicated" in facts(raw).problem


def test_a_node_that_is_not_dedicated_is_used_when_nodes_are_shared():
    raw = raw_node("a")
    del raw["metadata"]["labels"][keys.LABEL_DEDICATED]
    assert read_node(raw, HARDWARE, shared_nodes=True).problem == ""


def test_a_damaged_allocatable_is_a_problem():
    raw = raw_node("a")
    raw["status"]["allocatable"]["cpu"] = "lots"
    assert "'lots'" in facts(raw).problem


@pytest.mark.parametrize(
    ("spec", "ready"),
    [
        ({}, True),
        ({"unschedulable": True}, False),
        ({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}, False),
        ({"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]}, False),
        ({"taints": [{"key": "mine", "effect": "NoSchedule"}]}, True),
        ({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "PreferNoSchedule"}]}, True),
    ],
)
def test_readiness_comes_from_cordon_and_taints(spec, ready):
    assert facts(raw_node("a", **spec)).ready is ready


def test_room_is_net_of_other_schedulers_pods():
    node = to_node(facts(raw_node("a")), HARDWARE, [Requests(1000, 1024), Requests(500, 0)])
    assert (node.cpu_milli, node.memory_mib, node.pods) == (6500, 15360, 8)


def test_units_are_net_of_other_schedulers_pods():
    node = to_node(facts(raw_node("a")), HARDWARE, [Requests(0, 0, (("nvidia.com/gpu", 1),))])
    assert node.devices == (Device("gpu-a", 1),)


def test_room_is_never_negative():
    assert to_node(facts(raw_node("a")), HARDWARE, [Requests(99_000, 0)]).cpu_milli == 0


def test_the_site_is_the_zone():
    raw = raw_node("a")
    raw["metadata"]["labels"][keys.LABEL_SITE] = "plant-3"
    assert to_node(facts(raw), HARDWARE).site == "plant-3"
