"""Contract: lists, their selectors, pages and versions."""

import pytest


async def names(reply) -> list[str]:
    return [item["metadata"]["name"] for item in reply.json["items"]]


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
    assert await names(await space.api.get(space.pods, labelSelector=selector)) == expected


@pytest.mark.parametrize("selector", ["=", "x in", "x in (1", "a b", "x=1,,y", "x=$", "/x", "x>a", "(", "!"])
async def test_a_bad_label_selector_is_a_bad_request(space, selector):
    reply = await space.api.get(space.pods, labelSelector=selector)
    assert (reply.status, reply.json["reason"]) == (400, "BadRequest")


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
    await space.bind("b")
    assert await names(await space.api.get(space.pods, fieldSelector=selector)) == expected


@pytest.mark.parametrize(
    "selector", ["spec.priority=1", "nonsense", "a=b", "metadata.labels=x", "spec.nodeName"]
)
async def test_a_bad_field_selector_is_a_bad_request(space, selector):
    assert (await space.api.get(space.pods, fieldSelector=selector)).status == 400


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
        found += await names(page)
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
    assert await names(rest) == ["b", "c"]
    assert rest.json["metadata"]["resourceVersion"] == first["resourceVersion"]


@pytest.mark.parametrize("token", ["nonsense", "e30", "!!", "bnVsbA"])
async def test_a_bad_page_token_is_a_bad_request(space, token):
    assert (await space.api.get(space.pods, limit="1", **{"continue": token})).status == 400


async def test_an_exact_list_shows_an_earlier_version(space):
    await space.pod("a")
    then = (await space.api.get(space.pods)).json["metadata"]["resourceVersion"]
    await space.pod("b")
    listed = await space.api.get(space.pods, resourceVersion=then, resourceVersionMatch="Exact")
    assert await names(listed) == ["a"]


async def test_a_list_not_older_than_a_version_is_as_new(space):
    version = (await space.pod("a"))["metadata"]["resourceVersion"]
    listed = await space.api.get(space.pods, resourceVersion=version, resourceVersionMatch="NotOlderThan")
    assert int(listed.json["metadata"]["resourceVersion"]) >= int(version)


async def test_a_version_of_the_future_times_out(space):
    reply = await space.api.get(space.pods, resourceVersion="999999999", resourceVersionMatch="NotOlderThan")
    assert (reply.status, reply.json["reason"]) == (504, "Timeout")
    assert "Too large resource version" in reply.message


@pytest.mark.parametrize(
    "query",
    [
        {"resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        {"resourceVersionMatch": "Sometimes", "resourceVersion": "1"},
        {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
    ],
)
async def test_list_options_that_make_no_sense_are_invalid(space, query):
    assert (await space.api.get(space.pods, **query)).status == 422


@pytest.mark.parametrize("query", [{"resourceVersion": "x"}, {"limit": "x"}, {"timeoutSeconds": "x"}])
async def test_list_options_that_are_no_numbers_are_refused(space, query):
    assert (await space.api.get(space.pods, **query)).status in (400, 422)


async def test_a_list_of_all_namespaces_holds_every_one(space):
    await space.pod("only-here")
    listed = await space.api.get("/api/v1/pods", fieldSelector="metadata.name=only-here")
    assert listed.json["items"][0]["metadata"]["namespace"] == space.name


TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def test_a_table_has_the_columns_that_kubectl_prints(space):
    await space.pod()
    shown = (await space.api.call("GET", space.pods, accept=TABLE)).json
    columns = [column["name"] for column in shown["columnDefinitions"] if column["priority"] == 0]
    assert columns == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert shown["rows"][0]["cells"][:3] == ["a", "0/1", "Pending"]


async def test_a_row_carries_the_metadata_of_its_object(space):
    made = await space.pod()
    row = (await space.api.call("GET", space.pods, accept=TABLE)).json["rows"][0]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["uid"] == made["metadata"]["uid"]


async def test_metadata_alone_can_be_asked_for(space):
    await space.pod()
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    shown = (await space.api.call("GET", f"{space.pods}/a", accept=accept)).json
    assert (shown["kind"], set(shown)) == ("PartialObjectMetadata", {"kind", "apiVersion", "metadata"})


async def test_a_form_that_is_not_served_is_not_acceptable(space):
    assert (await space.api.call("GET", space.pods, accept="text/html")).status == 406


async def test_a_table_is_passed_over_for_what_comes_next(space):
    accept = "application/json;as=Table;v=v9;g=meta.k8s.io,application/json"
    assert (await space.api.call("GET", space.pods, accept=accept)).json["kind"] == "PodList"
