"""Plain kubectl against the embedded server."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from synergai.envs.types import Device, Node
from synergai.k8s_bridge.api.credentials import Credentials
from synergai.k8s_bridge.embedded.kubeconfig import write
from synergai.k8s_bridge.embedded.kubelet import Kubelets, KubeletSettings
from synergai.k8s_bridge.embedded.shipped import definitions

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on the PATH")

POD = """
apiVersion: v1
kind: Pod
metadata: {name: a}
spec: {restartPolicy: Never, containers: [{name: c, image: registry.example/none}]}
"""
Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
def environment(server, tmp_path: Path) -> dict[str, str]:
    write(tmp_path / "kubeconfig", server.url)
    return {"KUBECONFIG": str(tmp_path / "kubeconfig"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


@pytest.fixture
def kubectl(environment) -> Kubectl:
    """Runs kubectl; returns what it prints, fails with its error."""

    async def run(*words: str, stdin: str = "") -> str:
        assert KUBECTL
        process = await asyncio.create_subprocess_exec(
            KUBECTL,
            *words,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate(stdin.encode())
        assert process.returncode == 0, error.decode()
        return out.decode()

    return run


@pytest.fixture
async def node(server) -> AsyncIterator[Kubelets]:
    nodes = [Node("orin-0", (Device("jetson-agx-orin-maxn", 1),), 12_000, 61_440, site="plant-3")]
    settings = KubeletSettings(default_run_s=60.0)
    resources = {"jetson-agx-orin-maxn": "nvidia.com/gpu"}
    async with Kubelets(Credentials(server.url), nodes, resources, lambda run: 60.0, settings) as kubelets:
        yield kubelets


@pytest.fixture
async def a_pod(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", "--validate=false", stdin=POD)


def cells(printed: str) -> list[list[str]]:
    return [line.split() for line in printed.splitlines()]


async def test_a_pod_is_created_with_validation(kubectl):
    assert await kubectl("create", "-f", "-", stdin=POD) == "pod/a created\n"


async def test_a_pod_is_applied_and_applied_again(kubectl):
    await kubectl("apply", "-f", "-", stdin=POD)
    again = POD.replace("{name: a}", "{name: a, labels: {x: new}}")
    assert await kubectl("apply", "-f", "-", stdin=again) == "pod/a configured\n"
    assert await kubectl("get", "pods", "-l", "x=new", "-o", "name") == "pod/a\n"


async def test_a_pod_is_run(kubectl):
    await kubectl("run", "b", "--image=registry.example/none")
    assert await kubectl("get", "pods", "-o", "name") == "pod/b\n"


async def test_pods_are_listed(kubectl, a_pod):
    header, row = cells(await kubectl("get", "pods"))
    assert header == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert row[:4] == ["a", "0/1", "Pending", "0"]


async def test_pods_are_listed_with_their_node(kubectl, a_pod):
    header, row = cells(await kubectl("get", "pods", "-o", "wide"))
    assert header[5:7] == ["IP", "NODE"]
    assert row[6] == "<none>"


@pytest.mark.parametrize(("form", "start"), [("json", "{"), ("yaml", "apiVersion: v1")])
async def test_a_pod_is_shown_whole(kubectl, a_pod, form, start):
    assert (await kubectl("get", "pod", "a", "-o", form)).startswith(start)


async def test_nodes_are_listed(kubectl, node):
    _, row = cells(await kubectl("get", "nodes"))
    assert row[:3] == ["orin-0", "Ready", "<none>"]


async def test_events_are_listed(kubectl, embedded):
    event = {
        "metadata": {"name": "a.1"},
        "involvedObject": {"kind": "Pod", "namespace": "default", "name": "a"},
        "reason": "Scheduled",
        "type": "Normal",
        "message": "to orin-0",
    }
    await embedded.post("/api/v1/namespaces/default/events", event)
    header, row = cells(await kubectl("get", "events"))
    assert header == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert row[1:] == ["Normal", "Scheduled", "pod/a", "to", "orin-0"]


async def test_everything_can_be_listed_at_once(kubectl, a_pod, node):
    printed = await kubectl("get", "pods,nodes,events,leases,priorityclasses", "-A")
    assert "pod/a" in printed
    assert "node/orin-0" in printed
    assert "lease.coordination.k8s.io/orin-0" in printed
    assert "system-node-critical" in printed


async def test_a_pod_is_described(kubectl, a_pod):
    printed = await kubectl("describe", "pod", "a")
    assert ["Status:", "Pending"] in cells(printed)
    assert "registry.example/none" in printed


async def test_a_node_is_described(kubectl, node):
    printed = await kubectl("describe", "node", "orin-0")
    assert "synergai.dev/dedicated=true:NoSchedule" in printed
    assert "nvidia.com/gpu:  1" in printed


async def test_a_pod_is_deleted(kubectl, a_pod):
    assert 'pod "a" deleted' in await kubectl("delete", "pod", "a")
    assert await kubectl("get", "pods", "-o", "name") == ""


async def test_a_running_pod_is_deleted_by_its_kubelet(kubectl, a_pod, node, embedded):
    binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "orin-0"}}
    await embedded.post("/api/v1/namespaces/default/pods/a/binding", binding)
    await kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=5s")
    await kubectl("delete", "pod", "a", "--timeout=5s")
    assert await kubectl("get", "pods", "-o", "name") == ""


@pytest.mark.parametrize("verb", ["label", "annotate"])
async def test_a_node_is_marked(kubectl, node, embedded, verb):
    await kubectl(verb, "node", "orin-0", "example.com/x=1")
    metadata = (await embedded.get("/api/v1/nodes/orin-0")).json["metadata"]
    assert metadata[f"{verb}s" if verb == "label" else "annotations"]["example.com/x"] == "1"


async def test_a_node_is_tainted_and_freed_again(kubectl, node, embedded):
    await kubectl("taint", "node", "orin-0", "example.com/x=1:NoSchedule")
    await kubectl("taint", "node", "orin-0", "example.com/x-")
    taints = (await embedded.get("/api/v1/nodes/orin-0")).json["spec"]["taints"]
    assert [taint["key"] for taint in taints] == ["synergai.dev/dedicated"]


async def test_a_node_is_cordoned(kubectl, node):
    await kubectl("cordon", "orin-0")
    assert "Ready,SchedulingDisabled" in await kubectl("get", "nodes")


async def test_a_namespace_is_made_and_used(kubectl):
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n"
    await kubectl("create", "-f", "-", "--validate=false", stdin=namespace)
    await kubectl("create", "-n", "other", "-f", "-", "--validate=false", stdin=POD)
    _, row = cells(await kubectl("get", "pods", "-A"))
    assert row[:2] == ["other", "a"]


async def test_a_watch_prints_changes(environment, kubectl, embedded):
    assert KUBECTL
    process = await asyncio.create_subprocess_exec(
        KUBECTL, "get", "pods", "-w", env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        await asyncio.sleep(0.5)
        await kubectl("create", "-f", "-", "--validate=false", stdin=POD)
        async with asyncio.timeout(5):
            assert (await process.stdout.readline()).split()[0] == b"NAME"
            assert (await process.stdout.readline()).split()[:3] == [b"a", b"0/1", b"Pending"]
    finally:
        process.kill()
        await process.wait()


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing, shortNames: [th]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    additionalPrinterColumns:
    - {name: Model, type: string, jsonPath: .spec.model.name}
    - {name: Done, type: string, jsonPath: '.status.conditions[?(@.type=="Complete")].status'}
"""
THING = """
apiVersion: example.com/v1
kind: Thing
metadata: {name: t}
spec: {model: {name: resnet50}}
"""


