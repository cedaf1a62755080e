"""The shipped policies about pods of InferenceJobs, on a real API server: what the bridge may do, and nobody else."""

import asyncio
import json
from copy import deepcopy
from pathlib import Path

import pytest

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.inference.job import KIND
from tests.contract.refused import SERVED
from tests.deploy.rendered import Json, output, run
from tests.e2e.test_deploy import DECISION, Installed, here, installed_bridge, pod
from tests.e2e.wanted import job, runtime

__all__ = ["here"]
pytestmark = pytest.mark.e2e

FOREIGN = "example.com/other"


def attempt(here: Installed, name: str = "a", **metadata: object) -> Json:
    """A pod as the bridge makes it, with other metadata."""
    made = pod(here, name, annotations={keys.ANNOTATION_DECISION: DECISION})
    made["metadata"] |= {
        "labels": {keys.LABEL_JOB: "u"},
        "finalizers": [keys.FINALIZER_OUTCOME],
        "ownerReferences": owner(),
    }
    made["metadata"] |= metadata
    return made


def owner(**changes: object) -> list[Json]:
    made = {"apiVersion": SERVED, "kind": KIND, "name": "job", "uid": "u", "controller": True}
    return [made | changes]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({}, ""),
        ({"ownerReferences": []}, "only pods that an InferenceJob controls"),
        ({"ownerReferences": owner(controller=False)}, "only pods that an InferenceJob controls"),
        (
            {"ownerReferences": owner(apiVersion="batch/v1", kind="Job")},
            "only pods that an InferenceJob controls",
        ),
        ({"ownerReferences": owner(apiVersion="synergai.dev/v2")}, "only pods that an InferenceJob controls"),
        ({"finalizers": []}, "carries its decision, and the finalizer"),
        ({"finalizers": [FOREIGN]}, "carries its decision, and the finalizer"),
        ({"annotations": {}}, "carries its decision, and the finalizer"),
    ],
)
def test_the_bridge_creates_attempts_and_no_other_pods(here: Installed, metadata: Json, said: str) -> None:
    refused = here.tried(attempt(here, **metadata), "--as", here.account)
    assert said in refused if said else refused == ""


def test_an_attempt_is_not_warned_of(here: Installed) -> None:
    bare = attempt(here)
    bare["spec"]["tolerations"] = []
    del bare["metadata"]["annotations"][keys.ANNOTATION_MODEL]
    assert here.tried(bare, "--as", here.account) == ""


def test_the_bridge_deletes_attempts_and_no_other_pods(here: Installed) -> None:
    bound = attempt(here, "bound-attempt")
    bound["spec"]["nodeName"] = "none"
    for given in (attempt(here, "attempt"), bound):
        made(here, given)
    output(here.kubectl("apply", "-f", "-"), json.dumps(pod(here, "plain")))
    delete = ["delete", "pod", "-n", here.pods, "--dry-run=server", "--as", here.account]
    assert run(here.kubectl(*delete, "attempt", "bound-attempt")).stderr == ""
    assert "only pods that an InferenceJob controls" in run(here.kubectl(*delete, "plain")).stderr


def made(here: Installed, given: Json) -> None:
    """By the bridge; again does nothing."""
    done = run(here.kubectl("create", "-f", "-", "--as", here.account), json.dumps(given))
    assert done.returncode == 0 or "AlreadyExists" in done.stderr, done.stderr


def patched(here: Installed, patch: Json, *options: str, name: str = "held") -> str:
    """What is said against a change through the status, of an attempt with labels, annotations and finalizers."""
    given = attempt(here, "held", finalizers=[FOREIGN, keys.FINALIZER_OUTCOME])
    given["metadata"]["annotations"][FOREIGN] = "theirs"
    made(here, given)
    command = ["patch", "pod", name, "-n", here.pods, "--subresource", "status", "--type", "merge"]
    return run(here.kubectl(*command, "--dry-run=server", "-p", json.dumps(patch), *options)).stderr


@pytest.fixture(scope="module")
def readable(here: Installed) -> None:
    """kubectl reads a status before it patches it; the bridge does not."""
    role = ["create", "role", "reads", "--verb", "get", "--resource", "pods/status", "-n", here.pods]
    output(here.kubectl(*role))
    bind = ["create", "rolebinding", "reads", "--role", "reads", "--user", here.account, "-n", here.pods]
    output(here.kubectl(*bind))


