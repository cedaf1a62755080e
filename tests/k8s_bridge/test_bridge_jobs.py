"""From a pod to a job, or to the reason why the fallback places it."""

import pytest
from bridge_fakes import ANNOTATIONS, NOW_US, raw_pod, table

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.jobs import Ask, read_ask
from synergai.k8s_bridge.pods import read_pod

TABLE = table()


def ask(
    annotations: dict[str, str] | None = None,
    clock: ScenarioClock | None = None,
    now_us: int = NOW_US,
    **spec,
) -> Ask:
    pod = read_pod(raw_pod("a", None if annotations is None else ANNOTATIONS | annotations, **spec))
    return read_ask(pod, TABLE, clock or ScenarioClock(), now_us)


def gpus(count: str) -> list[dict[str, object]]:
    return [{"name": "c", "resources": {"requests": {"cpu": "1"}, "limits": {"nvidia.com/gpu": count}}}]


def test_a_relative_deadline_counts_from_creation():
    job = ask({keys.ANNOTATION_DEADLINE: "30s"}, now_us=NOW_US + 5_000_000).job
    assert job is not None
    assert job.deadline_us == NOW_US + 30_000_000


def test_a_relative_deadline_is_scenario_time_at_speed():
    clock = ScenarioClock(60.0, NOW_US)
    job = ask({keys.ANNOTATION_DEADLINE: "30s"}, clock).job
    assert job is not None
    assert job.deadline_us == NOW_US + 30_000_000


def test_an_absolute_deadline_is_mapped_to_scenario_time():
    clock = ScenarioClock(60.0, NOW_US)
    job = ask({keys.ANNOTATION_DEADLINE: "2026-11-18T11:06:41.500000Z"}, clock).job
    assert job is not None
    assert job.deadline_us == NOW_US + 90_000_000


@pytest.mark.parametrize(("seen_us", "arrival_us"), [(400_000, 400_000), (-3, 0), (9_000_000, 1_000_000)])
def test_a_pod_arrives_when_it_is_first_seen_but_within_its_second(seen_us, arrival_us):
    job = ask(now_us=NOW_US + seen_us).job
    assert job is not None
    assert job.arrival_us == NOW_US + arrival_us


def test_the_pods_own_requests_are_the_floor():
    job = ask().job
    assert job is not None
    assert (job.cpu_milli, job.memory_mib) == (100, 64)


def test_version_one_is_the_plain_name():
    job = ask({keys.ANNOTATION_MODEL: "net:1"}).job
    assert job is not None
    assert job.model == "net"


def test_an_extended_resource_limits_the_hardware():
    job = ask(containers=gpus("1")).job
    assert job is not None
    assert job.hardware == {"gpu-a"}


def test_the_wish_is_for_hardware_with_a_profile():
    assert ask({keys.ANNOTATION_MODEL: "edge"}).wish.hardware == {"jetson"}


@pytest.mark.parametrize(
    ("annotations", "reason", "named"),
    [
        ({keys.ANNOTATION_SAMPLES: "many"}, "InvalidAnnotation", "'many'"),
        ({keys.ANNOTATION_MODEL: "nope"}, "UnknownModel", "'nope'"),
        ({keys.ANNOTATION_MODEL: "net:9"}, "UnknownModel", "'net:9'"),
        ({keys.ANNOTATION_HARDWARE: "tpu"}, "InvalidAnnotation", "tpu"),
    ],
)
def test_what_is_not_understood_goes_to_the_fallback_with_a_reason(annotations, reason, named):
    answer = ask(annotations)
    assert (answer.job, answer.reason) == (None, reason)
    assert named in answer.message


def test_several_units_of_a_device_go_to_the_fallback():
    assert ask(containers=gpus("2")).reason == "UnsupportedSpec"


def test_the_fallback_still_respects_the_hardware_asked_for():
    assert ask({keys.ANNOTATION_MODEL: "nope", keys.ANNOTATION_HARDWARE: "jetson"}).wish.hardware == {
        "jetson"
    }
