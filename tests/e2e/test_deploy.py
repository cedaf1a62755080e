"""What `kubectl apply -k deploy/base` installs, on a real API server, under names of its own."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from synergai.envs import scenario
from synergai.envs.tape import setting_of
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import load
from synergai.k8s_bridge.submit import PodRequest, pod_of, submit
from tests.deploy.rendered import NAME, Json, kustomize, objects, one, output, run, tool
from tests.deploy.rendered import pod_of as template_of
from tests.e2e.cluster.source import NAME as PREFIX
from tests.e2e.ground import Ground, Nodes, bridge_kubeconfig
from tests.e2e.replay import Bridge, has_ended

pytestmark = pytest.mark.e2e

COMMON = ("synergai-decisions", "synergai-requests", "synergai-edit", "synergai-view")
"""Policies and roles whose names do not begin as the others' do."""
DECISION = json.dumps({"id": "0", "hardware": "nvidia-t4"})


@dataclass(frozen=True)
class Installed:
    """The deployment, a namespace for pods where its bridge may bind, and an administrator."""

    kubeconfig: str
    name: str
    """Of the bridge's namespace and account."""
    items: list[Json]
    said: str
    """By kubectl, of each object."""

    @property
    def pods(self) -> str:
        return f"{self.name}-pods"

    @property
    def account(self) -> str:
        return f"system:serviceaccount:{self.name}:{self.name}"

    def kubectl(self, *options: str) -> list[str]:
        return [tool("kubectl"), "--kubeconfig", self.kubeconfig, *options]

    def tried(self, given: Json, *options: str) -> str:
        """Create it and keep nothing: what is said against it, or nothing."""
        return run(self.kubectl("create", "--dry-run=server", "-f", "-", *options), json.dumps(given)).stderr

    def bind(self, pod: str, body: Json) -> str:
        """The same of a bind by the bridge's account."""
        path = f"/api/v1/namespaces/{self.pods}/pods/{pod}/binding?dryRun=All"
        command = self.kubectl("create", "--as", self.account, "--raw", path, "-f", "-")
        return run(command, json.dumps(body)).stderr


@pytest.fixture(scope="module")
def here(definitions: str) -> Iterator[Installed]:
    name = f"{PREFIX}-{secrets.token_hex(3)}"
    others = [item for item in objects(kustomize("base")) if item["kind"] != "CustomResourceDefinition"]
    text = yaml.safe_dump_all(others).replace(NAME, name)
    text = text.replace("namespace: default", f"namespace: {name}-pods")
    for word in COMMON:
        text = text.replace(word, f"{name}-{word}")
    admin = [tool("kubectl"), "--kubeconfig", definitions]
    for_pods = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{name}-pods"}}
    given = f"{yaml.safe_dump(for_pods)}---\n{text}"
    try:
        said = run([*admin, "apply", "--server-side", "--validate=strict", "-f", "-"], given)
        assert said.returncode == 0, said.stderr
        made = Installed(definitions, name, objects(text), said.stdout + said.stderr)
        _wait(made)
        yield made
    finally:
        run([*admin, "delete", "--ignore-not-found", "--wait=false", "-f", "-"], given)


def _wait(made: Installed) -> None:
    """Until pods can be created, and each policy is in force: a moment after it was made."""
    account = made.kubectl("create", "serviceaccount", "default", "--namespace", made.pods)
    said = run(account)
    assert said.returncode == 0 or "already exists" in said.stderr, said.stderr
    refused = pod(made, annotations={keys.ANNOTATION_DECISION: DECISION})
    probes: list[Callable[[], str]] = [
        lambda: made.tried(refused),
        lambda: made.tried(pod(made, tolerations=[])),
        lambda: made.bind("none", {"metadata": {"name": "none"}, "target": {"name": "none"}}),
    ]
    for probe in probes:
        for _ in range(100):
            if "Policy" in probe():
                break


def pod(here: Installed, name: str = "a", **changes: object) -> Json:
    """One as the docs have it; changes are of its annotations (added) or its spec."""
    made = pod_of(PodRequest(name, "resnet50", 100, namespace=here.pods), 0, 1.0)
    made["metadata"]["annotations"] |= changes.pop("annotations", {})  # type: ignore[operator] - a dict
    made["spec"] |= changes
    return made


def test_every_object_is_taken_without_a_warning(here: Installed) -> None:
    assert here.said.count("serverside-applied") == len(here.items) + 1
    assert "warning" not in here.said.lower()


