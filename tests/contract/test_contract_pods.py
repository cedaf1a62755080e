"""Pods: what they get, what is refused, what may be changed, and how they end."""

import pytest

from tests.kube_api import invalid, pod

GATE = {"name": "example.com/wait"}
FINALIZER = "example.com/wait"


def conditions(shown: dict) -> dict[str, str]:
    return {item["type"]: item["status"] for item in shown["status"].get("conditions") or []}


def container(**fields: object) -> list[dict]:
    return [{"name": "c", "image": "i", **fields}]


def requesting(**resources: object) -> list[dict]:
    return container(resources={"requests": resources})


async def test_a_new_pod_is_pending_whatever_status_it_claims(space):
    made = await space.made(space.pods, pod() | {"status": {"phase": "Running"}})
    assert made["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schedulerName", "default-scheduler"),
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", 30),
        ("priority", 0),
        ("preemptionPolicy", "PreemptLowerPriority"),
        ("dnsPolicy", "ClusterFirst"),
        ("enableServiceLinks", True),
        ("securityContext", {}),
    ],
)
async def test_a_spec_has_defaults(space, field, value):
    body = {"metadata": {"name": "a"}, "spec": {"containers": container()}}
    assert (await space.made(space.pods, body))["spec"][field] == value


@pytest.mark.parametrize(
    ("image", "policy"),
    [("i", "Always"), ("i:latest", "Always"), ("i:1", "IfNotPresent"), ("h:5/i", "Always")],
)
async def test_a_container_has_defaults(space, image, policy):
    containers = [{"name": "c", "image": image}]
    (made,) = (await space.pod(containers=containers, automountServiceAccountToken=False))["spec"][
        "containers"
    ]
    assert made == {
        "name": "c",
        "image": image,
        "imagePullPolicy": policy,
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }


async def test_limits_are_requests_where_none_are_given(space):
    made = await space.pod(containers=container(resources={"limits": {"cpu": "1"}}))
    assert made["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "1"}


@pytest.mark.parametrize(
    ("resource", "sent", "kept"),
    [
        ("cpu", 2, "2"),
        ("cpu", 0.5, "500m"),
        ("cpu", "0.25", "250m"),
        ("cpu", "1000m", "1"),
        ("cpu", "1.0", "1"),
        ("cpu", "100u", "1m"),
        ("memory", "1024Mi", "1Gi"),
        ("memory", "1000Ki", "1000Ki"),
        ("memory", "1e3", "1e3"),
        ("memory", "1000k", "1M"),
        ("memory", "1.5Gi", "1536Mi"),
        ("memory", "1.3Gi", "1395864371200m"),
        ("memory", "0.5Ki", "512"),
        ("memory", "16Ei", "9223372036854775807"),
        ("memory", "1e999", "1e999"),
        ("memory", 1048576, "1048576"),
        ("example.com/gpu", "1", "1"),
    ],
)
async def test_a_quantity_is_kept_in_its_canonical_form(space, resource, sent, kept):
    asked = {resource: sent}
    made = await space.pod(containers=container(resources={"requests": asked, "limits": asked}))
    assert made["spec"]["containers"][0]["resources"]["requests"] == {resource: kept}


async def test_dead_nodes_are_tolerated_for_a_while(space):
    found = {item["key"]: item["tolerationSeconds"] for item in (await space.pod())["spec"]["tolerations"]}
    assert found == {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300}


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        (
            {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}},
            "Guaranteed",
        ),
    ],
)
async def test_a_pod_has_a_quality_of_service(space, resources, expected):
    assert (await space.pod(containers=container(resources=resources)))["status"]["qosClass"] == expected


SPEC = "spec.containers"


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({"containers": []}, [("FieldValueRequired", SPEC)]),
        ({"containers": [{"image": "i"}]}, [("FieldValueRequired", f"{SPEC}[0].name")]),
        ({"containers": [{"name": "c"}]}, [("FieldValueRequired", f"{SPEC}[0].image")]),
        ({"containers": [{"name": "Upper", "image": "i"}]}, [("FieldValueInvalid", f"{SPEC}[0].name")]),
        ({"containers": container() + container()}, [("FieldValueDuplicate", f"{SPEC}[1].name")]),
        (
            {"containers": requesting(cpu="-1")},
            [("FieldValueInvalid", f"{SPEC}[0].resources.requests[cpu]")],
        ),
        (
            {"containers": container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1"}})},
            [("FieldValueInvalid", f"{SPEC}[0].resources.requests")],
        ),
        (
            {"containers": requesting(**{"example.com/gpu": "1"})},
            [("FieldValueRequired", f"{SPEC}[0].resources.limits")],
        ),
        ({"restartPolicy": "Perhaps"}, [("FieldValueNotSupported", "spec.restartPolicy")]),
        ({"nodeName": "Not A Node"}, [("FieldValueInvalid", "spec.nodeName")]),
        ({"nodeName": "n", "schedulingGates": [GATE]}, [("FieldValueForbidden", "spec.nodeName")]),
        ({"schedulingGates": [{"name": "not valid!"}]}, [("FieldValueInvalid", "spec.schedulingGates[0]")]),
        (
            {"containers": container(resources={"limits": {"example.com/gpu": "0.5"}})},
            [
                ("FieldValueInvalid", f"{SPEC}[0].resources.limits[example.com/gpu]"),
                ("FieldValueInvalid", f"{SPEC}[0].resources.requests[example.com/gpu]"),
            ],
        ),
        ({"schedulingGates": [GATE, GATE]}, [("FieldValueDuplicate", "spec.schedulingGates[1]")]),
        ({"nodeSelector": {"a b": "c"}}, [("FieldValueInvalid", "spec.nodeSelector")]),
        (
            {"tolerations": [{"key": "a", "operator": "Perhaps"}]},
            [("FieldValueNotSupported", "spec.tolerations[0].operator")],
        ),
        ({"tolerations": [{"operator": "Equal"}]}, [("FieldValueInvalid", "spec.tolerations[0].operator")]),
        (
            {"tolerations": [{"key": "a", "effect": "Odd"}]},
            [("FieldValueNotSupported", "spec.tolerations[0].effect")],
        ),
        (
            {"tolerations": [{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]},
            [("FieldValueInvalid", "spec.tolerations[0].effect")],
        ),
    ],
)
async def test_a_bad_spec_is_invalid(space, spec, causes):
    assert (await space.api.post(space.pods, pod(**spec))).refusal == invalid("Pod", "a", *causes)


