"""The shipped table is what the build makes of the sources, by the rules of docs/profiles.md."""

import csv
import gzip
import io
from collections import Counter
from importlib.resources import files

import pytest

from synergai.offline_profiles.build import build, read_sources, slug
from synergai.offline_profiles.choose import is_admitted
from synergai.offline_profiles.profile import Profile
from synergai.offline_profiles.rows import BASIS, LABEL
from synergai.offline_profiles.table import ProfileTable
from synergai.offline_profiles.threads import Sweeps

TABLE = ProfileTable.default()
SOURCES = read_sources()
SHIPPED = files("synergai.offline_profiles")


def source_row(profile: Profile, scenario: str) -> dict[str, str]:
    """The published run that a profile names."""
    found = [
        row
        for row in SOURCES.mlperf
        if f"{row['source_repo']}/{row['source_path']}" == profile.source and row["scenario"] == scenario
    ]
    assert len(found) == 1, profile.source
    return found[0]


def test_build_reproduces_the_shipped_files_byte_for_byte() -> None:
    for name, text in build(SOURCES).items():
        assert (SHIPPED / "data" / name).read_bytes() == text.encode(), (
            f"run `synergai profiles build`: {name}"
        )


def test_source_archive_is_a_gzip_without_time() -> None:
    raw = (SHIPPED / "sources" / "mlperf.csv.gz").read_bytes()
    assert raw[4:8] == b"\0\0\0\0"
    rows = list(csv.DictReader(io.StringIO(gzip.decompress(raw).decode())))
    assert {row["division"] for row in rows} == {"closed"}
    assert {row["scenario"] for row in rows} == {"Offline", "SingleStream"}


@pytest.mark.parametrize(
    ("model", "hardware", "configuration", "throughput_sps", "latency_ms"),
    [
        # mlcommons/inference_results_v3.0, closed/.../resnet50/SingleStream: mean 0.812385 ms
        ("resnet50", "nvidia-t4", "tensorrt-int8-gpu-b1", 1230.94, 0.812385),
        # mlcommons/inference_results_v2.0, closed/NVIDIA/results/Xavier_NX_TRT: gpu_bs=64, 1243.14 samples/s
        ("resnet50", "jetson-xavier-nx-maxn", "tensorrt-int8-gpu-dla-b64", 1243.14, 64 / 1243.14 * 1e3),
        # mlcommons/inference_results_v3.0, Raspberry Pi 4, ArmNN: mean 294.015 ms
        ("resnet50", "raspberry-pi-4", "armnn-neon-fp32-cpu-t4-b1", 3.40119, 294.015),
        # Tencent/ncnn benchmark/README.md, AGX Orin, 4 threads: 26.91 ms
        ("resnet50", "jetson-agx-orin-maxn", "ncnn-fp16-cpu-t4-b1", 1e3 / 26.91, 26.91),
    ],
)
def test_spot_value_is_the_published_one(
    model: str, hardware: str, configuration: str, throughput_sps: float, latency_ms: float
) -> None:
    profile = TABLE.find(model, hardware, configuration)
    assert profile.throughput_sps == pytest.approx(throughput_sps, rel=1e-5)
    assert profile.latency_ms == pytest.approx(latency_ms, rel=1e-5)


def test_measured_throughput_is_that_of_the_named_run() -> None:
    for profile in TABLE.profiles:
        if profile.throughput_basis == "measured":
            row = source_row(profile, "Offline")
            assert profile.throughput_sps == pytest.approx(float(row["samples_per_second"]), rel=1e-5)
            assert is_admitted(row)


def test_measured_latency_is_that_of_the_named_run() -> None:
    for profile in TABLE.profiles:
        if profile.latency_basis == "measured":
            row = source_row(profile, "SingleStream")
            assert profile.batch == 1
            assert profile.latency_ms == pytest.approx(float(row["mean_ms"]), rel=1e-5)
            assert profile.latency_p99_ms == pytest.approx(float(row["p99_ms"]), rel=1e-5)


def test_measured_power_is_that_of_the_named_run() -> None:
    measured = [profile for profile in TABLE.profiles if profile.power_basis == "measured"]
    assert measured
    for profile in measured:
        rows = [
            row for row in SOURCES.mlperf if f"{row['source_repo']}/{row['source_path']}" == profile.source
        ]
        assert [float(row["power_w"]) for row in rows] == pytest.approx([profile.active_w], rel=1e-5)


