"""Settings that might be neighbours."""

from pathlib import Path

from synergai.offline_profiles.engines.engine import Setting
from synergai.offline_profiles.engines.store import ModelFile
from synergai.offline_profiles.measuring.grid import Point
from synergai.offline_profiles.measuring.tenants import Place

MODEL = ModelFile("m", "1", Path("m.onnx"), {})


def place(threads: int, unit: str = "cpu", quota_milli: int = 0) -> Place:
    return Place(Point(MODEL, Setting("onnxruntime", "fp32", unit, threads, 1)), quota_milli)
