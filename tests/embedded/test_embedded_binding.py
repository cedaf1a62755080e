"""Contract: pods, from their defaults over binding and status to their end."""

import pytest


def conditions(pod: dict) -> dict[str, str]:
    return {item["type"]: item["status"] for item in pod["status"].get("conditions") or []}


async def test_a_new_pod_is_pending_whatever_status_it_claims(space, make_pod):
    made = await space.made(space.pods, make_pod() | {"status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedulerName", "default-scheduler"),
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", 30),
        ("priority", 0),
        ("dnsPolicy", "ClusterFirst"),
    ],
)
async def test_a_spec_has_defaults(space, field, value):
    body = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    assert (await space.made(space.pods, body))["spec"][field] == value


async def test_limits_are_requests_where_none_are_given(space):
    resources = {"limits": {"cpu": "1"}}
    made = await space.pod(containers=[{"name": "c", "image": "i", "resources": resources}])
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}


async def test_a_quantity_may_be_a_number(space):
    resources = {"requests": {"cpu": 2}}
    made = await space.pod(containers=[{"name": "c", "image": "i", "resources": resources}])
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}


async def test_dead_nodes_are_tolerated_for_a_while(space):
    found = {item["key"]: item["tolerationSeconds"] for item in (await space.pod())["spec"]["tolerations"]}
    assert found == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300}


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": []},
        {"containers": [{"image": "i"}]},
        {"containers": [{"name": "c"}]},
        {"containers": [{"name": "Upper", "image": "i"}]},
        {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "-1"}}}]},
        {"restartPolicy": "Perhaps"},
        {"nodeName": "Not A Node"},
        {"nodeName": "n", "schedulingGates": [{"name": "example.com/g"}]},
    ],
)
async def test_a_bad_spec_is_invalid(space, make_pod, spec):
    reply = await space.api.post(space.pods, make_pod(**spec))
    assert (reply.status, reply.json["reason"]) == (422, "Invalid")


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeName": 5},
        {"containers": {"name": "c"}},
        {"priority": "high"},
        {"nodeSelector": {"a": 1}},
        {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "much"}}}]},
        {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": []}}}]},
        {"containers": ["c"]},
    ],
)
async def test_a_spec_of_other_types_is_a_bad_request(space, make_pod, spec):
    assert (await space.api.post(space.pods, make_pod(**spec))).status == 400


async def test_a_priority_class_gives_its_value(space):
    name = f"{space.name}-high"
    await space.made("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": 7})
    assert (await space.pod(priorityClassName=name))["spec"]["priority"] == 7
    await space.api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")


async def test_a_missing_priority_class_is_forbidden(space, make_pod):
    reply = await space.api.post(space.pods, make_pod(priorityClassName="none"))
    assert (reply.status, reply.message) == (
        403,
        'pods "a" is forbidden: no PriorityClass with name none was found',
    )


async def test_a_runtime_class_adds_its_overhead(space):
    name = f"{space.name}-rc"
    body = {"metadata": {"name": name}, "handler": "h", "overhead": {"podFixed": {"memory": "64Mi"}}}
    await space.made("/apis/node.k8s.io/v1/runtimeclasses", body)
    assert (await space.pod(runtimeClassName=name))["spec"]["overhead"] == {"memory": "64Mi"}
    await space.api.delete(f"/apis/node.k8s.io/v1/runtimeclasses/{name}")


async def test_a_missing_runtime_class_is_forbidden(space, make_pod):
    assert (await space.api.post(space.pods, make_pod(runtimeClassName="none"))).status == 403


# binding -------------------------------------------------------------------------------------------------


async def test_a_binding_is_created(space):
    await space.pod()
    reply = await space.bind("a")
    assert (reply.status, reply.json["kind"], reply.json["status"]) == (201, "Status", "Success")


async def test_a_bound_pod_has_the_node_and_is_scheduled(space):
    await space.pod()
    await space.bind("a", "n")
    bound = (await space.api.get(f"{space.pods}/a")).json
    assert bound["spec"]["nodeName"] == "n"
    assert conditions(bound)["PodScheduled"] == "True"


async def test_the_collection_of_bindings_binds_too(space):
    await space.pod()
    path = f"/api/v1/namespaces/{space.name}/bindings"
    body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    assert (await space.api.post(path, body)).status == 201


async def test_the_annotations_of_a_binding_are_copied_to_the_pod(space):
    await space.pod(metadata={"annotations": {"old": "1", "both": "1"}})
    await space.bind("a", annotations={"new": "2", "both": "2"})
    bound = (await space.api.get(f"{space.pods}/a")).json
    assert bound["metadata"]["annotations"] == {"old": "1", "new": "2", "both": "2"}


