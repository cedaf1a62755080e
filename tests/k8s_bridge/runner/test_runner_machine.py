"""What the kernel says, from recorded trees of cgroup v1 and v2, and of this process."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.k8s_bridge.runner import machine
from synergai.k8s_bridge.runner.latencies import Latencies
from synergai.offline_profiles.host.cgroup import throttled_s
from synergai.offline_profiles.host.process import peak_memory_mib

V2 = {
    "proc/self/cgroup": "0::/\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/cpu.max": "30000 100000\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 100\nnr_throttled 3\nthrottled_usec 1250000\n",
}
V1 = {
    "proc/self/cgroup": "5:memory:/kubepods/podx/c1\n4:cpu,cpuacct:/kubepods/podx/c1\n1:name=systemd:/\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/podx/c1/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/podx/c1/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/podx/c1/cpu.stat": "nr_periods 2\nnr_throttled 1\nthrottled_time 500000000\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/podx/cpu.cfs_quota_us": "150000\n",
    "sys/fs/cgroup/cpu,cpuacct/kubepods/podx/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
    "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_cgroup_v2_tells_limit_and_throttling(tmp_path: Path) -> None:
    root = tree(tmp_path, V2)
    assert machine.cpu_limit_milli(root) == 300
    assert throttled_s(root) == 1.25


def test_cgroup_v1_tells_the_tightest_limit_above_and_its_own_throttling(tmp_path: Path) -> None:
    root = tree(tmp_path, V1)
    assert machine.cpu_limit_milli(root) == 1500
    assert throttled_s(root) == 0.5


def test_a_v1_container_that_sees_the_nodes_path_finds_itself_at_the_mount(tmp_path: Path) -> None:
    inner = {name: text for name, text in V1.items() if "kubepods" not in name}
    inner["sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us"] = "30000\n"
    inner["sys/fs/cgroup/cpu,cpuacct/cpu.stat"] = "throttled_time 7000000\n"
    root = tree(tmp_path, inner)
    assert (machine.cpu_limit_milli(root), throttled_s(root)) == (300, 0.007)


@pytest.mark.parametrize("text", ["max 100000", "", "1", "a b", "-1 -1", "1000 0"])
def test_no_limit_or_nonsense_is_no_limit(tmp_path: Path, text: str) -> None:
    assert machine.cpu_limit_milli(tree(tmp_path, {**V2, "sys/fs/cgroup/cpu.max": text})) is None


def test_a_machine_without_proc_tells_nothing(tmp_path: Path) -> None:
    here = machine.now()
    assert machine.cpu_limit_milli(tmp_path) is None
    assert throttled_s(tmp_path) is None
    assert peak_memory_mib(tmp_path) is None
    assert machine.process_start(here, tmp_path) == here


def test_a_process_began_before_it_asks_and_both_clocks_say_so() -> None:
    asks = (
        "from synergai.k8s_bridge.runner import machine; here = machine.now(); began = machine.process_start(here); "
        "print(here.elapsed_s - began.elapsed_s, here.wall_us - began.wall_us)"
    )  # of a process that is young: of one that says to be over an hour old nothing is believed
    told = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True).stdout
    before_s, before_us = told.split()
    assert float(before_s) > 0.0
    assert int(before_us) == pytest.approx(float(before_s) * 1e6, abs=2)


def test_a_name_with_brackets_hides_no_start(tmp_path: Path) -> None:
    here = machine.Start(100.0, 5_000_000)
    ticks = " ".join(["S", *["0"] * 18, "9000"])
    root = tree(tmp_path, {"proc/self/stat": f"7 (a) b) {ticks} 0 0\n"})
    assert machine.process_start(here, root) == machine.Start(90.0, -5_000_000)


@given(st.text(max_size=200))
def test_whatever_the_kernel_says_a_start_is_believed_only_if_it_can_be(text: str) -> None:
    here = machine.now()
    began = machine._started(text, here)
    assert 0.0 <= here.elapsed_s - began.elapsed_s < 3600.0


def test_peak_memory_is_that_of_this_process() -> None:
    peak_mib = peak_memory_mib()
    assert peak_mib is not None
    assert peak_mib > 5.0


def test_processor_time_goes_on_while_something_is_done() -> None:
    before_s = machine.cpu_seconds()
    until_s = time.process_time() + 0.05
    while time.process_time() < until_s:
        pass
    assert machine.cpu_seconds() > before_s


@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=300))
def test_quantiles_are_of_what_was_measured_and_in_order(seconds: list[float]) -> None:
    latencies = Latencies(most=64)
    for one in seconds:
        latencies.add(one)
    p50, p90, p99 = latencies.quantiles_ms([0.5, 0.9, 0.99])
    assert p50 <= p90 <= p99
    assert {p50, p90, p99} <= {one * 1000.0 for one in seconds}


def test_many_latencies_keep_their_quantiles_in_little_room() -> None:
    latencies = Latencies(most=1000)
    for k in range(100_000):
        latencies.add((k * 7919 % 100_000) / 1000.0)
    assert len(latencies._kept) <= 1000
    assert latencies.quantiles_ms([0.5, 0.9]) == pytest.approx([50_000, 90_000], rel=0.05)
