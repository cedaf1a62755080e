"""`synergai replay`: a table beside what happened, or one line and exit code 2."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from synergai.cli import app

NODE = {
    "name": "t4-0", "devices": [{"hardware": "nvidia-t4", "units": 2}], "cpu_milli": 16000, "memory_mib": 65536,
    "pods": 110, "site": "", "ready": True,
}  # fmt: skip
START = {"kind": "start", "schema": "1", "nowUs": 0, "scheduler": "edf", "version": "0.1.0"}


def arrival(n: int) -> dict[str, Any]:
    job = {
        "key": f"default/j{n}", "model": "resnet50", "samples": 500, "arrival_us": n * 10**6,
        "deadline_us": (n + 60) * 10**6, "priority": 0, "namespace": "default", "site": "", "hardware": None,
        "nodes": None, "cpu_milli": 0, "memory_mib": 0, "attempt": 0,
    }  # fmt: skip
    return {"kind": "arrival", "nowUs": n * 10**6, "job": job}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    node = {"kind": "node", "nowUs": 0, "name": "t4-0", "node": NODE}
    end = {"kind": "outcome", "endedUs": 10**8, "pod": "default/j0", "cause": "done"}
    lines = [START, node, *(arrival(n) for n in range(30)), end]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["replay", *map(str, words)])


def test_each_scheduler_is_a_line_beside_what_happened(log: Path) -> None:
    result = run(log, "--schedulers", "edf,llf", "--checkpoint", "demo", "--tapes", 2)
    assert result.exit_code == 0
    assert "30 jobs, 30 of them counted, in 29 s on 1 nodes" in result.stdout
    assert "decided by edf 0.1.0" in result.stdout
    for name in ("as it happened", "edf", "llf", "demo"):
        assert f"│ {name} " in result.stdout


def test_what_is_left_out_is_told(log: Path) -> None:
    with log.open("a") as file:
        file.write("{\n")
    result = run(log, "--schedulers", "edf", "--tapes", 1)
    assert result.exit_code == 0
    assert f"synergai replay: {log}:34: JSONDecodeError" in result.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("none.jsonl",), "none.jsonl: cannot be read"),
        (("LOG", "--schedulers", "nope"), "no scheduler 'nope'"),
        (("LOG", "--schedulers", ""), "nothing to play"),
        (("LOG", "--checkpoint", "nope"), "no checkpoint folder 'nope'"),
        (("LOG", "--profiles", "none.csv"), "none.csv"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_code_2(log: Path, words: tuple[str, ...], why: str) -> None:
    result = run(*(log if word == "LOG" else word for word in words))
    assert result.exit_code == 2
    assert why in result.stderr
    assert result.stderr.count("\n") == 1
