"""The pods that InferenceJobs become."""

from typing import Any

import pytest
from bridge_fakes import NOW_US, profile, table
from bridge_jobs import job, runtime, stored

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.inference.attempts import attempt_name, read_attempt
from synergai.k8s_bridge.inference.job import read_job
from synergai.k8s_bridge.inference.runtime import read_runtime
from synergai.k8s_bridge.inference.templates import Way, attempt_pod, probe_pod, refusal

RECORD = DecisionRecord("id", "gpu-a", "ort-b8", 1, 1000, 1024, "policy")


def way(template: dict[str, Any] | None = None, **configuration: Any) -> Way:
    configured = {"name": "ort-b8", **configuration}
    raw = runtime(models=["net"], hardware=["gpu-a"], configurations=[configured], template=template)
    read = read_runtime(raw, raw["kind"])
    assert not read.problem
    (variant,) = read.variants
    (only,) = variant.configurations
    return Way(read, variant, only, table().hardware["gpu-a"], profile("net", "gpu-a"))


def pod(how: Way, explanation: str = "", deadline_us: int | None = None, **spec: Any) -> dict[str, Any]:
    wanted = read_job(stored(job(model="net", **spec)))
    return attempt_pod(wanted, 0, how, "n0", RECORD, explanation, deadline_us)


def template(**spec: Any) -> dict[str, Any]:
    containers = [{"name": "runner", "image": "example.org/ort:1"}]
    return {"spec": {"containers": containers, **spec}}


def test_the_pod_is_on_its_node_and_belongs_to_its_job():
    made = pod(way())
    (owner,) = made["metadata"]["ownerReferences"]
    assert made["spec"]["nodeName"] == "n0"
    assert (owner["kind"], owner["name"], owner["controller"]) == ("InferenceJob", "a", True)
    assert made["metadata"]["finalizers"] == [keys.FINALIZER_OUTCOME]


def test_its_name_is_that_of_the_attempt():
    assert pod(way())["metadata"]["name"] == attempt_name("a", "a-0000-uid", 0)


@pytest.mark.parametrize("name", ["a", "a" * 63, "a.b" * 40, "x" * 44 + "-."])
def test_names_of_attempts_are_names_of_pods(name):
    made = attempt_name(name, "12345678-1234", 99)
    assert len(made) <= 63
    assert not made.startswith(("-", "."))
    assert ".-" not in made


def test_it_can_be_read_as_the_attempt_that_it_is():
    read = read_attempt({**pod(way()), "status": {}})
    assert read is not None
    assert (read.index, read.job_uid, read.held, read.decision) == (0, "a-0000-uid", True, RECORD)


def test_its_container_requests_what_the_profile_says():
    (container,) = pod(way())["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "1000m", "memory": "1024Mi", "nvidia.com/gpu": "1"}
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "1"}


