"""`synergai run runtimes`: what was profiled is what runs."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runner_world import POD, store

from synergai.k8s_bridge.inference.runtime import CLUSTER_KIND, KIND, Runtime, read_runtime
from synergai.k8s_bridge.inference.templates import refusal
from synergai.k8s_bridge.runner.configuration import setting_of
from synergai.k8s_bridge.runner.order import read_order
from synergai.k8s_bridge.runner.runtimes import Wanted, runner_runtimes, template
from synergai.offline_profiles.profile import Hardware
from synergai.offline_profiles.table import ProfileTable

TABLE = ProfileTable.default()
ORIN, T4 = "jetson-agx-orin-maxn", "nvidia-t4"
PROFILES = Path(__file__).parents[3] / "offline_profiles" / "data" / "profiles.csv"


def made(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "synergai.k8s_bridge.runner", "runtimes", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def runtimes(*options: str) -> list[Runtime]:
    done = made(*options)
    assert done.returncode == 0, done.stderr
    return [read_runtime(one, one["kind"]) for one in yaml.safe_load_all(done.stdout)]


def mine(path: Path, *rows: tuple[str, str, str]) -> Path:
    """A CSV of shipped rows, as (model, configuration before, configuration now)."""
    lines = PROFILES.read_text().splitlines()
    kept = [line.replace(before, now) for model, before, now in rows
            for line in lines if line.startswith(f"{model},") and f",{before}," in line]  # fmt: skip
    path.write_text("\n".join([lines[0], *kept]) + "\n")
    return path


def test_a_configuration_has_what_was_profiled_and_names_how_it_is_run() -> None:
    (runtime,) = runtimes("--image", "r/x:1", "--model", "resnet50", "--only", T4)
    assert (runtime.kind, runtime.models, runtime.problem) == (CLUSTER_KIND, {"resnet50"}, "")
    (variant,) = runtime.variants
    assert variant.hardware == (T4,)
    for one in variant.configurations:
        row = TABLE.find("resnet50", T4, one.name)
        resources = {"cpu": f"{row.cpu_milli}m", "memory": f"{row.memory_mib}Mi", "nvidia.com/gpu": "1"}
        assert dict(one.resources) == resources
        environment = {f"SYNERGAI_PARAMETER_{name.upper()}": value for name, value in one.parameters}
        told = {**POD, **environment, "SYNERGAI_CONFIGURATION": one.name, "SYNERGAI_HARDWARE": T4}
        assert read_order(told).setting == setting_of(one.name)


def test_limits_of_processor_and_memory_are_there_to_follow_the_requests() -> None:
    (runtime,) = runtimes("--image", "r/x:1", "--model", "resnet50", "--only", T4)
    (container,) = runtime.variants[0].template["spec"]["containers"]
    assert container["resources"]["limits"].keys() == {"cpu", "memory"}


@pytest.mark.parametrize("hardware", list(TABLE.hardware.values()), ids=lambda one: one.name)
def test_a_template_is_one_that_the_bridge_respects_on_every_class(hardware: Hardware) -> None:
    wanted = Wanted({"": "r/x:1"}, {"hostPath": {"path": "/m"}}, {"hostPath": {"path": "/c"}})
    runtime = {"kind": CLUSTER_KIND, "metadata": {"name": "a"}, "spec": {
        "models": [{"name": "a"}], "variants": [{
            "name": "a", "hardware": [hardware.name], "configurations": [{"name": "a"}],
            "template": template(hardware, wanted)}]}}  # fmt: skip
    (variant,) = read_runtime(runtime, CLUSTER_KIND).variants
    assert refusal(variant) == ""
    assert variant.container == "runner"


def test_a_jetson_gets_its_runtime_class_and_its_own_image() -> None:
    options = ("--image", "r/x:1", "--image", "jetson=r/l4t:1", "--image", f"{T4}=r/t4:1")
    (runtime,) = runtimes(*options, "--model", "resnet50", "--only", T4, "--only", ORIN)
    images = {variant.hardware[0]: variant.template["spec"] for variant in runtime.variants}
    assert images[ORIN]["containers"][0]["image"] == "r/l4t:1"
    assert images[ORIN]["runtimeClassName"] == "nvidia"
    assert images[T4]["containers"][0]["image"] == "r/t4:1"
    assert "runtimeClassName" not in images[T4]


def test_only_the_rows_of_the_files_are_made_into_runtimes(tmp_path: Path) -> None:
    path = mine(tmp_path / "mine.csv", ("yolo11n", "openvino-fp32-cpu-t2-b1", "onnxruntime-fp32-cpu-t2-b1"))
    (runtime,) = runtimes("--image", "r/x:1", "--profiles", str(path))
    assert [one.name for v in runtime.variants for one in v.configurations] == ["onnxruntime-fp32-cpu-t2-b1"]


def test_what_the_runner_does_not_run_is_left_out_and_told() -> None:
    done = made("--image", "r/x:1", "--model", "resnet50", "--only", ORIN)
    rows = TABLE.of("resnet50", ORIN)
    left = [row.configuration for row in rows if row.engine == "ncnn" or row.compute_unit == "gpu+dla"]
    assert f"left out, as the runner does not run them: {len(left)} profiles of {left[0]}" in done.stderr
    (variant,) = yaml.safe_load(done.stdout)["spec"]["variants"]
    assert {one["name"] for one in variant["configurations"]} == {row.configuration for row in rows} - set(
        left
    )


OWN = """
metadata: {labels: {a: b}}
spec:
  volumes: [{name: usr, hostPath: {path: /usr}}]
  containers:
  - {name: runner, image: "mine:1", command: [python], volumeMounts: [{name: usr, mountPath: /usr}]}
