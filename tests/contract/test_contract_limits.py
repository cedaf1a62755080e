"""What a namespace has room for: quotas and limit ranges, for pods and for their dry runs."""

import pytest

from tests.contract.space import Space
from tests.kube_api import Json, Reply, eventually, pod

pytestmark = pytest.mark.usefixtures("controllers")
"""A real server knows what is used only when its controllers have counted."""


def asking(name: str = "x", limits: Json | None = None, **requests: str) -> Json:
    resources = {"requests": requests, "limits": limits or {}}
    return pod(name, containers=[{"name": "c", "image": "i:1", "resources": resources}])


async def quota(space: Space, hard: Json, name: str = "q") -> None:
    await space.made(f"{space.path}/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard}})


async def refused(space: Space, body: Json) -> Reply:
    """The refusal, once the quota is in force."""
    replies: list[Reply] = []

    async def is_refused() -> bool:
        replies.append(await space.api.post(space.pods, body, dryRun="All"))
        return replies[-1].status == 403 and "status unknown for quota" not in replies[-1].message

    await eventually(is_refused)
    return replies[-1]


async def accepted(space: Space, body: Json) -> None:
    async def is_accepted() -> bool:
        return (await space.api.post(space.pods, body, dryRun="All")).status == 201

    await eventually(is_accepted)


async def test_pods_beyond_a_quota_are_forbidden(space):
    for name in "ab":
        await space.pod(name)
    await quota(space, {"pods": "2"})
    reply = await refused(space, pod("x"))
    assert reply.refusal == (403, "Forbidden", {"name": "x", "kind": "pods"})
    assert reply.message == (
        'pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2'
    )
    assert (await space.api.post(space.pods, pod("x"))).message == reply.message


@pytest.mark.parametrize(
    ("hard", "body", "told"),
    [
        (
            {"requests.cpu": "1"},
            asking(cpu="600m"),
            "exceeded quota: q, requested: requests.cpu=600m, used: requests.cpu=500m, limited: requests.cpu=1",
        ),
        (
            {"cpu": "1"},
            asking(cpu="2"),
            "exceeded quota: q, requested: cpu=2, used: cpu=500m, limited: cpu=1",
        ),
        (
            {"requests.memory": "1Gi"},
            asking(memory="1Gi"),
            "exceeded quota: q, requested: requests.memory=1Gi, used: requests.memory=64Mi, "
            "limited: requests.memory=1Gi",
        ),
        (
            {"limits.memory": "1Gi"},
            asking(limits={"memory": "2Gi"}),
            "exceeded quota: q, requested: limits.memory=2Gi, used: limits.memory=128Mi, limited: limits.memory=1Gi",
        ),
        (
            {"requests.example.com/gpu": "1"},
            asking(limits={"example.com/gpu": "2"}),
            "exceeded quota: q, requested: requests.example.com/gpu=2, used: requests.example.com/gpu=0, "
            "limited: requests.example.com/gpu=1",
        ),
        (
            {"count/pods": "1"},
            asking(),
            "exceeded quota: q, requested: count/pods=1, used: count/pods=1, limited: count/pods=1",
        ),
        (
            {"pods": "1", "requests.cpu": "1", "requests.memory": "1Gi"},
            asking(cpu="2", memory="1Mi"),
            "exceeded quota: q, requested: pods=1,requests.cpu=2, used: pods=1,requests.cpu=500m, "
            "limited: pods=1,requests.cpu=1",
        ),
        (
            {"requests.cpu": "1", "limits.memory": "1Gi"},
            pod("x"),
            "failed quota: q: must specify limits.memory for: c; requests.cpu for: c",
        ),
    ],
)
async def test_a_quota_says_what_there_is_no_room_for(space, hard, body, told):
    await space.made(space.pods, asking("a", {"memory": "128Mi"}, cpu="500m", memory="64Mi"))
    await quota(space, hard)
    assert (await refused(space, body)).message == f'pods "x" is forbidden: {told}'


async def test_what_fits_a_quota_is_accepted(space):
    await quota(space, {"pods": "1", "requests.cpu": "1"})
    await refused(space, asking(cpu="2"))
    await space.made(space.pods, asking(cpu="1"))


async def test_a_dry_run_uses_nothing_of_a_quota(space):
    await quota(space, {"pods": "1", "requests.cpu": "1"})
    await refused(space, asking(cpu="2"))
    await accepted(space, asking(cpu="1"))
    await space.made(space.pods, asking(cpu="1"))


async def test_a_pod_that_has_ended_leaves_its_room(space):
    await space.pod("a")
    await quota(space, {"pods": "1"})
    await refused(space, pod("x"))
    await space.api.merge(f"{space.pods}/a/status", {"status": {"phase": "Succeeded"}})
    await accepted(space, pod("x"))


async def test_an_invalid_pod_is_told_so_before_a_quota_is_asked(space):
    await quota(space, {"pods": "0"})
    await refused(space, pod("x"))
    assert (await space.api.post(space.pods, pod("x", containers=[]))).status == 422


async def test_a_quota_is_not_negative(space):
    body = {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "-1"}}}
    reply = await space.api.post(f"{space.path}/resourcequotas", body)
    assert reply.status == 422
    assert reply.refusal[2]["causes"] == [("FieldValueInvalid", "spec.hard[pods]")]


async def limits(space: Space, **item: object) -> None:
    body = {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Container", **item}]}}
    await space.made(f"{space.path}/limitranges", body)

    async def is_in_force() -> bool:
        shown = (await space.api.post(space.pods, pod("x"), dryRun="All")).json
        return bool(shown["spec"]["containers"][0]["resources"])

    await eventually(is_in_force)


async def test_a_limit_range_gives_what_a_container_does_not_say(space):
    await limits(space, default={"cpu": "500m"}, defaultRequest={"cpu": "100m", "memory": "64Mi"})
    made = await space.pod()
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m"},
        "requests": {"cpu": "100m", "memory": "64Mi"},
    }
    assert made["status"]["qosClass"] == "Burstable"
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c; cpu limit for container c"
    )


async def test_a_limit_range_leaves_what_a_container_says(space):
    await limits(space, default={"cpu": "500m"})
    made = await space.made(space.pods, asking(cpu="200m"))
    assert made["spec"]["containers"][0]["resources"] == {
        "limits": {"cpu": "500m"},
        "requests": {"cpu": "200m"},
    }


async def test_a_maximum_is_the_default_limit_and_request(space):
    await limits(space, max={"memory": "1Gi"})
    (container,) = (await space.pod())["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}