async def test_the_labels_of_a_binding_are_copied_to_the_pod(space):
    """Since 1.36."""
    await space.pod()
    await space.bind("a", labels={"x": "1"})
    assert (await space.api.get(f"{space.pods}/a")).json["metadata"]["labels"]["x"] == "1"


async def test_a_bind_clears_the_nomination(space):
    await space.pod()
    await space.api.merge(f"{space.pods}/a/status", {"status": {"nominatedNodeName": "n"}})
    await space.bind("a")
    assert "nominatedNodeName" not in (await space.api.get(f"{space.pods}/a")).json["status"]


async def test_a_node_that_does_not_exist_can_be_bound_to(space):
    await space.pod()
    assert (await space.bind("a", "no-such-node")).status == 201


@pytest.mark.parametrize("node", ["n", "m"])
async def test_a_pod_is_bound_once(space, node):
    await space.pod()
    await space.bind("a", "n")
    reply = await space.bind("a", node)
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert reply.message == (
        'Operation cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n"'
    )


async def test_a_gated_pod_cannot_be_bound(space):
    await space.pod(schedulingGates=[{"name": "example.com/wait"}])
    reply = await space.bind("a")
    assert reply.status == 409
    assert reply.message.endswith("pod a has non-empty .spec.schedulingGates")


async def test_a_pod_being_deleted_cannot_be_bound(space):
    await space.pod(metadata={"finalizers": ["example.com/wait"]})
    await space.api.delete(f"{space.pods}/a")
    reply = await space.bind("a")
    assert reply.status == 409
    assert reply.message.endswith("pod a is being deleted, cannot be assigned to a host")
    await space.api.merge(f"{space.pods}/a", {"metadata": {"finalizers": None}})


async def test_a_missing_pod_cannot_be_bound(space):
    assert (await space.bind("none")).status == 404


@pytest.mark.parametrize("precondition", [{"uid": "another"}, {"resourceVersion": "1"}])
async def test_a_binding_with_a_wrong_precondition_conflicts_and_binds_nothing(space, precondition):
    await space.pod()
    reply = await space.bind("a", **precondition)
    assert (reply.status, reply.json["reason"]) == (409, "Conflict")
    assert "Precondition failed" in reply.message
    assert "nodeName" not in (await space.api.get(f"{space.pods}/a")).json["spec"]


async def test_a_binding_with_the_right_preconditions_binds(space):
    made = (await space.pod())["metadata"]
    reply = await space.bind("a", uid=made["uid"], resourceVersion=made["resourceVersion"])
    assert reply.status == 201


@pytest.mark.parametrize("target", [{}, {"kind": "Node"}, {"kind": "Service", "name": "n"}])
async def test_a_binding_to_no_node_is_invalid(space, target):
    await space.pod()
    body = {"metadata": {"name": "a"}, "target": target}
    assert (await space.api.post(f"{space.pods}/a/binding", body)).status == 422


async def test_a_dry_bind_binds_nothing(space):
    await space.pod()
    body = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
    assert (await space.api.post(f"{space.pods}/a/binding", body, dryRun="All")).status == 201
    assert "nodeName" not in (await space.api.get(f"{space.pods}/a")).json["spec"]


# changes -------------------------------------------------------------------------------------------------


async def test_a_gated_pod_says_so(space):
    made = await space.pod(schedulingGates=[{"name": "example.com/wait"}])
    (condition,) = made["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "SchedulingGated",
    )


async def test_a_gate_can_be_taken_off_and_then_the_pod_binds(space):
    await space.pod(schedulingGates=[{"name": "example.com/wait"}])
    await space.api.merge(f"{space.pods}/a", {"spec": {"schedulingGates": []}})
    assert (await space.bind("a")).status == 201


async def test_a_gate_cannot_be_put_on(space):
    await space.pod()
    patch = {"spec": {"schedulingGates": [{"name": "example.com/wait"}]}}
    assert (await space.api.merge(f"{space.pods}/a", patch)).status == 422


@pytest.mark.parametrize(
    "spec",
    [
        {"schedulerName": "another"},
        {"nodeName": "n"},
        {"priority": 5},
        {"nodeSelector": {"a": "b"}},
        {"runtimeClassName": "r"},
        {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]},
        {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]},
        {"tolerations": []},
    ],
)
async def test_a_spec_cannot_be_changed(space, spec):
    await space.pod()
    reply = await space.api.merge(f"{space.pods}/a", {"spec": spec})
    assert (reply.status, reply.json["reason"]) == (422, "Invalid")


async def test_a_put_may_leave_defaults_out(space, make_pod):
    await space.pod()
    spec = make_pod()["spec"]
    tolerations = (await space.api.get(f"{space.pods}/a")).json["spec"]["tolerations"]
    body = make_pod("a", {"labels": {"x": "1"}}, **{**spec, "tolerations": tolerations})
    assert (await space.api.put(f"{space.pods}/a", body)).status == 200


