"""Each parser on a line or two, and on whatever else may come."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.offline_profiles.host import cgroup, cpu, names, nvidia, tegra
from synergai.offline_profiles.host.cpu import HostTextError
from synergai.offline_profiles.host.host import Cpu, Gpu
from synergai.offline_profiles.host.probe import Answer, describe, run_tool

RECORDED = Path(__file__).parent / "recorded"
PARSERS = [
    cpu.parse_lscpu, cpu.parse_cpuinfo, cpu.parse_meminfo, nvidia.parse_list, nvidia.parse_query, tegra.parse_release,
    tegra.parse_nvpmodel, tegra.parse_tegrastats,
]  # fmt: skip
OUTPUTS = [file.read_text() for file in sorted(RECORDED.glob("*/commands/*"))]
LABEL = r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?"


@pytest.mark.parametrize(
    ("model", "vendor", "sockets", "name"),
    [
        ("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", "GenuineIntel", 2, "intel-xeon-platinum-8380-2s"),
        ("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", "GenuineIntel", 1, "intel-xeon-platinum-8380"),
        ("INTEL(R) XEON(R) PLATINUM 8592+", "GenuineIntel", 2, "intel-xeon-platinum-8592plus-2s"),
        ("Intel(R) Xeon(R) CPU E5-2640 v2 @ 2.00GHz", "GenuineIntel", 2, "intel-xeon-e5-2640-v2-2s"),
        ("12th Gen Intel(R) Core(TM) i7-12700K", "GenuineIntel", 1, "intel-core-i7-12700k"),
        ("AMD EPYC 7763 64-Core Processor", "AuthenticAMD", 2, "amd-epyc-7763-2s"),
        ("AMD Ryzen 7 PRO 4750U with Radeon Graphics", "AuthenticAMD", 1, "amd-ryzen-7-pro-4750u"),
        ("Neoverse-N1", "ARM", 1, "arm-neoverse-n1"),
        ("", "ARM", 1, ""),
    ],
)
def test_a_processor_is_named_by_maker_model_and_sockets(
    model: str, vendor: str, sockets: int, name: str
) -> None:
    assert names.cpu_name(Cpu(model, vendor, "x86_64", sockets)) == name


@pytest.mark.parametrize(
    ("card", "name"),
    [
        ("Tesla T4", "nvidia-t4"),
        ("NVIDIA A100-PCIE-40GB", "nvidia-a100-pcie-40gb"),
        ("A100-SXM4-40GB", "nvidia-a100-sxm-40gb"),
        ("NVIDIA A100 80GB PCIe", "nvidia-a100-pcie-80gb"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm-80gb"),
        ("NVIDIA GeForce RTX 4090", "nvidia-rtx-4090"),
        ("NVIDIA RTX A6000", "nvidia-rtx-a6000"),
        ("Tesla V100-SXM2-16GB", "nvidia-v100-sxm-16gb"),
    ],
)
def test_a_card_is_named_without_its_brands(card: str, name: str) -> None:
    assert names.gpu_name(Gpu(card)) == name


def test_plus_is_written_plus_in_a_slice_too() -> None:
    assert names.slice_name(Gpu("NVIDIA A30"), "1g.6gb+me") == "nvidia-a30-mig-1g.6gbplusme"


@pytest.mark.parametrize(
    ("model", "mode", "name"),
    [
        ("Jetson AGX Orin", "MODE_30W", "jetson-agx-orin-30w"),
        ("NVIDIA Orin NX Developer Kit", "25W", "jetson-orin-nx-25w"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "15W", "jetson-orin-nano-15w"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "25W", "jetson-orin-nano-super"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "MODE_20W_6CORE", "jetson-xavier-nx-maxn"),
        ("NVIDIA Jetson AGX Orin Developer Kit", "", ""),  # a mode that nobody knows is no class
        ("Raspberry Pi 4 Model B Rev 1.4", "", "raspberry-pi-4"),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", "", "raspberry-pi-3-model-b-plus"),
        ("Some other board", "", ""),
    ],
)
def test_a_board_is_named_with_its_power_mode(model: str, mode: str, name: str) -> None:
    assert names.board_name(model, mode) == name


def test_a_jetson_of_unknown_mode_has_no_device_rather_than_a_processor() -> None:
    arm = Cpu("Cortex-A78AE", "ARM", "aarch64", 1, 12, 12)
    assert names.devices(arm, (), "NVIDIA Jetson AGX Orin Developer Kit", "") == ()


@given(st.text(max_size=120), st.text(max_size=40), st.integers(0, 9), st.text(max_size=80))
def test_every_name_is_a_labels(model: str, vendor: str, sockets: int, profile: str) -> None:
    made = [
        names.cpu_name(Cpu(model, vendor, "", sockets)), names.gpu_name(Gpu(model)),
        names.slice_name(Gpu("T4"), profile), names.slice_name(Gpu(model), "1g.6gb"),
        names.board_name(f"Jetson AGX Orin{model}", vendor), names.board_name(f"Raspberry Pi {model}", ""),
    ]  # fmt: skip
    assert [name for name in made if name and not re.fullmatch(LABEL, name)] == []


@given(st.sampled_from(OUTPUTS), st.integers(0, 4000), st.integers(0, 40), st.text(max_size=20))
def test_an_output_that_was_cut_or_changed_is_read_or_refused_in_a_line(
    text: str, start: int, length: int, other: str
) -> None:
    spoiled = text[:start] + other + text[start + length :]
    for parse in PARSERS:
        try:
            parse(spoiled)
        except HostTextError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for parse in PARSERS:
        try:
            parse(text)
        except HostTextError:
            continue


@pytest.mark.parametrize(
    ("listed", "count"),
    [("0-3", 4), ("0,1", 2), ("0-3,8-11", 8), ("5", 1), ("", 0), ("3-1", 0), ("0-x", 0), ("0-", 0)],
)
def test_listed_processors_are_counted(listed: str, count: int) -> None:
    assert cpu.count_listed(listed) == count


@pytest.mark.parametrize(
    ("name", "used", "total", "on", "rails"),
    [
        ("agx-orin-maxn", 13983, 62780, 12,
         {"VDD_GPU_SOC": 3150, "VDD_CPU_CV": 14312, "VIN_SYS_5V0": 4968, "VDDQ_VDD2_1V8AO": 1091}),
        ("agx-orin-30w", 5219, 62841, 8, {"VDD_GPU_SOC": 2416, "VDD_CPU_CV": 402, "VIN_SYS_5V0": 3628}),
        ("xavier-nx", 2020, 7763, 6, {"VDD_IN": 3140, "VDD_CPU_GPU_CV": 536, "VDD_SOC": 633}),
        ("agx-xavier", 14700, 15692, 8,
         {"GPU": 463, "CPU": 618, "SOC": 2936, "CV": 0, "VDDRQ": 309, "SYS5V": 3306}),
    ],
)  # fmt: skip
def test_tegrastats_tells_memory_cores_and_power(
    name: str, used: int, total: int, on: int, rails: dict[str, int]
) -> None:
    found = tegra.parse_tegrastats((RECORDED / name / "commands/tegrastats").read_text())
    assert (found.ram_used_mib, found.ram_total_mib, sum(found.cpus)) == (used, total, on)
    assert found.power_mw == rails


def test_a_verbose_nvpmodel_says_its_mode_too() -> None:
    text = "NVPM VERB: Config file: /etc/nvpmodel.conf\nNVPM VERB: Current mode: NV Power Mode: MODE_15W_6CORE\n2\n"
    assert tegra.parse_nvpmodel(text) == "MODE_15W_6CORE"


def test_an_nvpmodel_without_rights_is_told_in_its_own_words() -> None:
    with pytest.raises(HostTextError, match="Error opening /var/lib/nvpmodel/status: 13"):
        tegra.parse_nvpmodel("NVPM ERROR: Error opening /var/lib/nvpmodel/status: 13\n")


def test_a_mode_without_a_name_is_told() -> None:
    with pytest.raises(HostTextError, match="no POWER_MODEL ID=7"):
        tegra.parse_mode_files("pmode:0007", "< POWER_MODEL ID=0 NAME=MAXN >\n")


def test_a_card_in_mig_mode_without_slices_is_no_device_and_told() -> None:
    said = {
        "nvidia-smi-L": "GPU 0: NVIDIA A30 (UUID: GPU-a)\n",
        "nvidia-smi-query": "name, memory.total [MiB], mig.mode.current\nNVIDIA A30, 24576 MiB, Enabled\n",
        "lscpu": (RECORDED / "no-gpu/commands/lscpu").read_text(),
    }
    found = describe(RECORDED / "no-gpu", lambda name: Answer(said.get(name, "")))
    assert [device.kind for device in found.devices] == ["cpu"]
    assert found.problems == ("nvidia-smi -L: GPU 0 is in MIG mode and has no slices",)


def test_memory_that_is_not_said_is_zero() -> None:
    (gpu,) = nvidia.parse_query("name, memory.total [MiB], mig.mode.current\nNVIDIA A10, [N/A], [N/A]\n")
    assert gpu == Gpu("NVIDIA A10", 0, False)


def test_a_warning_beside_the_point_is_no_card() -> None:
    warning = "WARNING: infoROM is corrupted at gpu 0000:8A:00.0\n"
    assert nvidia.parse_list(f"GPU 0: Tesla T4 (UUID: GPU-a)\n{warning}") == (Gpu("Tesla T4"),)
    table = f"name, memory.total [MiB], mig.mode.current\nTesla T4, 15360 MiB, [N/A]\n{warning}"
    assert nvidia.parse_query(table) == (Gpu("Tesla T4", 15360),)


def test_a_card_that_fell_off_the_bus_is_told_and_makes_no_list_of_the_rest() -> None:
    said = "Unable to determine the device handle for GPU 0000:02:00.0: Unknown Error\n"
    with pytest.raises(HostTextError, match="nvidia-smi -L: Unable to determine the device handle"):
        nvidia.parse_list(f"GPU 0: Tesla T4 (UUID: GPU-a)\n{said}")


@pytest.mark.parametrize(
    ("text", "quota_milli"),
    [("150000 100000", 1500), ("max 100000", 0), ("", 0), ("1 100000", 1), ("150000 0", 0), ("-1 100000", 0)],
)
def test_a_quota_is_in_milli_cpu(text: str, quota_milli: int) -> None:
    assert cgroup.parse_v2(text) == quota_milli


def test_a_group_outside_the_mount_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/../../etc\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("50000 100000\n")
    assert cgroup.quota_milli(tmp_path) == 500


def tool_here(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    file = folder / "nvpmodel"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


@pytest.mark.parametrize(
    ("script", "text", "problem"),
    [
        ("echo NV Power Mode: $LC_ALL", "NV Power Mode: C\n", ""),
        ("echo broken >&2; exit 3", "", "nvpmodel -q: broken"),
        ("exit 4", "", "nvpmodel -q: exit code 4"),
        ("exec sleep 60", "", "nvpmodel -q: no answer in 0.5 s"),
        ("read line; echo got $line", "got\n", ""),  # nothing can be asked of a person
    ],
)
def test_a_tool_is_run_in_english_with_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, text: str, problem: str
) -> None:
    tool_here(tmp_path, monkeypatch, script)
    assert run_tool("nvpmodel", 0.5) == Answer(text, problem)


def test_a_tool_that_is_not_installed_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_tool("nvpmodel") == Answer("")


def test_this_host_can_be_described() -> None:
    found = describe()
    assert found.arch
    assert found.cpu.threads >= 1
    assert found.memory_mib > 0
