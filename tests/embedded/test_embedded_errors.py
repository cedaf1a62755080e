"""What the server says to nonsense, and to those who may not ask."""

import asyncio
import json
import random

import pytest

from synergai.k8s_bridge.embedded.access import Access, Rule, User
from synergai.k8s_bridge.embedded.errors import ApiError
from synergai.k8s_bridge.embedded.server import Server, Settings

PODS = "/api/v1/namespaces/default/pods"


def is_status(reply) -> bool:
    body = reply.json
    return body["kind"] == "Status" and body["status"] == "Failure" and body["code"] == reply.status


@pytest.mark.parametrize(
    "path",
    [
        "/nonsense",
        "/api/v2/pods",
        "/api/v1/nonsense",
        "/apis/none/v1/things",
        "/apis/coordination.k8s.io/v9/leases",
        "/api/v1/pods/a",
        "/api/v1/namespaces/default/nodes",
        f"{PODS}/a/b/c",
        f"{PODS}/a/nonsense",
    ],
)
async def test_an_unknown_path_is_not_found(api, path):
    reply = await api.get(path)
    assert reply.status == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/pods"),
        ("POST", f"{PODS}/a"),
        ("PUT", PODS),
        ("PATCH", PODS),
        ("GET", f"{PODS}/a/binding"),
        ("GET", "/api/v1/namespaces/default/bindings"),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", f"{PODS}/a/status"),
    ],
)
async def test_what_a_path_cannot_do_is_not_allowed(api, method, path):
    reply = await api.call(method, path, {})
    assert (reply.status, is_status(reply)) == (405, True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"\xff\xfe",
        b'{"metadata": []}',
        b'{"metadata": {"name": 5}}',
        b'{"metadata": {"name": "a"}, "spec": {"priority": NaN}}',
        b'{"metadata": {"name": "a"}, "spec": []}',
        b'{"a":' * 5000,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
async def test_a_body_that_is_no_pod_is_a_bad_request(api, raw):
    reply = await api.call("POST", PODS, raw=raw)
    assert (reply.status, is_status(reply)) == (400, True)


async def test_a_huge_body_is_refused(api):
    reply = await api.call("POST", PODS, raw=b" " * (4 * 1024 * 1024))
    assert (reply.status, is_status(reply)) == (413, True)


async def test_a_body_of_another_type_is_unsupported(api):
    reply = await api.call("POST", PODS, raw=b"a", media_type="text/plain")
    assert (reply.status, reply.json["reason"]) == (415, "UnsupportedMediaType")


async def test_a_patch_without_a_type_it_knows_is_unsupported(space):
    await space.pod()
    reply = await space.api.call("PATCH", f"{space.pods}/a", {})
    assert reply.status == 415


async def test_strange_characters_survive(space):
    text = '\u0000\ud800\U0001f600\n"\\'
    await space.config_map(annotations={"a": text})
    kept = (await space.api.get(f"{space.config_maps}/c")).json["metadata"]["annotations"]["a"]
    assert kept.endswith('\U0001f600\n"\\')


async def test_names_in_a_path_are_decoded_and_never_leave_it(api):
    assert (await api.get(f"{PODS}/..%2F..%2Fsecret")).status in (400, 404)


async def test_random_bodies_never_break_the_server(embedded):
    """Any JSON at any place of a pod is answered with a Status or a pod, never with 500."""
    draw = random.Random(5)
    leaves = [None, True, -1, 1.5, "", "a", "\u0000", [], {}, [[]], {"a": None}, 2**70, [None], {"": {}}]
    fields = ["metadata", "spec", "status", "kind", "apiVersion"]
    inner = ["name", "labels", "containers", "resources", "requests", "tolerations", "nodeName", "conditions"]

    def value(depth: int):
        if depth == 0 or draw.random() < 0.4:
            return draw.choice(leaves)
        if draw.random() < 0.3:
            return [value(depth - 1)]
        return {draw.choice(inner): value(depth - 1) for _ in range(3)}

    await embedded.post(
        PODS, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    )
    for _ in range(150):
        body = {draw.choice(fields): value(4) for _ in range(3)}
        for reply in (
            await embedded.post(PODS, body),
            await embedded.merge(f"{PODS}/a", body),
            await embedded.strategic(f"{PODS}/a/status", body),
            await embedded.post(f"{PODS}/a/binding", body),
            await embedded.call("GET", PODS, accept="application/json;as=Table;v=v1;g=meta.k8s.io"),
        ):
            assert reply.status < 500, (body, reply.raw)


async def test_a_broken_request_line_does_not_stop_the_server(embedded, server):
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"nonsense\r\n\r\n")
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.")
    writer.close()
    assert (await embedded.get("/readyz")).status == 200


# access --------------------------------------------------------------------------------------------------

READ_PODS = Rule(frozenset({"list", "watch"}), frozenset({"pods"}), namespaces=frozenset({"default"}))


@pytest.fixture
async def guarded(embedded):
    """A server that knows an administrator and a reader."""
    users = {"secret": User("admin"), "weak": User("x", (READ_PODS,))}
    async with Server(Settings(access=Access(users))) as server:
        embedded.url = server.url
        yield embedded


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_wrong_token_is_unauthorized(guarded, token):
    reply = await guarded.call("GET", "/api/v1/pods", token=token)
    assert (reply.status, reply.json["reason"], reply.message) == (401, "Unauthorized", "Unauthorized")


async def test_a_user_without_rules_may_do_everything(guarded):
    assert (await guarded.call("GET", "/api/v1/nodes", token="secret")).status == 200


async def test_what_a_rule_allows_is_done(guarded):
    assert (await guarded.call("GET", PODS, token="weak")).status == 200


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        (
            "GET",
            "/api/v1/pods",
            'pods is forbidden: User "x" cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (
            "GET",
            f"{PODS}/a",
            'pods "a" is forbidden: User "x" cannot get resource "pods" in API group "" '
            'in the namespace "default"',
        ),
        (
            "POST",
            f"{PODS}/a/binding",
            'pods "a" is forbidden: User "x" cannot create resource "pods/binding" in API group "" '
            'in the namespace "default"',
        ),
        (
            "POST",
            "/apis/coordination.k8s.io/v1/namespaces/default/leases",
            'leases.coordination.k8s.io is forbidden: User "x" cannot create resource "leases" '
            'in API group "coordination.k8s.io" in the namespace "default"',
        ),
    ],
)
async def test_what_no_rule_allows_is_forbidden_in_the_words_of_kubernetes(guarded, method, path, message):
    reply = await guarded.call(method, path, {} if method == "POST" else None, token="weak")
    assert (reply.status, reply.json["reason"], reply.message) == (403, "Forbidden", message)


# faults at will ------------------------------------------------------------------------------------------


async def test_a_fault_can_be_put_in_front_of_a_request(embedded, server):
    async def throttle(call) -> None:
        if call.verb == "list":
            raise ApiError(429, "TooManyRequests", "Too many requests", headers={"Retry-After": "1"})

    server.before = throttle
    reply = await embedded.get(PODS)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert (await embedded.get(f"{PODS}/a")).status == 404


async def test_the_clock_of_the_server_shows_in_its_replies(embedded):
    async with Server(clock=lambda: 1_000_000_000.75) as server:
        embedded.url = server.url
        reply = await embedded.post("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}})
    assert reply.headers["Date"] == "Sun, 09 Sep 2001 01:46:40 GMT"
    assert json.loads(reply.raw)["metadata"]["creationTimestamp"] == "2001-09-09T01:46:40Z"