async def test_every_expression_is_of_the_right_type(here: Installed) -> None:
    policies = [item for item in here.items if item["kind"] == "ValidatingAdmissionPolicy"]
    async with ApiClient(load(here.kubeconfig)) as client:
        for policy in policies:
            path = f"/apis/{policy['apiVersion']}/validatingadmissionpolicies/{policy['metadata']['name']}"
            for _ in range(50):  # a controller looks, a moment later
                status = (await client.get(path)).get("status", {})
                if "observedGeneration" in status:
                    break
                await asyncio.sleep(0.1)
            else:
                pytest.skip("this cluster has no controllers")
            assert status["typeChecking"] == {}


def test_the_pods_are_admitted(here: Installed) -> None:
    """By pod security's strictest level, the quota and the priority's own plug-in."""
    assert here.tried(_own_pod(here)) == ""


def test_the_namespace_takes_no_other_kind_of_pod(here: Installed) -> None:
    weaker = deepcopy(_own_pod(here))
    weaker["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    assert "violates PodSecurity" in here.tried(weaker)


def _own_pod(here: Installed) -> Json:
    template = template_of(here.items)
    metadata = template["metadata"] | {"name": "own", "namespace": here.name}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def test_a_pod_as_the_docs_have_it_is_taken_silently(here: Installed) -> None:
    assert here.tried(pod(here)) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tolerations": []}, "does not tolerate"),
        ({"tolerations": [{"key": "other", "operator": "Exists"}]}, "does not tolerate"),
        ({"tolerations": [{"operator": "Exists"}]}, ""),
        ({"tolerations": [], "schedulerName": "default-scheduler"}, ""),
    ],
)
def test_a_pod_that_cannot_go_anywhere_is_warned_of(here: Installed, changes: Json, said: str) -> None:
    warned = here.tried(pod(here, **changes))
    assert said in warned if said else warned == ""
    assert "denied" not in warned


def test_a_pod_without_a_model_is_warned_of(here: Installed) -> None:
    bare = pod(here)
    del bare["metadata"]["annotations"][keys.ANNOTATION_MODEL]
    assert "Warning: " in here.tried(bare)
    assert "fallback rule" in here.tried(bare)


def test_nobody_creates_a_pod_with_a_decision(here: Installed) -> None:
    assert "leave it as it is" in here.tried(pod(here, annotations={keys.ANNOTATION_DECISION: DECISION}))


@pytest.mark.parametrize("subresource", ["", "status"])
def test_nobody_writes_a_decision_on_a_pod(here: Installed, subresource: str) -> None:
    output(here.kubectl("apply", "-f", "-"), json.dumps(pod(here, "written")))

    def annotate(key: str) -> str:
        patch = json.dumps({"metadata": {"annotations": {key: DECISION}}})
        options = ["--subresource", subresource] if subresource else []
        return run(
            here.kubectl(
                "patch", "pod", "written", "-n", here.pods, "--dry-run=server", "-p", patch, *options
            )
        ).stderr

    assert "leave it as it is" in annotate(keys.ANNOTATION_DECISION)
    assert annotate("another") == ""


def binding(here: Installed, **changes: object) -> Json:
    uid = output(here.kubectl("get", "pod", "bound", "-n", here.pods, "-o", "jsonpath={.metadata.uid}"))
    annotations = {keys.ANNOTATION_SCHEMA: keys.SCHEMA, keys.ANNOTATION_DECISION: DECISION}
    metadata = {"name": "bound", "namespace": here.pods, "uid": uid, "annotations": annotations} | changes
    target = {"apiVersion": "v1", "kind": "Node", "name": "none"}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"uid": ""}, "known uid"),
        ({"annotations": {}}, "carries its decision"),
        (
            {"annotations": {keys.ANNOTATION_DECISION: DECISION, "kubectl.kubernetes.io/x": ""}},
            "no other annotations",
        ),
        ({"labels": {"app": "payments"}}, "no labels"),
    ],
)
def test_the_bridge_binds_as_it_does_and_not_otherwise(here: Installed, changes: Json, said: str) -> None:
    output(here.kubectl("apply", "-f", "-"), json.dumps(pod(here, "bound")))
    refused = here.bind("bound", binding(here, **changes))
    assert said in refused if said else refused == ""


