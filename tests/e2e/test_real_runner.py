"""`synergai run` in pods on a real kubelet: told by the downward API, heard by its termination message."""

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.outcomes import read_report
from synergai.k8s_bridge.pods import read_pod
from tests.deploy.rendered import ROOT, output, tool
from tests.e2e.cluster.control_plane import Plane
from tests.e2e.cluster.images import mount_host
from tests.e2e.cluster.machine import Size
from tests.e2e.cluster.machines import machines
from tests.k8s_bridge.runner.runner_world import decision, store

pytestmark = [pytest.mark.alone, pytest.mark.e2e, pytest.mark.slow]

WAIT_S = 120.0
NODE = "edge"
ANNOTATIONS = {"MODEL": "model", "SAMPLES": "samples", "DECISION": "decision"}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def kubectl(plane: Plane, kubelets: None) -> Iterator[list[str]]:
    """With one node; skipped where this system can have none, failed with SYNERGAI_E2E=require if it is not built."""
    with machines(plane.kubeconfig, (Size(NODE, cpu_milli=600, memory_mib=1024),)):
        yield [tool("kubectl"), "--kubeconfig", str(plane.kubeconfig)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("models"))


def started(kubectl: list[str], models: Path, samples: str) -> str:
    """The name of a pod as the bridge would have bound it, with this checkout's Python in the place of an image."""
    name = f"run-{secrets.token_hex(3)}"
    environment: list[Json] = [
        {
            "name": f"SYNERGAI_{variable}",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{keys.PREFIX}/{key}']"}},
        }
        for variable, key in ANNOTATIONS.items()
    ]
    runner = {
        "name": "runner",
        "command": [sys.executable, "-m", "synergai.k8s_bridge.runner", "--models", "/models"],
        "env": environment,
        "resources": {"limits": {"cpu": "300m", "memory": "512Mi"}},
    }
    spec: Json = {"nodeName": NODE, "restartPolicy": "Never", "containers": [runner]}
    mount_host(spec, {ROOT: str(ROOT), Path(sys.prefix): sys.prefix, models: "/models"})
    annotations = {
        keys.ANNOTATION_MODEL: "tiny",
        keys.ANNOTATION_SAMPLES: samples,
        keys.ANNOTATION_DECISION: decision(),
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "annotations": annotations},
        "spec": spec,
    }
    output([*kubectl, "create", "-f", "-"], json.dumps(pod))
    return name


def when(kubectl: list[str], name: str, fact: Callable[[Json], bool]) -> Json:
    """The pod, once this is so."""
    give_up_s = time.monotonic() + WAIT_S
    while not fact(pod := json.loads(output([*kubectl, "get", "pod", name, "-o", "json"]))):
        assert time.monotonic() < give_up_s, pod["status"]
        time.sleep(0.2)
    return pod


def is_over(pod: Json) -> bool:
    return pod["status"].get("phase") in ("Succeeded", "Failed")


def terminated(pod: Json) -> Json:
    return pod["status"]["containerStatuses"][0]["state"]["terminated"]


def test_a_pod_runs_what_was_decided_and_the_bridge_believes_its_report(
    kubectl: list[str], models: Path
) -> None:
    pod = when(kubectl, started(kubectl, models, "20000"), is_over)
    assert pod["status"]["phase"] == "Succeeded", terminated(pod)
    report, record = read_report(read_pod(pod)), read_decision(pod["metadata"]["annotations"])
    assert report is not None
    assert record is not None
    assert (report.hardware, report.configuration) == (record.hardware, record.configuration)
    said = json.loads(terminated(pod)["message"])
    assert (said["samples"], said["cpuLimitMilli"], said["threads"]) == (20_000, 300, 1)


def test_a_pod_that_is_told_nonsense_fails_with_the_reason(kubectl: list[str], models: Path) -> None:
    ended = terminated(when(kubectl, started(kubectl, models, "many"), is_over))
    assert ended["exitCode"] == 64
    assert "SYNERGAI_SAMPLES is 'many'" in json.loads(ended["message"])["error"]


def test_a_pod_that_is_stopped_says_so_and_does_not_wait_to_be_killed(
    kubectl: list[str], models: Path
) -> None:
    name = started(kubectl, models, str(10**9))
    held = json.dumps({"metadata": {"finalizers": [keys.FINALIZER_OUTCOME]}})
    output([*kubectl, "patch", "pod", name, "-p", held])
    when(kubectl, name, lambda pod: pod["status"].get("phase") == "Running")
    time.sleep(5.0)  # what comes before Python is up is lost
    output([*kubectl, "delete", "pod", name, "--wait=false"])
    pod = when(kubectl, name, is_over)
    output([*kubectl, "patch", "pod", name, "-p", json.dumps({"metadata": {"finalizers": None}})])
    assert terminated(pod)["exitCode"] == 143
    assert json.loads(terminated(pod)["message"])["error"].startswith("stopped by SIGTERM")