"""


def test_a_template_of_ones_own_keeps_its_mounts_and_image(tmp_path: Path) -> None:
    path = tmp_path / "pod.yaml"
    path.write_text(OWN)
    (runtime,) = runtimes("--template", str(path), "--model", "resnet50", "--only", T4, "--models-path", "/m")
    made_template = runtime.variants[0].template
    (container,) = made_template["spec"]["containers"]
    assert (container["image"], container["command"]) == ("mine:1", ["python"])
    assert [one["name"] for one in container["volumeMounts"]] == ["usr", "models"]
    assert made_template["metadata"] == {"labels": {"a": "b"}}


def test_a_namespace_gets_runtimes_of_its_own() -> None:
    (runtime,) = runtimes("--image", "r/x:1", "--model", "resnet50", "--only", T4, "--namespace", "team-a")
    assert (runtime.kind, runtime.namespace) == (KIND, "team-a")


def test_a_checksum_of_the_file_goes_with_the_configurations_that_run_it(tmp_path: Path) -> None:
    rows = tuple(TABLE.of("resnet50", T4))
    wanted = Wanted({"": "r/x:1"}, sha256={("resnet50", "int8"): "0" * 64, ("resnet50", "fp16"): "1" * 64})
    found, _ = runner_runtimes(TABLE, rows, wanted)
    given = [one["parameters"] for one in found[0]["spec"]["variants"][0]["configurations"]]
    assert {(one["precision"], one["model_sha256"]) for one in given} == {("int8", "0" * 64)}


def test_checksums_are_of_the_file_that_a_precision_runs(tmp_path: Path) -> None:
    models, profiles = store(tmp_path / "models"), tmp_path / "mine.csv"
    folder = models / "tiny" / "1"
    (folder / "model.int8.onnx").write_bytes(b"of 8 bits")
    head, *rows = PROFILES.read_text().splitlines()
    row = next(row for row in rows if row.startswith("yolo11n,1,raspberry-pi-5,openvino-fp32-cpu-t2-b1,"))
    row = row.replace("yolo11n", "tiny")
    profiles.write_text("\n".join([head, row, row.replace("fp32", "int8")]))
    (runtime,) = runtimes("--image", "r/x:1", "--profiles", str(profiles), "--checksums", str(models))
    found = [dict(one.parameters) for variant in runtime.variants for one in variant.configurations]
    assert {one["precision"]: one["model_sha256"] for one in found} == {
        precision: hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for precision, file in (("fp32", "model.onnx"), ("int8", "model.int8.onnx"))
    }


def test_checksums_of_a_model_that_is_not_there_are_refused(tmp_path: Path) -> None:
    models = store(tmp_path / "models")
    done = made("--image", "r/x:1", "--model", "resnet50", "--checksums", str(models))
    assert (done.returncode, "no model 'resnet50' there; there are: tiny" in done.stderr) == (2, True)


WRONG = {
    "no image": (("--model", "resnet50"), "there is no --image for"),
    "an image of nothing": (("--image", "t5=r/x:1"), "'t5' is neither a hardware class nor one of"),
    "two images": (("--image", "a:1", "--image", "b:1"), "there are two for the same"),
    "no such model": (("--image", "a:1", "--model", "huge"), "there is no profile of model huge"),
    "no such class": (("--image", "a:1", "--only", "t5"), "there is no profile of hardware t5"),
    "two places": (("--image", "a:1", "--models-path", "/m", "--models-claim", "c"), "exclude each other"),
    "no such file": (("--image", "a:1", "--profiles", "none.csv"), "none.csv"),
    "no template": (("--image", "a:1", "--template", "none.yaml"), "none.yaml"),
    "a template that is none": (("--image", "a:1", "--template", str(PROFILES)), "is no pod template"),
    "nothing to run": (("--image", "a:1", "--only", "raspberry-pi-4"),
                       "none of the profiles"),
    "no such option": (("--imgae", "a:1"), "unrecognized arguments: --imgae a:1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_in_one_line(case: str) -> None:
    options, said = WRONG[case]
    done = made(*options)
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("synergai run runtimes: ")
    assert said in last
