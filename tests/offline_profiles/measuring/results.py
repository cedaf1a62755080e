"""Made-up results, for tests of what is done with them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from synergai.offline_profiles.engines.engine import Setting
from synergai.offline_profiles.engines.store import ModelFile
from synergai.offline_profiles.host.host import Cpu, Device, Gpu, Host
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.measure import Result
from synergai.offline_profiles.measuring.repeats import Measured

HOST = Host(
    cpu=Cpu("AMD EPYC 7B13", "AuthenticAMD", "x86_64", 1, 8, 8), memory_mib=32000, cpu_quota_milli=0, gpus=(),
    board="", l4t="", power_mode="", kernel="6.1", devices=(Device("amd-epyc-7b13", 1, "cpu"),),
)  # fmt: skip
GPU_HOST = replace(
    HOST, gpus=(Gpu("Tesla T4", 15360),), devices=(Device("nvidia-t4", 1, "gpu"), *HOST.devices)
)
MEASURED = Measured(
    throughput_sps=120.0, throughput_half_width=0.011, latency_ms=9.5, latency_half_width=0.018,
    latency_quantiles_ms=(9.0, 10.0, 11.0, 12.0, 13.0), queries=2000, runs=6, cpu_milli=740.0, active_w=None,
    power_covers="",
)  # fmt: skip
RESULT = Result(MEASURED, (0.5, 0.7, 0.6), (0.4, 0.3, 0.35), peak_memory_mib=80.0, engine_version="1.2")


def result(**measured: Any) -> Result:
    return replace(RESULT, measured=replace(MEASURED, **measured))


def point(folder: Path, name: str = "tiny", **setting: Any) -> Point:
    """Of a model whose file is made here."""
    path = folder / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(name.encode())
    given: dict[str, Any] = {
        "engine": "onnxruntime", "precision": "fp32", "unit": "cpu", "threads": 2, "batch": 1, **setting,
    }  # fmt: skip
    return Point(ModelFile(name, "1", path, {}), Setting(**given))
