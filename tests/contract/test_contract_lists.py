"""Lists: their selectors, pages and versions."""

import pytest

from tests.kube_api import invalid


async def labelled(space) -> None:
    for name, labels in {"a": {"x": "1"}, "b": {"x": "2", "y": ""}, "c": {}}.items():
        await space.pod(name, metadata={"labels": labels})


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("x=1", ["a"]),
        ("x==1", ["a"]),
        ("x!=1", ["b", "c"]),
        ("x in (1,2)", ["a", "b"]),
        ("x notin (1)", ["b", "c"]),
        ("x", ["a", "b"]),
        ("!x", ["c"]),
        ("x>1", ["b"]),
        ("x<2", ["a"]),
        ("x,y", ["b"]),
        ("y=", ["b"]),
        ("", ["a", "b", "c"]),
    ],
)
async def test_a_label_selector_picks(space, selector, expected):
    await labelled(space)
    assert (await space.api.get(space.pods, labelSelector=selector)).names == expected


@pytest.mark.parametrize("selector", ["=", "x in", "x in (1", "a b", "x=1,,y", "x=$", "/x", "x>a", "(", "!"])
async def test_a_bad_label_selector_is_a_bad_request(space, selector):
    reply = await space.api.get(space.pods, labelSelector=selector)
    assert reply.refusal == (400, "BadRequest", {})


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=a", ["a"]),
        ("metadata.name!=a", ["b"]),
        ("spec.nodeName=", ["a"]),
        ("spec.nodeName!=", ["b"]),
        ("spec.nodeName=n", ["b"]),
        ("spec.schedulerName=synergai", ["a", "b"]),
        ("spec.schedulerName!=synergai", []),
        ("status.phase=Pending,spec.nodeName==n", ["b"]),
        ("status.phase!=Pending", []),
        ("status.nominatedNodeName=", ["a", "b"]),
        ("spec.hostNetwork=false", ["a", "b"]),
    ],
)
async def test_a_field_selector_picks_pods(space, selector, expected):
    await space.pod("a")
    await space.pod("b")
    await space.bind("b", "n")
    assert (await space.api.get(space.pods, fieldSelector=selector)).names == expected


@pytest.mark.parametrize(
    "selector", ["spec.priority=1", "nonsense", "a=b", "metadata.labels=x", "spec.nodeName"]
)
async def test_a_bad_field_selector_is_a_bad_request(space, selector):
    assert (await space.api.get(space.pods, fieldSelector=selector)).refusal == (400, "BadRequest", {})


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        ("/api/v1/nodes", "spec.unschedulable=false"),
        ("/api/v1/nodes", "metadata.name=none"),
        ("/api/v1/namespaces", "status.phase=Active"),
        ("/api/v1/events", "involvedObject.kind=Pod,involvedObject.uid=u,reason=R,type=Normal"),
        ("/api/v1/events", "reportingComponent=x,source=y"),
        ("/apis/events.k8s.io/v1/events", "regarding.kind=Pod,regarding.uid=u,reportingController=x"),
        ("/apis/coordination.k8s.io/v1/leases", "metadata.namespace=none"),
        ("/api/v1/pods", "spec.serviceAccountName=x,status.podIP=1.2.3.4,spec.restartPolicy=Never"),
    ],
)
async def test_a_field_that_a_kind_is_selected_by_is_accepted(api, path, selector):
    assert (await api.get(path, fieldSelector=selector)).status == 200


@pytest.mark.parametrize(
    ("path", "selector"),
    [
        ("/api/v1/nodes", "status.phase=x"),
        ("/api/v1/nodes", "spec.providerID=x"),
        ("/api/v1/configmaps", "data.a=x"),
        ("/apis/coordination.k8s.io/v1/leases", "spec.holderIdentity=x"),
        ("/api/v1/events", "message=x"),
        ("/api/v1/events", "regarding.kind=Pod"),
    ],
)
async def test_a_field_that_a_kind_is_not_selected_by_is_a_bad_request(api, path, selector):
    assert (await api.get(path, fieldSelector=selector)).refusal == (400, "BadRequest", {})


async def test_a_list_carries_a_version_and_its_items_no_kind(space):
    await space.pod()
    listed = (await space.api.get(space.pods)).json
    assert listed["kind"] == "PodList"
    assert listed["metadata"]["resourceVersion"].isdecimal()
    assert "kind" not in listed["items"][0]


async def test_pages_hold_all_objects_once(space):
    for name in "abcde":
        await space.pod(name)
    found, token, sizes = [], "", []
    while True:
        page = await space.api.get(space.pods, limit="2", **({"continue": token} if token else {}))
        found += page.names
        sizes.append(len(page.json["items"]))
        token = page.json["metadata"].get("continue", "")
        if not token:
            break
    assert (found, sizes) == (list("abcde"), [2, 2, 1])


async def test_a_page_tells_how_many_remain(space):
    for name in "abc":
        await space.pod(name)
    assert (await space.api.get(space.pods, limit="1")).json["metadata"]["remainingItemCount"] == 2


