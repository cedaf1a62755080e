"""What a runner is told: agreement is read, and every contradiction is refused by name."""

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runner_world import CONFIGURATION, HARDWARE, POD, decision

from synergai.k8s_bridge.runner.configuration import parameters_of, setting_of
from synergai.k8s_bridge.runner.order import read_order
from synergai.k8s_bridge.runner.refusal import Refusal, Status
from synergai.offline_profiles.engines.engine import Setting

DEADLINE_US = round(datetime(2126, 11, 22, 10, 0, 0, 250_000, UTC).timestamp() * 1_000_000)
PLAIN = {name: POD[name] for name in ("SYNERGAI_MODEL", "SYNERGAI_SAMPLES")}
"""Of a pod that knows what was decided by its annotation alone."""


def refused(environment: dict[str, str], said: str = "") -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_order(environment, said)
    return caught.value


def test_the_environment_of_an_inference_job_is_read_whole() -> None:
    order = read_order({**POD, "SYNERGAI_MODEL": "tiny:2", "SYNERGAI_OUTPUT_URI": "file:///out.npz"})
    assert (order.name, order.version, order.samples) == ("tiny", "2", 21)
    assert (order.hardware, order.configuration) == (HARDWARE, CONFIGURATION)
    assert order.setting == Setting("onnxruntime", "fp32", "cpu", 1, 8)
    assert (order.deadline_us, order.output_uri) == (DEADLINE_US, "file:///out.npz")
    assert order.warnings == ()


def test_a_plain_pods_decision_says_what_is_to_run() -> None:
    order = read_order({**PLAIN, "SYNERGAI_DECISION": decision(configuration="openvino-fp16-cpu-t2-b1")})
    assert order.setting == Setting("openvino", "fp16", "cpu", 2, 1)
    assert order.hardware == HARDWARE


def test_a_decision_from_a_file_goes_before_the_one_of_the_environment() -> None:
    stale = {**PLAIN, "SYNERGAI_DECISION": decision(configuration="onnxruntime-fp32-cpu-b1")}
    assert read_order(stale, decision()).configuration == CONFIGURATION


def test_environment_and_decision_that_agree_are_taken() -> None:
    assert read_order({**POD, "SYNERGAI_DECISION": decision()}).configuration == CONFIGURATION


def test_without_a_word_on_threads_the_engine_decides() -> None:
    order = read_order({**PLAIN, "SYNERGAI_DECISION": decision(configuration="tensorrt-int8-gpu-b256")})
    assert (order.setting.threads, order.setting.batch) == (0, 256)


ODD = {
    "no model": ("MODEL", "", Status.ORDER),
    "a model that is a path": ("MODEL", "../../etc/passwd", Status.ORDER),
    "a model with a folder": ("MODEL", "a/b", Status.ORDER),
    "no samples": ("SAMPLES", "", Status.ORDER),
    "0 samples": ("SAMPLES", "0", Status.ORDER),
    "fewer than none": ("SAMPLES", "-3", Status.ORDER),
    "half a sample": ("SAMPLES", "2.5", Status.ORDER),
    "more than there may be": ("SAMPLES", "1000000001", Status.ORDER),
    "digits of another script": ("SAMPLES", "\u0661\u0662", Status.ORDER),
    "no hardware": ("HARDWARE", "", Status.ORDER),
    "no configuration": ("CONFIGURATION", "", Status.ORDER),
    "a checksum that is none": ("PARAMETER_MODEL_SHA256", "abc", Status.ORDER),
    "a configuration of another form": ("CONFIGURATION", "trt-int8-b8", Status.DISAGREE),
    "threads written otherwise": ("CONFIGURATION", "onnxruntime-fp32-cpu-t01-b8", Status.DISAGREE),
    "another engine": ("PARAMETER_ENGINE", "openvino", Status.DISAGREE),
    "another precision": ("PARAMETER_PRECISION", "int8", Status.DISAGREE),
    "another unit": ("PARAMETER_UNIT", "gpu", Status.DISAGREE),
    "other threads": ("PARAMETER_THREADS", "2", Status.DISAGREE),
    "another batch": ("PARAMETER_BATCH", "16", Status.DISAGREE),
    "a decision of other hardware": ("DECISION", decision(hardware="nvidia-t4"), Status.DISAGREE),
    "a decision of something else": (
        "DECISION",
        decision(configuration="onnxruntime-fp32-cpu-t1-b1"),
        Status.DISAGREE,
    ),
    "a decision that is none": ("DECISION", '{"id": "d-1"}', Status.DISAGREE),
}


@pytest.mark.parametrize("case", ODD)
def test_what_does_not_fit_is_refused_by_its_name(case: str) -> None:
    name, value, status = ODD[case]
    refusal = refused({**POD, f"SYNERGAI_{name}": value})
    assert refusal.status is status
    assert (f"SYNERGAI_{name}" if name != "DECISION" else "decision") in str(refusal)


def test_a_plain_pod_without_a_decision_is_told_where_one_belongs() -> None:
    refusal = refused(PLAIN)
    assert refusal.status is Status.ORDER
    assert "SYNERGAI_HARDWARE is missing; expected a hardware class, here or in the decision" in str(refusal)


@pytest.mark.parametrize("text", ["30s", "tomorrow"])
def test_a_deadline_that_says_no_time_stops_nothing(text: str) -> None:
    order = read_order({**POD, "SYNERGAI_DEADLINE": text})
    assert order.deadline_us is None
    assert text in order.warnings[0]


@given(
    engine=st.sampled_from(["onnxruntime", "openvino", "tensorrt", "tensorrt-triton"]),
    precision=st.sampled_from(["fp32", "fp16", "bf16", "int8"]),
    unit=st.sampled_from(["cpu", "gpu"]),
    threads=st.integers(0, 9999),
    batch=st.integers(1, 9_999_999),
)
def test_a_settings_name_says_all_of_it(
    engine: str, precision: str, unit: str, threads: int, batch: int
) -> None:
    setting = Setting(engine, precision, unit, threads, batch)
    assert setting_of(setting.configuration) == setting
    assert parameters_of(setting)["threads"] == str(threads)


NAMES = ["MODEL", "SAMPLES", "DEADLINE", "HARDWARE", "CONFIGURATION", "DECISION", "INPUT_URI", "PARAMETER_ENGINE",
         "PARAMETER_THREADS", "PARAMETER_BATCH", "PARAMETER_MODEL_SHA256"]  # fmt: skip
HOSTILE = st.one_of(
    st.text(max_size=300),
    st.text(
        st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=40
    ),  # bytes that are no UTF-8
    st.text("0123456789-.eE+_ :/tb", max_size=60),
    st.sampled_from(["9" * 5000, "{" * 5000, "[" * 5000, "null", '{"id": 1e999}', "a" * 100_000]),
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), HOSTILE))
def test_whatever_the_environment_says_it_is_understood_or_refused(changed: dict[str, str]) -> None:
    environment = POD | {f"SYNERGAI_{name}": value for name, value in changed.items()}
    refusal = None
    try:
        order = read_order(environment)
        assert order.setting.configuration == order.configuration
        assert 1 <= order.samples <= 10**9
    except Refusal as error:
        refusal = error
    assert refusal is None or refusal.status in (Status.ORDER, Status.DISAGREE)
    assert len(str(refusal)) < 1000