def test_the_configuration_wins_over_the_template_and_that_over_the_profile():
    given = {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "2"}}
    runner = {"name": "runner", "image": "example.org/ort:1", "resources": given}
    (container,) = pod(way(template(containers=[runner]), resources={"cpu": "3"}))["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == "3"
    assert container["resources"]["limits"]["cpu"] == "3"
    assert container["resources"]["requests"]["memory"] == "2Gi"


def test_the_container_is_told_what_to_run():
    how = way(parameters={"batch": "8", "engine-name": "ort"})
    (container,) = pod(how, input={"samples": 7, "uri": "s3://in"})["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}
    assert told["SYNERGAI_MODEL"] == "net"
    assert told["SYNERGAI_SAMPLES"] == "7"
    assert told["SYNERGAI_INPUT_URI"] == "s3://in"
    assert told["SYNERGAI_CONFIGURATION"] == "ort-b8"
    assert told["SYNERGAI_PARAMETER_BATCH"] == "8"
    assert told["SYNERGAI_PARAMETER_ENGINE_NAME"] == "ort"


def test_the_templates_own_environment_stays_but_for_ours():
    env = [{"name": "MINE", "value": "1"}, {"name": "SYNERGAI_MODEL", "value": "forged"}]
    runner = {"name": "runner", "image": "example.org/ort:1", "env": env}
    (container,) = pod(way(template(containers=[runner])))["spec"]["containers"]
    told = [(one["name"], one["value"]) for one in container["env"]]
    assert ("MINE", "1") in told
    assert [value for name, value in told if name == "SYNERGAI_MODEL"] == ["net"]


def test_other_containers_stay_as_they_are():
    others = [{"name": "runner", "image": "a"}, {"name": "side", "image": "b"}]
    assert pod(way(template(containers=others)))["spec"]["containers"][1] == others[1]


def test_no_token_of_a_service_account_is_mounted_unless_the_template_wants_one():
    assert pod(way())["spec"]["automountServiceAccountToken"] is False
    wants = way(template(automountServiceAccountToken=True))
    assert pod(wants)["spec"]["automountServiceAccountToken"] is True


def test_it_leaves_a_silent_node_after_ten_seconds_unless_the_template_says_otherwise():
    seconds = {one["key"]: one.get("tolerationSeconds") for one in pod(way())["spec"]["tolerations"]}
    assert seconds["node.kubernetes.io/unreachable"] == 10
    own = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 60,
    }
    kept = pod(way(template(tolerations=[own])))["spec"]["tolerations"]
    assert [one["tolerationSeconds"] for one in kept if one["key"] == own["key"]] == [60]


def test_it_carries_the_decision_and_the_deadline():
    found = pod(way(), "{}", NOW_US)["metadata"]["annotations"]
    assert found[keys.ANNOTATION_DECISION] == RECORD.to_json()
    assert found[keys.ANNOTATION_EXPLANATION] == "{}"
    assert found[keys.ANNOTATION_DEADLINE].endswith(".000000Z")


def test_nothing_of_ours_can_be_forged_in_a_template():
    forged = {
        "metadata": {
            "labels": {keys.LABEL_JOB: "x", "app": "a"},
            "annotations": {keys.ANNOTATION_ATTEMPT: "9"},
        }
    }
    made = pod(way(template() | forged))["metadata"]
    assert made["labels"] == {"app": "a", keys.LABEL_JOB: "a-0000-uid"}
    assert made["annotations"][keys.ANNOTATION_ATTEMPT] == "0"


def test_the_jobs_own_node_selector_and_priority_class_are_the_pods():
    made = pod(way(), placement={"nodeSelector": {"zone": "a"}}, priorityClassName="batch")["spec"]
    assert made["nodeSelector"] == {"zone": "a"}
    assert made["priorityClassName"] == "batch"


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ({"schedulerName": "default-scheduler"}, "spec.schedulerName"),
        ({"nodeName": "n7"}, "spec.nodeName"),
        ({"restartPolicy": "OnFailure"}, "restartPolicy"),
        ({"resources": {"requests": {"cpu": "1"}}}, "spec.resources"),
        ({"resourceClaims": [{"name": "gpu"}]}, "resourceClaims"),
        (
            {
                "containers": [
                    {"name": "runner", "image": "a", "ports": [{"containerPort": 1, "hostPort": 1}]}
                ]
            },
            "host ports",
        ),
    ],
)
def test_a_template_that_we_would_not_respect_is_refused_by_name(spec, word):
    assert word in refusal(way(template(**spec)).variant)


def test_a_sound_template_is_not_refused():
    assert refusal(way(template(tolerations=[{"operator": "Exists"}], nodeSelector={"a": "b"})).variant) == ""


def test_what_is_asked_in_a_dry_run_is_a_pod_as_attempts_are():
    how = way()
    probe, made = probe_pod(how, "default", "batch"), pod(how, priorityClassName="batch")
    for name in (
        "tolerations",
        "schedulerName",
        "restartPolicy",
        "priorityClassName",
        "automountServiceAccountToken",
    ):
        assert probe["spec"][name] == made["spec"][name]
