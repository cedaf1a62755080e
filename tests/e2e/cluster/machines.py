"""Several machines at once, as nodes of a control plane that runs here."""

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from synergai.k8s_bridge.admission.quantities import cpu_milli, memory_mib
from tests.e2e.cluster.control_plane import KUBELET_CLIENTS, ControlPlaneError
from tests.e2e.cluster.machine import START_TIMEOUT_S, Machine, Size, needs, remove_leftovers

SPARE_MILLI = 700
"""What the machines leave of this system's cores to the control plane and the kubelets themselves."""
MIN_CPU_MILLI, MIN_MEMORY_MIB = 10, 64
"""The kernel takes no quota below a hundredth of a core."""
GPU = "nvidia.com/gpu"
POLL_S = 0.1
Json = dict[str, Any]


@contextmanager
def machines(
    kubeconfig: str | Path, sizes: Sequence[Size], spare_milli: int = SPARE_MILLI
) -> Iterator[Mapping[str, Machine]]:
    """Nodes by name, Ready and as large as asked, which leave `spare_milli`; at the end they are no nodes any more.

    The kubeconfig is the one that `control_plane` has made. Unavailable where there can be no machine here, ValueError
    where together they are larger than this system, ControlPlaneError where one does not start.
    """
    needs()
    _check(sizes, spare_milli)
    remove_leftovers()
    path = Path(kubeconfig)
    if not (path.parent / KUBELET_CLIENTS).exists():
        raise ControlPlaneError(f"{path} is of a control plane that was not started here, with openssl")
    api = Api(path)
    made: dict[str, Machine] = {}
    with ExitStack() as stack:
        for size in sizes:
            machine = Machine(size, path)
            stack.callback(_forget, api, size.name)
            stack.callback(machine.remove)
            made[size.name] = machine
        for machine in made.values():
            _wait(api, machine)
        yield made


def parse(text: str) -> tuple[Size, ...]:
    """`NAME=CPU:MEMORY[:LABEL=VALUE[:EFFECT]]...`, with commas between machines.

    An effect makes a taint of the label before it as well, and the label nvidia.com/gpu=N is a count instead.
    ValueError names what is wrong.
    """
    return tuple(_parse_one(part) for part in text.split(","))


def _parse_one(text: str) -> Size:
    name, _, rest = text.partition("=")
    cpu, _, rest = rest.partition(":")
    memory, *more = rest.split(":")
    labels: dict[str, str] = {}
    taints: list[str] = []
    last = ""
    for word in more:
        key, sign, value = word.partition("=")
        if sign:
            labels[key], last = value, key
        elif last and word in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            taints.append(f"{last}={labels[last]}:{word}")
        else:
            raise ValueError(f"machine {text}: {word!r} is neither LABEL=VALUE nor the effect of a taint")
    if not (name and cpu and memory):
        raise ValueError(f"machine {text!r} is not NAME=CPU:MEMORY, such as edge-0=300m:1Gi")
    gpus = labels.pop(GPU, "0")
    if not gpus.isdecimal():
        raise ValueError(f"machine {name}: {GPU}={gpus} is not a count")
    size = Size(name, cpu_milli(cpu), memory_mib(memory), labels, tuple(taints), int(gpus))
    if size.cpu_milli < MIN_CPU_MILLI or size.memory_mib < MIN_MEMORY_MIB:
        raise ValueError(
            f"machine {name} of {cpu} and {memory} is too small: {MIN_CPU_MILLI}m and {MIN_MEMORY_MIB}Mi"
        )
    return size


def _check(sizes: Sequence[Size], spare_milli: int) -> None:
    names, cores_milli = [size.name for size in sizes], (os.cpu_count() or 1) * 1000
    if len(set(names)) < len(names):
        raise ValueError(f"two machines have one name: {', '.join(names)}")
    total_milli = sum(size.cpu_milli for size in sizes)
    if total_milli > cores_milli - spare_milli:
        raise ValueError(
            f"the machines have {total_milli}m of cpu together; {cores_milli - spare_milli}m can be given here, "
            f"{spare_milli}m less than there is"
        )


class Api:
    """Plain requests of an administrator, one at a time."""

    def __init__(self, kubeconfig: Path) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        self._server, self._token = cluster["server"], config["users"][0]["user"]["token"]
        authority = b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=authority)

    def call(self, method: str, path: str, body: Json | None = None) -> Json:
        """The object answered; urllib's HTTPError where it is refused."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/merge-patch+json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._tls, timeout=10) as answer:
            return json.load(answer)


def _wait(api: Api, machine: Machine) -> None:
    """Until its node is Ready and has to give what was asked."""
    size, give_up_s = machine.size, time.monotonic() + START_TIMEOUT_S
    counted = size.gpus == 0
    while True:
        machine.check()
        node = _node(api, size.name)
        if node and not counted:
            devices = {GPU: str(size.gpus)}
            body: Json = {"status": {"capacity": devices, "allocatable": devices}}
            api.call("PATCH", f"/api/v1/nodes/{size.name}/status", body)
            counted = True
        elif node and _ready(node) and _has(node) == (size.cpu_milli, size.memory_mib, size.gpus):
            return
        if time.monotonic() > give_up_s:
            found = _has(node) if node else "no node"
            raise ControlPlaneError(
                f"machine {size.name} is not ready within {START_TIMEOUT_S:g} s ({found}): {machine.last_words()}"
            )
        time.sleep(POLL_S)


def _node(api: Api, name: str) -> Json | None:
    with suppress(urllib.error.HTTPError):
        return api.call("GET", f"/api/v1/nodes/{name}")
    return None


def _ready(node: Json) -> bool:
    conditions = {item["type"]: item["status"] for item in node["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and not any(
        taint["key"].startswith("node.kubernetes.io/") for taint in node["spec"].get("taints", ())
    )


def _has(node: Json) -> tuple[int, int, int]:
    given = node["status"].get("allocatable", {})
    return cpu_milli(given.get("cpu", "0")), memory_mib(given.get("memory", "0")), int(given.get(GPU, "0"))


def _forget(api: Api, name: str) -> None:
    with suppress(OSError):  # the control plane may have ended first
        api.call("DELETE", f"/api/v1/nodes/{name}")
