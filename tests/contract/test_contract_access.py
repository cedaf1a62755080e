"""Who may ask, and in which words others are refused."""

import pytest

from tests import kube_api


async def test_a_wrong_token_is_unauthorized(api, login):
    async with kube_api.client(login("wrong")) as stranger:
        reply = await stranger.get("/api/v1/pods")
    assert reply.refusal == (401, "Unauthorized", {})
    assert reply.message == "Unauthorized"


async def test_nobody_is_forbidden(api, login):
    async with kube_api.client(login("")) as nobody:
        reply = await nobody.get("/api/v1/pods")
    assert reply.refusal == (403, "Forbidden", {"kind": "pods"})
    assert reply.message == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'
    )


@pytest.mark.parametrize("path", ["/version", "/healthz", "/readyz"])
async def test_nobody_may_ask_for_the_version_and_the_health(api, login, path):
    async with kube_api.client(login("")) as nobody:
        assert (await nobody.get(path)).status == 200


async def test_what_a_rule_allows_is_done(space, reader):
    await space.pod()
    assert (await reader.get(space.pods)).names == ["a"]
    async with reader.watch(space.pods) as watch:
        assert (await watch.next())["type"] == "ADDED"


@pytest.mark.parametrize(
    ("method", "path", "details", "message"),
    [
        (
            "GET",
            "/api/v1/pods",
            {"kind": "pods"},
            'pods is forbidden: User "{user}" cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (
            "GET",
            "{space}/pods/a",
            {"name": "a", "kind": "pods"},
            'pods "a" is forbidden: User "{user}" cannot get resource "pods" in API group "" '
            'in the namespace "{name}"',
        ),
        (
            "POST",
            "{space}/pods/a/binding",
            {"name": "a", "kind": "pods"},
            'pods "a" is forbidden: User "{user}" cannot create resource "pods/binding" in API group "" '
            'in the namespace "{name}"',
        ),
        (
            "DELETE",
            "{space}/pods",
            {"kind": "pods"},
            'pods is forbidden: User "{user}" cannot deletecollection resource "pods" in API group "" '
            'in the namespace "{name}"',
        ),
        (
            "GET",
            "/api/v1/nodes?watch=true",
            {"kind": "nodes"},
            'nodes is forbidden: User "{user}" cannot watch resource "nodes" in API group "" at the cluster scope',
        ),
        (
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/{name}/leases",
            {"group": "coordination.k8s.io", "kind": "leases"},
            'leases.coordination.k8s.io is forbidden: User "{user}" cannot create resource "leases" '
            'in API group "coordination.k8s.io" in the namespace "{name}"',
        ),
    ],
)
async def test_what_no_rule_allows_is_forbidden_in_the_words_of_kubernetes(
    space, reader, method, path, details, message
):
    names = {"space": space.path, "name": space.name, "user": f"system:serviceaccount:{space.name}:reader"}
    reply = await reader.call(method, path.format(**names), {} if method == "POST" else None)
    assert reply.refusal == (403, "Forbidden", details)
    assert reply.message == message.format(**names)


async def test_what_is_forbidden_is_not_told_to_be_missing(space, reader):
    assert (await reader.get(f"{space.pods}/none")).status == 403
