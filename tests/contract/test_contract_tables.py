"""What kubectl prints: tables, and objects cut down to their metadata."""

import pytest

from tests.kube_api import METADATA, TABLE

COLUMNS = {
    "/api/v1/pods": "Name Ready Status Restarts Age | IP Node Nominated Node Readiness Gates",
    "/api/v1/nodes": (
        "Name Status Roles Age Version | Internal-IP External-IP OS-Image Kernel-Version Container-Runtime"
    ),
    "/api/v1/namespaces": "Name Status Age |",
    "/api/v1/events": "Last Seen Type Reason Object Message | Subobject Source First Seen Count Name",
    "/api/v1/configmaps": "Name Data Age |",
    "/apis/coordination.k8s.io/v1/leases": "Name Holder Age |",
    "/apis/scheduling.k8s.io/v1/priorityclasses": "Name Value Global-Default Age PreemptionPolicy |",
    "/apis/node.k8s.io/v1/runtimeclasses": "Name Handler Age |",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions": "Name Created At |",
}


@pytest.mark.parametrize("path", COLUMNS)
async def test_a_table_has_the_columns_that_kubectl_prints(api, path):
    shown = (await api.show(path, TABLE)).json
    narrow = [column["name"] for column in shown["columnDefinitions"] if column["priority"] == 0]
    wide = [column["name"] for column in shown["columnDefinitions"] if column["priority"] > 0]
    assert " ".join([*narrow, "|", *wide]) == COLUMNS[path]


async def test_a_row_of_a_pod_tells_how_it_is(space):
    await space.pod()
    shown = (await space.api.show(space.pods, TABLE)).json
    assert shown["rows"][0]["cells"][:4] == ["a", "0/1", "Pending", "0"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"phase": "Running"}, "Running"),
        ({"phase": "Succeeded"}, "Succeeded"),
        ({"phase": "Failed", "reason": "OutOfcpu"}, "OutOfcpu"),
    ],
)
async def test_a_row_of_a_pod_tells_its_phase_or_the_reason(space, status, expected):
    await space.pod()
    await space.bind("a")
    await space.api.merge(f"{space.pods}/a/status", {"status": status})
    assert (await space.api.show(space.pods, TABLE)).json["rows"][0]["cells"][2] == expected


async def test_a_row_of_a_pod_tells_how_its_container_ended(space):
    await space.pod()
    await space.bind("a")
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    container = {"name": "c", "image": "i", "imageID": "", "ready": False, "restartCount": 2, "state": ended}
    patch = {"status": {"phase": "Failed", "containerStatuses": [container]}}
    await space.api.merge(f"{space.pods}/a/status", patch)
    assert (await space.api.show(space.pods, TABLE)).json["rows"][0]["cells"][1:3] == ["0/1", "Error"]


async def test_a_row_of_a_pod_tells_that_it_waits_for_a_gate(space):
    await space.pod(schedulingGates=[{"name": "example.com/wait"}])
    assert (await space.api.show(space.pods, TABLE)).json["rows"][0]["cells"][2] == "SchedulingGated"


async def test_a_row_of_a_pod_tells_that_it_is_about_to_end(space):
    await space.pod()
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a")
    assert (await space.api.show(space.pods, TABLE)).json["rows"][0]["cells"][2] == "Terminating"


async def test_a_wide_row_of_a_pod_tells_its_node(space):
    await space.pod()
    before = (await space.api.show(space.pods, TABLE)).json["rows"][0]["cells"][5:]
    await space.bind("a")
    after = (await space.api.show(space.pods, TABLE)).json["rows"][0]["cells"][5:]
    assert before == ["<none>", "<none>", "<none>", "<none>"]
    assert after == ["<none>", space.node, "<none>", "<none>"]


async def test_a_row_carries_the_metadata_of_its_object(space):
    made = await space.pod()
    row = (await space.api.show(space.pods, TABLE)).json["rows"][0]
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["uid"] == made["metadata"]["uid"]


async def test_a_row_carries_its_object_on_request(space):
    made = await space.pod()
    row = (await space.api.show(space.pods, TABLE, includeObject="Object")).json["rows"][0]
    assert row["object"] == made


async def test_a_row_carries_nothing_on_request(space):
    await space.pod()
    row = (await space.api.show(space.pods, TABLE, includeObject="None")).json["rows"][0]
    assert row.get("object") is None


async def test_one_object_is_a_table_of_one_row(space):
    made = await space.pod()
    shown = (await space.api.show(f"{space.pods}/a", TABLE)).json
    assert (len(shown["rows"]), shown["metadata"]) == (
        1,
        {"resourceVersion": made["metadata"]["resourceVersion"]},
    )


async def test_a_table_carries_the_version_of_the_list(space):
    listed = (await space.api.show(space.pods, TABLE)).json
    assert int(listed["metadata"]["resourceVersion"]) > 0


async def test_a_page_of_a_table_has_a_token(space):
    for name in "ab":
        await space.pod(name)
    shown = (await space.api.show(space.pods, TABLE, limit="1")).json
    assert (len(shown["rows"]), bool(shown["metadata"]["continue"])) == (1, True)


async def test_metadata_alone_can_be_asked_for(space):
    made = await space.pod()
    shown = (await space.api.show(f"{space.pods}/a", METADATA)).json
    assert shown == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }


async def test_metadata_of_a_list_can_be_asked_for(space):
    await space.pod()
    accept = METADATA.replace("PartialObjectMetadata", "PartialObjectMetadataList")
    shown = (await space.api.show(space.pods, accept)).json
    assert (shown["kind"], shown["items"][0]["metadata"]["name"]) == ("PartialObjectMetadataList", "a")


async def test_metadata_of_a_list_is_a_list(space):
    assert (await space.api.show(space.pods, METADATA)).refusal == (406, "NotAcceptable", {})


async def test_a_refusal_is_a_status_whatever_form_was_asked_for(space):
    reply = await space.api.show(f"{space.pods}/none", TABLE)
    assert reply.refusal == (404, "NotFound", {"name": "none", "kind": "pods"})


async def test_a_form_that_is_not_served_is_not_acceptable(space):
    assert (await space.api.show(space.pods, "text/html")).refusal == (406, "NotAcceptable", {})


async def test_a_table_is_passed_over_for_what_comes_next(space):
    accept = "application/json;as=Table;v=v9;g=meta.k8s.io,application/json"
    assert (await space.api.show(space.pods, accept)).json["kind"] == "PodList"
