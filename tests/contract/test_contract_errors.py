"""What the server says to nonsense."""

import pytest

from tests.kube_api import invalid

PODS = "/api/v1/namespaces/default/pods"


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
    assert (await api.get(path)).status == 404


@pytest.mark.parametrize(
    "path", ["/api/v1/nonsense", f"{PODS}/a/nonsense", "/api/v1/namespaces/default/nodes"]
)
async def test_an_unknown_resource_of_a_known_version_is_told_in_a_status(api, path):
    assert (await api.get(path)).refusal == (404, "NotFound", {})


@pytest.mark.parametrize("path", ["/nonsense", "/apis/none/v1/things"])
async def test_an_unknown_version_is_told_in_a_text(api, path):
    assert (await api.get(path)).raw == b"404 page not found\n"


async def test_a_body_of_null_is_an_empty_object(space):
    reply = await space.api.call("POST", space.pods, b"null")
    causes = [("FieldValueRequired", "metadata.name"), ("FieldValueRequired", "spec.containers")]
    assert reply.refusal == invalid("Pod", "", *causes)


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
    assert (await api.call(method, path, {})).refusal == (405, "MethodNotAllowed", {})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
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
    ],
)
async def test_a_body_that_is_no_pod_is_a_bad_request(api, raw):
    reply = await api.call("POST", PODS, raw)
    assert reply.refusal == (400, "BadRequest", {})


async def test_a_huge_body_is_refused(api):
    reply = await api.call("POST", PODS, b" " * (4 * 1024 * 1024))
    assert (reply.status, reply.json["reason"]) == (413, "RequestEntityTooLarge")


async def test_a_body_of_another_type_is_unsupported(api):
    reply = await api.call("POST", PODS, b"a", media_type="text/plain")
    assert reply.refusal == (415, "UnsupportedMediaType", {})


async def test_a_patch_without_a_type_it_knows_is_unsupported(space):
    await space.pod()
    reply = await space.api.call("PATCH", f"{space.pods}/a", {})
    assert reply.refusal == (415, "UnsupportedMediaType", {})


async def test_strange_characters_survive(space):
    text = '\u0000\ud800\U0001f600\n"\\'
    await space.config_map(annotations={"a": text})
    kept = (await space.api.get(f"{space.config_maps}/c")).json["metadata"]["annotations"]["a"]
    assert kept.endswith('\U0001f600\n"\\')


async def test_names_in_a_path_are_decoded_and_never_leave_it(api):
    assert (await api.get(f"{PODS}/..%2F..%2Fsecret")).status in (400, 404)