async def test_an_image_can_be_changed(space):
    await space.pod()
    patch = {"spec": {"containers": [{"name": "c", "image": "another"}]}}
    assert (await space.api.strategic(f"{space.pods}/a", patch)).status == 200


async def test_a_toleration_can_be_added(space):
    tolerations = (await space.pod())["spec"]["tolerations"]
    patch = {"spec": {"tolerations": [*tolerations, {"key": "k", "operator": "Exists"}]}}
    assert (await space.api.merge(f"{space.pods}/a", patch)).status == 200


async def test_a_pod_patch_leaves_the_status_alone(space):
    await space.pod()
    await space.api.merge(f"{space.pods}/a", {"status": {"phase": "Failed"}})
    assert (await space.api.get(f"{space.pods}/a")).json["status"]["phase"] == "Pending"


async def test_a_status_patch_leaves_the_spec_alone(space):
    await space.pod()
    reply = await space.api.merge(f"{space.pods}/a/status", {"spec": {"nodeName": "n"}})
    assert reply.status == 200
    assert "nodeName" not in reply.json["spec"]


async def test_annotations_and_finalizers_can_be_changed_through_the_status(space):
    await space.pod(metadata={"finalizers": ["example.com/wait"]})
    patch = {"metadata": {"annotations": {"a": "b"}, "finalizers": None}}
    changed = (await space.api.merge(f"{space.pods}/a/status", patch)).json["metadata"]
    assert changed["annotations"] == {"a": "b"}
    assert "finalizers" not in changed


async def test_conditions_are_merged_by_their_type(space):
    await space.pod()
    await space.bind("a")
    patch = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    changed = (await space.api.strategic(f"{space.pods}/a/status", patch)).json
    assert conditions(changed) == {"PodScheduled": "True", "Ready": "False"}


async def test_a_time_in_a_status_keeps_whole_seconds(space):
    await space.pod()
    patch = {"status": {"startTime": "2026-01-01T00:00:00.75Z"}}
    changed = (await space.api.merge(f"{space.pods}/a/status", patch)).json
    assert changed["status"]["startTime"] == "2026-01-01T00:00:00Z"


async def test_a_status_patch_with_an_old_version_conflicts(space):
    await space.pod()
    patch = {"metadata": {"resourceVersion": "1"}, "status": {"phase": "Running"}}
    assert (await space.api.merge(f"{space.pods}/a/status", patch)).status == 409


async def test_a_status_patch_of_another_uid_conflicts(space):
    await space.pod()
    patch = {"metadata": {"uid": "another"}, "status": {"phase": "Running"}}
    assert (await space.api.merge(f"{space.pods}/a/status", patch)).status == 409


# the end -------------------------------------------------------------------------------------------------


async def test_an_unbound_pod_is_deleted_at_once(space):
    made = await space.pod()
    reply = await space.api.delete(f"{space.pods}/a")
    assert (reply.status, reply.json["metadata"]["uid"]) == (200, made["metadata"]["uid"])
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_bound_pod_waits_for_its_kubelet(space):
    await space.pod(terminationGracePeriodSeconds=20)
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a")
    doomed = (await space.api.get(f"{space.pods}/a")).json["metadata"]
    assert doomed["deletionGracePeriodSeconds"] == 20
    assert doomed["deletionTimestamp"]


async def test_a_delete_without_grace_ends_a_bound_pod(space):
    await space.pod()
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a")
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_the_grace_of_a_delete_can_be_in_the_query(space):
    await space.pod()
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a", gracePeriodSeconds="0")
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_second_delete_cannot_lengthen_the_grace(space):
    await space.pod()
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 5})
    reply = await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 50})
    assert reply.json["metadata"]["deletionGracePeriodSeconds"] == 5


async def test_a_finished_pod_is_deleted_at_once(space):
    await space.pod()
    await space.bind("a")
    await space.api.merge(f"{space.pods}/a/status", {"status": {"phase": "Succeeded"}})
    await space.api.delete(f"{space.pods}/a")
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_finalizer_outlives_a_forced_delete_and_goes_through_the_status(space):
    await space.pod(metadata={"finalizers": ["synergai.dev/outcome"]})
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    assert (await space.api.get(f"{space.pods}/a")).status == 200
    await space.api.merge(f"{space.pods}/a/status", {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_an_eviction_deletes(space):
    await space.pod()
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    assert (await space.api.post(f"{space.pods}/a/eviction", body)).status == 201
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_an_evicted_pod_on_a_node_says_why(space):
    await space.pod()
    await space.bind("a")
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    await space.api.post(f"{space.pods}/a/eviction", body)
    evicted = (await space.api.get(f"{space.pods}/a")).json
    assert conditions(evicted)["DisruptionTarget"] == "True"
