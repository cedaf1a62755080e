"""The CustomResourceDefinitions as files: what `kubectl explain` finds, and the names and limits of the code."""

from collections.abc import Iterator

import pytest

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import MAX_SAMPLES
from synergai.k8s_bridge.inference import job, runtime
from tests.contract.refused import JOB, RUNTIME
from tests.deploy.rendered import HELMS, Json, helm, kustomize, objects
from tests.e2e.definitions import FOLDER, shipped

APPLIED_BYTES = 262_144
"""Of all annotations together, and `kubectl apply` keeps the whole object in one:
https://github.com/kubernetes/apimachinery/blob/v0.36.3/pkg/api/validation/objectmeta.go"""
BY_KIND = {item["spec"]["names"]["kind"]: item for item in shipped()}
PRESERVES = "x-kubernetes-preserve-unknown-fields"


def schema(kind: str) -> Json:
    (version,) = BY_KIND[kind]["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


def fields(node: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Every node of a schema by its path."""
    yield path, node
    for name, inner in node.get("properties", {}).items():
        yield from fields(inner, f"{path}.{name}" if path else name)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from fields(node[key], f"{path}[]")


def at(kind: str, path: str) -> Json:
    return dict(fields(schema(kind), ""))[path]


EVERY = [
    (kind, path, node) for kind in BY_KIND for path, node in fields(schema(kind), "") if path != "metadata"
]


def test_there_is_one_file_for_each_kind() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {job.PLURAL, *runtime.PLURALS.values()}
    for kind, item in BY_KIND.items():
        names = item["spec"]["names"]
        assert names["plural"] == (job.PLURAL if kind == job.KIND else runtime.PLURALS[kind])
        assert item["metadata"]["name"] == f"{names['plural']}.{item['spec']['group']}"
        assert names["categories"] == ["synergai"]


def test_they_are_of_the_codes_group_version_and_schema() -> None:
    for item in BY_KIND.values():
        (version,) = item["spec"]["versions"]
        assert (item["spec"]["group"], version["name"]) == (keys.PREFIX, keys.API_VERSION)
        assert item["metadata"]["annotations"] == {keys.ANNOTATION_SCHEMA: keys.SCHEMA}


def test_short_names_are_those_of_the_docs() -> None:
    assert {kind: item["spec"]["names"]["shortNames"] for kind, item in BY_KIND.items()} == {
        "InferenceJob": ["ij"],
        "InferenceRuntime": ["ir"],
        "ClusterInferenceRuntime": ["cir"],
    }


def test_both_kinds_of_runtime_have_one_schema() -> None:
    mine, theirs = (schema(kind)["properties"] for kind in (runtime.KIND, runtime.CLUSTER_KIND))
    assert mine["spec"] == theirs["spec"]
    assert mine["status"] == theirs["status"]


def test_every_field_is_described() -> None:
    bare = [
        (kind, path)
        for kind, path, node in EVERY
        if not (node.get("description") or (path.endswith("[]") and node["type"] == "string"))
    ]
    assert bare == []


def test_there_are_no_floats_and_nothing_without_a_type() -> None:
    assert [(kind, path) for kind, path, node in EVERY if node.get("type") in (None, "number")] == []


def test_only_a_template_keeps_what_nobody_knows() -> None:
    assert [path for _, path, node in EVERY if node.get(PRESERVES) and ".template" not in path] == []
    assert at("InferenceRuntime", "spec.variants[].template")[PRESERVES] is True


def test_limits_are_the_codes() -> None:
    samples = at("InferenceJob", "spec.input.samples")
    backoff = at("InferenceJob", "spec.backoffLimit")
    ttl = at("InferenceJob", "spec.ttlSecondsAfterFinished")
    priority = at("InferenceRuntime", "spec.priority")
    assert (samples["minimum"], samples["maximum"]) == (1, MAX_SAMPLES)
    assert (backoff["minimum"], backoff["maximum"]) == (0, job.MOST_ATTEMPTS - 1)
    assert (ttl["minimum"], ttl["maximum"]) == (0, job.LONGEST_TTL_S)
    assert (priority["minimum"], priority["maximum"]) == (-runtime.HIGHEST_PRIORITY, runtime.HIGHEST_PRIORITY)
    assert at("InferenceJob", "status.attempts")["maxItems"] == job.MOST_ATTEMPTS


def test_defaults_are_the_codes() -> None:
    spec = job.read_spec({"model": {"name": "m"}, "input": {"samples": 1}})
    assert at("InferenceJob", "spec.backoffLimit")["default"] == spec.backoff_limit
    assert at("InferenceJob", "spec.suspend")["default"] == spec.suspend
    assert at("InferenceJob", "spec.model.version")["default"] == "1"
    bare = RUNTIME["spec"] | {"priority": None}
    read = runtime.read_runtime(RUNTIME | {"spec": bare}, runtime.KIND)
    assert at("InferenceRuntime", "spec.priority")["default"] == read.priority


def test_every_field_of_a_job_but_suspend_is_in_the_rule_that_forbids_changes() -> None:
    spec = at("InferenceJob", "spec")
    (rule,) = (one["rule"] for one in spec["x-kubernetes-validations"])
    compared = {
        name for name in spec["properties"] if f"self.{name} ==" in rule or f"self.?{name} ==" in rule
    }
    assert compared == set(spec["properties"]) - {"suspend"}
    assert set(JOB["spec"]) == set(spec["properties"])


STATUS = job.JobStatus(
    "Failed", 1, "2026-11-22T10:00:00.000000Z", "1.5s", "n", "c",
    (job.Condition("Failed", True, "BackoffLimitExceeded", "m", "2026-11-22T10:00:00Z"),),
    (job.Attempt(0, "p", "u", "n", "h", "c", "policy", "2026-11-22T10:00:00Z", job.End("Error", "m", "t", 1)),),
)  # fmt: skip


def test_the_status_that_is_written_has_no_field_that_the_definition_lacks() -> None:
    def missing(value: object, node: Json, path: str) -> Iterator[str]:
        if isinstance(value, list):
            for one in value:
                yield from missing(one, node["items"], f"{path}[]")
        if isinstance(value, dict):
            yield from (f"{path}.{name}" for name in value if name not in node["properties"])
            for name in value.keys() & node["properties"].keys():
                yield from missing(value[name], node["properties"][name], f"{path}.{name}")

    assert list(missing(job.status_body(STATUS), at("InferenceJob", "status"), "status")) == []


def test_they_are_small_enough_for_kubectl_apply_and_no_template_of_helms() -> None:
    for path in FOLDER.glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert len(text) < APPLIED_BYTES / 4
        assert "{{" not in text


@pytest.mark.parametrize("kind", BY_KIND)
def test_the_kustomization_installs_the_file_and_helm_keeps_it(kind: str) -> None:
    def found(text: str) -> Json:
        crds = [item for item in objects(text) if item["kind"] == "CustomResourceDefinition"]
        return next(item for item in crds if item["spec"]["names"]["kind"] == kind)

    assert found(kustomize("base")) == BY_KIND[kind]
    chart = found(helm())
    assert chart["metadata"]["annotations"].pop(HELMS) == "keep"
    assert chart == BY_KIND[kind]
