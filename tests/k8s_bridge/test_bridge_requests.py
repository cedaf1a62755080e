"""Requests of pods that are resized, and of pods that ask as a whole."""

import pytest

from synergai.k8s_bridge.admission.requests import pod_requests


def spec(cpu: str, **more):
    return {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}], **more}


def status(has: str | None, given: str | None, reason: str = "", **more):
    container = {"name": "c"}
    if has is not None:
        container["resources"] = {"requests": {"cpu": has}}
    if given is not None:
        container["allocatedResources"] = {"cpu": given}
    pending = [{"type": "PodResizePending", "status": "True", "reason": reason}] if reason else []
    return {"containerStatuses": [container], "conditions": pending, **more}


@pytest.mark.parametrize(
    ("name", "asked", "known", "cpu_milli"),
    [
        ("not started", spec("1"), {}, 1000),
        ("as it asks", spec("1"), status("1", "1"), 1000),
        ("growing", spec("3"), status("1", "1"), 3000),
        ("growing, and given", spec("3"), status("1", "3"), 3000),
        ("shrinking", spec("1"), status("3", "1"), 3000),
        ("shrinking, not yet given", spec("1"), status("1", "3"), 3000),
        ("deferred", spec("3"), status("1", "1", "Deferred"), 3000),
        ("infeasible: it keeps what it has", spec("3"), status("1", "1", "Infeasible"), 1000),
        ("a status that says nothing", spec("3"), status(None, "9"), 3000),
        (
            "another container's status",
            spec("3"),
            {"containerStatuses": [{"name": "d", "resources": {"requests": {"cpu": "9"}}}]},
            3000,
        ),
        ("the pod asks for more than its containers", spec("1", resources={"requests": {"cpu": "2"}}), {}, 2000),
        ("the pod asks for less", spec("3", resources={"requests": {"cpu": "2"}}), {}, 2000),
        ("the pod asks for memory alone", spec("3", resources={"requests": {"memory": "1Gi"}}), {}, 3000),
        ("overhead comes on top of the pod's", spec("1", resources={"requests": {"cpu": "2"}}, overhead={"cpu": "1"}),
         {}, 3000),
        ("the pod is resized", spec("1", resources={"requests": {"cpu": "2"}}),
         {"resources": {"requests": {"cpu": "4"}}, "allocatedResources": {"cpu": "3"}}, 4000),
        ("a sidecar is resized", spec("1", initContainers=[
            {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}]),
         {"initContainerStatuses": [{"name": "s", "resources": {"requests": {"cpu": "5"}}}]}, 6000),
    ],
)  # fmt: skip
def test_cpu_is_counted_as_kube_scheduler_does(name, asked, known, cpu_milli):
    assert pod_requests(asked, known).cpu_milli == cpu_milli, name


def test_other_resources_of_the_pod_as_a_whole_are_those_of_its_containers():
    containers = [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]
    found = pod_requests(
        {"containers": containers, "resources": {"requests": {"cpu": "1", "hugepages-2Mi": "4Mi"}}}
    )
    assert found.extended == (("hugepages-2Mi", 4 * 2**20), ("nvidia.com/gpu", 1))
