"""The shipped rights are the least: without any one of them something breaks, and beyond them nothing works."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import yaml

from synergai.envs import scenario
from synergai.envs.tape import setting_of
from synergai.k8s_bridge.annotations import DecisionRecord
from synergai.k8s_bridge.api.client import ApiClient, ApiError
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.binder import Binder, BindOrder, BindResult, Outcome
from synergai.k8s_bridge.clock import elapsed_s
from synergai.k8s_bridge.config import Settings
from synergai.k8s_bridge.explain.api import AskError, fetch_queue
from synergai.k8s_bridge.inference.job import PLURAL, job_path
from synergai.k8s_bridge.keys import PREFIX
from synergai.k8s_bridge.startup import StartupError, run_bridge
from synergai.k8s_bridge.submit import PodRequest, submit
from tests.e2e.definitions import CRDS
from tests.e2e.ground import MANIFEST, Ground, Json, Nodes, account_kubeconfig, ground, manifest
from tests.e2e.rights import Right, renamed, rights, without
from tests.e2e.wanted import unwant, want

WAIT_S = 60.0
FAST = 20.0
"""How fast time goes by for a binder that holds room for a minute."""
ABSENT = frozenset({"jetson-agx-orin-maxq"})
"""Profiled, and no node of the scenario has it."""
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"


class Run:
    """The bridge in this process, with what it does in an ordinary life: a pod placed, another that fits nowhere, an
    InferenceJob run to its end and deleted."""

    def __init__(self, here: Ground, log: pytest.LogCaptureFixture) -> None:
        self.here = here
        self.log = log

    async def until(self, fact: Callable[[], Awaitable[bool]]) -> str:
        """Everything said until the fact holds, or the bridge has ended; its last line is the last."""
        stop = asyncio.Event()
        settings = Settings(
            kubeconfig=str(self.here.bridge_kubeconfig),
            metrics_port=None,
            queue_every_s=0.1,
            queue_namespace=self.here.name,
        )
        asked = [
            PodRequest("placed", "resnet50", 2000, namespace=self.here.name),
            PodRequest("parked", "resnet50", 2000, namespace=self.here.name, hardware=ABSENT),
        ]
        self.log.set_level(logging.INFO)
        bridge = asyncio.create_task(run_bridge(settings, stop))
        try:
            await submit(self.here.client, asked)
            await want(self.here)
            async with asyncio.timeout(WAIT_S):
                while not (bridge.done() or await fact()):  # noqa: ASYNC110 - it is on the server or in the log
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            ended = (await asyncio.gather(bridge, return_exceptions=True))[0]
            await self.here.client.request("DELETE", self.here.pods, params={"gracePeriodSeconds": "0"})
            await unwant(self.here)
        if isinstance(ended, BaseException) and not isinstance(ended, StartupError):
            raise ended
        return f"{self.log.text}\n{ended or ''}"


async def in_its_life(run: Run, right: Right) -> str:
    """The bridge says by itself what it may not do."""
    denied = f'cannot {right.verb} resource "{right.resource}"'

    async def said() -> bool:
        return denied in run.log.text

    return await run.until(said)


async def sooner(seconds: float) -> None:
    await asyncio.sleep(seconds / FAST)


async def after_a_conflict(run: Run, right: Right) -> str:
    """A bind's lost reply, and a rival's bind, are told apart by a look at the pod."""
    here = run.here
    await submit(here.client, [PodRequest("a", "resnet50", 100, namespace=here.name)])
    pod = await here.client.get(f"{here.pods}/a")
    target = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "rivals-choice"}}
    await here.client.post(f"{here.pods}/a/binding", target)
    record = DecisionRecord("id", "nvidia-t4", "c", 1, 100, 100, "test")
    results: list[BindResult] = []
    async with ApiClient(load(str(here.bridge_kubeconfig))) as client:
        binder = Binder(client, results.append, elapsed_s=lambda: FAST * elapsed_s(), sleep=sooner)
        binder.start(BindOrder(here.name, "a", pod["metadata"]["uid"], "ours", record))
        await binder.drain()
    assert (results[0].outcome is Outcome.TAKEN) == (results[0].pod is not None)
    return results[0].message


async def for_who_asks(run: Run, right: Right) -> str:
    """The role is not the bridge's: whoever is bound to it reads the queue."""
    here = run.here
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{here.name}/rolebindings"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": renamed(right.role, here.name)}
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": here.name}
    await here.client.post(rbac, {"metadata": {"name": "asks"}, "roleRef": role, "subjects": [subject]})
    path = here.bridge_kubeconfig.with_name("asks.kubeconfig")
    admin = here.bridge_kubeconfig  # its way to the cluster
    await account_kubeconfig(here.client, here.name, "default", str(admin), path)
    async with ApiClient(load(str(path))) as client:
        try:
            await fetch_queue(client, here.name)
        except AskError as error:
            return str(error)
    return ""


