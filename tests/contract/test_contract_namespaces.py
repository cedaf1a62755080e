"""Namespaces: how they begin and how they end."""

import pytest

from tests.kube_api import invalid, pod

NAMESPACES = "/api/v1/namespaces"


async def test_a_new_namespace_is_active_and_labelled_with_its_name(space):
    shown = (await space.api.get(space.path)).json
    assert shown["status"]["phase"] == "Active"
    assert shown["metadata"]["labels"]["kubernetes.io/metadata.name"] == space.name
    assert shown["spec"]["finalizers"] == ["kubernetes"]


async def test_a_namespace_with_a_dot_is_invalid(api):
    reply = await api.post(NAMESPACES, {"metadata": {"name": "a.b"}})
    assert reply.refusal == invalid("Namespace", "a.b", ("FieldValueInvalid", "metadata.name"))


async def test_a_deleted_namespace_is_shown_as_it_ends(space):
    reply = await space.api.delete(space.path)
    assert (reply.status, reply.json["kind"], reply.json["status"]["phase"]) == (
        200,
        "Namespace",
        "Terminating",
    )
    assert reply.json["metadata"]["deletionTimestamp"]


@pytest.mark.usefixtures("controllers")
async def test_a_deleted_namespace_takes_its_objects_along(space):
    await space.pod()
    listed = await space.api.get(space.pods)
    async with space.api.watch(space.pods, resourceVersion=listed.version) as watch:
        await space.api.delete(space.path)
        event = await watch.change()
        assert event["object"]["metadata"]["deletionTimestamp"]
        await space.gone(f"{space.pods}/a")
        await space.gone(space.path)


@pytest.mark.usefixtures("controllers")
async def test_a_namespace_that_something_holds_takes_no_new_objects(space):
    await space.config_map(finalizers=["example.com/wait"])
    await space.api.delete(space.path)
    reply = await space.api.post(space.pods, pod())
    assert reply.refusal == (
        403,
        "Forbidden",
        {"name": "a", "kind": "pods", "causes": [("NamespaceTerminating", "metadata.namespace")]},
    )
    await space.api.merge(f"{space.config_maps}/c", {"metadata": {"finalizers": None}})
    await space.gone(space.path)


@pytest.mark.usefixtures("controllers")
async def test_a_namespace_waits_for_a_pod_that_a_kubelet_holds(space):
    await space.pod()
    await space.bind("a")
    await space.api.delete(space.path)

    doomed = await space.api.get(f"{space.pods}/a")
    assert doomed.status == 200
    await space.api.delete(f"{space.pods}/a", {"gracePeriodSeconds": 0})
    await space.gone(space.path)


@pytest.mark.usefixtures("controllers")
async def test_a_namespace_comes_with_a_service_account(space):
    assert (await space.api.get(f"{space.accounts}/default")).status == 200


async def test_the_default_namespace_is_there(api):
    names = (await api.get(NAMESPACES)).names
    assert {"default", "kube-system", "kube-public", "kube-node-lease"} <= set(names)


async def test_namespaces_are_not_deleted_by_selector(api):
    assert (await api.delete(NAMESPACES)).refusal == (405, "MethodNotAllowed", {})


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_cannot_be_deleted(api, name):
    reply = await api.delete(f"{NAMESPACES}/{name}")
    assert reply.refusal == (403, "Forbidden", {"name": name, "kind": "namespaces"})
