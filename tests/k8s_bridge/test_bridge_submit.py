"""Pods are created at their times, with absolute deadlines."""

from bridge_fakes import NOW_US, FakeClient

from synergai.k8s_bridge import keys
from synergai.k8s_bridge.annotations import read_request
from synergai.k8s_bridge.api.client import ApiError
from synergai.k8s_bridge.pods import read_pod
from synergai.k8s_bridge.submit import PodRequest, pod_of, submit

REQUEST = PodRequest(
    "a", "resnet50", 2000, 10.0, 40.0, hardware=frozenset({"t4", "orin"}), sim_job=3, sim_seed=9
)
PODS = ("POST", "/api/v1/namespaces/default/pods")


async def noted(slept: list[float], seconds: float) -> None:
    slept.append(seconds)


def annotations(speed: float = 1.0) -> dict[str, str]:
    return pod_of(REQUEST, NOW_US, speed)["metadata"]["annotations"]


def test_the_deadline_is_absolute_server_time():
    assert read_request(annotations(speed=20.0)).deadline_at_us == NOW_US + 2_000_000


def test_the_bridge_understands_its_own_submission():
    request = read_request(annotations())
    assert (request.problems, request.model, request.samples) == ((), "resnet50", 2000)
    assert request.hardware == {"t4", "orin"}


def test_the_place_on_the_tape_is_written():
    assert (annotations()[keys.ANNOTATION_SIM_JOB], annotations()[keys.ANNOTATION_SIM_SEED]) == ("3", "9")


def test_the_pod_asks_for_nothing_that_is_not_supported():
    assert read_pod(pod_of(REQUEST, NOW_US)).unsupported == ()


async def test_pods_are_created_at_their_times_by_the_speed():
    slept: list[float] = []
    await submit(FakeClient(), [REQUEST], speed=20.0, sleep=lambda s: noted(slept, s))  # type: ignore[arg-type]
    assert slept == [0.5]


async def test_a_lost_reply_to_a_creation_is_asked_again():
    client = FakeClient({PODS: [ApiError(0, "Timeout", ""), ApiError(409, "AlreadyExists", "")]})
    assert await submit(client, [PodRequest("a", "m", 1)], sleep=lambda s: noted([], s)) == 1  # type: ignore[arg-type]
