"""A model, and runners of it as processes with the environment of a pod."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.pods import Pod, read_pod

HARDWARE = "intel-xeon-platinum-8380-2s"
CONFIGURATION = "onnxruntime-fp32-cpu-t1-b8"
POD = {
    "SYNERGAI_JOB": "default/photos",
    "SYNERGAI_ATTEMPT": "0",
    "SYNERGAI_MODEL": "tiny",
    "SYNERGAI_SAMPLES": "21",
    "SYNERGAI_DEADLINE": "2126-11-22T10:00:00.250000Z",
    "SYNERGAI_HARDWARE": HARDWARE,
    "SYNERGAI_CONFIGURATION": CONFIGURATION,
    "SYNERGAI_PARAMETER_ENGINE": "onnxruntime",
    "SYNERGAI_PARAMETER_PRECISION": "fp32",
    "SYNERGAI_PARAMETER_UNIT": "cpu",
    "SYNERGAI_PARAMETER_THREADS": "1",
    "SYNERGAI_PARAMETER_BATCH": "8",
}
"""As docs/jobs.md says; the model is that of `store`."""


def decision(hardware: str = HARDWARE, configuration: str = CONFIGURATION) -> str:
    return DecisionRecord("d-1", hardware, configuration, 0, 1000, 1024, "policy").to_json()


def store(folder: Path) -> Path:
    """With `tiny`: sums of rows of 8, each four times, for any number of rows."""
    weights = numpy_helper.from_array(np.ones((8, 4), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weights],
    )
    (folder / "tiny" / "1").mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    save(model, folder / "tiny" / "1" / "model.onnx")
    return folder


class Ended(NamedTuple):
    status: int
    message: str
    """The termination message."""
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.message)

    @property
    def why(self) -> str:
        """The error, which stands alone, on one line, and on stderr too."""
        assert list(self.report) == ["error"]
        assert "\n" not in self.message
        assert f"synergai run: {self.report['error']}" in self.stderr.splitlines()
        return self.report["error"]


def start(
    models: Path, log: Path, *options: str, without: tuple[str, ...] = (), **changed: str
) -> subprocess.Popen[str]:
    """`changed`: variables without SYNERGAI_, in place of those of POD."""
    environment = POD | {f"SYNERGAI_{name}": value for name, value in changed.items()}
    environment = {name: value for name, value in environment.items() if name[9:] not in without}
    log.write_text("")  # a kubelet makes it
    return subprocess.Popen(
        [sys.executable, "-m", "synergai.k8s_bridge.runner", "--models", str(models), *options],
        env=environment | {"SYNERGAI_REPORT": str(log)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(models: Path, log: Path, *options: str, without: tuple[str, ...] = (), **changed: str) -> Ended:
    """To its end."""
    process = start(models, log, *options, without=without, **changed)
    stdout, stderr = process.communicate(timeout=120)
    return Ended(process.returncode, log.read_text(), stdout, stderr)


def pod_with(message: str, annotations: dict[str, str] | None = None) -> Pod:
    """A pod that succeeded and said so."""
    ended = {
        "exitCode": 0,
        "message": message,
        "startedAt": "2026-11-22T10:00:00Z",
        "finishedAt": "2026-11-22T10:00:10Z",
    }
    status = {"phase": "Succeeded", "containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]}
    metadata = {
        "name": "a",
        "namespace": "default",
        "uid": "u",
        "creationTimestamp": "2026-11-22T10:00:00Z",
        "annotations": annotations or {},
    }
    return read_pod({"metadata": metadata, "spec": {"containers": [{"name": "runner"}]}, "status": status})
