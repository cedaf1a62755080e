"""What the shipped manifest lets the bridge do on a real API server, and what it does not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from synergai.envs.cluster import Cluster
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.clock import ScenarioClock
from synergai.k8s_bridge.explain.api import fetch_queue
from synergai.k8s_bridge.node_book import NodeBook
from synergai.k8s_bridge.pod_book import PodBook
from synergai.k8s_bridge.reports.board import Board
from synergai.k8s_bridge.reports.metrics import Metrics
from synergai.k8s_bridge.reports.report import Report
from synergai.k8s_bridge.submit import PodRequest, submit
from synergai.offline_profiles.table import ProfileTable
from tests.e2e.ground import Ground, ground
from tests.e2e.replay import Bridge

pytestmark = pytest.mark.e2e

HERE, ELSEWHERE, NODE_LEASES = "here", "default", "kube-node-lease"
OURS = ("inferencejobs", "inferenceruntimes", "clusterinferenceruntimes")
GROUPS = {
    "leases": "coordination.k8s.io",
    "customresourcedefinitions": "apiextensions.k8s.io",
    **dict.fromkeys(OURS, "synergai.dev"),
}
ALLOWED = [
    ("list", "nodes", ""),
    ("watch", "nodes", ""),
    ("get", "pods", ELSEWHERE),
    ("list", "pods", ""),
    ("watch", "pods", ""),
    ("list", "namespaces", ""),
    ("watch", "persistentvolumeclaims", ""),
    ("list", "persistentvolumes", ""),
    ("list", "leases", NODE_LEASES),
    ("create", "pods/binding", HERE),
    ("patch", "pods/resize", HERE),
    ("patch", "pods/status", HERE),
    ("create", "events", HERE),
    ("create", "pods", HERE),
    ("delete", "pods", HERE),
    *((verb, kind, "") for kind in OURS for verb in ("list", "watch")),
    *(("get", "customresourcedefinitions", "", f"{kind}.synergai.dev") for kind in OURS),
    ("patch", "inferencejobs/status", HERE),
    ("patch", "inferenceruntimes/status", HERE),
    ("patch", "clusterinferenceruntimes/status", ""),
    ("delete", "inferencejobs", HERE),
    ("create", "configmaps", HERE),
    ("update", "configmaps", HERE, "synergai-queue"),
    ("get", "configmaps", HERE, "synergai-calibration"),
    ("update", "configmaps", HERE, "synergai-calibration"),
    ("get", "leases", HERE, "synergai"),
    ("create", "leases", HERE, "synergai"),
    ("update", "leases", HERE, "synergai"),
]
DENIED = [
    ("create", "pods/binding", ELSEWHERE),
    ("create", "events", ELSEWHERE),
    ("create", "pods", ELSEWHERE),
    ("delete", "pods", ELSEWHERE),
    ("deletecollection", "pods", HERE),
    ("patch", "pods", HERE),
    *((verb, kind, HERE) for kind in OURS[:2] for verb in ("create", "update", "patch")),
    *((verb, "clusterinferenceruntimes", "") for verb in ("create", "update", "patch", "delete")),
    ("deletecollection", "inferencejobs", HERE),
    ("delete", "inferencejobs", ELSEWHERE),
    ("delete", "inferenceruntimes", HERE),
    ("patch", "inferencejobs/status", ELSEWHERE),
    ("patch", "inferenceruntimes/status", ELSEWHERE),
    ("update", "inferencejobs/status", HERE),
    ("get", "customresourcedefinitions", "", "another.synergai.dev"),
    *((verb, "customresourcedefinitions", "") for verb in ("list", "create", "update", "delete")),
    ("update", "pods/status", HERE),
    ("update", "pods/resize", HERE),
    ("patch", "pods/resize", ELSEWHERE),
    ("patch", "pods/status", ELSEWHERE),
    ("create", "pods/exec", HERE),
    ("patch", "nodes", ""),
    ("delete", "nodes", ""),
    ("get", "secrets", HERE),
    ("list", "configmaps", HERE),
    ("update", "configmaps", HERE),
    ("get", "configmaps", HERE, "another"),
    ("delete", "configmaps", HERE, "synergai-calibration"),
    ("create", "configmaps", ELSEWHERE),
    ("create", "serviceaccounts/token", HERE),
    ("get", "leases", HERE, "another"),
    ("update", "leases", HERE, "another"),
    ("create", "leases", HERE),
    ("list", "leases", HERE),
    ("update", "leases", NODE_LEASES),
    ("create", "persistentvolumeclaims", HERE),
    ("update", "namespaces", ""),
    ("watch", "leases", HERE),
    ("patch", "leases", HERE, "synergai"),
    ("delete", "leases", HERE, "synergai"),
    ("get", "leases", ELSEWHERE, "synergai"),
    ("update", "leases", ELSEWHERE, "synergai"),
]


@pytest.fixture
async def here(real_kubeconfig: str, tmp_path: Path) -> AsyncIterator[Ground]:
    async with ground(real_kubeconfig, tmp_path) as made:
        yield made


async def may(here: Ground, verb: str, resource: str, namespace: str, name: str = "") -> bool:
    """The server's own answer to the bridge's account."""
    kind, _, subresource = resource.partition("/")
    asked = {"verb": verb, "group": GROUPS.get(kind, ""), "resource": kind, "subresource": subresource}
    asked["name"] = name
    asked["namespace"] = here.name if namespace == HERE else namespace
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
    async with ApiClient(load(str(here.bridge_kubeconfig))) as bridge:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        reply = await bridge.post(path, review | {"spec": {"resourceAttributes": asked}})
    return reply["status"]["allowed"]


async def test_the_bridge_may_do_what_it_needs(here: Ground) -> None:
    assert [asked for asked in ALLOWED if not await may(here, *asked)] == []


async def test_the_bridge_may_do_nothing_else(here: Ground) -> None:
    assert [asked for asked in DENIED if await may(here, *asked)] == []


async def test_a_dry_run_needs_no_right_to_write(here: Ground, tmp_path: Path) -> None:
    for ending in ("-binds", "-leads"):
        await here.client.request("DELETE", here.path("RoleBinding", ending))
    await submit(here.client, [PodRequest("a", "resnet50", 100, namespace=here.name)])
    async with Bridge(here, ["--once", "--dry-run"], tmp_path) as bridge:
        assert await bridge.ended() == 0


async def test_a_bridge_without_rights_ends_with_2_and_says_what_is_missing(
    here: Ground, tmp_path: Path
) -> None:
    await here.client.request("DELETE", here.path("ClusterRoleBinding", "reads"))
    async with Bridge(here, [], tmp_path) as bridge:
        assert await bridge.ended() == 2
        (line,) = bridge.said().splitlines()
        assert 'cannot list resource "nodes"' in line
        assert "docs/bridge.md" in line


async def test_the_bridge_writes_its_queue_and_writes_it_again(here: Ground) -> None:
    cluster, clock = Cluster(ProfileTable.default()), ScenarioClock()
    nodes = NodeBook(cluster, cluster.table.hardware)
    pods = PodBook(cluster, cluster.table, clock, nodes, Report(Metrics()))
    async with ApiClient(load(str(here.bridge_kubeconfig))) as bridge:
        board = Board(bridge, cluster, clock, pods, here.name)
        assert await board.write(board.content())
        assert await board.write(board.content())
    found = await fetch_queue(here.client, here.name)
    assert (found.totals, found.lines) == ({}, ())


async def test_the_lease_is_made_kept_and_given_up_with_these_rights(here: Ground, tmp_path: Path) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{here.name}/leases/synergai"
    async with Bridge(here, [], tmp_path) as bridge:
        await bridge.until(lambda: " leading: " in bridge.said(), "leader")
        made = await here.client.get(path)
        assert made["spec"]["holderIdentity"]
        await bridge.stop()
    assert (await here.client.get(path))["spec"].get("holderIdentity", "") == ""


async def test_a_bridge_without_the_right_to_its_lease_ends_with_2_and_says_what_is_missing(
    here: Ground, tmp_path: Path
) -> None:
    await here.client.request("DELETE", here.path("RoleBinding", "-leads"))
    async with Bridge(here, [], tmp_path) as bridge:
        assert await bridge.ended() == 2
        line = bridge.said().splitlines()[-1]
        assert 'cannot get resource "leases"' in line
        assert "docs/bridge.md" in line
