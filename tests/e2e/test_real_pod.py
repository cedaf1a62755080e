"""The bridge as a pod on a real kubelet, as `deploy/base` installs it, and pods that it places there.

The image is the machine's own Python, mounted: the namespace's pod security is let down for these mounts alone.
"""

import asyncio
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml

from synergai.envs.compile import numba
from synergai.k8s_bridge import keys
from synergai.k8s_bridge.api.client import ApiClient
from synergai.k8s_bridge.api.credentials import load
from tests.deploy.rendered import NAME, ROOT, Json, kustomize, objects, output, tool
from tests.deploy.rendered import pod_of as template_of
from tests.e2e.cluster.images import mount_host
from tests.e2e.cluster.machine import Size
from tests.e2e.cluster.machines import machines
from tests.e2e.cluster.source import NAME as PREFIX

pytestmark = [pytest.mark.alone, pytest.mark.e2e]

WAIT_S = 400.0
"""Where its kernels are not in this machine's cache, the bridge's pod compiles them first."""
SPARE_MILLI = 300
JOBS = 4
HARDWARE = "jetson-xavier-nx-maxn"
"""Its smallest configuration takes one core, which is what the bridge leaves of two."""


@pytest.fixture
async def node(real_kubeconfig: str, kubelets: None) -> AsyncIterator[str]:
    """A real machine, labelled and tainted as docs/operations.md says."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("a machine is made beside the tests' own control plane only")
    name = f"{PREFIX}-{secrets.token_hex(3)}"
    size = Size(
        name,
        cpu_milli=(os.cpu_count() or 1) * 1000 - SPARE_MILLI,
        memory_mib=4096,
        labels={keys.LABEL_DEDICATED: "true", f"{keys.LABEL_HARDWARE_PREFIX}{HARDWARE}": "1"},
        taints=(f"{keys.LABEL_DEDICATED}=true:NoSchedule",),
    )
    with machines(real_kubeconfig, [size], SPARE_MILLI):
        yield name


async def _until(fact: Callable[[], Awaitable[bool]], what: str | Callable[[], str]) -> None:
    try:
        async with asyncio.timeout(WAIT_S):
            while not await fact():  # noqa: ASYNC110 - it is on the server
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"no {what() if callable(what) else what} within {WAIT_S:g} s")


def installed(name: str, node: str) -> str:
    """`deploy/base` under another name, on this node, not dry."""
    text = kustomize("base").replace(NAME, name).replace("namespace: default", f"namespace: {name}-pods")
    for word in ("synergai-decisions", "synergai-requests"):
        text = text.replace(word, f"{name}-{word}")
    text = text.replace("dry_run: true", "dry_run: false").replace(
        "enforce: restricted", "enforce: privileged"
    )
    # the definitions are those of all tests, and stay
    items = [item for item in objects(text) if item["kind"] != "CustomResourceDefinition"]
    for item in items:
        if item["kind"] == "Deployment":
            item["spec"]["replicas"] = 1
    _mount(template_of(items)["spec"], node)
    for_pods = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"{name}-pods"}}
    return yaml.safe_dump_all([for_pods, *items])


def _mount(spec: Json, node: str) -> None:
    """What the Dockerfile puts into the image, from this machine."""
    kernels = Path(numba.config.CACHE_DIR)  # type: ignore[attr-defined] - set at run time
    mount_host(spec, {ROOT: str(ROOT), kernels: f"/opt/cache/synergai/kernels/{kernels.name}"})
    spec["nodeName"] = node
    (bridge,) = spec["containers"]
    bridge["command"] = [sys.executable, "-m", "synergai"]


def job(name: str, namespace: str) -> Json:
    """A pod that says which decision it was given."""
    decision = {"fieldPath": f"metadata.annotations['{keys.ANNOTATION_DECISION}']"}
    container = {
        "name": "runner",
        "command": ["sh", "-c", 'echo "$DECISION" >/dev/termination-log; sleep 1'],
        "env": [{"name": "DECISION", "valueFrom": {"fieldRef": decision}}],
        "resources": {"requests": {"cpu": "50m", "memory": "16Mi"}},
    }
    asked = {keys.ANNOTATION_MODEL: "resnet50", keys.ANNOTATION_SAMPLES: "100"}
    tolerated = [{"key": keys.LABEL_DEDICATED, "operator": "Exists", "effect": "NoSchedule"}]
    spec = {
        "schedulerName": keys.SCHEDULER_NAME,
        "restartPolicy": "Never",
        "tolerations": tolerated,
        "containers": [container],
    }
    mount_host(spec)
    return {"metadata": {"name": name, "namespace": namespace, "annotations": asked}, "spec": spec}


async def test_the_bridge_runs_as_a_pod_and_places_pods_that_run_to_their_end(
    definitions: str, node: str
) -> None:
    name = f"{PREFIX}-{secrets.token_hex(3)}"
    kubectl = [tool("kubectl"), "--kubeconfig", definitions]
    text = installed(name, node)
    began_s = time.monotonic()
    output([*kubectl, "apply", "--server-side", "--validate=strict", "-f", "-"], text)
    async with ApiClient(load(definitions)) as client:
        pods, own = f"/api/v1/namespaces/{name}-pods/pods", f"/api/v1/namespaces/{name}/pods"

        async def ready() -> bool:
            found = (await client.get(own))["items"]
            conditions = [c for pod in found for c in pod["status"].get("conditions", ())]
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        async def ended() -> bool:
            found = (await client.get(pods))["items"]
            return all(pod["status"]["phase"] in ("Succeeded", "Failed") for pod in found)

        await _until(ready, lambda: f"bridge that is ready: {_states(kubectl, name)}")
        ready_s = time.monotonic() - began_s
        await _until(lambda: _has_account(client, f"{name}-pods"), "account for pods")
        for n in range(JOBS):
            await client.post(pods, job(f"job-{n}", f"{name}-pods"))
        await _until(ended, lambda: f"end of the pods: {_states(kubectl, name)}")
        print(f"ready after {ready_s:.1f} s, all ended after {time.monotonic() - began_s:.1f} s, {_memory()}")
        (bridge,) = (await client.get(own))["items"]
        found = (await client.get(pods))["items"]
    assert [container["restartCount"] for container in bridge["status"]["containerStatuses"]] == [0]
    for pod in found:
        assert (pod["status"]["phase"], pod["spec"]["nodeName"]) == ("Succeeded", node)
        said = pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
        assert said.strip() == pod["metadata"]["annotations"][keys.ANNOTATION_DECISION]
        assert json.loads(said)["hardware"] == HARDWARE
    output([*kubectl, "delete", "--wait=false", "-f", "-"], text)


def _states(kubectl: list[str], name: str) -> str:
    """For who reads the failure."""
    shown = [output([*kubectl, "get", "pods", "-n", space, "-o", "json"]) for space in (name, f"{name}-pods")]
    fields = ("initContainerStatuses", "containerStatuses", "message")
    states = [
        {field: pod["status"].get(field) for field in fields}
        for text in shown
        for pod in json.loads(text)["items"]
    ]
    said = output([*kubectl, "get", "events", "-n", name, "-o", "custom-columns=W:.reason,M:.message"])
    return f"{json.dumps(states)}\n{said}"


async def _has_account(client: ApiClient, namespace: str) -> bool:
    found = await client.get(f"/api/v1/namespaces/{namespace}/serviceaccounts")
    return any(item["metadata"]["name"] == "default" for item in found["items"])


def _memory() -> str:
    """Of the bridge's process, as this machine sees it."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            command = status.with_name("cmdline").read_bytes()
            fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if b"/etc/synergai/bridge.yaml" in command:
            return (
                f"RSS {fields['VmRSS'].strip()}, user {fields['Uid'].split()[0]}, CapEff {fields['CapEff']}"
            )
    return "no such process"
