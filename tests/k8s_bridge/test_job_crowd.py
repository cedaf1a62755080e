"""InferenceJobs by the ten thousand cost memory in proportion."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bridge_crowd import WAITING_PART
from test_bridge_crowd import Cost, crowd

PATIENCE_S, QUIET_S = 300.0, 20.0


def until_all_are_decided(kubeconfig: Path, folder: Path, waiting: int) -> Cost:
    """Of a bridge that reads everything and decides, dry, on all jobs that wait, or on as many as there is room for."""
    command = [sys.executable, "-m", "synergai", "bridge", "--dry-run", "--metrics-port", "0"]
    log, give_up_s = folder / "log", time.monotonic() + PATIENCE_S
    with log.open("wb") as out:
        bridge = subprocess.Popen([*command, "--kubeconfig", str(kubeconfig)], stdout=out, stderr=out)
        decided, moved_s = 0, time.monotonic()
        while decided < waiting and not (decided and time.monotonic() - moved_s > QUIET_S):
            assert bridge.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < give_up_s, log.read_text()[-2000:]
            time.sleep(0.2)
            before, decided = decided, log.read_text().count("would bind")
            moved_s = moved_s if decided == before else time.monotonic()
        bridge.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(bridge.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return Cost(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, log.read_text())


def measure(folder: Path, node_count: int, jobs: int) -> Cost:
    with crowd(folder, node_count, 0, 0, jobs) as kubeconfig:
        return until_all_are_decided(kubeconfig, folder, -(-jobs // WAITING_PART))


@pytest.mark.slow
def test_a_job_costs_less_than_six_kibibytes(tmp_path: Path) -> None:
    """At the peak, its pod and the nodes included; one in ten waits, and the others have ended and keep their pods."""
    alone, crowded = measure(tmp_path, 200, 20), measure(tmp_path, 200, 10_000)
    assert (crowded.peak_mib - alone.peak_mib) * 1024 / 10_000 < 6.0


if __name__ == "__main__":  # python test_job_crowd.py FOLDER NODES JOBS: the figures of docs/jobs.md
    found = measure(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(f"peak {found.peak_mib:.0f} MiB, {found.cpu_s:.1f} s of processor time")
