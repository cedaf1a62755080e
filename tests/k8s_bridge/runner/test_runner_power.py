"""Energy from a recorded tree of RAPL, and none from a machine without."""

import threading
from pathlib import Path

import pytest

from synergai.k8s_bridge.runner import power
from synergai.k8s_bridge.runner.power import Watch


def rapl(root: Path, microjoules: int) -> Path:
    zone = root / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True, exist_ok=True)
    for name, text in {"name": "package-0", "energy_uj": microjoules, "max_energy_range_uj": 10**9}.items():
        (zone / name).write_text(f"{text}\n")
    return root


def begun(watch: Watch) -> Watch:
    assert watch._thread is not None
    watch._thread.join()
    return watch


def test_energy_is_counted_where_a_machine_shows_power_and_says_of_what(tmp_path: Path) -> None:
    watch = begun(Watch("cpu", rapl(tmp_path, 5_000_000)))
    rapl(tmp_path, 8_000_000)
    energy = watch.end()
    assert energy is not None
    assert energy.joules > 0
    assert "RAPL" in energy.of


def test_a_machine_that_shows_no_power_starts_nothing_and_tells_nothing(tmp_path: Path) -> None:
    watch = Watch("cpu", tmp_path)
    assert watch._thread is None
    assert watch.end() is None


def test_nothing_waits_for_a_meter_that_has_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def slow(self: Watch) -> None:
        asked.set()
        answer.wait(60)

    monkeypatch.setattr(power.Watch, "_begin", slow)
    watch = Watch("gpu", tmp_path)
    assert asked.wait(60)
    assert watch.end() is None
    answer.set()