def test_more_rights_do_not_let_the_bridge_touch_others_pods(here: Installed) -> None:
    grant = ["create", "rolebinding", "mistake", "--clusterrole", "cluster-admin", "--user", here.account]
    output(here.kubectl(*grant, "-n", here.pods))
    output(
        here.kubectl("apply", "-f", "-"), json.dumps(pod(here, "theirs", schedulerName="default-scheduler"))
    )
    annotate = ["annotate", "pod", "theirs", "-n", here.pods, "--dry-run=server", "--as", here.account]
    assert "may touch only" in run(here.kubectl(*annotate, f"{keys.ANNOTATION_EXPLANATION}=x")).stderr
    output(here.kubectl("delete", "rolebinding", "mistake", "-n", here.pods))


def test_the_bridge_resizes_only_what_is_not_bound(here: Installed) -> None:
    grant = ["create", "rolebinding", "sizes", "--clusterrole", "cluster-admin", "--user", here.account]
    output(here.kubectl(*grant, "-n", here.pods))  # kubectl reads before it patches
    node, room = f"{here.name}-sizes", {"cpu": "8", "memory": "16Gi", "pods": "10"}
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}, "status": {"allocatable": room}}
    output(here.kubectl("create", "-f", "-"), json.dumps(made))
    said = [resized(here, "pending"), resized(here, "placed", nodeName=node)]
    output(here.kubectl("delete", "node", node))
    output(here.kubectl("delete", "rolebinding", "sizes", "-n", here.pods))
    assert said[0] == ""
    assert "before it is bound, and never again" in said[1]


def resized(here: Installed, name: str, **spec: object) -> str:
    """What is said against a resize by the bridge's account."""
    output(here.kubectl("apply", "-f", "-"), json.dumps(pod(here, name, **spec)))
    container = {"name": "runner", "resources": {"requests": {"cpu": "20m"}}}
    patch = json.dumps({"spec": {"containers": [container]}})
    command = ["patch", "pod", name, "-n", here.pods, "--subresource", "resize", "-p", patch]
    return run(here.kubectl(*command, "--dry-run=server", "--as", here.account)).stderr


@pytest.mark.parametrize(
    ("path", "suffix"),
    [
        ("/api/v1/pods?limit=1", ""),
        ("/apis/coordination.k8s.io/v1/namespaces/{name}/leases/synergai", "-leases"),
    ],
)
def test_the_bridges_requests_have_a_queue_of_their_own(here: Installed, path: str, suffix: str) -> None:
    schema = here.name + suffix
    uid = output(here.kubectl("get", "flowschema", schema, "-o", "jsonpath={.metadata.uid}"))
    asked = here.kubectl("get", "--raw", path.format(name=here.name), "--as", here.account, "-v=8")
    assert re.findall(r"X-Kubernetes-Pf-Flowschema-Uid: (\S+)", run(asked).stderr) == [uid]


@asynccontextmanager
async def installed_bridge(here: Installed, folder: Path) -> AsyncIterator[tuple[Ground, Bridge]]:
    """With its account, rights, settings (no longer dry) and policies, on simulated nodes."""
    setting = setting_of(scenario.load(Path(__file__).with_name("replayed.yaml")))
    settings = yaml.safe_load(one(here.items, "ConfigMap")["data"]["bridge.yaml"])
    config = folder / "bridge.yaml"
    local = {"dry_run": False, "metrics_host": "127.0.0.1", "probe_host": "127.0.0.1", "probe_port": 0}
    config.write_text(yaml.safe_dump(settings | local))
    async with ApiClient(load(here.kubeconfig)) as client:
        account = await bridge_kubeconfig(client, here.name, here.kubeconfig, folder)
        where = Ground(client, here.pods, account)
        async with (
            Nodes(where, here.kubeconfig, setting, 20.0),
            Bridge(where, ["--config", str(config)], folder) as bridge,
        ):
            await bridge.ready()
            yield where, bridge


async def test_the_installed_bridge_places_pods(here: Installed, tmp_path: Path) -> None:
    asked = [PodRequest(f"job-{n}", "resnet50", 2000, namespace=here.pods) for n in range(4)]
    async with installed_bridge(here, tmp_path) as (where, bridge):

        async def ended() -> int:
            pods = (await where.client.get(where.pods))["items"]
            return sum(has_ended(one) for one in pods if one["metadata"]["name"].startswith("job-"))

        await submit(where.client, asked, speed=20.0)
        for _ in range(600):
            if await ended() == len(asked):
                break
            await asyncio.sleep(0.1)
        assert await ended() == len(asked), bridge.said()[-2000:]
