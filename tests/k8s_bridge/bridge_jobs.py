"""InferenceJobs and runtimes as a person writes them, shared by the bridge's tests."""

from collections.abc import Iterable
from typing import Any

from bridge_fakes import CREATED

from synergai.offline_profiles.table import ProfileTable

API = "synergai.dev/v1alpha1"
GROUP = "/apis/synergai.dev/v1alpha1"
TEMPLATE = {"spec": {"containers": [{"name": "runner", "image": "example.org/ort:1"}]}}


def job(name: str = "a", model: str = "resnet50", samples: int = 500, **spec: Any) -> dict[str, Any]:
    """As it is sent."""
    return {
        "apiVersion": API,
        "kind": "InferenceJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"model": {"name": model}, "input": {"samples": samples}, **spec},
    }


def stored(raw: dict[str, Any], version: int = 1, **status: Any) -> dict[str, Any]:
    """As the API server has it."""
    name = raw["metadata"]["name"]
    meta = {
        "uid": f"{name}-0000-uid",
        "resourceVersion": str(version),
        "creationTimestamp": CREATED,
        "generation": 1,
    }
    return {**raw, "metadata": {"namespace": "default", **raw["metadata"], **meta}, "status": status}


def runtime(
    name: str = "ort",
    models: Iterable[str] = ("resnet50",),
    hardware: Iterable[str] = ("nvidia-t4",),
    configurations: Iterable[dict[str, Any]] = ({"name": "ort-b8"},),
    namespace: str = "",
    priority: int = 0,
    template: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Of one variant; a ClusterInferenceRuntime unless it has a namespace."""
    where = {"namespace": namespace} if namespace else {}
    variant = {
        "name": "only",
        "hardware": list(hardware),
        "configurations": list(configurations),
        "template": TEMPLATE if template is None else template,
    }
    spec = {"models": [{"name": model} for model in models], "priority": priority, "variants": [variant]}
    kind = "InferenceRuntime" if namespace else "ClusterInferenceRuntime"
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name, **where}, "spec": spec}


def runtimes_of(table: ProfileTable, models: Iterable[str], hardware: Iterable[str]) -> list[dict[str, Any]]:
    """One per model and hardware class, with all configurations that are profiled."""
    found = []
    for model in models:
        for name in hardware:
            rows = [{"name": profile.configuration} for profile in table.of(model, name)]
            if rows:
                found.append(runtime(f"{model}-{name}", [model], [name], rows))
    return found
