"""No pod of ours is left without a word: the fallback rule places it with a warning, or it is parked with a reason."""

from typing import Any

import pytest
from bridge_fakes import ANNOTATIONS, raw_node, raw_pod
from bridge_world import World

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.entries import Stage

MODEL, SAMPLES, HARDWARE = keys.ANNOTATION_MODEL, keys.ANNOTATION_SAMPLES, keys.ANNOTATION_HARDWARE


def asking(**extended: str) -> dict[str, Any]:
    quantities = {name.replace("_", "/"): value for name, value in extended.items()}
    resources = {"requests": {"cpu": "100m", "memory": "64Mi", **quantities}, "limits": quantities}
    return {"containers": [{"name": "runner", "resources": resources}]}


@pytest.mark.parametrize(
    ("annotations", "spec", "reason", "word"),
    [
        ({}, {}, "InvalidAnnotation", MODEL),
        ({MODEL: "net"}, {}, "InvalidAnnotation", SAMPLES),
        ({MODEL: "net", SAMPLES: "many"}, {}, "InvalidAnnotation", "'many'"),
        (ANNOTATIONS | {keys.ANNOTATION_DEADLINE: "soon"}, {}, "InvalidAnnotation", "'soon'"),
        (ANNOTATIONS | {keys.ANNOTATION_SCHEMA: "9"}, {}, "InvalidAnnotation", "'9'"),
        (ANNOTATIONS | {keys.ANNOTATION_ORIGIN_SITE: "/"}, {}, "InvalidAnnotation", "'/'"),
        (ANNOTATIONS | {HARDWARE: ","}, {}, "InvalidAnnotation", "','"),
        ({MODEL: "nothing", SAMPLES: "1"}, {}, "UnknownModel", "'nothing'"),
        ({MODEL: "net:9", SAMPLES: "1"}, {}, "UnknownModel", "'net:9'"),
        ({MODEL: "edge", SAMPLES: "1", HARDWARE: "gpu-a"}, {}, "UnknownModel", "on the hardware"),
        (
            ANNOTATIONS,
            {"containers": asking(**{"nvidia.com_gpu": "2"})["containers"]},
            "UnsupportedSpec",
            "2 nvidia",
        ),
    ],
)
def test_what_cannot_be_understood_is_told_and_placed_or_parked(annotations, spec, reason, word):
    world = World()
    world.pod(raw_pod("a", annotations, **spec))
    notice = next(notice for notice in world.notices if notice.reason == reason)
    assert notice.warning
    assert word in notice.message
    assert "least_allocated places the pod by its own requests" in notice.message
    if world.stage() is Stage.PARKED:
        assert "FailedScheduling" in world.reasons()
        return
    (order,) = world.round()
    assert (order.node, order.record.decided_by, order.record.configuration) == ("n0", "least_allocated", "")


@pytest.mark.parametrize(
    ("annotations", "spec", "why"),
    [
        (ANNOTATIONS | {HARDWARE: "tpu"}, {}, "had none of the hardware"),
        (ANNOTATIONS | {HARDWARE: "xeon"}, {}, "had none of the hardware"),
        ({MODEL: "edge", SAMPLES: "1"}, {}, "had none of the hardware"),
        (ANNOTATIONS, asking(**{"example.com_fpga": "1"}), "Insufficient example.com/fpga"),
        (ANNOTATIONS, asking(nvidia_gpu="1"), "Insufficient nvidia/gpu"),
        (ANNOTATIONS, asking(**{"nvidia.com_gpu": "3"}), "Insufficient nvidia.com/gpu"),
        ({}, {"nodeSelector": {"zone": "x"}}, "didn't match Pod's node affinity/selector"),
    ],
)
def test_what_no_node_can_take_is_parked_with_the_reason(annotations, spec, why):
    world = World()
    world.pod(raw_pod("a", annotations, **spec))
    assert world.stage() is Stage.PARKED
    (notice,) = [notice for notice in world.notices if notice.reason == "FailedScheduling"]
    assert why in notice.message


@pytest.mark.parametrize("hardware", ["xeon", "jetson"])
def test_a_node_of_the_hardware_that_was_missing_ends_the_wait(hardware):
    world = World()
    world.pod(raw_pod("a", ANNOTATIONS | {HARDWARE: hardware}))
    world.node(raw_node("n1", {hardware: "1"}))
    assert (world.stage(), world.cluster.jobs["default/a"].hardware) == (Stage.QUEUED, {hardware})


def test_a_job_that_is_too_large_for_every_node_is_told_so_and_goes_on_when_a_larger_one_comes():
    world = World(nodes=0)
    small = raw_node("n0")
    small["status"]["allocatable"]["cpu"] = "900m"  # its configuration takes a whole one
    world.node(small)
    world.pod(raw_pod("a"))
    assert (world.stage(), world.reasons()) == (Stage.PARKED, ["FailedScheduling"])
    assert "1 node(s) were too small for every configuration of the model" in world.notices[0].message
    world.node(raw_node("n1"))
    assert world.stage() is Stage.QUEUED


def test_without_any_node_a_pod_is_parked_with_a_reason():
    world = World(nodes=0)
    world.pod(raw_pod("a"))
    assert (world.stage(), world.reasons()) == (Stage.PARKED, ["FailedScheduling"])


def test_annotations_that_are_mended_give_the_pod_its_configuration():
    world = World(slots=0)
    world.pod(raw_pod("a", {}))
    assert world.stage() is Stage.PLAIN
    world.pod(raw_pod("a"), "MODIFIED")
    assert world.stage() is Stage.QUEUED


def test_storage_is_no_device_and_names_no_hardware():
    world = World()
    storage = {"requests": {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "5Gi"}}
    world.pod(raw_pod("a", containers=[{"name": "runner", "resources": storage}]))
    ask = world.pods.entries["default/a"].ask
    assert ask is not None
    assert (ask.reason, ask.job is not None) == ("", True)
