"""What the embedded server survives, and the faults that a test can give it."""

import asyncio
import random

from synergai.k8s_bridge.embedded.errors import ApiError
from synergai.k8s_bridge.embedded.server import Server
from tests.kube_api import TABLE

PODS = "/api/v1/namespaces/default/pods"


async def test_random_bodies_never_break_the_server(embedded):
    """Any JSON at any place of a pod is answered with a Status or a pod, never with InternalError."""
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
            await embedded.call("GET", PODS, accept=TABLE),
        ):
            assert reply.status < 500 or "reason" not in reply.json, (body, reply.raw)


async def test_a_broken_request_line_does_not_stop_the_server(embedded, server):
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"nonsense\r\n\r\n")
    await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.")
    writer.close()
    assert (await embedded.get("/readyz")).status == 200


async def test_a_number_of_many_digits_does_not_stop_the_server(embedded):
    reply = await embedded.call("POST", PODS, b'{"a": ' + b"9" * 5000 + b"}")
    assert reply.refusal == (400, "BadRequest", {})


async def test_an_eviction_of_another_uid_conflicts(embedded, make_pod):
    """A real server says the same, after trying for ten seconds."""
    await embedded.post(PODS, make_pod())
    body = {"metadata": {"name": "a"}, "deleteOptions": {"preconditions": {"uid": "another"}}}
    reply = await embedded.post(f"{PODS}/a/eviction", body)
    assert reply.refusal == (409, "Conflict", {"name": "a", "kind": "Pod"})


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
    assert reply.json["metadata"]["creationTimestamp"] == "2001-09-09T01:46:40Z"
