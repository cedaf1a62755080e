"""Runners as processes, as a kubelet starts them: real engines, real ends."""

import ast
import hashlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from runner_world import CONFIGURATION, HARDWARE, POD, Ended, decision, pod_with, run, start, store

from synergai.envs.types import Job
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import read_decision
from synergai.k8s_bridge.clock import parse_time_us
from synergai.k8s_bridge.outcomes import observed_run_s, read_report

HEAVY = ("typer", "click", "rich", "numba", "aiohttp", "kubernetes", "matplotlib", "torch", "gymnasium", "pydantic",
         "numpy", "yaml", "onnxruntime", "openvino", "importlib.metadata")  # fmt: skip
"""What a runner does without until it knows that there is something to run."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store(tmp_path_factory.mktemp("models"))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "termination-log"


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_job_is_run_and_what_it_says_is_what_the_bridge_learns_from(
    engine: str, models: Path, log: Path
) -> None:
    configuration = f"{engine}-fp32-cpu-t1-b8"
    ended = run(models, log, CONFIGURATION=configuration, PARAMETER_ENGINE=engine)
    assert ended.status == 0, ended.stderr
    assert ended.stdout == ended.message + "\n"
    report = read_report(pod_with(ended.message))
    assert report is not None
    assert (report.model, report.samples, report.hardware) == ("tiny", 21, HARDWARE)
    assert report.configuration == configuration
    job = Job("default/photos", "tiny", 21, 0, None)
    record = read_decision({keys.ANNOTATION_DECISION: decision(configuration=configuration)})
    assert observed_run_s(pod_with(ended.message), report, record, job, 1.0) == report.run_s


def test_a_report_tells_how_it_was_run_and_what_that_took(models: Path, log: Path) -> None:
    report = run(models, log).report
    assert (report["threads"], report["batch"], report["engine"]) == (1, 8, "onnxruntime")
    assert report["deadlineMet"] is True
    assert report["throughput"] == pytest.approx(21 / report["computeSeconds"], rel=0.01)
    latency = report["latencyMilliseconds"]
    assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= report["computeSeconds"] * 1e3
    assert report["cpuSeconds"] > 0
    assert report["peakMemoryMib"] > 10


def test_run_seconds_are_from_the_start_of_the_process_to_the_end_of_the_work(
    models: Path, log: Path
) -> None:
    before_us = time.time_ns() // 1000
    report = run(models, log).report
    after_us = time.time_ns() // 1000
    process, here, end = (
        parse_time_us(report[f"{name}At"]) for name in ("processStarted", "started", "finished")
    )
    assert before_us - 10_000 <= process <= here <= end <= after_us  # processes start on a tick of 10 ms
    assert report["runSeconds"] == pytest.approx((end - process) / 1e6, abs=0.002)
    assert report["loadSeconds"] + report["computeSeconds"] <= report["runSeconds"]


def test_a_deadline_that_has_passed_is_told(models: Path, log: Path) -> None:
    assert run(models, log, DEADLINE="2020-01-01T00:00:00Z").report["deadlineMet"] is False


def test_a_plain_pod_reads_its_decision_from_a_downward_volume(
    models: Path, log: Path, tmp_path: Path
) -> None:
    (tmp_path / "decision").write_text(decision(configuration="onnxruntime-fp32-cpu-t2-b4"))
    own = ("HARDWARE", "CONFIGURATION", *(f"PARAMETER_{name}" for name in ("THREADS", "BATCH")))
    ended = run(models, log, "--decision", str(tmp_path / "decision"), without=own, DEADLINE="30s")
    assert ended.status == 0, ended.stderr
    assert (ended.report["threads"], ended.report["batch"]) == (2, 4)
    assert ended.report["deadlineMet"] is None
    assert "SYNERGAI_DEADLINE is '30s'" in ended.stderr


def test_samples_go_in_and_answers_come_out(models: Path, log: Path, tmp_path: Path) -> None:
    x = np.arange(21 * 8, dtype=np.float32).reshape(21, 8)
    np.savez(tmp_path / "in.npz", x=x)
    given, made = tmp_path / "in.npz", tmp_path / "out.npz"
    ended = run(models, log, INPUT_URI=given.as_uri(), OUTPUT_URI=made.as_uri())
    assert ended.status == 0, ended.stderr
    assert np.allclose(np.load(made)["output_0"], x.sum(axis=1, keepdims=True).repeat(4, axis=1))


def test_the_model_that_was_meant_is_run(models: Path, log: Path) -> None:
    sha256 = hashlib.sha256((models / "tiny/1/model.onnx").read_bytes()).hexdigest()
    assert run(models, log, PARAMETER_MODEL_SHA256=sha256).status == 0


PARAMETERS = tuple(f"PARAMETER_{name}" for name in ("ENGINE", "PRECISION", "UNIT", "THREADS", "BATCH"))


MISMATCHES = {
    "no samples": ({"SAMPLES": "many"}, 64, "SYNERGAI_SAMPLES is 'many'"),
    "another batch": ({"PARAMETER_BATCH": "4"}, 65, "SYNERGAI_PARAMETER_BATCH is '4'; expected '8'"),
    "another decision": ({"DECISION": decision(hardware="nvidia-t4")}, 65, "SYNERGAI_HARDWARE is"),
    "no such model": ({"MODEL": "huge"}, 66, "no model 'huge' there; there are: tiny"),
    "no such version": ({"MODEL": "tiny:7"}, 66, "no version '7' there; there are: 1"),
    "another model": ({"PARAMETER_MODEL_SHA256": "0" * 64}, 67, "its sha256 is"),
    "no such engine": ({"CONFIGURATION": "abacus-fp32-cpu-b1"}, 68, "engine 'abacus' is unknown"),
    "no such precision": ({"CONFIGURATION": "onnxruntime-unstated-cpu-b1"}, 68, "not unstated"),
    "no such unit": ({"CONFIGURATION": "openvino-fp32-gpu-b1"}, 68, "openvino finds no gpu here"),
    "an engine that is not installed": ({"CONFIGURATION": "tensorrt-int8-gpu-b1"}, 68, "tensorrt"),
    "input from elsewhere": ({"INPUT_URI": "s3://in/a"}, 69, "SYNERGAI_INPUT_URI is 's3://in/a'"),
    "output to elsewhere": ({"OUTPUT_URI": "s3://out/a"}, 69, "SYNERGAI_OUTPUT_URI is 's3://out/a'"),
}


@pytest.mark.parametrize("case", MISMATCHES)
def test_a_mismatch_ends_with_its_status_and_says_why(case: str, models: Path, log: Path) -> None:
    changed, status, said = MISMATCHES[case]
    ended = run(models, log, without=PARAMETERS if "CONFIGURATION" in changed else (), **changed)
    assert said in ended.why
    assert ended.status == status
    assert ended.stdout == ""


def test_a_folder_of_models_that_is_not_there_is_named(tmp_path: Path, log: Path) -> None:
    ended = run(tmp_path / "none", log)
    assert (ended.status, f"{tmp_path / 'none'}: is no folder of models" in ended.why) == (66, True)


def test_a_file_that_is_no_model_is_named(tmp_path: Path, log: Path) -> None:
    (store(tmp_path) / "tiny/1/model.onnx").write_bytes(b"not a model")
    ended = run(tmp_path, log)
    assert (ended.status, f"{tmp_path}/tiny/1/model.onnx: onnxruntime" in ended.why) == (68, True)


def test_a_precision_with_a_file_of_its_own_runs_that(tmp_path: Path, log: Path) -> None:
    (store(tmp_path) / "tiny/1/model.int8.onnx").write_bytes(b"not a model")
    assert run(tmp_path, log).status == 0
    ended = run(tmp_path, log, without=PARAMETERS, CONFIGURATION="openvino-int8-cpu-t1-b8")
    assert (ended.status, f"{tmp_path}/tiny/1/model.int8.onnx: openvino" in ended.why) == (68, True)


def test_an_unknown_option_is_told_as_everything_is(models: Path, log: Path) -> None:
    ended = run(models, log, "--modles", "x")
    assert (ended.status, ended.why) == (64, "unrecognized arguments: --modles x")


def test_a_decision_that_is_not_there_yet_is_refused(models: Path, log: Path, tmp_path: Path) -> None:
    (tmp_path / "decision").write_text("")
    ended = run(models, log, "--decision", str(tmp_path / "decision"))
    assert (ended.status, "nothing was decided" in ended.why) == (65, True)


def test_a_cache_that_cannot_be_written_to_is_told_and_done_without(
    models: Path, log: Path, tmp_path: Path
) -> None:
    ended = run(models, log, "--cache", str(tmp_path / "none"))
    assert ended.status == 0
    assert "nothing is kept" in ended.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_runner_that_is_stopped_half_way_says_how_far_it_was(
    number: signal.Signals, status: int, models: Path, log: Path
) -> None:
    process = start(models, log, SAMPLES="1000000000")
    while not _loaded(process):
        time.sleep(0.05)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    ended = Ended(process.returncode, log.read_text(), stdout, stderr)
    assert ended.status == status
    assert ended.why.startswith(f"stopped by {number.name} after ")
    assert ended.why.endswith(" of 1000000000 samples")
    assert read_report(pod_with(ended.message)) is None


def _loaded(process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None
    return "onnxruntime" in Path(f"/proc/{process.pid}/maps").read_text()


def test_a_report_that_cannot_be_written_does_not_undo_the_work(
    models: Path, log: Path, tmp_path: Path
) -> None:
    ended = run(models, log, "--report", str(tmp_path / "none" / "log"))
    assert ended.status == 0
    assert "the report cannot be written" in ended.stderr
    assert '"runSeconds"' in ended.stdout


def test_a_pod_waits_for_nothing_that_its_run_does_not_need() -> None:
    code = f"import sys, synergai.k8s_bridge.runner.cli; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == []


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_run_needs_numpy_yaml_and_its_engine_alone(engine: str, models: Path, log: Path) -> None:
    away = [name for name in HEAVY if name not in ("numpy", "yaml", engine, "importlib.metadata")]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({away})); sys.argv[0] = 'run'\n"
        "from synergai.k8s_bridge.runner.cli import main; main()"
    )
    configuration = f"{engine}-fp32-cpu-t1-b8"
    environment = {
        "SYNERGAI_MODEL": "tiny", "SYNERGAI_SAMPLES": "9", "SYNERGAI_HARDWARE": HARDWARE,
        "SYNERGAI_CONFIGURATION": configuration, "SYNERGAI_MODELS": str(models), "SYNERGAI_REPORT": str(log),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert read_report(pod_with(log.read_text())) is not None


def test_the_verb_and_the_module_are_the_same(models: Path, log: Path) -> None:
    environment = {"SYNERGAI_REPORT": str(log), "SYNERGAI_CONFIGURATION": CONFIGURATION}
    command = [str(Path(sys.executable).with_name("synergai")), "run", "--models", str(models)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 64
    assert done.stderr.startswith("synergai run: SYNERGAI_MODEL is missing; expected")


def test_a_signal_that_comes_before_the_runner_listens_is_not_lost(models: Path, log: Path) -> None:
    code = (
        "import os, runpy, signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"  # as of the first process of a container
        "os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.argv[1:] = []\n"
        "runpy.run_module('synergai.k8s_bridge.runner', run_name='__main__')"
    )
    environment = POD | {
        "SYNERGAI_SAMPLES": "1000000000",
        "SYNERGAI_MODELS": str(models),
        "SYNERGAI_REPORT": str(log),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 143, done.stderr
