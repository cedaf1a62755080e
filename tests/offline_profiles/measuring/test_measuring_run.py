"""`synergai profile` on this machine, with models that take no time."""

import csv
import io
import json
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from synergai.cli import app
from synergai.offline_profiles.engines.engine import EngineError
from synergai.offline_profiles.engines.shipped import write_models
from synergai.offline_profiles.measuring.effort import Effort
from synergai.offline_profiles.measuring.loadgen import LoadGen
from synergai.offline_profiles.measuring.measure import measure_point
from synergai.offline_profiles.measuring.repeats import measure
from synergai.offline_profiles.profile import Hardware, Profile
from synergai.offline_profiles.rows import read_rows
from synergai.offline_profiles.table import ProfileTable
from tests.offline_profiles.engines import tiny
from tests.offline_profiles.measuring.asked import BRIEF, profiled
from tests.offline_profiles.measuring.results import point


def test_loadgen_runs_queries_one_after_the_other_and_all_at_once() -> None:
    calls = [0]

    def query() -> None:
        calls[0] += 1
        time.sleep(0.002)

    load = LoadGen(query, batch=4)
    latencies_s = load.single_stream(0.1, 0.002)
    assert len(latencies_s) == calls[0] > 2
    assert min(latencies_s) >= 0.002
    calls[0] = 0
    throughput_sps = load.offline(0.1, 0.002)
    assert calls[0] >= 50  # as many as fill the time, by what a query takes
    assert 0 < throughput_sps <= 4 / 0.002


def test_what_an_engine_says_in_the_middle_of_a_run_is_kept() -> None:
    def query() -> None:
        raise EngineError("the engine broke")

    with pytest.raises(EngineError, match="the engine broke"):
        LoadGen(query, 1).single_stream(0.05, 0.001)


def test_runs_are_repeated_until_the_intervals_are_narrow_or_the_time_is_up() -> None:
    wide = Effort(run_s=0.02, precision=10.0, least_runs=4, most_s=60.0)
    assert measure(lambda: time.sleep(0.001), 1, wide, 0.001, None).runs == 4
    hopeless = Effort(run_s=0.02, precision=1e-9, least_runs=2, most_s=0.0)
    assert measure(lambda: time.sleep(0.001), 1, hopeless, 0.001, None).runs == 2


class Counter:
    """A meter that knows when it is asked."""

    covers = "a test"

    def __init__(self) -> None:
        self.ended = 0

    def begin(self):
        def end() -> float:
            self.ended += 1
            return 7.5

        return end


def test_power_is_taken_over_each_offline_run() -> None:
    meter = Counter()
    found = measure(lambda: time.sleep(0.001), 1, BRIEF, 0.001, meter)
    assert (found.active_w, found.power_covers, meter.ended) == (7.5, "a test", found.runs)


def test_a_point_is_measured_in_processes_of_its_own(tmp_path: Path) -> None:
    made = point(tmp_path, threads=1)
    tiny.write(made.model.path)
    found = measure_point(made, BRIEF)
    assert found.measured.throughput_sps > 0
    assert found.measured.latency_quantiles_ms == tuple(sorted(found.measured.latency_quantiles_ms))
    assert found.peak_memory_mib > 10
    assert 0 < found.startups_s[1] <= found.startups_s[0]


def test_a_point_that_kills_its_process_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = point(tmp_path)
    folder = tmp_path / "fake"
    folder.mkdir()
    (folder / "suicide.py").write_text("import os, sys; sys.stderr.write('oops\\n'); os.kill(os.getpid(), 9)")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr("synergai.offline_profiles.measuring.measure.CHILD", "suicide")
    with pytest.raises(EngineError, match=r"killed by signal 9.*memory.*: oops"):
        measure_point(made, BRIEF)


def test_a_run_gives_profiles_that_the_table_reads(tmp_path: Path) -> None:
    folder = tiny.store(tmp_path / "models", "tiny", "other")
    out = tmp_path / "mine.csv"
    done = profiled(folder, str(out), "--engines", "onnxruntime", "--model", "tiny")
    assert done.exit_code == 0, done.stderr
    assert done.stdout == ""
    table = ProfileTable.load(out, base=False, hardware=tmp_path / "mine-hardware.csv")
    rows = table.of("tiny", "test-cpu")
    assert [row.configuration for row in rows] == ["onnxruntime-fp32-cpu-t1-b1", "onnxruntime-fp32-cpu-t1-b2"]
    for row in rows:
        assert row.run_time_s(10**7) == pytest.approx(
            max(10**7 / row.throughput_sps, 10**7 / row.batch * row.latency_ms / 1000)
        )
        assert row.cpu_milli <= 1000
    assert json.loads((tmp_path / "mine-host.json").read_text())["hardware"] == "test-cpu"
    assert not (tmp_path / "mine.partial.jsonl").exists()