CONDITION = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}


@pytest.mark.usefixtures("readable")
@pytest.mark.parametrize(
    ("patch", "taken"),
    [
        ({"status": {"conditions": [CONDITION]}}, True),
        ({"metadata": {"annotations": {keys.ANNOTATION_EXPLANATION: "{}"}}}, True),
        ({"metadata": {"annotations": {keys.ANNOTATION_EXPLANATION: None}}}, True),
        ({"metadata": {"annotations": {FOREIGN: "ours"}}}, False),
        ({"metadata": {"annotations": {FOREIGN: None}}}, False),
        ({"metadata": {"annotations": {"example.com/new": "x"}}}, False),
        ({"metadata": {"labels": {"app": "payments"}}}, False),
        ({"metadata": {"labels": {keys.LABEL_JOB: "another"}}}, False),
        ({"metadata": {"labels": None}}, False),
        ({"metadata": {"finalizers": [FOREIGN]}}, True),
        ({"metadata": {"finalizers": [keys.FINALIZER_OUTCOME]}}, False),
        ({"metadata": {"finalizers": None}}, False),
    ],
    ids=json.dumps,
)
def test_through_the_status_the_bridge_changes_only_what_is_its_own(
    here: Installed, patch: Json, taken: bool
) -> None:
    said = patched(here, patch, "--as", here.account)
    assert said == "" if taken else "only annotations and finalizers under synergai.dev" in said


def test_nobody_else_makes_a_pod_that_says_it_is_an_attempt(here: Installed) -> None:
    forged = attempt(here)
    del forged["metadata"]["annotations"][keys.ANNOTATION_DECISION]
    assert "label synergai.dev/job is the bridge's to write" in here.tried(forged)
    elsewhere = deepcopy(forged)
    elsewhere["spec"]["schedulerName"] = "default-scheduler"
    assert "label synergai.dev/job is the bridge's to write" in here.tried(elsewhere)


@pytest.mark.parametrize("label", [None, "another"])
def test_nobody_else_changes_whose_attempt_a_pod_is(here: Installed, label: str | None) -> None:
    patch = {"metadata": {"labels": {keys.LABEL_JOB: label}}}
    assert "leave it as it is" in patched(here, patch)


def test_an_administrator_may_take_the_finalizer_off(here: Installed) -> None:
    """As `synergai uninstall` does."""
    assert patched(here, {"metadata": {"finalizers": []}}) == ""


@pytest.mark.parametrize(
    ("role", "verb", "resource", "may"),
    [
        ("edit", "create", "inferencejobs", "yes"),
        ("edit", "delete", "inferenceruntimes", "yes"),
        ("edit", "get", "inferencejobs", "yes"),
        ("edit", "patch", "inferencejobs/status", "no"),
        ("edit", "create", "clusterinferenceruntimes", "no"),
        ("view", "watch", "inferenceruntimes", "yes"),
        ("view", "create", "inferencejobs", "no"),
    ],
)
def test_who_edits_a_namespace_writes_jobs_and_who_views_it_reads_them(
    here: Installed, role: str, verb: str, resource: str, may: str
) -> None:
    user = f"{here.name}-{role}"
    run(here.kubectl("create", "rolebinding", user, "--clusterrole", role, "--user", user, "-n", here.pods))
    kind, _, subresource = resource.partition("/")
    asked = ["auth", "can-i", verb, f"{kind}.{keys.PREFIX}", "-n", here.pods, "--as", user]
    asked += ["--subresource", subresource] if subresource else []
    for _ in range(100):  # a controller adds rules to these roles, a moment later
        answer = run(here.kubectl(*asked)).stdout.strip()
        if answer == may:
            break
    assert answer == may


async def test_the_installed_bridge_runs_an_inference_job_to_its_end(here: Installed, tmp_path: Path) -> None:
    async with installed_bridge(here, tmp_path) as (_, bridge):
        for given in (runtime(), job()):
            output(here.kubectl("create", "-n", here.pods, "-f", "-"), json.dumps(given))
        wait = ["wait", "ij", "wanted", "-n", here.pods, "--for=condition=Complete", "--timeout=60s"]
        waited = await asyncio.to_thread(run, here.kubectl(*wait))
        assert waited.returncode == 0, waited.stderr + bridge.said()[-3000:]
    refused = [line for line in bridge.said().splitlines() if "forbidden" in line and here.pods in line]
    assert refused == []
