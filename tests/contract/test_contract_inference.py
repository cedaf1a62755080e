"""InferenceJobs and runtimes as both servers keep them, by the definitions that are shipped."""

from copy import deepcopy

import pytest

from synergai.k8s_bridge.inference.job import (
    PATH,
    Attempt,
    Condition,
    End,
    JobStatus,
    job_path,
    read_job,
    status_body,
)
from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, KIND, PLURALS, read_runtime
from tests.contract.refused import JOB, RUNTIME
from tests.contract.things import CRDS
from tests.e2e.definitions import shipped
from tests.kube_api import TABLE

AT = "2026-11-22T10:00:00.250000Z"
STATUS = JobStatus(
    phase="Failed",
    observed=1,
    deadline=AT,
    excess="1.5s",
    node="orin-7",
    configuration="trt-int8-b8",
    conditions=(Condition("Failed", True, "BackoffLimitExceeded", "3 of 3", "2026-11-22T10:00:00Z"),),
    attempts=(
        Attempt(0, "a-0", "u0", "orin-7", "jetson", "trt", "policy", AT, End("OOMKilled", "137", AT, 4210)),
        Attempt(1, "a-1", "u1"),
    ),
)


@pytest.fixture
def defined(which, request) -> bool:
    """Whether a real server has them already."""
    if which == "real":
        request.getfixturevalue("definitions")
    return which == "real"


@pytest.fixture
async def jobs(defined, space) -> str:
    """The path of the jobs of a namespace."""
    if not defined:
        for item in shipped():
            await space.made(CRDS, deepcopy(item))
    return job_path(space.name)


async def test_they_are_found_by_short_name_and_category(jobs, space):
    listed = (await space.api.get(PATH)).json["resources"]
    found = {one["name"]: (one["shortNames"], one["namespaced"]) for one in listed if "shortNames" in one}
    assert found == {
        "inferencejobs": (["ij"], True),
        "inferenceruntimes": (["ir"], True),
        "clusterinferenceruntimes": (["cir"], False),
    }
    assert {tuple(one["categories"]) for one in listed if "shortNames" in one} == {("synergai",)}


async def test_a_job_is_kept_as_it_was_sent(jobs, space):
    made = await space.made(jobs, JOB)
    assert made["spec"] == JOB["spec"]
    assert read_job(made).problem == ""


async def test_the_status_that_the_bridge_writes_is_read_as_it_was(jobs, space):
    await space.made(jobs, JOB)
    written = await space.api.merge(f"{jobs}/a/status", {"status": status_body(STATUS)})
    assert written.status == 200, written.raw
    assert read_job(written.json).status == STATUS
    assert written.json["metadata"]["generation"] == 1


async def test_a_later_status_leaves_nothing_of_the_one_before(jobs, space):
    await space.made(jobs, JOB)
    later = JobStatus(phase="Suspended", observed=1)
    for status in (STATUS, later):
        written = await space.api.merge(f"{jobs}/a/status", {"status": status_body(status)})
    assert read_job(written.json).status == later


async def test_suspend_can_be_set_and_lifted(jobs, space):
    await space.made(jobs, JOB)
    for value in (True, False):
        changed = await space.api.merge(f"{jobs}/a", {"spec": {"suspend": value}})
        assert changed.json["spec"]["suspend"] is value
    assert changed.json["metadata"]["generation"] == 3


async def test_jobs_are_selected_by_model_and_phase(jobs, space):
    await space.made(jobs, JOB)
    await space.api.merge(f"{jobs}/a/status", {"status": status_body(STATUS)})
    for selector, names in (
        ("spec.model.name=resnet50", ["a"]),
        ("spec.model.name=other", []),
        ("status.phase=Failed", ["a"]),
        ("status.phase!=Failed", []),
    ):
        assert (await space.api.get(jobs, fieldSelector=selector)).names == names


async def test_the_columns_of_a_job_say_how_it_goes(jobs, space):
    await space.made(jobs, JOB)
    await space.api.merge(f"{jobs}/a/status", {"status": status_body(STATUS)})
    shown = (await space.api.show(jobs, TABLE)).json
    names = [column["name"] for column in shown["columnDefinitions"] if not column["priority"]]
    assert names == [
        "Name",
        "Model",
        "Samples",
        "Deadline",
        "Node",
        "Configuration",
        "Phase",
        "Excess",
        "Age",
    ]
    assert shown["rows"][0]["cells"][:8] == [
        "a",
        "resnet50",
        2000,
        AT,
        "orin-7",
        "trt-int8-b8",
        "Failed",
        "1.5s",
    ]


def runtime(kind: str, name: str) -> dict:
    return RUNTIME | {"kind": kind, "metadata": {"name": name}}


@pytest.mark.parametrize("kind", [KIND, CLUSTER_KIND])
async def test_the_columns_of_a_runtime_are_its_conditions(kind, jobs, space):
    scope = f"{PATH}/namespaces/{space.name}" if kind == KIND else PATH
    path = f"{scope}/{PLURALS[kind]}"
    made = await space.made(path, runtime(kind, space.name))
    assert made["spec"] == RUNTIME["spec"]
    times = {"lastTransitionTime": "2026-11-22T10:00:00Z", "message": "", "reason": "Asked"}
    conditions = [{"type": "TemplateAccepted", "status": "True"}, {"type": "Profiled", "status": "False"}]
    status = {"observedGeneration": 1, "conditions": [one | times for one in conditions]}
    try:
        written = await space.api.merge(f"{path}/{space.name}/status", {"status": status})
        assert read_runtime(written.json, kind).observed == 1
        shown = (await space.api.show(path, TABLE)).json
        assert [column["name"] for column in shown["columnDefinitions"]] == [
            "Name",
            "Accepted",
            "Profiled",
            "Age",
        ]
        assert [space.name, "True", "False"] in [row["cells"][:3] for row in shown["rows"]]
    finally:
        await space.api.delete(f"{path}/{space.name}")
