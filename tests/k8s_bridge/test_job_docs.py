"""What docs/jobs.md shows is what there is."""

import re
from pathlib import Path

import pytest
import yaml

from synergai.k8s_bridge.inference.job import read_spec
from synergai.k8s_bridge.inference.runtime import read_runtime
from synergai.k8s_bridge.inference.templates import refusal
from synergai.offline_profiles.table import ProfileTable

TEXT = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
OBJECTS = {
    found["kind"]: found
    for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    for found in yaml.safe_load_all(block)
}


def test_the_job_can_be_read():
    assert read_spec(OBJECTS["InferenceJob"]["spec"]).samples == 2000


def test_the_runtime_can_be_read_and_its_templates_are_respected():
    runtime = read_runtime(OBJECTS["ClusterInferenceRuntime"], "ClusterInferenceRuntime")
    assert runtime.problem == ""
    assert [refusal(variant) for variant in runtime.variants] == [""] * 3


def test_every_configuration_of_the_runtime_is_profiled():
    runtime, table = (
        read_runtime(OBJECTS["ClusterInferenceRuntime"], "ClusterInferenceRuntime"),
        ProfileTable.default(),
    )
    for variant in runtime.variants:
        for configuration in variant.configurations:
            assert table.find("resnet50", variant.hardware[0], configuration.name)


@pytest.mark.parametrize(
    "reason", ["UnknownModel", "NoRuntime", "NoProfile", "AmbiguousRuntime", "TemplateRefused"]
)
def test_every_reason_of_a_job_that_cannot_run_is_explained(reason):
    offers = (Path(__file__).parents[2] / "k8s_bridge" / "inference" / "offers.py").read_text(
        encoding="utf-8"
    )
    assert re.search(rf'Lack\(\s*"{reason}"', offers)
    assert f"| `{reason}` |" in TEXT