def test_on_standard_output_there_is_the_table_alone(tmp_path: Path) -> None:
    done = profiled(tiny.store(tmp_path), "-", "--batches", "1")
    assert done.exit_code == 0, done.stderr
    (row,) = csv.DictReader(io.StringIO(done.stdout))
    assert row["configuration"] == "onnxruntime-fp32-cpu-t1-b1"
    assert "samples/s" in done.stderr


def test_framed_output_holds_all_three_files(tmp_path: Path) -> None:
    done = profiled(tiny.store(tmp_path), "-", "--batches", "1", "--framed")
    lines = done.stdout.splitlines()
    parts = {
        name: "\n".join(
            lines[
                lines.index(f"-----BEGIN SYNERGAI {name}-----") + 1 : lines.index(
                    f"-----END SYNERGAI {name}-----"
                )
            ]
        )
        for name in ("PROFILE", "HARDWARE", "HOST")
    }
    problems: list[str] = []
    assert len(read_rows(Profile, parts["PROFILE"], "p", problems)) == 1
    assert len(read_rows(Hardware, parts["HARDWARE"], "h", problems)) == 1
    assert not problems
    assert json.loads(parts["HOST"])["effort"]["most_s"] == BRIEF.most_s


def test_a_point_that_does_not_run_is_left_out_and_told(tmp_path: Path) -> None:
    folder = tiny.store(tmp_path / "models")
    tiny.write(folder / "fixed" / "1" / "model.onnx", batch=1)
    out = tmp_path / "mine.csv"
    done = profiled(folder, str(out))
    assert done.exit_code == 0, done.stderr
    assert "fixed:1 onnxruntime-fp32-cpu-t1-b2: left out" in done.stderr
    assert "batch of 1 only, not 2" in done.stderr
    table = ProfileTable.load(out, base=False, hardware=tmp_path / "mine-hardware.csv")
    assert (len(table.of("tiny", "test-cpu")), len(table.of("fixed", "test-cpu"))) == (2, 1)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--model", "none"], "no model 'none' there; there are: tiny"),
        (["--engines", "abacus"], "engine 'abacus' is unknown"),
        (["--precisions", "fp8"], "onnxruntime offers fp32"),
        (["--threads", "x"], "--threads: 'x' is not a whole number above 0"),
        (["--threads", "0"], "--threads: 0 is not a whole number"),
        (["--unit", "tpu"], "--unit: 'tpu' is neither cpu nor gpu"),
        (["--hardware", "a b"], "--hardware: 'a b' is not a label value"),
        (["--resource", "n"], "--resource: 'n' is not a resource"),
        (["--idle-w", "-1"], "--idle-w: -1 is not above 0"),
        (["--framed"], "--framed is for --out -"),
    ],
)  # fmt: skip
def test_a_slip_is_one_line_and_nothing_is_measured(tmp_path: Path, more: list[str], said: str) -> None:
    done = profiled(tiny.store(tmp_path / "models"), str(tmp_path / "o.csv"), *more)
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("synergai profile run: ")
    assert said in line
    assert not list(tmp_path.glob("o*"))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = profiled(tmp_path / "none", str(tmp_path / "o.csv"))
    assert (done.exit_code, done.stderr) == (
        2,
        f"synergai profile run: {tmp_path / 'none'}: is no folder of models\n",
    )
    done = profiled(tiny.store(tmp_path / "models"), str(tmp_path / "none" / "o.csv"))
    assert done.exit_code == 2
    assert "none/o.partial.jsonl: cannot be written" in done.stderr


@pytest.mark.slow
def test_real_models_on_both_engines(tmp_path: Path) -> None:
    folder, out = tmp_path / "models", tmp_path / "o.csv"
    write_models(folder, ["magika", "ppocr-cls"])
    done = profiled(folder, str(out), "--engines", "onnxruntime,openvino", "--batches", "1")
    assert done.exit_code == 0, done.stderr
    table = ProfileTable.load(out, base=False, hardware=tmp_path / "o-hardware.csv")
    for model in ("magika", "ppocr-cls"):
        assert {row.engine for row in table.of(model, "test-cpu")} == {"onnxruntime", "openvino"}


def test_models_are_written_by_name(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["profile", "models", "--into", str(tmp_path), "--only", "magika"])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path}/magika/1/model.onnx\n")
    done = CliRunner().invoke(app, ["profile", "models", "--into", str(tmp_path), "--only", "gpt"])
    assert done.exit_code == 2
    assert done.stderr.startswith("synergai profile models: model 'gpt' is not shipped; shipped are magika, ")
