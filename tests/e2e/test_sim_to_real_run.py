"""`synergai sim-to-real run` against an embedded cluster: what it leaves behind, also when it is stopped half way."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from synergai.k8s_bridge.inference.job import job_path

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WAIT_S = 300.0
"""Kernels may have to be compiled first."""
SHORT = "--models resnet50 --speed 20 --calibrate 5 --schedulers edf_likely"


class Here:
    """An embedded cluster of the scenario `kiosk`."""

    def __init__(self, folder: Path) -> None:
        self.kubeconfig = folder / "kubeconfig"
        config = yaml.safe_load(self.kubeconfig.read_text())
        self.host = config["clusters"][0]["cluster"]["server"]

    def items(self, path: str) -> list[dict]:
        with urllib.request.urlopen(self.host + path, timeout=10) as reply:
            return json.load(reply)["items"]

    def left(self) -> int:
        return len(self.items(job_path("default"))) + len(self.items("/api/v1/namespaces/default/pods"))

    def begin(self, out: Path, jobs: int = 10) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "synergai",
            "sim-to-real",
            "run",
            "--kubeconfig",
            str(self.kubeconfig),
        ]
        command += [*SHORT.split(), "--jobs", str(jobs), "--out", str(out)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def until(fact: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not fact():
        assert time.monotonic() < give_up_s
        time.sleep(0.2)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("kiosk")
    command = [sys.executable, "-m", "synergai", "cluster", "--scenario", "kiosk", "--speed", "20"]
    with (folder / "log").open("wb") as log:
        cluster = subprocess.Popen(
            [*command, "--kubeconfig", str(folder / "kubeconfig")], stdout=log, stderr=log
        )
        try:
            until((folder / "kubeconfig").exists)
            made = Here(folder)
            until(lambda: len(made.items("/api/v1/nodes")) == 3)
            yield made
        finally:
            cluster.terminate()
            cluster.wait(10)


def test_a_run_reports_every_job_and_leaves_none_on_the_cluster(here: Here, tmp_path: Path) -> None:
    done = here.begin(tmp_path)
    said, problems = done.communicate(timeout=WAIT_S)
    assert done.returncode == 0, problems
    assert "| edf_likely | 10 | the run itself |" in said
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["itself"]["edf_likely"]["world"]["jobs"] == 10
    assert here.left() == 0


def test_one_that_is_stopped_half_way_leaves_none_either_and_a_second_one_is_refused_meanwhile(
    here: Here, tmp_path: Path
) -> None:
    first = here.begin(tmp_path / "first", jobs=2000)
    until((tmp_path / "first" / "edf_likely" / "decisions.jsonl").exists)
    until(lambda: here.left() > 1)
    second = here.begin(tmp_path / "second")
    _, problems = second.communicate(timeout=WAIT_S)
    (line,) = problems.splitlines()
    assert (second.returncode, line[:41]) == (2, "synergai sim-to-real run: a bridge runs, ")
    os.kill(first.pid, signal.SIGINT)
    first.communicate(timeout=WAIT_S)
    assert first.returncode == 130
    assert here.left() == 0


def test_a_namespace_with_jobs_of_others_is_refused_and_they_stay(here: Here, tmp_path: Path) -> None:
    spec = {"model": {"name": "resnet50"}, "input": {"samples": 10}}
    body = {
        "apiVersion": "synergai.dev/v1alpha1",
        "kind": "InferenceJob",
        "metadata": {"name": "mine"},
        "spec": spec,
    }
    request = urllib.request.Request(
        here.host + job_path("default"), json.dumps(body).encode(), method="POST"
    )
    request.add_header("Content-Type", "application/json")
    urllib.request.urlopen(request, timeout=10).close()
    refused = here.begin(tmp_path)
    _, problems = refused.communicate(timeout=WAIT_S)
    (line,) = problems.splitlines()
    assert refused.returncode == 2
    assert "namespace default holds 1 InferenceJobs" in line
    assert here.left() == 1