async def test_later_pages_show_the_moment_of_the_first(space):
    for name in "abc":
        await space.pod(name)
    first = (await space.api.get(space.pods, limit="1")).json["metadata"]
    await space.api.delete(f"{space.pods}/b")
    await space.pod("d")
    rest = await space.api.get(space.pods, limit="10", **{"continue": first["continue"]})
    assert rest.names == ["b", "c"]
    assert rest.json["metadata"]["resourceVersion"] == first["resourceVersion"]


@pytest.mark.parametrize("token", ["nonsense", "e30", "!!", "bnVsbA"])
async def test_a_bad_page_token_is_a_bad_request(space, token):
    reply = await space.api.get(space.pods, limit="1", **{"continue": token})
    assert reply.refusal == (400, "BadRequest", {})


async def test_an_exact_list_shows_an_earlier_version(space):
    await space.pod("a")
    then = (await space.api.get(space.pods)).json["metadata"]["resourceVersion"]
    await space.pod("b")
    listed = await space.api.get(space.pods, resourceVersion=then, resourceVersionMatch="Exact")
    assert listed.names == ["a"]


async def test_a_list_not_older_than_a_version_is_as_new(space):
    version = (await space.pod("a"))["metadata"]["resourceVersion"]
    listed = await space.api.get(space.pods, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert int(listed.json["metadata"]["resourceVersion"]) >= int(version)


async def test_a_version_of_the_future_times_out(space):
    reply = await space.api.get(space.pods, resourceVersion="999999999", resourceVersionMatch="NotOlderThan")
    code, reason, details = reply.refusal
    assert (code, reason) == (504, "Timeout")
    assert details["causes"] == [("ResourceVersionTooLarge", None)]
    assert "Too large resource version" in reply.message


@pytest.mark.parametrize(
    ("query", "causes"),
    [
        ({"resourceVersionMatch": "Exact"}, [("FieldValueForbidden", "resourceVersionMatch")]),
        (
            {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
            [("FieldValueForbidden", "resourceVersionMatch")],
        ),
        (
            {"resourceVersionMatch": "Sometimes", "resourceVersion": "1"},
            [("FieldValueNotSupported", "resourceVersionMatch")],
        ),
        (
            {"sendInitialEvents": "true", "resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"},
            [("FieldValueForbidden", "sendInitialEvents")],
        ),
        (
            {"continue": "x", "resourceVersion": "1", "resourceVersionMatch": "NotOlderThan"},
            [("FieldValueForbidden", "resourceVersionMatch")],
        ),
    ],
)
async def test_list_options_that_make_no_sense_are_invalid(space, query, causes):
    reply = await space.api.get(space.pods, **query)
    assert reply.refusal == invalid("ListOptions", "", *causes, group="meta.k8s.io")


@pytest.mark.parametrize("query", [{"limit": "x"}, {"timeoutSeconds": "x"}])
async def test_list_options_that_are_no_numbers_are_a_bad_request(space, query):
    assert (await space.api.get(space.pods, **query)).refusal == (400, "BadRequest", {})


@pytest.mark.parametrize("text", ["x", "-1", "1.5"])
async def test_a_list_of_what_is_no_version_is_refused(space, text):
    assert (await space.api.get(space.pods, resourceVersion=text)).status in (400, 422)


async def test_a_list_of_all_namespaces_holds_every_one(space):
    await space.pod("only-here")
    listed = await space.api.get("/api/v1/pods", fieldSelector="metadata.name=only-here")
    assert space.name in [item["metadata"]["namespace"] for item in listed.json["items"]]


async def test_a_list_of_a_namespace_that_is_not_there_is_empty(api):
    assert (await api.get("/api/v1/namespaces/no-such-place/pods")).names == []


async def test_a_list_from_version_0_may_be_old_and_has_all_pages_in_one(space):
    for name in "abc":
        await space.pod(name)
    listed = await space.api.get(space.pods, resourceVersion="0", limit="1")
    assert listed.names == ["a", "b", "c"]


async def test_a_page_of_a_selection_does_not_tell_how_many_remain(space):
    for name in "abc":
        await space.pod(name)
    page = await space.api.get(space.pods, limit="1", fieldSelector="spec.schedulerName=synergai")
    assert "remainingItemCount" not in page.json["metadata"]
    assert page.json["metadata"]["continue"]


async def test_the_last_page_has_no_token(space):
    await space.pod("a")
    assert "continue" not in (await space.api.get(space.pods, limit="1")).json["metadata"]


async def test_a_page_with_a_version_is_a_bad_request(space):
    for name in "ab":
        await space.pod(name)
    token = (await space.api.get(space.pods, limit="1")).json["metadata"]["continue"]
    reply = await space.api.get(space.pods, limit="1", resourceVersion="1", **{"continue": token})
    assert reply.refusal == (400, "BadRequest", {})