REQUESTS = {
    "pods": ("DELETE", "/api/v1/namespaces/{name}/pods/a"),
    "customresourcedefinitions": ("GET", f"{CRDS}/{PLURAL}.{PREFIX}"),
}


async def when_asked(run: Run, right: Right) -> str:
    """The server's answer to a request as the bridge sends it; what it names need not be there."""
    method, path = REQUESTS[right.resource]
    async with ApiClient(load(str(run.here.bridge_kubeconfig))) as client:
        try:
            await client.request(method, path.format(name=run.here.name))
        except ApiError as error:
            return error.message
    return ""


Breaks = Callable[[Run, Right], Awaitable[str]]
BREAKS: dict[Right, Breaks] = {
    Right("synergai-bridge-reads", "nodes", "list"): in_its_life,
    Right("synergai-bridge-reads", "nodes", "watch"): in_its_life,
    Right("synergai-bridge-reads", "pods", "get"): after_a_conflict,
    Right("synergai-bridge-reads", "pods", "list"): in_its_life,
    Right("synergai-bridge-reads", "pods", "watch"): in_its_life,
    Right("synergai-bridge-reads", "namespaces", "list"): in_its_life,
    Right("synergai-bridge-reads", "namespaces", "watch"): in_its_life,
    Right("synergai-bridge-reads", "persistentvolumeclaims", "list"): in_its_life,
    Right("synergai-bridge-reads", "persistentvolumeclaims", "watch"): in_its_life,
    Right("synergai-bridge-reads", "persistentvolumes", "list"): in_its_life,
    Right("synergai-bridge-reads", "persistentvolumes", "watch"): in_its_life,
    **{
        Right("synergai-bridge-reads", kind, verb): in_its_life
        for kind in ("inferencejobs", "inferenceruntimes", "clusterinferenceruntimes")
        for verb in ("list", "watch")
    },
    Right("synergai-bridge-reads", "customresourcedefinitions", "get"): when_asked,
    Right("synergai-bridge-reports", "clusterinferenceruntimes/status", "patch"): in_its_life,
    Right("synergai-bridge-hears", "leases", "list"): in_its_life,
    Right("synergai-bridge-binds", "pods/binding", "create"): in_its_life,
    Right("synergai-bridge-binds", "pods/resize", "patch"): in_its_life,
    Right("synergai-bridge-binds", "pods/status", "patch"): in_its_life,
    Right("synergai-bridge-binds", "events", "create"): in_its_life,
    Right("synergai-bridge-binds", "pods", "create"): in_its_life,
    Right("synergai-bridge-binds", "pods", "delete"): when_asked,
    Right("synergai-bridge-binds", "inferencejobs/status", "patch"): in_its_life,
    Right("synergai-bridge-binds", "inferenceruntimes/status", "patch"): in_its_life,
    Right("synergai-bridge-binds", "inferencejobs", "delete"): in_its_life,
    Right("synergai-queue-writes", "configmaps", "get"): in_its_life,
    Right("synergai-queue-writes", "configmaps", "create"): in_its_life,
    Right("synergai-queue-writes", "configmaps", "update"): in_its_life,
    Right("synergai-queue-reads", "configmaps", "get"): for_who_asks,
    Right("synergai-bridge-leads", "leases", "get"): in_its_life,
    Right("synergai-bridge-leads", "leases", "create"): in_its_life,
    Right("synergai-bridge-leads", "leases", "update"): in_its_life,
}
"""What shows that a right is needed. `in_its_life` will do where the bridge logs the refusal, or ends with it."""


def test_every_right_of_the_manifest_has_a_line_that_says_what_breaks_without_it() -> None:
    missing = [right for right in rights() if right not in BREAKS]
    assert not missing, (
        f"{MANIFEST.name} grants {missing}, and BREAKS here has no line for it: add 'Right(...): in_its_life' if the "
        "bridge logs the refusal of an ordinary run, or write a function that brings it about; if nothing breaks, take "
        "the right out of the manifest"
    )


def test_every_line_is_of_a_right_that_the_manifest_grants() -> None:
    assert set(BREAKS) - set(rights()) == set()


