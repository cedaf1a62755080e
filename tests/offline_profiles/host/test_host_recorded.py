"""Whole hosts from recorded outputs of the real tools; each folder's SOURCE says where its text is from."""

import json
import shutil
from pathlib import Path

import pytest

from synergai.offline_profiles.host.cpu import HostTextError
from synergai.offline_profiles.host.host import Host
from synergai.offline_profiles.host.probe import recorded_host
from synergai.offline_profiles.table import ProfileTable

RECORDED = Path(__file__).parent / "recorded"
HOSTS = {
    "agx-orin-maxn": {"jetson-agx-orin-maxn": 1},
    "agx-orin-30w": {"jetson-agx-orin-30w": 1},
    "orin-nano-super": {"jetson-orin-nano-super": 1},
    "xavier-nx": {"jetson-xavier-nx-15w-6core": 1},
    "agx-xavier": {"jetson-agx-xavier-maxn": 1},
    "raspberry-pi-5": {"raspberry-pi-5": 1},
    "xeon-8380-2s": {"intel-xeon-platinum-8380-2s": 1},
    "xeon-6538yplus": {"intel-xeon-gold-6538yplus": 1},
    "ryzen-7950x-rtx-4090": {"nvidia-rtx-4090": 1, "amd-ryzen-9-7950x": 1},
    "t4-4x": {"nvidia-t4": 4, "intel-xeon-gold-6226r-2s": 1},
    "a100-mig": {"nvidia-a100-sxm-80gb": 3, "nvidia-a100-sxm-80gb-mig-1g.10gb": 7, "amd-epyc-7742-2s": 1},
    "a30-mig": {"nvidia-a30-mig-1g.6gb": 2, "nvidia-a30-mig-2g.12gb": 1, "intel-xeon-gold-6326-2s": 1},
    "h100-pcie": {"nvidia-h100-pcie-80gb": 2, "intel-xeon-platinum-8480plus-2s": 1},
    "no-gpu": {"intel-core-i5-4590": 1},
}
UNKNOWN = {
    "jetson-agx-orin-30w", "jetson-xavier-nx-15w-6core", "intel-xeon-gold-6226r-2s", "nvidia-a100-sxm-80gb",
    "amd-epyc-7742-2s", "nvidia-a30-mig-2g.12gb", "intel-xeon-gold-6326-2s", "intel-core-i5-4590",
}  # fmt: skip


def host(name: str) -> Host:
    return recorded_host(RECORDED / name)


@pytest.mark.parametrize("name", HOSTS)
def test_a_host_has_these_devices_and_nothing_went_wrong(name: str) -> None:
    assert {device.name: device.units for device in host(name).devices} == HOSTS[name]
    assert host(name).problems == ()


def test_every_recording_is_looked_at_and_says_where_it_is_from() -> None:
    folders = {folder.name for folder in RECORDED.iterdir()}
    assert folders == {*HOSTS, "broken-localized", "broken-truncated", "broken-driver"}
    assert [name for name in folders if not (RECORDED / name / "SOURCE").read_text().strip()] == []


def test_names_and_kinds_are_those_of_the_shipped_classes() -> None:
    shipped = ProfileTable.default().hardware
    devices = [device for name in HOSTS for device in host(name).devices]
    assert {device.name for device in devices} - set(shipped) == UNKNOWN
    assert {device.name: device.kind for device in devices if device.name in shipped} == {
        device.name: shipped[device.name].kind for device in devices if device.name in shipped
    }


@pytest.mark.parametrize(
    ("name", "sockets", "cores", "threads"),
    [
        ("agx-orin-maxn", 1, 12, 12),
        ("agx-orin-30w", 1, 8, 8),  # four are off
        ("agx-xavier", 4, 8, 8),  # older lscpu calls clusters sockets
        ("xavier-nx", 1, 6, 6),  # /proc/cpuinfo
        ("raspberry-pi-5", 1, 4, 4),
        ("xeon-8380-2s", 2, 80, 160),
        ("ryzen-7950x-rtx-4090", 1, 16, 32),
        ("a100-mig", 2, 128, 256),
    ],
)
def test_processors_are_counted(name: str, sockets: int, cores: int, threads: int) -> None:
    cpu = host(name).cpu
    assert (cpu.sockets, cpu.cores, cpu.threads) == (sockets, cores, threads)


@pytest.mark.parametrize(
    ("name", "mode", "l4t"),
    [
        ("agx-orin-maxn", "MAXN", "36.4.4"),
        ("agx-orin-30w", "MODE_30W", "35.3.1"),
        ("orin-nano-super", "MAXN_SUPER", "36.4.4"),
        ("xavier-nx", "MODE_15W_6CORE", "32.7.1"),
        ("no-gpu", "", ""),
    ],
)
def test_a_jetson_says_its_power_mode_and_release(name: str, mode: str, l4t: str) -> None:
    assert (host(name).power_mode, host(name).l4t) == (mode, l4t)


@pytest.mark.parametrize(
    ("name", "quota_milli"), [("xeon-8380-2s", 1500), ("xeon-6538yplus", 2500), ("no-gpu", 0)]
)
def test_the_least_quota_of_its_control_groups_holds(name: str, quota_milli: int) -> None:
    assert host(name).cpu_quota_milli == quota_milli


def test_a_jetsons_own_accelerator_is_no_card() -> None:
    assert (RECORDED / "agx-orin-maxn/commands/nvidia-smi-L").read_text().startswith("GPU 0: Orin (nvgpu)")
    assert host("agx-orin-maxn").gpus == ()


def test_lscpu_in_another_language_is_told_and_proc_speaks_instead() -> None:
    found = host("broken-localized")
    assert found.cpu.model.startswith("AMD A10-9620P")
    assert (found.cpu.cores, found.cpu.threads, found.arch) == (2, 4, "x86_64")
    assert any("LC_ALL=C" in problem for problem in found.problems)


def test_what_is_cut_off_is_told_and_makes_no_device() -> None:
    found = host("broken-truncated")
    assert (found.devices, found.gpus, found.memory_mib) == ((), (), 0)
    assert [problem.split(":")[0] for problem in found.problems] == [
        "lscpu -J", "neither lscpu nor /proc/cpuinfo say what processor this is", "/proc/meminfo",
        "nvidia-smi -L",
    ]  # fmt: skip


def test_a_driver_that_does_not_answer_is_told_in_its_own_words() -> None:
    assert host("broken-driver").problems == (
        "nvidia-smi -L: Failed to initialize NVML: Driver/library version mismatch",
    )


def test_a_folder_without_a_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HostTextError, match="no recording of a host"):
        recorded_host(tmp_path)


def test_tegrastats_says_the_memory_where_proc_was_not_recorded(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "agx-orin-maxn", tmp_path / "a")
    (tmp_path / "a/proc/meminfo").unlink()
    assert recorded_host(tmp_path / "a").memory_mib == 62780


def test_json_has_every_field() -> None:
    told = json.loads(host("a100-mig").to_json())
    assert told["gpus"][0]["slices"] == ["1g.10gb"] * 7
    assert told["devices"][0] == {"kind": "gpu", "name": "nvidia-a100-sxm-80gb", "units": 3}