def test_names_are_label_safe_and_lower_case() -> None:
    names = {name for p in TABLE.profiles for name in (p.model, p.hardware, p.configuration)} | set(
        TABLE.hardware
    )
    assert all(LABEL.fullmatch(name) and name == name.lower() for name in names)
    assert slug("TensorRT+Triton") == "tensorrt-triton"


def test_every_number_says_where_it_comes_from() -> None:
    for profile in TABLE.profiles:
        for kind in ("throughput", "latency", "startup", "power", "resources"):
            assert BASIS.fullmatch(getattr(profile, f"{kind}_basis"))
    assert all(BASIS.fullmatch(hardware.basis) for hardware in TABLE.hardware.values())


def test_model_of_the_reference_runs_on_four_hardware_classes_and_every_model_gives_a_choice() -> None:
    frozen = {row.model for row in TABLE.reference}
    for model in TABLE.models:
        classes = sum(bool(TABLE.of(model, hardware)) for hardware in TABLE.hardware)
        assert classes >= (4 if model in frozen else 2)


def test_class_outside_the_reference_has_no_row_in_it() -> None:
    later = {row["name"] for row in SOURCES.classes if row["in_reference"] == "no"}
    assert later == {"jetson-orin-nano-super", "raspberry-pi-5"}
    assert not later & {row.hardware for row in TABLE.reference}


def test_table_spans_boards_to_servers() -> None:
    kinds = Counter(hardware.kind for hardware in TABLE.hardware.values())
    boards = {row["device"] for row in SOURCES.classes if row["kind"] == "jetson"}
    slices = [name for name in TABLE.hardware if "-mig-" in name]
    assert (len(boards), kinds["arm"], kinds["cpu"], kinds["gpu"], len(slices)) == (4, 2, 6, 9, 2)


def test_every_class_runs_something() -> None:
    assert {profile.hardware for profile in TABLE.profiles} == set(TABLE.hardware)


def test_cpu_configurations_take_their_threads_and_no_units() -> None:
    for profile in TABLE.profiles:
        if profile.compute_unit == "cpu":
            assert (profile.device_units, profile.cpu_milli) == (0, profile.threads * 1000)
            assert profile.cpu_milli <= TABLE.hardware[profile.hardware].cpu_milli
        else:
            assert profile.device_units == 1
        assert profile.memory_mib <= TABLE.hardware[profile.hardware].memory_mib


def test_server_cpus_can_share_a_node() -> None:
    servers = [hardware.name for hardware in TABLE.hardware.values() if hardware.kind == "cpu"]
    assert len(servers) >= 3
    for model in TABLE.models:
        for hardware in servers:
            if profiles := TABLE.of(model, hardware):
                assert len({profile.threads for profile in profiles}) >= 3


def test_parts_of_a_cpu_never_add_up_to_more_than_its_measured_whole() -> None:
    for profile in TABLE.profiles:
        if "in proportion" in profile.throughput_basis:
            whole = TABLE.hardware[profile.hardware].cpu_milli
            parts = whole // profile.cpu_milli
            measured = [
                other.throughput_sps
                for other in TABLE.of(profile.model, profile.hardware)
                if other.source == profile.source and other.cpu_milli == whole
            ]
            assert parts * profile.throughput_sps <= max(measured) * (1 + 1e-5)


def test_thread_curve_is_interpolated_and_ends_flat() -> None:
    curve = Sweeps(SOURCES.sweeps).x86("resnet50", 1)
    assert curve.at(8) == 83.0356
    assert curve.at(3) == pytest.approx((curve.at(2) + curve.at(4)) / 2)
    assert curve.at(64) == curve.at(16)


def test_a_batch_takes_no_less_time_than_one_query() -> None:
    for profile in TABLE.profiles:
        single = [p for p in TABLE.of(profile.model, profile.hardware) if p.latency_basis == "measured"]
        alike = [p for p in single if p.compute_unit == profile.compute_unit and p.threads == profile.threads]
        assert all(
            profile.latency_ms >= other.latency_ms * (1 - 1e-5) for other in alike if other.threads == 0
        )


def test_jetsons_are_more_frugal_than_servers() -> None:
    for model in ("resnet50", "bert-99"):
        joules = {
            name: min(profile.energy_j(2000) for profile in TABLE.of(model, name))
            for name in ("jetson-agx-orin-maxq", "nvidia-t4", "intel-xeon-platinum-8480plus-2s")
        }
        assert list(joules) == sorted(joules, key=lambda name: joules[name])