@pytest.mark.parametrize(
    "spec",
    [
        {"nodeName": 5},
        {"containers": {"name": "c"}},
        {"priority": "high"},
        {"nodeSelector": {"a": 1}},
        {"containers": requesting(cpu="much")},
        {"containers": requesting(cpu=[])},
        {"containers": ["c"]},
    ],
)
async def test_a_spec_of_other_types_is_a_bad_request(space, spec):
    assert (await space.api.post(space.pods, pod(**spec))).refusal == (400, "BadRequest", {})


async def test_a_priority_class_gives_its_value(space):
    name = f"{space.name}-high"
    await space.made("/apis/scheduling.k8s.io/v1/priorityclasses", {"metadata": {"name": name}, "value": 7})
    assert (await space.pod(priorityClassName=name))["spec"]["priority"] == 7
    await space.api.delete(f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}")


async def test_a_missing_priority_class_is_forbidden(space):
    reply = await space.api.post(space.pods, pod(priorityClassName="none"))
    assert reply.refusal == (403, "Forbidden", {"name": "a", "kind": "pods"})
    assert reply.message == 'pods "a" is forbidden: no PriorityClass with name none was found'


async def test_a_priority_of_its_own_is_forbidden(space):
    reply = await space.api.post(space.pods, pod(priority=5))
    assert reply.refusal == (403, "Forbidden", {"name": "a", "kind": "pods"})


async def test_a_runtime_class_adds_its_overhead(space):
    name = f"{space.name}-rc"
    body = {"metadata": {"name": name}, "handler": "h", "overhead": {"podFixed": {"memory": "64Mi"}}}
    await space.made("/apis/node.k8s.io/v1/runtimeclasses", body)
    assert (await space.pod(runtimeClassName=name))["spec"]["overhead"] == {"memory": "64Mi"}
    await space.api.delete(f"/apis/node.k8s.io/v1/runtimeclasses/{name}")


async def test_a_missing_runtime_class_is_forbidden(space):
    reply = await space.api.post(space.pods, pod(runtimeClassName="none"))
    assert reply.refusal == (403, "Forbidden", {"name": "a", "kind": "pods"})


@pytest.mark.usefixtures("controllers")
async def test_a_pod_has_the_default_account(space):
    spec = (await space.pod())["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")


@pytest.mark.usefixtures("controllers")
async def test_a_pod_gets_the_token_of_its_account(space):
    spec = (await space.pod())["spec"]
    (volume,) = spec["volumes"]
    (mount,) = spec["containers"][0]["volumeMounts"]
    assert list(volume["projected"]["sources"][0]) == ["serviceAccountToken"]
    assert mount == {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }


async def test_a_pod_that_wants_no_token_gets_none(space):
    assert "volumes" not in (await space.pod(automountServiceAccountToken=False))["spec"]


async def test_a_port_on_the_host_is_the_port_of_the_container(space):
    containers = container(ports=[{"containerPort": 80}])
    spec = (await space.pod(hostNetwork=True, containers=containers))["spec"]
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]


@pytest.mark.usefixtures("controllers")
async def test_a_missing_service_account_is_forbidden(space):
    reply = await space.api.post(space.pods, pod(serviceAccountName="none"))
    assert reply.refusal == (403, "Forbidden", {"name": "a", "kind": "pods"})


# changes -------------------------------------------------------------------------------------------------


async def test_a_gated_pod_says_so(space):
    made = await space.pod(schedulingGates=[GATE])
    (condition,) = made["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "PodScheduled",
        "False",
        "SchedulingGated",
    )


async def test_a_gate_cannot_be_put_on(space):
    await space.pod()
    reply = await space.api.merge(f"{space.pods}/a", {"spec": {"schedulingGates": [GATE]}})
    assert reply.status == 422
    assert ("FieldValueForbidden", "spec.schedulingGates[0].name") in reply.refusal[2]["causes"]


