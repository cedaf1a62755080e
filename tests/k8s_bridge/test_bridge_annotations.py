"""What pods ask for is read strictly; every bad value has a message with key, value and the form expected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import DecisionRecord, parse_duration_us, read_decision, read_request

GOOD = {keys.ANNOTATION_MODEL: "resnet50", keys.ANNOTATION_SAMPLES: "2000"}


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("30s", 30_000_000),
        ("1.5m", 90_000_000),
        ("250ms", 250_000),
        ("2h", 7_200_000_000),
        ("1m30s", 90_000_000),
        ("0s", 0),
    ],
)
def test_a_duration_is_read(text, us):
    assert parse_duration_us(text) == us


def test_a_relative_deadline_is_a_span_of_scenario_time():
    assert read_request(GOOD | {keys.ANNOTATION_DEADLINE: "30s"}).deadline_after_us == 30_000_000


def test_an_absolute_deadline_keeps_its_microseconds():
    request = read_request(GOOD | {keys.ANNOTATION_DEADLINE: "1970-01-01T01:00:00.250001+01:00"})
    assert request.deadline_at_us == 250_001


def test_a_deadline_in_the_past_is_fine():
    assert not read_request(GOOD | {keys.ANNOTATION_DEADLINE: "2001-01-01T00:00:00Z"}).problems


def test_hardware_is_a_set_of_names():
    request = read_request(GOOD | {keys.ANNOTATION_HARDWARE: "nvidia-t4, jetson-agx-orin-maxn"})
    assert request.hardware == {"nvidia-t4", "jetson-agx-orin-maxn"}


def test_a_model_may_name_its_version():
    assert read_request(GOOD | {keys.ANNOTATION_MODEL: "resnet50:2"}).model == "resnet50:2"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (keys.ANNOTATION_MODEL, ""),
        (keys.ANNOTATION_MODEL, "a b"),
        (keys.ANNOTATION_MODEL, "a:b:c"),
        (keys.ANNOTATION_SAMPLES, "0"),
        (keys.ANNOTATION_SAMPLES, "-5"),
        (keys.ANNOTATION_SAMPLES, "1e3"),
        (keys.ANNOTATION_SAMPLES, "1000000001"),
        (keys.ANNOTATION_SAMPLES, "9" * 5000),
        (keys.ANNOTATION_SAMPLES, "٣"),
        (keys.ANNOTATION_DEADLINE, "soon"),
        (keys.ANNOTATION_DEADLINE, "30"),
        (keys.ANNOTATION_DEADLINE, "-30s"),
        (keys.ANNOTATION_DEADLINE, "99999999999h"),
        (keys.ANNOTATION_DEADLINE, "2026-11-22T10:00:00"),
        (keys.ANNOTATION_DEADLINE, "2026-13-22T10:00:00Z"),
        (keys.ANNOTATION_ORIGIN_SITE, "no site"),
        (keys.ANNOTATION_HARDWARE, ",,"),
        (keys.ANNOTATION_SCHEMA, "7"),
    ],
)
def test_a_bad_value_is_reported_with_its_key_and_its_value(key, value):
    (problem,) = read_request(GOOD | {key: value}).problems
    assert key in problem
    assert value[:80] in problem
    assert "expected" in problem


@pytest.mark.parametrize("key", [keys.ANNOTATION_MODEL, keys.ANNOTATION_SAMPLES])
def test_a_missing_annotation_is_reported(key):
    (problem,) = read_request({k: v for k, v in GOOD.items() if k != key}).problems
    assert problem.startswith(f"annotation {key} is missing")


def test_good_annotations_beside_a_bad_one_are_still_read():
    request = read_request(GOOD | {keys.ANNOTATION_SAMPLES: "x", keys.ANNOTATION_HARDWARE: "t4"})
    assert request.hardware == {"t4"}


@given(
    st.sampled_from([v for k, v in vars(keys).items() if k.startswith("ANNOTATION_")]), st.text(max_size=200)
)
def test_no_annotation_text_raises(key, value):
    read_request(GOOD | {key: value})
    read_decision({key: value})


RECORD = DecisionRecord("id", "nvidia-t4", "trt-b8", 1, 2000, 1024, "policy", 1_000_001, 2_000_002)


def test_a_decision_survives_its_annotation():
    assert read_decision({keys.ANNOTATION_DECISION: RECORD.to_json()}) == RECORD


def test_a_decision_stays_below_one_kib():
    with pytest.raises(ValueError, match="1024"):
        DecisionRecord("id", "h" * 1000, "c", 1, 1, 1, "policy").to_json()


@pytest.mark.parametrize(
    "value",
    ["", "{", "[]", "3", "{}", json.dumps({"id": 1}), RECORD.to_json().replace("2000", "-1"), "[" * 100_000],
)
def test_an_unreadable_decision_is_none(value):
    assert read_decision({keys.ANNOTATION_DECISION: value}) is None
