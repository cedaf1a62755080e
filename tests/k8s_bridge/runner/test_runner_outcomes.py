"""What the bridge makes of what runners say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runner_world import CONFIGURATION, HARDWARE, pod_with

from synergai.k8s_bridge.inference.attempts import read_attempt
from synergai.k8s_bridge.outcomes import read_report, refusal

SAID = {
    "model": "tiny", "samples": 21, "hardware": HARDWARE, "configuration": CONFIGURATION, "runSeconds": 1.5,
    "processStartedAt": "2026-11-22T10:00:00.250000Z", "finishedAt": "2026-11-22T10:00:01.750000Z",
    "loadSeconds": 0.5, "computeSeconds": 0.25, "cpuSeconds": 0.5, "throttledSeconds": 0, "energyJoules": None,
}  # fmt: skip
BESIDE = [
    "processStartedAt",
    "loadSeconds",
    "computeSeconds",
    "cpuSeconds",
    "throttledSeconds",
    "energyJoules",
]


def test_what_a_runner_tells_beside_its_run_time_is_kept() -> None:
    report = read_report(pod_with(json.dumps(SAID)))
    assert report is not None
    assert report.finished_us is not None
    assert report.process_us == report.finished_us - 1_500_000
    assert (report.load_s, report.compute_s, report.cpu_s, report.throttled_s) == (0.5, 0.25, 0.5, 0.0)
    assert report.energy_j is None


@given(
    st.dictionaries(
        st.sampled_from(BESIDE), st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    )
)
def test_nonsense_beside_a_run_time_spoils_it_not(changed: dict[str, object]) -> None:
    report = read_report(pod_with(json.dumps(SAID | changed)))
    assert report is not None
    assert report.run_s == 1.5
    amounts = (report.load_s, report.compute_s, report.cpu_s, report.throttled_s, report.energy_j)
    assert all(one is None or 0 <= one < 1e12 for one in amounts)


@pytest.mark.parametrize(
    "message", ["", "Killed", "[]", '{"error": 1}', '{"why": "x"}', "[" * 9000, "null", "3"]
)
def test_a_message_that_is_no_refusal_is_told_as_it_is(message: str) -> None:
    assert refusal(message) == message


def test_a_jobs_status_tells_why_a_runner_refused_in_its_words() -> None:
    ended = {"exitCode": 66, "reason": "Error", "message": '{"error":"/models: no model \'a\' there"}'}
    owner = {
        "apiVersion": "synergai.dev/v1alpha1",
        "kind": "InferenceJob",
        "name": "a",
        "uid": "12345678",
        "controller": True,
    }
    raw = {
        "metadata": {"name": "a-12345678-0", "namespace": "default", "uid": "u", "ownerReferences": [owner],
                     "creationTimestamp": "2026-11-22T10:00:00Z"},
        "spec": {"containers": [{"name": "runner"}]},
        "status": {"phase": "Failed", "containerStatuses": [{"name": "runner", "state": {"terminated": ended}}]},
    }  # fmt: skip
    attempt = read_attempt(raw)
    assert attempt is not None
    assert attempt.end is not None
    assert attempt.end.message == "container runner ended with exit code 66: /models: no model 'a' there"