async def test_a_gated_pod_can_be_steered(space):
    await space.pod(schedulingGates=[GATE])
    reply = await space.api.merge(f"{space.pods}/a", {"spec": {"nodeSelector": {"a": "b"}}})
    assert (reply.status, reply.json["spec"]["nodeSelector"]) == (200, {"a": "b"})


@pytest.mark.parametrize(
    "spec",
    [
        {"schedulerName": "another"},
        {"nodeName": "n"},
        {"nodeSelector": {"a": "b"}},
        {"runtimeClassName": "r"},
        {"restartPolicy": "Always"},
        {"containers": requesting(cpu="1")},
        {"containers": [*container(), {"name": "d", "image": "i"}]},
    ],
)
async def test_a_spec_cannot_be_changed(space, spec):
    await space.pod()
    reply = await space.api.merge(f"{space.pods}/a", {"spec": spec})
    assert reply.status == 422
    assert reply.refusal[1:] == ("Invalid", reply.refusal[2])
    assert reply.refusal[2]["causes"][0][0] == "FieldValueForbidden"


async def test_a_toleration_can_be_added(space):
    tolerations = (await space.pod())["spec"]["tolerations"]
    patch = {"spec": {"tolerations": [*tolerations, {"key": "k", "operator": "Exists"}]}}
    assert (await space.api.merge(f"{space.pods}/a", patch)).status == 200


async def test_an_image_can_be_changed(space):
    await space.pod()
    patch = {"spec": {"containers": [{"name": "c", "image": "another"}]}}
    assert (await space.api.strategic(f"{space.pods}/a", patch)).status == 200


async def test_a_change_of_metadata_is_no_new_generation(space):
    await space.pod()
    changed = (await space.api.merge(f"{space.pods}/a", {"metadata": {"labels": {"x": "1"}}})).json
    assert changed["metadata"]["generation"] == 1


async def test_a_pod_read_and_put_back_keeps_its_version(space):
    made = await space.pod()
    reply = await space.api.put(f"{space.pods}/a", made)
    assert reply.version == made["metadata"]["resourceVersion"]


# the end -------------------------------------------------------------------------------------------------


async def test_an_unbound_pod_is_deleted_at_once(space):
    made = await space.pod()
    reply = await space.api.delete(f"{space.pods}/a")
    assert (reply.status, reply.json["metadata"]["uid"]) == (200, made["metadata"]["uid"])
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_bound_pod_waits_for_its_kubelet(space):
    await space.pod(terminationGracePeriodSeconds=20)
    assert (await space.bind("a")).status == 201
    reply = await space.api.delete(f"{space.pods}/a")
    doomed = (await space.api.get(f"{space.pods}/a")).json["metadata"]
    assert (reply.status, reply.json["kind"]) == (200, "Pod")
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


async def test_a_second_delete_can_shorten_the_grace(space):
    await space.pod()
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 50})
    reply = await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 5})
    assert reply.json["metadata"]["deletionGracePeriodSeconds"] == 5


async def test_a_second_delete_of_the_same_grace_keeps_the_version(space):
    await space.pod()
    await space.bind("a")
    first = await space.api.delete(f"{space.pods}/a")
    second = await space.api.delete(f"{space.pods}/a")
    assert (second.status, second.version) == (200, first.version)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
async def test_a_finished_pod_is_deleted_at_once(space, phase):
    await space.pod()
    await space.bind("a")
    await space.api.merge(f"{space.pods}/a/status", {"status": {"phase": phase}})
    await space.api.delete(f"{space.pods}/a")
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_finalizer_outlives_a_forced_delete_and_goes_through_the_status(space):
    await space.pod(metadata={"finalizers": [FINALIZER]})
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    assert (await space.api.get(f"{space.pods}/a")).status == 200
    await space.api.merge(f"{space.pods}/a/status", {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_a_pod_without_finalizers_still_waits_for_its_kubelet(space):
    await space.pod(metadata={"finalizers": [FINALIZER]})
    await space.bind("a")
    await space.api.delete(f"{space.pods}/a")
    await space.api.merge(f"{space.pods}/a", {"metadata": {"finalizers": None}})
    assert (await space.api.get(f"{space.pods}/a")).status == 200


EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}


async def test_an_eviction_deletes(space):
    await space.pod()
    assert (await space.api.post(f"{space.pods}/a/eviction", EVICTION)).status == 201
    assert (await space.api.get(f"{space.pods}/a")).status == 404


async def test_an_evicted_pod_on_a_node_says_why(space):
    await space.pod()
    await space.bind("a")
    await space.api.post(f"{space.pods}/a/eviction", EVICTION)
    evicted = (await space.api.get(f"{space.pods}/a")).json
    assert conditions(evicted)["DisruptionTarget"] == "True"


async def test_an_eviction_of_a_missing_pod_is_not_found(space):
    reply = await space.api.post(f"{space.pods}/a/eviction", EVICTION)
    assert reply.refusal == (404, "NotFound", {"name": "a", "kind": "pods"})
