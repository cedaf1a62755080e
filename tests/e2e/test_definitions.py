"""Our CustomResourceDefinitions as people meet them: kubectl on a real API server."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from synergai.k8s_bridge.inference.job import JobStatus, status_body
from tests.contract.refused import GONE, JOB, RUNTIME, changed
from tests.deploy.rendered import Json, output, run, tool
from tests.e2e.cluster.source import NAME
from tests.e2e.definitions import FOLDER

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Here:
    """A namespace."""

    kubeconfig: str
    name: str

    def kubectl(self, *options: str) -> list[str]:
        return [tool("kubectl"), "--kubeconfig", self.kubeconfig, "--namespace", self.name, *options]

    def said(self, *options: str, given: Json | None = None) -> str:
        """Of a command that does what it is told."""
        return output(self.kubectl(*options), json.dumps(given) if given else "")

    def refused(self, *options: str, given: Json | None = None) -> str:
        done = run(self.kubectl(*options), json.dumps(given) if given else "")
        assert done.returncode != 0, done.stdout
        return done.stderr

    def job(self, name: str, **changes: object) -> Json:
        made = changed(JOB, changes)
        self.said("apply", "-f", "-", given=made | {"metadata": {"name": name}})
        return made

    def status(self, name: str, status: Json) -> None:
        patch = json.dumps({"status": status})
        self.said("patch", "ij", name, "--subresource", "status", "--type", "merge", "-p", patch)


@pytest.fixture(scope="module")
def here(definitions: str) -> Iterator[Here]:
    made = Here(definitions, f"{NAME}-{secrets.token_hex(3)}")
    made.said("create", "namespace", made.name)
    yield made
    made.said("delete", "namespace", made.name, "--wait=false")


@pytest.mark.parametrize("options", [[], ["--server-side", "--force-conflicts"]], ids=["client", "server"])
def test_the_definitions_are_applied_either_way(here: Here, options: list[str]) -> None:
    said = here.said("apply", "--dry-run=server", "--validate=strict", "-f", str(FOLDER), *options)
    assert len(said.splitlines()) == 3


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("inferencejobs.spec.deadline.after", "A duration from the job's creation"),
        ("ij.spec.suspend", "no pod is made"),
        ("ij.status.attempts.end.reason", "OOMKilled"),
        ("ir.spec.variants.template", "TemplateAccepted"),
        ("cir.spec.priority", "Ambiguous"),
    ],
)
def test_kubectl_explains_every_field(here: Here, field: str, said: str) -> None:
    assert said in " ".join(here.said("explain", field).split())


def test_a_job_that_nobody_has_looked_at_is_pending(here: Here) -> None:
    here.job("new")
    assert here.said("get", "ij", "new", "-o", "jsonpath={.status.phase}") == "Pending"
    listed = here.said("get", "ij", "--field-selector", "status.phase=Pending", "-o", "name")
    assert "inferencejob.synergai.dev/new" in listed


def test_what_is_left_out_reads_as_it_is_taken(here: Here) -> None:
    here.job(
        "bare", **{"model.version": GONE, "backoffLimit": GONE, "suspend": GONE, "runtimeRef.kind": GONE}
    )
    spec = json.loads(here.said("get", "ij", "bare", "-o", "json"))["spec"]
    assert spec == JOB["spec"]


def test_get_shows_a_line_for_each_job(here: Here) -> None:
    here.job("shown")
    here.status(
        "shown", {"deadlineTime": "2026-11-22T10:00:00.250000Z", "phase": "Running", "node": "orin-7"}
    )
    head, line = here.said("get", "ij", "shown").splitlines()
    assert head.split() == [
        "NAME",
        "MODEL",
        "SAMPLES",
        "DEADLINE",
        "NODE",
        "CONFIGURATION",
        "PHASE",
        "EXCESS",
        "AGE",
    ]
    assert line.split()[:6] == [
        "shown",
        "resnet50",
        "2000",
        "2026-11-22T10:00:00.250000Z",
        "orin-7",
        "Running",
    ]


def test_all_kinds_are_listed_by_their_category(here: Here) -> None:
    here.job("listed")
    here.said("apply", "-f", "-", given=RUNTIME)
    listed = here.said("get", "synergai", "-o", "name").split()
    assert {"inferencejob.synergai.dev/listed", "inferenceruntime.synergai.dev/ort"} <= set(listed)


@pytest.mark.parametrize("kind", ["Complete", "Failed"])
def test_kubectl_waits_for_the_end_of_a_job(here: Here, kind: str) -> None:
    name = f"ends-{kind.lower()}"
    here.job(name)
    assert "timed out" in here.refused("wait", "ij", name, f"--for=condition={kind}", "--timeout=0.1s")
    condition = {"type": kind, "status": "True", "reason": "Ended", "message": ""}
    here.status(name, {"conditions": [condition | {"lastTransitionTime": "2026-11-22T10:00:00Z"}]})
    assert "condition met" in here.said("wait", "ij", name, f"--for=condition={kind}", "--timeout=20s")


CHANGES = [
    {"model.version": "2"},
    {"input.samples": 1},
    {"input.uri": GONE},
    {"output.uri": "s3://elsewhere"},
    {"output": GONE},
    {"deadline.after": "60s"},
    {"deadline": GONE},
    {"deadline": {"at": "2026-11-22T10:00:00Z"}},
    {"placement.hardware": []},
    {"placement": GONE},
    {"priorityClassName": "other"},
    {"priorityClassName": GONE},
    {"runtimeRef.name": "other"},
    {"runtimeRef": GONE},
    {"backoffLimit": 3},
    {"ttlSecondsAfterFinished": 1},
    {"ttlSecondsAfterFinished": GONE},
]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda one: json.dumps(one, default=lambda _: "gone"))
def test_nothing_of_a_job_can_be_changed(here: Here, changes: Json) -> None:
    here.job("kept")
    given = changed(JOB, changes) | {"metadata": {"name": "kept"}}
    said = here.refused("replace", "--dry-run=server", "-f", "-", given=given)
    assert "only suspend can be changed; write another InferenceJob" in said


@pytest.mark.parametrize("field", ["output", "deadline", "placement", "priorityClassName", "runtimeRef"])
def test_nothing_can_be_added_to_a_job(here: Here, field: str) -> None:
    name = f"without-{field.lower()}"
    here.job(name, **{field: GONE})
    said = here.refused("apply", "--dry-run=server", "-f", "-", given=JOB | {"metadata": {"name": name}})
    assert "only suspend can be changed" in said


def test_suspend_is_toggled_as_often_as_one_likes(here: Here) -> None:
    for value in (True, False, True):
        here.job("toggled", suspend=value)
        assert here.said("get", "ij", "toggled", "-o", "jsonpath={.spec.suspend}") == json.dumps(value)


def test_a_field_that_nobody_knows_is_named(here: Here) -> None:
    given = changed(JOB, {"deadline.aftr": "30s"}) | {"metadata": {"name": "typo"}}
    assert 'unknown field "spec.deadline.aftr"' in here.refused("apply", "-f", "-", given=given)


def test_a_model_that_nobody_has_profiled_is_taken(here: Here) -> None:
    here.job("unknown", **{"model.name": "nobody/knows-it"})


@pytest.mark.parametrize(
    "status",
    [
        JobStatus("Done"),
        JobStatus("Running", deadline="soon"),
    ],
    ids=["phase", "time"],
)
def test_a_status_that_is_none_is_refused(here: Here, status: JobStatus) -> None:
    here.job("status")
    patch = json.dumps({"status": status_body(status)})
    command = ["patch", "ij", "status", "--subresource", "status", "--type", "merge", "-p", patch]
    assert "is invalid" in here.refused(*command)
