"""Real kubelets: nodes of the size that was asked for, on which pods run, and of which nothing is left."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.deploy.rendered import ROOT, output, tool
from tests.e2e.cluster import cgroups
from tests.e2e.cluster.control_plane import Plane
from tests.e2e.cluster.images import PYTHON, mount_host
from tests.e2e.cluster.machine import CABLE, PREFIX, Machine, Size, remove_leftovers
from tests.e2e.cluster.machines import machines

pytestmark = [pytest.mark.alone, pytest.mark.e2e, pytest.mark.slow]

WAIT_S = 60.0
SIZES = (
    Size("small", cpu_milli=200, memory_mib=512, labels={"tier": "edge"}),
    Size("middle", cpu_milli=300, memory_mib=768, taints=("tier=fog:NoSchedule",)),
    Size("large", cpu_milli=500, memory_mib=1024, gpus=2),
)
BURN = "i=0; while :; do i=$((i+1)); done"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def nodes(plane: Plane, kubelets: None) -> Iterator[Mapping[str, Machine]]:
    """Three; skipped where this system can have none, failed with SYNERGAI_E2E=require where they are not built."""
    with machines(plane.kubeconfig, SIZES) as made:
        yield made


@pytest.fixture
def kubectl(plane: Plane) -> list[str]:
    return [tool("kubectl"), "--kubeconfig", str(plane.kubeconfig)]


def pod(name: str, node: str, script: str, **limits: str) -> Json:
    container = {"name": "main", "command": ["sh", "-c", script], "resources": {"limits": limits}}
    spec: Json = {"nodeName": node, "restartPolicy": "Never", "containers": [container]}
    spec["terminationGracePeriodSeconds"] = 0
    mount_host(spec)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def create(kubectl: list[str], *pods: Json) -> None:
    output([*kubectl, "create", "-f", "-"], json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))


def phases(kubectl: list[str]) -> dict[str, str]:
    found = json.loads(output([*kubectl, "get", "pods", "-o", "json"]))["items"]
    return {item["metadata"]["name"]: item["status"]["phase"] for item in found}


def until(fact: Callable[[], bool], what: Callable[[], object]) -> None:
    give_up_s = time.monotonic() + WAIT_S
    while not fact():
        assert time.monotonic() < give_up_s, what()
        time.sleep(0.2)


def ended(kubectl: list[str], *names: str) -> dict[str, str]:
    """Their phases, when all have ended."""
    until(
        lambda: all(phases(kubectl)[name] in ("Succeeded", "Failed") for name in names),
        lambda: phases(kubectl),
    )
    return {name: phase for name, phase in phases(kubectl).items() if name in names}


@pytest.fixture
def name() -> str:
    return f"pod-{secrets.token_hex(3)}"


def test_nodes_are_as_large_as_asked_and_say_so(nodes: Mapping[str, Machine], kubectl: list[str]) -> None:
    found = json.loads(output([*kubectl, "get", "nodes", "-o", "json"]))["items"]
    given = {item["metadata"]["name"]: item["status"]["allocatable"] for item in found}
    asked = {name: (given[name]["cpu"], given[name]["memory"]) for name in nodes}
    assert asked == {"small": ("200m", "512Mi"), "middle": ("300m", "768Mi"), "large": ("500m", "1Gi")}
    assert [given[name].get("nvidia.com/gpu") for name in nodes] == [None, None, "2"]
    by_name = {item["metadata"]["name"]: item for item in found}
    assert by_name["small"]["metadata"]["labels"]["tier"] == "edge"
    assert by_name["middle"]["spec"]["taints"] == [{"key": "tier", "value": "fog", "effect": "NoSchedule"}]


def test_pods_run_to_their_end_on_each_node(
    nodes: Mapping[str, Machine], kubectl: list[str], name: str
) -> None:
    asked = [pod(f"{name}-{n}", list(nodes)[n % len(nodes)], "sleep 0.5") for n in range(12)]
    create(kubectl, *asked)
    names = [item["metadata"]["name"] for item in asked]
    assert set(ended(kubectl, *names).values()) == {"Succeeded"}


def test_what_a_pod_says_can_be_read_through_the_api_server(
    nodes: Mapping[str, Machine], kubectl: list[str], name: str
) -> None:
    create(kubectl, pod(name, "small", "echo hello from $(hostname)"))
    assert ended(kubectl, name) == {name: "Succeeded"}
    assert output([*kubectl, "logs", name]) == f"hello from {name}\n"


def test_a_pod_that_runs_too_long_gets_its_nodes_share_of_the_processor(
    nodes: Mapping[str, Machine], kubectl: list[str], name: str
) -> None:
    machine = nodes["small"]
    create(kubectl, pod(name, "small", BURN))
    until(lambda: phases(kubectl)[name] == "Running", lambda: phases(kubectl))
    began_s, used_s, throttled = time.monotonic(), machine.cpu_used_s(), machine.throttled_periods()
    until(lambda: machine.cpu_used_s() - used_s > 0.4, lambda: "it uses no processor time")
    share = (machine.cpu_used_s() - used_s) / (time.monotonic() - began_s)
    output([*kubectl, "delete", "pod", name, "--grace-period=0", "--force"])
    assert machine.throttled_periods() > throttled
    assert share < 2 * machine.size.cpu_milli / 1000


def test_a_pod_that_takes_more_memory_than_it_may_is_killed(
    nodes: Mapping[str, Machine], kubectl: list[str], name: str
) -> None:
    create(kubectl, pod(name, "large", f"exec {PYTHON} -SEc 'b\"x\" * (1 << 28)'", memory="64Mi"))
    assert ended(kubectl, name) == {name: "Failed"}
    found = json.loads(output([*kubectl, "get", "pod", name, "-o", "json"]))
    assert found["status"]["containerStatuses"][0]["state"]["terminated"]["reason"] == "OOMKilled"


def test_nothing_outlives_a_process_that_is_killed(
    nodes: Mapping[str, Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-m", "tests.e2e.cluster", "--bare", "--machines", "killed=100m:256Mi"]
    command += ["--", "sh", "-c", "echo ready; exec sleep 600"]
    with TemporaryDirectory() as temporary:
        monkeypatch.setattr("tests.e2e.cluster.machine.gettempdir", lambda: temporary)
        environment = {**os.environ, "TMPDIR": temporary}
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as starter:
            mine = f"{PREFIX}{starter.pid}-"
            try:
                assert starter.stdout
                assert starter.stdout.readline() == "ready\n"
                assert any("kubelet" in command for command in commands(mine))
                assert cables(mine)
                starter.kill()
                starter.wait()
                until(lambda: not commands(mine) and not cables(mine), lambda: commands(mine))
            finally:
                os.killpg(starter.pid, signal.SIGKILL)
        assert any(cgroups.folders(f"{mine}*"))
        remove_leftovers()
        assert not any(cgroups.folders(f"{mine}*"))
        assert not list(Path(temporary).glob(f"{mine}*"))


def cables(start: str) -> list[str]:
    """Of the machines whose folders' names begin so."""
    names = [path.read_text().strip() for path in Path("/sys/class/net").glob(f"{CABLE}*/ifalias")]
    return [name for name in names if name.startswith(start)]


def commands(word: str) -> list[str]:
    """Of the processes that name it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [command for command in found if word in command]