def test_no_right_is_a_wildcard() -> None:
    """Nor does any role give rights by aggregation, or on URLs beside the resources."""
    for item in yaml.safe_load_all(MANIFEST.read_text(encoding="utf-8")):
        assert "aggregationRule" not in item
        for rule in item.get("rules", ()):
            assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
            assert "*" not in rule["apiGroups"] + rule["resources"] + rule["verbs"]


@pytest.mark.e2e
@pytest.mark.parametrize("right", list(rights()), ids=lambda right: "-".join(right).replace("/", "-"))
async def test_without_any_one_right_something_breaks(
    right: Right, definitions: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    breaks = BREAKS.get(right)
    if breaks is None:
        pytest.fail("it has no line in BREAKS, as another test says")
    setting = setting_of(scenario.load(Path(__file__).with_name("replayed.yaml")))

    def less(items: list[Json]) -> list[Json]:
        return without(right, items, items[0]["metadata"]["name"])

    async with (
        ground(definitions, tmp_path, less) as here,
        Nodes(here, definitions, setting, 20.0),
    ):
        said = await breaks(Run(here, caplog), right)
    resource = right.resource
    assert f'cannot {right.verb} resource "{resource}"' in said, said[-3000:]


@pytest.mark.e2e
async def test_with_all_rights_everything_is_done_and_nothing_refused(
    definitions: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    setting = setting_of(scenario.load(Path(__file__).with_name("replayed.yaml")))
    async with ground(definitions, tmp_path) as here, Nodes(here, definitions, setting, 20.0):

        async def done() -> bool:
            pod = await here.client.get(f"{here.pods}/placed")
            events = (await here.client.get(f"/api/v1/namespaces/{here.name}/events"))["items"]
            told = {(event["involvedObject"]["name"], event["reason"]) for event in events}
            try:
                queue = (await fetch_queue(here.client, here.name)).totals
            except AskError:
                return False
            parked = queue.get("unschedulable", 0) > 0 and ("parked", "FailedScheduling") in told
            is_over = not (await here.client.get(job_path(here.name)))["items"]
            return (
                bool(pod["spec"].get("nodeName")) and ("placed", "Scheduled") in told and parked and is_over
            )

        said = await Run(here, caplog).until(done)
    assert " leading: " in said
    scopes = f'namespace "{here.name}"', "cluster scope"  # others' pods may wait where it has no rights
    refused = [line for line in said.splitlines() if " cannot " in line and any(s in line for s in scopes)]
    assert refused == []


async def reviewed(kubeconfig: Path, namespace: str) -> set[tuple[str, str, str, str]]:
    """(group, resource, name, verb) of all that the server says an account may do in a namespace and beyond."""
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview"}
    async with ApiClient(load(str(kubeconfig))) as client:
        reply = await client.post(REVIEWS, kind | {"spec": {"namespace": namespace}})
    return {right for rule in reply["status"]["resourceRules"] for right in _flat(rule)}


def _flat(rule: Json) -> Iterator[tuple[str, str, str, str]]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for name in rule.get("resourceNames") or [""]:
                for verb in rule["verbs"]:
                    yield group, resource, name, verb


def bound(items: list[Json], namespace: str, account: str) -> set[tuple[str, str, str, str]]:
    """The same, as the manifest's bindings say."""
    rules = {(i["kind"], i["metadata"].get("namespace", ""), i["metadata"]["name"]): i for i in items}
    found = set()
    for item in items:
        metadata = item["metadata"]
        here = item["kind"] == "ClusterRoleBinding" or metadata.get("namespace") == namespace
        if "roleRef" in item and here and any(s["name"] == account for s in item["subjects"]):
            role = item["roleRef"]
            of = "" if role["kind"] == "ClusterRole" else metadata["namespace"]
            found |= {
                right for rule in rules[role["kind"], of, role["name"]]["rules"] for right in _flat(rule)
            }
    return found


@pytest.mark.e2e
async def test_the_account_may_do_what_the_manifest_lists_and_nothing_beyond(
    real_kubeconfig: str, tmp_path: Path
) -> None:
    """In its own namespace and in others; beside it is what every account may do, such as asking this."""
    async with ground(real_kubeconfig, tmp_path) as here:
        items = manifest(here.name)
        anybody = await account_kubeconfig(
            here.client, here.name, "default", real_kubeconfig, tmp_path / "anybody.kubeconfig"
        )
        elsewhere = {i["metadata"].get("namespace", "default") for i in items} | {"default", "kube-system"}
        for namespace in sorted(elsewhere):
            granted = await reviewed(here.bridge_kubeconfig, namespace)
            assert granted - await reviewed(anybody, namespace) == bound(items, namespace, here.name), (
                namespace
            )
