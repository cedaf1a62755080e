"""Three machines that are a Jetson, a CPU and a GPU by their labels and sizes; and pods that run this Python there."""

import sys
from pathlib import Path
from typing import Any

from synergai.k8s_bridge import keys
from tests.e2e.cluster.images import mount_host
from tests.e2e.cluster.machine import Size

ROOT = Path(__file__).parents[3]
Json = dict[str, Any]
CLASSES = {"edge-0": "stand-in-jetson", "cpu-0": "stand-in-cpu", "gpu-0": "stand-in-gpu"}
CPU_MILLI = {"edge-0": 300, "cpu-0": 400, "gpu-0": 600}
"""1,300 of two cores: with less than 700 left to the control plane and the kubelets every figure is spoiled."""
MEMORY_MIB = 1024


def sizes() -> list[Size]:
    """Dedicated nodes, one device each."""
    return [
        Size(
            name,
            cpu_milli=CPU_MILLI[name],
            memory_mib=MEMORY_MIB,
            labels={f"{keys.LABEL_HARDWARE_PREFIX}{hardware}": "1", keys.LABEL_DEDICATED: "true"},
            taints=(f"{keys.TAINT_DEDICATED}=true:NoSchedule",),
        )
        for name, hardware in CLASSES.items()
    ]


def template(container: str, *command: str, folders: dict[Path, str] | None = None) -> Json:
    """A pod's template: the image is this system, read only; `folders` can be written, where by what."""
    main: Json = {
        "name": container,
        "command": [sys.executable, *command],
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}, {"name": "HOME", "value": "/tmp"}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    spec: Json = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [main]}
    mount_host(spec, {ROOT: str(ROOT)})
    for n, (source, to) in enumerate((folders or {}).items()):
        spec["volumes"].append({"name": f"folder-{n}", "hostPath": {"path": str(source)}})
        main["volumeMounts"].append({"name": f"folder-{n}", "mountPath": to})
    return {"spec": spec}
