"""What a server says it has: what kubectl and the Python client ask for before anything else."""

import pytest

RESOURCES = {
    "/api/v1": {
        "bindings",
        "configmaps",
        "events",
        "limitranges",
        "namespaces",
        "namespaces/status",
        "nodes",
        "nodes/status",
        "pods",
        "pods/binding",
        "pods/eviction",
        "pods/resize",
        "pods/status",
        "resourcequotas",
        "resourcequotas/status",
        "serviceaccounts",
    },
    "/apis/coordination.k8s.io/v1": {"leases"},
    "/apis/events.k8s.io/v1": {"events"},
    "/apis/scheduling.k8s.io/v1": {"priorityclasses"},
    "/apis/node.k8s.io/v1": {"runtimeclasses"},
    "/apis/apiextensions.k8s.io/v1": {"customresourcedefinitions", "customresourcedefinitions/status"},
}


async def test_the_version_is_one_that_clients_can_read(api):
    shown = (await api.get("/version")).json
    assert shown["major"] == "1"
    assert int(shown["minor"].rstrip("+")) >= 30
    assert shown["gitVersion"].startswith(f"v1.{shown['minor'].rstrip('+')}.")
    assert set(shown) >= {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"}


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_a_probe_is_answered_with_ok(api, path):
    reply = await api.get(path)
    assert (reply.status, reply.raw) == (200, b"ok")


async def test_the_core_group_has_its_version(api):
    shown = (await api.get("/api")).json
    assert (shown["kind"], shown["versions"]) == ("APIVersions", ["v1"])


async def test_the_groups_are_listed_with_their_preferred_version(api):
    shown = (await api.get("/apis")).json
    assert (shown["kind"], shown["apiVersion"]) == ("APIGroupList", "v1")
    groups = {group["name"]: group["preferredVersion"]["groupVersion"] for group in shown["groups"]}
    wanted = {path.removeprefix("/apis/") for path in RESOURCES if path.startswith("/apis/")}
    assert wanted <= set(groups.values())


async def test_a_group_tells_its_versions(api):
    shown = (await api.get("/apis/coordination.k8s.io")).json
    assert (shown["kind"], shown["preferredVersion"]) == (
        "APIGroup",
        {"groupVersion": "coordination.k8s.io/v1", "version": "v1"},
    )


@pytest.mark.parametrize("path", RESOURCES)
async def test_a_version_tells_its_resources(api, path):
    shown = (await api.get(path)).json
    assert (shown["kind"], shown["groupVersion"]) == (
        "APIResourceList",
        path.removeprefix("/api/").removeprefix("/apis/"),
    )
    assert RESOURCES[path] <= {resource["name"] for resource in shown["resources"]}


DETAILS = (
    "name",
    "singularName",
    "namespaced",
    "kind",
    "verbs",
    "shortNames",
    "categories",
    "group",
    "version",
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/api/v1",
            {
                "name": "pods",
                "singularName": "pod",
                "namespaced": True,
                "kind": "Pod",
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
                "shortNames": ["po"],
                "categories": ["all"],
            },
        ),
        (
            "/api/v1",
            {
                "name": "pods/binding",
                "singularName": "",
                "namespaced": True,
                "kind": "Binding",
                "verbs": ["create"],
            },
        ),
        (
            "/api/v1",
            {
                "name": "pods/eviction",
                "singularName": "",
                "namespaced": True,
                "group": "policy",
                "version": "v1",
                "kind": "Eviction",
                "verbs": ["create"],
            },
        ),
        (
            "/api/v1",
            {
                "name": "nodes/status",
                "singularName": "",
                "namespaced": False,
                "kind": "Node",
                "verbs": ["get", "patch", "update"],
            },
        ),
        (
            "/api/v1",
            {
                "name": "namespaces",
                "singularName": "namespace",
                "namespaced": False,
                "kind": "Namespace",
                "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
                "shortNames": ["ns"],
            },
        ),
        (
            "/apis/coordination.k8s.io/v1",
            {
                "name": "leases",
                "singularName": "lease",
                "namespaced": True,
                "kind": "Lease",
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            },
        ),
    ],
)
async def test_a_resource_is_described(api, path, expected):
    listed = (await api.get(path)).json["resources"]
    found = next(item for item in listed if item["name"] == expected["name"])
    assert {key: value for key, value in found.items() if key in DETAILS} == expected


async def test_an_unknown_group_is_not_found(api):
    assert (await api.get("/apis/none.example.com")).status == 404


async def test_openapi_names_the_paths_of_each_version(api):
    paths = (await api.get("/openapi/v3")).json["paths"]
    assert {"api/v1", "apis/coordination.k8s.io/v1"} <= set(paths)
    assert paths["api/v1"]["serverRelativeURL"].startswith("/openapi/v3/api/v1")


async def test_openapi_knows_that_fields_are_validated(api):
    where = (await api.get("/openapi/v3")).json["paths"]["api/v1"]["serverRelativeURL"].partition("?")[0]
    patch = (await api.get(where)).json["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert "fieldValidation" in [parameter["name"] for parameter in patch["parameters"]]
