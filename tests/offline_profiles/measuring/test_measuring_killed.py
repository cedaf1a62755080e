"""A run that is killed half way, and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synergai.offline_profiles.table import ProfileTable
from tests.offline_profiles.engines import tiny
from tests.offline_profiles.measuring.asked import command, profiled
from tests.offline_profiles.measuring.results import point

PATIENCE_S = 120.0


def started(folder: Path, out: Path, *more: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "synergai", *command(folder, str(out), *more)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def children(pid: int) -> set[int]:
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(status.parent.name))
    return found


def wait_for(what: str, condition) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s, f"waited in vain for {what}"
        time.sleep(0.02)


def finished(journal: Path) -> int:
    return len(journal.read_text().splitlines()) - 1 if journal.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_killed_leaves_no_process_and_goes_on_where_it_stopped(
    tmp_path: Path, how: signal.Signals
) -> None:
    folder, out, journal = (
        tiny.store(tmp_path / "m", "a", "b"),
        tmp_path / "o.csv",
        tmp_path / "o.partial.jsonl",
    )
    run = started(folder, out)
    wait_for("the first point", lambda: finished(journal) >= 1)
    wait_for("the next point", lambda: children(run.pid))
    orphans = children(run.pid)
    run.send_signal(how)
    assert run.wait(PATIENCE_S) == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[how]
    wait_for("the child to end", lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in orphans))
    assert not out.exists()
    before = journal.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "synergai", *command(folder, str(out))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{before.count(chr(10)) - 1} of 4 points are there from before" in done.stderr
    kept = json.loads(before.splitlines()[1])
    assert json.loads((tmp_path / "o-host.json").read_text())["points"][kept["point"]] == kept["result"]
    assert len(ProfileTable.load(out, base=False, hardware=tmp_path / "o-hardware.csv").profiles) == 4
    assert not journal.exists()


@pytest.mark.slow
def test_another_model_file_is_refused_after_an_interruption_unless_anew(tmp_path: Path) -> None:
    folder, out = tiny.store(tmp_path / "m", "a"), tmp_path / "o.csv"
    run = started(folder, out)
    wait_for("the first point", lambda: finished(tmp_path / "o.partial.jsonl") >= 1)
    run.send_signal(signal.SIGTERM)
    run.wait(PATIENCE_S)
    tiny.write(folder / "a" / "1" / "model.onnx", batch="another")
    refused = profiled(folder, str(out))
    assert refused.exit_code == 2
    assert "was begun under other conditions: model files (a:1); " in refused.stderr
    done = profiled(folder, str(out), "--anew")
    assert done.exit_code == 0, done.stderr
    assert "from before" not in done.stderr


def test_a_child_ends_with_whoever_started_it(tmp_path: Path) -> None:
    made = point(tmp_path)
    tiny.write(made.model.path)
    job = {
        "model": str(made.model.path), "shapes": {}, "cache": str(tmp_path), "setting": {
            "engine": "onnxruntime", "precision": "fp32", "unit": "cpu", "threads": 1, "batch": 1,
        }, "effort": {"run_s": 600.0, "most_s": 600.0},
    }  # fmt: skip
    read, write = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", "synergai.offline_profiles.measuring.child"],
        stdin=read,
        stdout=subprocess.DEVNULL,
    )
    os.close(read)
    os.write(write, json.dumps(job).encode() + b"\n")
    assert child.poll() is None
    os.close(write)
    assert child.wait(PATIENCE_S) != 0