async def test_a_custom_resource_is_defined_made_and_printed(kubectl):
    await kubectl("create", "-f", "-", stdin=CRD)
    await kubectl("wait", "--for=condition=Established", "crd/things.example.com", "--timeout=5s")
    await kubectl("create", "-f", "-", stdin=THING)
    patch = '{"status":{"conditions":[{"type":"Complete","status":"True"}]}}'
    await kubectl("patch", "th", "t", "--subresource=status", "--type=merge", "-p", patch)
    header, row = cells(await kubectl("get", "things"))
    assert header == ["NAME", "MODEL", "DONE"]
    assert row[:3] == ["t", "resnet50", "True"]


JOB = """
apiVersion: synergai.dev/v1alpha1
kind: InferenceJob
metadata: {name: j}
spec: {model: {name: resnet50}, input: {samples: 100}}
"""


@pytest.fixture
async def jobs(embedded) -> None:
    """The kinds that come with the bridge are served."""
    for definition in definitions():
        await embedded.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)


async def test_a_job_is_created_shown_and_deleted(kubectl, jobs):
    assert await kubectl("create", "-f", "-", stdin=JOB) == "inferencejob.synergai.dev/j created\n"
    header, row = cells(await kubectl("get", "ij"))
    assert header[:3] == ["NAME", "MODEL", "SAMPLES"]
    assert row[:3] == ["j", "resnet50", "100"]
    assert await kubectl("get", "synergai", "-o", "name") == "inferencejob.synergai.dev/j\n"
    assert 'inferencejob.synergai.dev "j" deleted' in await kubectl("delete", "ij", "j")


async def test_a_job_is_applied_again_without_a_change(kubectl, jobs):
    await kubectl("apply", "-f", "-", stdin=JOB)
    assert await kubectl("apply", "-f", "-", stdin=JOB) == "inferencejob.synergai.dev/j unchanged\n"
    assert await kubectl("get", "ij", "j", "-o", "jsonpath={.metadata.generation}") == "1"


async def test_a_typing_mistake_in_a_job_is_told(kubectl, jobs):
    with pytest.raises(AssertionError, match=r'unknown field \\?"spec\.input\.sample\\?"'):
        await kubectl("create", "-f", "-", stdin=JOB.replace("samples", "sample"))


async def test_a_quota_is_made_and_shown(kubectl):
    quota = "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q}\nspec: {hard: {pods: 1}}\n"
    await kubectl("create", "-f", "-", stdin=quota)
    assert await kubectl("get", "quota", "-o", "name") == "resourcequota/q\n"


async def test_the_version_of_the_server_is_shown(kubectl):
    shown = json.loads(await kubectl("version", "-o", "json"))
    assert shown["serverVersion"]["gitVersion"].startswith("v1.36")


async def test_the_resources_are_listed(kubectl):
    printed = await kubectl("api-resources", "-o", "name")
    assert {"pods", "nodes", "events", "leases.coordination.k8s.io"} <= set(printed.split())
