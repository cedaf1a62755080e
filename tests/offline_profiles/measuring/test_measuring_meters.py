"""Power from recorded trees of files, as the kernel and NVIDIA's drivers lay them out."""

from collections.abc import Mapping
from pathlib import Path
from threading import Event

import pytest

from synergai.offline_profiles.measuring import meters

# Folder and file names of the kernel's powercap documentation and its intel_rapl driver.
RAPL = {
    "intel-rapl:0/name": "package-0", "intel-rapl:0/energy_uj": "1000000",
    "intel-rapl:0/max_energy_range_uj": "262143328850",
    "intel-rapl:0:0/name": "core", "intel-rapl:0:0/energy_uj": "5",
    "intel-rapl:1/name": "package-1", "intel-rapl:1/energy_uj": "262143000000",
    "intel-rapl:1/max_energy_range_uj": "262143328850",
    "intel-rapl:2/name": "psys", "intel-rapl:2/energy_uj": "77",
}  # fmt: skip
# Rails, millivolts and milliamperes of a Jetson AGX Orin (no input rail) and of an Orin Nano (VDD_IN).
AGX_ORIN = {
    "1-0040/name": "ina3221",
    "1-0040/hwmon/hwmon3/in1_label": "VDD_GPU_SOC", "1-0040/hwmon/hwmon3/in1_input": "19128",
    "1-0040/hwmon/hwmon3/curr1_input": "120",
    "1-0040/hwmon/hwmon3/in2_label": "VDD_CPU_CV", "1-0040/hwmon/hwmon3/in2_input": "19136",
    "1-0040/hwmon/hwmon3/curr2_input": "40",
    "1-0040/hwmon/hwmon3/in3_label": "VIN_SYS_5V0", "1-0040/hwmon/hwmon3/in3_input": "4976",
    "1-0040/hwmon/hwmon3/curr3_input": "704",
    "1-0040/hwmon/hwmon3/in7_label": "sum of shunt voltages", "1-0040/hwmon/hwmon3/in7_input": "1",
    "1-0041/name": "ina3221",
    "1-0041/hwmon/hwmon4/in1_label": "NC", "1-0041/hwmon/hwmon4/in1_input": "0",
    "1-0041/hwmon/hwmon4/curr1_input": "0",
    "1-0041/hwmon/hwmon4/in2_label": "VDDQ_VDD2_1V8AO", "1-0041/hwmon/hwmon4/in2_input": "4968",
    "1-0041/hwmon/hwmon4/curr2_input": "80",
    "0-004c/name": "tmp451", "0-004c/hwmon/hwmon0/in1_label": "no power", "0-004c/hwmon/hwmon0/in1_input": "9",
}  # fmt: skip
ORIN_NANO = {
    "1-0040/name": "ina3221",
    "1-0040/hwmon/hwmon1/in1_label": "VDD_IN", "1-0040/hwmon/hwmon1/in1_input": "5000",
    "1-0040/hwmon/hwmon1/curr1_input": "1200",
    "1-0040/hwmon/hwmon1/in2_label": "VDD_CPU_GPU_CV", "1-0040/hwmon/hwmon1/in2_input": "5000",
    "1-0040/hwmon/hwmon1/curr2_input": "300",
}  # fmt: skip


def tree(root: Path, under: str, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / under / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def rapl(root: Path, **energy_uj: int) -> Path:
    changed = {f"intel-rapl:{zone[1:]}/energy_uj": str(value) for zone, value in energy_uj.items()}
    return tree(root, "sys/class/powercap", changed)


def tool(root: Path, script: str) -> Path:
    path = root / "usr/bin/nvidia-smi"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return root


def test_rapl_sums_the_packages_alone_and_survives_their_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 12.0])
    monkeypatch.setattr(meters.time, "monotonic", lambda: next(clock))
    meter = meters.find("cpu", tree(tmp_path, "sys/class/powercap", RAPL))
    assert meter is not None
    end = meter.begin()
    rapl(tmp_path, z0=41_000_000, z1=19_671_150)  # 40 J, and 20 J past the end of the counter
    assert end() == pytest.approx(30.0)


def test_rapl_that_may_not_be_read_is_no_meter(tmp_path: Path) -> None:
    tree(tmp_path, "sys/class/powercap", RAPL)
    (tmp_path / "sys/class/powercap/intel-rapl:1/energy_uj").unlink()
    assert meters.find("cpu", tmp_path) is None


def test_rapl_that_goes_away_gives_nothing(tmp_path: Path) -> None:
    meter = meters.find("cpu", tree(tmp_path, "sys/class/powercap", RAPL))
    assert meter is not None
    end = meter.begin()
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert end() is None


@pytest.mark.parametrize("unit", ["cpu", "gpu"])
def test_a_board_without_an_input_rail_is_the_sum_of_those_that_are_connected(
    tmp_path: Path, unit: str
) -> None:
    meter = meters.find(unit, tree(tmp_path, "sys/bus/i2c/devices", AGX_ORIN))
    assert meter is not None
    milliwatts = 19.128 * 120 + 19.136 * 40 + 4.976 * 704 + 4.968 * 80
    assert meter.begin()() == pytest.approx(milliwatts / 1000)
    assert meter.covers == "sum of the module's rails by INA3221"


def test_an_input_rail_is_the_whole_board(tmp_path: Path) -> None:
    meter = meters.find("cpu", tree(tmp_path, "sys/bus/i2c/devices", ORIN_NANO))
    assert meter is not None
    assert meter.begin()() == pytest.approx(6.0)
    assert meter.covers == "board's input rail VDD_IN by INA3221"


def test_nvidia_smi_is_asked_for_the_card(tmp_path: Path) -> None:
    meter = meters.find("gpu", tool(tmp_path, 'echo "$@" >> "$0.asked"; echo 68.25'))
    assert meter is not None
    assert meter.begin()() == pytest.approx(68.25)
    asked = (tmp_path / "usr/bin/nvidia-smi.asked").read_text().splitlines()
    assert set(asked) == {"--query-gpu=power.draw --format=csv,noheader,nounits --id=0"}


@pytest.mark.parametrize("script", ["echo '[N/A]'", "echo 'No devices were found'; exit 6", "exit 9"])
def test_nvidia_smi_that_knows_nothing_is_no_meter(tmp_path: Path, script: str) -> None:
    assert meters.find("gpu", tool(tmp_path, script)) is None


def test_where_nothing_shows_power_there_is_no_meter(tmp_path: Path) -> None:
    assert meters.find("cpu", tmp_path) is None
    assert meters.find("gpu", tmp_path) is None


def test_what_is_sampled_is_the_mean_without_what_could_not_be_read() -> None:
    values, all_read = [10.0, None, 20.0], Event()

    def watts() -> float | None:
        if values:
            return values.pop(0)
        all_read.set()
        return None

    end = meters.sampled(watts, step_s=0.001)
    assert all_read.wait(20)
    assert end() == 15.0
