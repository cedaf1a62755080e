"""What becomes of results: rows that the table reads, bases that say what was measured and what was not."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.offline_profiles.host.host import Host
from synergai.offline_profiles.measuring.assumed import Assumptions, Given
from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.run import Files, Places
from synergai.offline_profiles.measuring.written import Machine, hardware_class, profile, texts
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.rows import read_rows, write_rows
from synergai.offline_profiles.table import ProfileTable
from tests.offline_profiles.measuring.results import GPU_HOST, HOST, RESULT, point, result


def machine(
    name: str = "my-epyc",
    kind: str = "cpu",
    host: Host = HOST,
    given: Given | None = None,
    idle_w: float | None = None,
) -> Machine:
    assumptions = Assumptions.of(name, kind, host.cpu.threads, given or Given())
    resource = "nvidia.com/gpu" if kind == "gpu" else ""
    hardware = hardware_class(name, kind, resource, host, assumptions, idle_w)
    return Machine(host, hardware, assumptions, idle_w)


def test_the_table_reads_what_was_measured_and_predicts_by_it(tmp_path: Path) -> None:
    wanted = [point(tmp_path, batch=batch) for batch in (1, 4)]
    results = {one.key: RESULT for one in wanted}
    places = Places(tmp_path / "mine.csv")
    places.write(Files(*texts(machine(), results, wanted, Effort())))
    table = ProfileTable.load(places.profiles, base=False, hardware=places.hardware)
    one, four = table.of("tiny", "my-epyc")
    assert (one.configuration, four.configuration) == (
        "onnxruntime-fp32-cpu-t2-b1",
        "onnxruntime-fp32-cpu-t2-b4",
    )
    assert four.run_time_s(1200) == pytest.approx(1200 / 120.0)
    assert one.run_time_s(1200) == pytest.approx(1200 * 9.5 / 1000)
    assert table.hardware["my-epyc"].cpu_milli == 8000
    host = json.loads(places.host.read_text())
    assert host["points"][wanted[0].key]["measured"]["throughput_half_width"] == 0.011
    assert host["host"]["cpu"]["model"] == "AMD EPYC 7B13"


def test_startup_is_the_median_and_adds_the_image(tmp_path: Path) -> None:
    given = Given(image_mib=600.0, pull_mib_per_s=100.0)
    row = profile(machine(given=given), point(tmp_path), RESULT)
    assert (row.startup_cached_s, row.startup_image_present_s) == (0.35, 0.6)
    assert row.startup_image_absent_s == pytest.approx(6.6)
    assert row.startup_basis == (
        "derived: measured with the image there; without it, given image of 600 MiB pulled at 100 MiB/s on top"
    )
    assumed = profile(machine(), point(tmp_path), RESULT)
    assert "assumed image of 1200 MiB" in assumed.startup_basis


def test_a_cache_that_seems_to_slow_the_start_is_taken_as_no_help(tmp_path: Path) -> None:
    row = profile(machine(), point(tmp_path), replace(RESULT, cached_s=(0.9,)))
    assert row.startup_cached_s == row.startup_image_present_s == 0.6


@pytest.mark.parametrize(
    ("quota_milli", "threads", "cpu_milli"), [(0, 2, 2000), (300, 1, 300), (2500, 2, 2000), (1500, 2, 1500)]
)
def test_a_configuration_takes_its_threads_or_the_quota(
    tmp_path: Path, quota_milli: int, threads: int, cpu_milli: int
) -> None:
    there = machine(host=replace(HOST, cpu_quota_milli=quota_milli))
    assert profile(there, point(tmp_path, threads=threads), RESULT).cpu_milli == cpu_milli
    assert there.hardware.cpu_milli == (quota_milli or 8000)


def test_an_accelerator_takes_a_unit_and_the_cpu_that_it_was_fed_with(tmp_path: Path) -> None:
    row = profile(
        machine("nvidia-t4", "gpu", GPU_HOST), point(tmp_path, unit="gpu", threads=0), result(cpu_milli=740.0)
    )
    assert (row.device_units, row.cpu_milli) == (1, 1000)
    assert row.configuration == "onnxruntime-fp32-gpu-b1"


def test_memory_has_a_margin_and_whole_steps(tmp_path: Path) -> None:
    row = profile(machine(), point(tmp_path), replace(RESULT, peak_memory_mib=120.0))
    assert row.memory_mib == 192  # 132 in steps of 64


def test_power_is_of_the_meter_where_there_is_one(tmp_path: Path) -> None:
    found = result(active_w=31.5, power_covers="card by nvidia-smi, without its host")
    row = profile(machine(idle_w=20.0), point(tmp_path), found)
    assert (row.active_w, row.idle_w) == (31.5, 20.0)
    assert row.power_basis == "derived: card by nvidia-smi, without its host"
    low = profile(machine(idle_w=40.0), point(tmp_path), found)
    assert low.active_w == low.idle_w == 40.0


def test_a_given_idle_power_carries_what_the_meter_shows_above_its_own(tmp_path: Path) -> None:
    found = result(active_w=31.5, power_covers="x")
    there = machine(given=Given(idle_w=100.0), idle_w=20.0)
    row = profile(there, point(tmp_path), found)
    assert (row.active_w, row.idle_w) == (111.5, 100.0)
    assert there.hardware.idle_w == 100.0


def test_power_that_nothing_shows_is_assumed_as_given(tmp_path: Path) -> None:
    row = profile(machine(given=Given(idle_w=40.0, peak_w=120.0)), point(tmp_path, threads=4), RESULT)
    assert (row.idle_w, row.active_w) == (40.0, 40.0 + 0.5 * 0.8 * 80.0)
    assert row.power_basis.startswith("assumed: 0.5 of all cores' power (0.8 of the span from 40 W idle")
    assert "as given" in row.power_basis


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [("nvidia-t4", "gpu", "as of the shipped class"), ("my-gpu", "gpu", "median of shipped gpu classes"),
     ("my-arm", "arm", "by the core"), ("my-jetson", "jetson", "median of shipped jetson classes")],
)  # fmt: skip
def test_power_that_nobody_says_is_that_of_like_classes(
    tmp_path: Path, name: str, kind: str, words: str
) -> None:
    row = profile(machine(name, kind), point(tmp_path), RESULT)
    assert row.power_basis.startswith("assumed: ")
    assert words in row.power_basis
    assert 0 < row.idle_w < row.active_w


positive = st.floats(1e-3, 1e5)


@given(
    throughput=positive,
    latency=positive,
    steps=st.lists(positive, min_size=5, max_size=5),
    starts=st.lists(st.floats(0.01, 600), min_size=2, max_size=2),
    memory=st.floats(0, 1e6),
    watts=st.none() | st.floats(0, 1e4),
    idle=st.none() | st.floats(0, 1e4),
)
def test_whatever_was_measured_makes_a_row_that_is_read_back(
    throughput: float,
    latency: float,
    steps: list[float],
    starts: list[float],
    memory: float,
    watts: float | None,
    idle: float | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    found = result(
        throughput_sps=throughput, latency_ms=latency, latency_quantiles_ms=tuple(sorted(steps)),
        active_w=watts, power_covers="w",
    )  # fmt: skip
    whole = replace(found, present_s=(starts[0],), cached_s=(starts[1],), peak_memory_mib=memory)
    row = profile(machine(idle_w=idle), point(tmp_path_factory.getbasetemp()), whole)
    problems: list[str] = []
    read = read_rows(Profile, write_rows(Profile, [row]), "row", problems)
    assert not problems
    assert read[0].value.throughput_sps == pytest.approx(throughput, rel=1e-5)
