"""A trace through the whole house on real kubelets: nodes are profiled, jobs scheduled, engines really run."""

import csv
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.real.ground import CLASSES, ROOT

pytestmark = [pytest.mark.alone, pytest.mark.e2e, pytest.mark.slow]

JOBS = 100
MODELS = ("magika", "ppocr-rec")
LONGEST_S = 1500


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, kubelets: None) -> Path:
    """What `make demo-real` leaves behind, of one scheduler and more jobs."""
    folder = tmp_path_factory.mktemp("real")
    words = ("--out", folder, "--quick", "--models", ",".join(MODELS), "--schedulers", "demo")
    sizes = ("--batches", 1, "--jobs", JOBS, "--calibrate", 10, "--load", 0.9, "--job-s", 2)
    command = [sys.executable, "-m", "tests.e2e.real", *map(str, (*words, *sizes))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return folder


def _runs(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "demo" / "runs.json").read_text())["runs"]


def _decisions(out: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "demo" / "decisions.jsonl").read_text().splitlines()]
    return {line["decision"]["job"]: line["decision"] for line in lines if line.get("action") == "START"}


def test_every_class_is_profiled_with_every_engine_on_a_node_of_its_own(out: Path) -> None:
    rows = list(csv.DictReader((out / "profiles.csv").read_text().splitlines()))
    found = Counter((row["hardware"], row["model"], row["engine"]) for row in rows)
    for hardware in CLASSES.values():
        for model in MODELS:
            assert found[hardware, model, "onnxruntime"] == found[hardware, model, "openvino"] == 1
    assert {row["throughput_basis"] for row in rows} == {"measured"}


def test_every_job_of_the_trace_ran_to_its_end_and_every_node_had_some(out: Path) -> None:
    runs = _runs(out)
    assert Counter(run["phase"] for run in runs) == {"Succeeded": JOBS}, [
        r for r in runs if r["phase"] != "Succeeded"
    ]
    assert len({run["job"] for run in runs}) == JOBS
    assert {run["node"] for run in runs} == set(CLASSES)


def test_what_was_decided_is_what_ran(out: Path) -> None:
    decided = _decisions(out)
    asked = {f"default/{job['name']}": job for job in json.loads((out / "workload.json").read_text())}
    for run in _runs(out):
        decision, report = decided[run["pod"]], run["report"]
        assert (decision["node"], CLASSES[run["node"]]) == (run["node"], report["hardware"])
        assert report["configuration"] == decision["configuration"]
        engine, _, _, threads, batch = report["configuration"].split("-")
        assert (report["engine"], f"t{report['threads']}", f"b{report['batch']}") == (engine, threads, batch)
        assert report["samples"] == asked[run["job"]]["samples"]


def test_the_simulator_is_asked_about_the_same_jobs(out: Path) -> None:
    found = json.loads((out / "report.json").read_text())
    for when in ("before", "after", "itself"):
        for kind in ("world", "policy"):
            assert found[when]["demo"][kind]["jobs"] == JOBS
        assert sum(group["jobs"] for group in found[when]["demo"]["node"]) == JOBS
    assert found["failed"] == {"demo": []}
    assert found["parameters"]["pod_start_s"] > 0.0
    assert (
        found["before"]["demo"]["world"]["flow_predicted_s"]
        < found["after"]["demo"]["world"]["flow_predicted_s"]
    )
    for picture in ("flows.png", "rates.png"):
        assert (out / picture).read_bytes().startswith(b"\x89PNG")
